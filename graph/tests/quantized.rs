//! Already quantized models against what onnxruntime computed of them (`fixtures/make_quantized.py`): scales, zero points and
//! integers are those of the file, and results differ by at most one code.

use staticnet_graph::graph::{Codes, Elem, Graph, Grid, Op, Tensor};
use staticnet_graph::{npy, onnx, reference};
use std::path::PathBuf;

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/quantized").join(name)
}

fn imported(name: &str) -> Graph {
    onnx::import(&fixture(&format!("{name}.onnx"))).unwrap_or_else(|e| panic!("{e}"))
}

/// Largest difference from onnxruntime's output.
fn difference(name: &str, graph: &Graph) -> f32 {
    let [input, expected] = ["input", "output"].map(|part| npy::read(&fixture(&format!("{name}.{part}.npy"))).unwrap());
    let values = reference::run(graph, &[input]).unwrap();
    let found = &values[graph.outputs[0].0];
    assert_eq!(found.shape, expected.shape, "{name}");
    found.data.iter().zip(&expected.data).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn ops(graph: &Graph) -> Vec<&'static str> {
    graph.nodes.iter().map(|node| node.op.name()).collect()
}

/// The grid that the graph's output is on, through whatever moves it.
fn step_of_output(graph: &Graph) -> f32 {
    graph
        .nodes
        .iter()
        .rev()
        .find_map(|node| if let Op::Dequantize(grid) = &node.op { Some(grid.scale[0]) } else { None })
        .unwrap()
}

#[test]
fn every_operator_gives_the_codes_of_onnxruntime() {
    let operators = [
        ("conv", "Conv"),
        ("conv_int8", "Conv"),
        ("conv_asymmetric", "Conv"),
        ("matmul", "Gemm"),
        ("gemm", "Gemm"),
        ("add", "Add"),
        ("mul", "Mul"),
        ("concat", "Concat"),
        ("average_pool", "AveragePool"),
        ("global_average_pool", "AveragePool"),
        ("sigmoid", "Sigmoid"),
        ("leaky_relu", "LeakyRelu"),
        ("softmax", "Softmax"),
    ];
    for (name, op) in operators {
        let graph = imported(name);
        let found = ops(&graph);
        assert_eq!((found.first(), found.last()), (Some(&"DequantizeLinear"), Some(&"QuantizeLinear")), "{name}: {found:?}");
        assert!(found.contains(&op), "{name}: {found:?}");
        let output = graph.value(graph.outputs[0]);
        let elem = if name == "conv_int8" { Elem::I8 } else { Elem::U8 };
        assert_eq!((output.name.as_str(), output.elem), ("y", elem), "{name}");
        let difference = difference(name, &graph);
        assert!(difference <= 1.0, "{name}: {difference} codes");
    }
}

#[test]
fn a_gemm_without_an_output_scale_stays_real() {
    let graph = imported("gemm_float");
    assert_eq!(ops(&graph), ["DequantizeLinear", "Gemm"]);
    assert!(difference("gemm_float", &graph) < 1e-4);
}

#[test]
fn codes_may_be_moved_and_compared() {
    let graph = imported("moved");
    assert_eq!(ops(&graph), ["MaxPool", "Transpose", "Flatten", "DequantizeLinear", "QuantizeLinear"]);
    assert!(graph.values.iter().filter(|v| v.name != "real").all(|v| v.elem == Elem::U8));
    assert_eq!(difference("moved", &graph), 0.0);
}

#[test]
fn networks_of_both_formats_run_as_in_onnxruntime() {
    for name in ["network_qoperator", "network_qdq", "network_qdq_int8", "network_qdq_weights"] {
        let graph = imported(name);
        let (difference, step) = (difference(name, &graph), step_of_output(&graph));
        assert!(difference <= step * 1.01, "{name}: {difference} is {} codes", difference / step);
        // Every weight keeps its integers.
        for node in graph.nodes.iter().filter(|n| matches!(n.op, Op::Conv(_) | Op::Linear)) {
            assert!(graph.codes.contains_key(&node.params[0]), "{name}: {} of {:?}", node.params[0], graph.codes.keys());
        }
    }
}

#[test]
fn grids_are_those_of_the_file() {
    let graph = imported("conv");
    let Op::Dequantize(grid) = &graph.nodes[0].op else { panic!("{graph}") };
    assert_eq!(*grid, Grid { elem: Elem::U8, scale: vec![0.02], zero_point: vec![120], axis: None });
    assert_eq!(graph.nodes[1].params, ["w", "b"]);
    let Codes { codes, scale, zero_point, axis } = &graph.codes["b"];
    assert_eq!((codes.len(), zero_point, *axis), (4, &vec![0; 4], Some(0)));
    let weight = &graph.codes["w"];
    assert_eq!((weight.codes.len(), weight.axis), (4 * 2 * 9, Some(0)));
    // The bias' scale is the product of the input's and the weight's, in f32.
    assert_eq!(*scale, weight.scale.iter().map(|w| 0.02f32 * w).collect::<Vec<_>>());
}

#[test]
fn integers_stay_with_the_numbers_they_stand_for() {
    for name in ["conv", "conv_int8", "conv_asymmetric", "matmul", "gemm", "gemm_float", "network_qdq", "network_qoperator"] {
        let graph = imported(name);
        assert!(!graph.codes.is_empty(), "{name}");
        for (param, Codes { codes, scale, zero_point, axis }) in &graph.codes {
            let Tensor { shape, data } = &graph.params[param];
            let behind: usize = axis.map_or(data.len(), |axis| shape[axis + 1..].iter().product());
            for (i, value) in data.iter().enumerate() {
                let at = i / behind % scale.len();
                assert_eq!((codes[i] - zero_point[at]) as f32 * scale[at], *value, "{name}: {param}[{i}]");
            }
        }
    }
    // A matrix [inputs, outputs] becomes a weight [outputs, inputs], its scales and integers with it.
    let graph = imported("matmul");
    assert_eq!((graph.params["w"].shape.clone(), graph.codes["w"].axis), (vec![5, 12], Some(0)));
    assert_eq!(imported("conv_asymmetric").codes["w"].zero_point, [131]);
}
