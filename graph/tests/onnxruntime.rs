//! Exported models against onnx.checker and onnxruntime, where python3 has them.

mod common;

use common::{Random, every_op};
use staticnet_graph::graph::Tensor;
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

#[test]
fn onnxruntime_computes_what_the_reference_computes() {
    if let Some(reason) = missing() {
        println!("skipped: python3 with numpy, onnx and onnxruntime is needed: {reason}");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let [model, input, output] = ["model.onnx", "input.npy", "output.npy"].map(|name| dir.path().join(name));
    let graph = every_op();
    let x = Random(3).tensor(graph.shape(graph.inputs[0]));
    let values = reference::run(&graph, std::slice::from_ref(&x)).unwrap();
    onnx::export(&graph, &model).unwrap();
    npy::write(&input, &x).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/scripts/check_onnx.py");
    let check = |expected: &Tensor| {
        npy::write(&output, expected).unwrap();
        Command::new("python3").arg(&script).args([&model, &input, &output]).output().unwrap()
    };

    let mut expected = values[graph.outputs[0].0].clone();
    let result = check(&expected);
    assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));

    // The check itself must notice a wrong number.
    let largest = expected.data.iter().fold(0f32, |m, v| m.max(v.abs()));
    expected.data[0] += 2e-4 * largest;
    let result = check(&expected);
    assert_eq!(result.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&result.stderr).contains("differs by"));
}
