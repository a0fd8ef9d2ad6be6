//! What is exported and imported again is the same graph.

mod common;

use common::{Random, RandomTensor, every_op, operators};
use staticnet::op::{AveragePool, Conv2d, Window};
use staticnet_graph::graph::{Graph, Op, Tensor};
use staticnet_graph::onnx::{self, OnnxError};
use staticnet_graph::reference;

#[test]
fn every_operator_comes_back_as_it_was() {
    let graph = every_op();
    assert_eq!(onnx::import_bytes(&onnx::to_bytes(&graph).unwrap()).unwrap(), graph);
}

#[test]
fn every_other_operator_comes_back_as_it_was() {
    let graph = operators::batch_free();
    let again = onnx::import_bytes(&onnx::to_bytes(&graph).unwrap()).unwrap();
    assert_eq!(operators::operations(&again), operators::operations(&graph));
    assert_eq!(again, graph);
}

#[test]
fn what_onnx_says_in_several_nodes_computes_the_same() {
    let graph = operators::batch_bound();
    let again = onnx::import_bytes(&onnx::to_bytes(&graph).unwrap()).unwrap();
    let x = operators::input(&graph);
    let [before, after] =
        [&graph, &again].map(|g| reference::run(g, std::slice::from_ref(&x)).unwrap()[g.outputs[0].0].clone());
    assert_eq!(before, after);
    assert_eq!(graph.params, again.params);
}

#[test]
fn what_onnx_cannot_say_is_not_written() {
    let mut graph = Graph::new("average");
    let x = graph.input("x", &[1, 1, 8, 8]);
    let window = Window { kernel: [4, 4], stride: [1, 1], dilation: [1, 1], pads: [2, 2, 2, 2] };
    let y = graph.add("y", Op::AveragePool(AveragePool { window, counted: [1, 2, 2, 2] }), &[x], &[]).unwrap();
    graph.output(y);
    let error = onnx::to_bytes(&graph).unwrap_err().to_string();
    assert!(error.contains("y: ONNX has no average over pads"), "{error}");
}

#[test]
fn several_inputs_outputs_and_shared_parameters_come_back() {
    let mut graph = Graph::new("two");
    let (a, b) = (graph.input("a", &[1, 3]), graph.input("b/in:0", &[1, 3]));
    let x = graph.linear("fc", a, 2).unwrap();
    let shared = ["fc.weight".to_string(), "fc.bias".to_string()];
    let y = graph.add("again", Op::Linear, &[b], &shared).unwrap();
    let z = graph.add("relu", Op::Relu, &[x], &[]).unwrap();
    [x, y, z].into_iter().for_each(|id| graph.output(id));
    graph
        .params
        .insert("fc.weight".into(), Tensor { shape: vec![2, 3], data: vec![1.0, -0.0, 3.5, f32::MIN_POSITIVE, 5.0, 1e30] });
    assert_eq!(onnx::import_bytes(&onnx::to_bytes(&graph).unwrap()).unwrap(), graph);
}

#[test]
fn layers_without_a_bias_come_back_without_one() {
    let mut graph = Graph::new("no-bias");
    let mut random = Random(5);
    let x = graph.input("x", &[1, 4, 5, 6]);
    for (name, shape) in [("conv.weight", vec![6, 2, 3, 3]), ("fc.weight", vec![3, 180])] {
        graph.params.insert(name.into(), random.tensor(&shape));
    }
    let attrs = Conv2d { window: Window::square(3, 1, 1), groups: 2 };
    let y = graph.add("conv", Op::Conv(attrs), &[x], &["conv.weight".into()]).unwrap();
    let y = graph.add("flat", Op::Flatten, &[y], &[]).unwrap();
    let y = graph.add("fc", Op::Linear, &[y], &["fc.weight".into()]).unwrap();
    graph.output(y);
    let again = onnx::import_bytes(&onnx::to_bytes(&graph).unwrap()).unwrap();
    assert_eq!(again, graph);
    assert_eq!(again.parameters(), 6 * 2 * 9 + 3 * 180);

    // It computes what zeros would.
    let mut zeros = graph.clone();
    for (node, outputs) in [(0, 6), (2, 3)] {
        let bias = format!("{}.bias", zeros.nodes[node].name);
        zeros.params.insert(bias.clone(), Tensor::zeros(&[outputs]));
        zeros.nodes[node].params.push(bias);
    }
    let x = random.tensor(&[1, 4, 5, 6]);
    let run = |graph: &Graph| reference::run(graph, std::slice::from_ref(&x)).unwrap();
    assert_eq!(run(&graph), run(&zeros));
}

#[test]
fn files_come_back_and_failures_name_them() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.onnx");
    let graph = every_op();
    onnx::export(&graph, &path).unwrap();
    assert_eq!(onnx::import(&path).unwrap(), graph);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    let nowhere = dir.path().join("no/model.onnx");
    assert!(onnx::export(&graph, &nowhere).unwrap_err().to_string().contains("model.onnx"));
    assert!(onnx::import(&nowhere).unwrap_err().to_string().contains("model.onnx"));
}

#[test]
fn a_graph_that_contradicts_itself_is_not_written() {
    let mut graph = every_op();
    graph.values[2].name = "input".into();
    graph.params.get_mut("classifier.1.bias").unwrap().data.pop();
    graph.params.remove("features.0.bias");
    graph.preprocess.as_mut().unwrap().std[1] = 0.0;
    let error = onnx::to_bytes(&graph).unwrap_err();
    assert!(matches!(&error, OnnxError::Inconsistent(problems) if problems.len() == 4), "{error}");
    for part in
        ["the name input is used twice", "classifier.1.bias has 8", "features.0.bias is missing", "staticnet.preprocess"]
    {
        assert!(error.to_string().contains(part), "{part} in {error}");
    }
}
