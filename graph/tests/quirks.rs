//! Models with the quirks of public ones against what onnxruntime computed of them (`fixtures/make.py`).

use staticnet_graph::graph::{Graph, Op};
use staticnet_graph::{npy, onnx, reference};
use std::path::PathBuf;

/// Of the largest magnitude.
const TOLERANCE: f32 = 1e-5;

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// Imports the fixture, compares it with onnxruntime's numbers, before and after another export and import, and returns it.
fn imported(name: &str) -> Graph {
    let [input, output] = ["input", "output"].map(|part| npy::read(&fixture(&format!("{name}.{part}.npy"))).unwrap());
    let graph = onnx::import(&fixture(&format!("{name}.onnx"))).unwrap_or_else(|e| panic!("{e}"));
    let again = onnx::import_bytes(&onnx::to_bytes(&graph).unwrap()).unwrap();
    for graph in [&graph, &again] {
        let values = reference::run(graph, std::slice::from_ref(&input)).unwrap();
        let found = &values[graph.outputs[0].0];
        assert_eq!(found.shape, output.shape);
        let largest = output.data.iter().fold(0f32, |m, v| m.max(v.abs()));
        for (found, expected) in found.data.iter().zip(&output.data) {
            assert!((found - expected).abs() <= TOLERANCE * largest, "{name}: {found} instead of {expected}");
        }
    }
    graph
}

fn names(graph: &Graph) -> Vec<&str> {
    graph.nodes.iter().map(|n| graph.value(n.output).name.as_str()).collect()
}

#[test]
fn automatic_padding_rounding_up_and_matmul_with_add() {
    let graph = imported("auto_pad");
    assert_eq!(names(&graph), ["c/y", "p/y", "d/y", "q/y", "flat", "h/y", "scores"]);
    assert_eq!(graph.nodes[5].params, ["m/w", "m/b"]);
    assert_eq!(graph.inputs.len(), 1);
}

#[test]
fn opset_7() {
    let graph = imported("opset7");
    let ratio = graph.nodes.iter().find_map(|n| if let Op::Dropout { ratio } = n.op { Some(ratio) } else { None });
    assert_eq!(ratio, Some(0.25));
    // Initializers among the inputs are no inputs.
    assert_eq!(graph.inputs.iter().map(|&id| graph.value(id).name.as_str()).collect::<Vec<_>>(), ["input"]);
}

#[test]
fn opset_22() {
    let graph = imported("opset22");
    assert!(graph.nodes.iter().any(|n| n.op == Op::Dropout { ratio: 0.125 }));
    assert_eq!(names(&graph), ["conv", "pool", "pool2", "dropped", "flat", "sum", "gemm", "scores"]);
    assert_eq!(graph.nodes[5].params, ["m", "bias"]);
}
