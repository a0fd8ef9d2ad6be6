//! Exported models against onnx.checker and onnxruntime, where python3 has them.

mod common;

use common::{Random, RandomTensor, every_op, operators};
use staticnet_graph::graph::{Graph, Tensor};
use staticnet_graph::{npy, onnx, reference};
use std::path::Path;
use std::process::Command;

/// Why python3 cannot check a model, if it cannot.
fn missing() -> Option<String> {
    match Command::new("python3").args(["-c", "import numpy, onnx, onnxruntime"]).output() {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or("it failed").to_string()),
        Err(error) => Some(error.to_string()),
    }
}

/// Whether onnxruntime computes `expected` as the first output of the graph, and what it says.
fn check(graph: &Graph, x: &Tensor, expected: &Tensor) -> (Option<i32>, String) {
    let dir = tempfile::tempdir().unwrap();
    let [model, input, output] = ["model.onnx", "input.npy", "output.npy"].map(|name| dir.path().join(name));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/scripts/check_onnx.py");
    onnx::export(graph, &model).unwrap();
    npy::write(&input, x).unwrap();
    npy::write(&output, expected).unwrap();
    let result = Command::new("python3").arg(&script).args([&model, &input, &output]).output().unwrap();
    (result.status.code(), String::from_utf8_lossy(&result.stderr).into_owned())
}

#[test]
fn onnxruntime_computes_what_the_reference_computes() {
    if let Some(reason) = missing() {
        println!("skipped: python3 with numpy, onnx and onnxruntime is needed: {reason}");
        return;
    }
    for graph in [every_op(), operators::batch_free(), operators::batch_bound(), operators::quantized()] {
        let x = Random(3).tensor(graph.shape(graph.inputs[0]));
        let values = reference::run(&graph, std::slice::from_ref(&x)).unwrap();
        let mut expected = values[graph.outputs[0].0].clone();
        assert_eq!(check(&graph, &x, &expected), (Some(0), String::new()), "{}", graph.name);

        // The check itself must notice a wrong number.
        let largest = expected.data.iter().fold(0f32, |m, v| m.max(v.abs()));
        expected.data[0] += 2e-4 * largest;
        let (code, said) = check(&graph, &x, &expected);
        assert!(code == Some(1) && said.contains("differs by"), "{said}");
    }
}
