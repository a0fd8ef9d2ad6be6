//! What is known when a model is read: constants computed, inputs given a size or a value.

use onnx_protobuf::tensor_proto::DataType;
use onnx_protobuf::tensor_shape_proto::{Dimension, dimension};
use onnx_protobuf::{
    GraphProto, Message, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto,
    type_proto,
};
use staticnet_graph::graph::{Elem, Op};
use staticnet_graph::onnx::{ImportOptions, import, import_bytes, import_bytes_with};
use staticnet_graph::{npy, reference};
use std::path::{Path, PathBuf};

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

#[test]
fn a_model_of_constants_is_computed_as_onnxruntime_computes_it() {
    let graph = import(&fixture("folded.onnx")).unwrap_or_else(|e| panic!("{e}"));
    assert!(graph.inputs.is_empty() && graph.nodes.iter().all(|node| node.op == Op::Constant));
    let expected = npy::read(&fixture("folded.npy")).unwrap().data;
    let values = reference::run(&graph, &[]).unwrap();
    let mut at = 0;
    for &output in &graph.outputs {
        let found = &values[output.0];
        assert_eq!(found.shape, graph.shape(output));
        for (i, found) in found.data.iter().enumerate() {
            let expected = expected[at + i];
            let name = &graph.value(output).name;
            assert!((found - expected).abs() <= 1e-5 * expected.abs().max(1.0), "{name}[{i}]: {found} instead of {expected}");
        }
        at += found.data.len();
    }
    assert_eq!(at, expected.len());
}

enum Size {
    Of(i64),
    Named(&'static str),
    Unknown,
}
use Size::{Named, Of, Unknown};

fn input(name: &str, kind: DataType, sizes: &[Size]) -> ValueInfoProto {
    let value = |size: &Size| match size {
        Of(n) => Some(dimension::Value::DimValue(*n)),
        Named(name) => Some(dimension::Value::DimParam(name.to_string())),
        Unknown => None,
    };
    let dim = sizes.iter().map(|size| Dimension { value: value(size), ..Default::default() }).collect();
    let shape = Some(TensorShapeProto { dim, ..Default::default() }).into();
    let tensor = type_proto::Tensor { elem_type: kind as i32, shape, ..Default::default() };
    let type_ = Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() }).into();
    ValueInfoProto { name: name.into(), type_, ..Default::default() }
}

fn node(op: &str, inputs: &[&str], output: &str) -> NodeProto {
    let input = inputs.iter().map(|n| n.to_string()).collect();
    NodeProto { op_type: op.into(), input, output: vec![output.into()], ..Default::default() }
}

fn model(inputs: Vec<ValueInfoProto>, nodes: Vec<NodeProto>, initializer: Vec<TensorProto>) -> Vec<u8> {
    let output = vec![ValueInfoProto { name: "y".into(), ..Default::default() }];
    let graph = GraphProto { node: nodes, initializer, input: inputs, output, ..Default::default() };
    let opset = OperatorSetIdProto { version: 13, ..Default::default() };
    ModelProto { opset_import: vec![opset], graph: Some(graph).into(), ..Default::default() }.write_to_bytes().unwrap()
}

fn sizes(sizes: &[(&str, usize)]) -> ImportOptions {
    ImportOptions { sizes: sizes.iter().map(|(name, size)| (name.to_string(), *size)).collect(), ..Default::default() }
}

fn bind(name: &str, file: &Path) -> ImportOptions {
    ImportOptions { bind: [(name.to_string(), file.to_path_buf())].into(), ..Default::default() }
}

#[test]
fn inputs_have_any_rank_and_type_of_numbers() {
    for (kind, elem) in [(DataType::FLOAT, Elem::F32), (DataType::UINT8, Elem::U8), (DataType::INT8, Elem::I8)] {
        for (dims, shape) in [
            (vec![], vec![]),
            (vec![Named("n")], vec![1]),
            (vec![Of(3), Of(2)], vec![3, 2]),
            (vec![Unknown, Of(2), Of(5)], vec![1, 2, 5]),
            (vec![Of(8), Of(3), Of(4), Of(5)], vec![8, 3, 4, 5]),
        ] {
            let graph =
                import_bytes(&model(vec![input("x", kind, &dims)], vec![node("Identity", &["x"], "y")], vec![])).unwrap();
            let x = graph.value(graph.inputs[0]);
            assert_eq!((x.elem, &x.shape), (elem, &shape));
            assert_eq!(graph.value(graph.outputs[0]).elem, elem);
        }
    }
    // An input may also be the output itself.
    let itself = ModelProto::parse_from_bytes(&model(vec![input("y", DataType::FLOAT, &[Of(2)])], vec![], vec![])).unwrap();
    let graph = import_bytes(&itself.write_to_bytes().unwrap()).unwrap();
    assert_eq!(graph.inputs, graph.outputs);
}

#[test]
fn symbolic_sizes_are_given_by_name() {
    let dims = [Named("batch"), Of(3), Named("height"), Named("width")];
    let bytes = model(vec![input("x", DataType::FLOAT, &dims)], vec![node("Relu", &["x"], "y")], vec![]);
    let graph = import_bytes_with(&bytes, &sizes(&[("height", 7), ("width", 9)])).unwrap();
    assert_eq!(graph.shape(graph.inputs[0]), [1, 3, 7, 9]);
    let graph = import_bytes_with(&bytes, &sizes(&[("height", 7), ("width", 9), ("batch", 4)])).unwrap();
    assert_eq!(graph.shape(graph.inputs[0]), [4, 3, 7, 9]);
    let message = import_bytes_with(&bytes, &sizes(&[("height", 7), ("depth", 9)])).unwrap_err().to_string();
    assert!(message.contains("depth") && message.contains("--size width=N") && message.lines().count() == 3, "{message}");
    let message = import_bytes_with(&bytes, &sizes(&[("height", 0), ("width", usize::MAX)])).unwrap_err().to_string();
    assert!(message.contains("size 0"), "{message}");
}

#[test]
fn an_input_is_bound_to_the_value_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shape.npy");
    // What numpy.save writes of int64 [2, 3].
    let mut header = String::from("{'descr': '<i8', 'fortran_order': False, 'shape': (2,), }");
    header.extend(std::iter::repeat_n(' ', 117 - header.len()));
    header.push('\n');
    let data: Vec<u8> = [2i64, 3].iter().flat_map(|v| v.to_le_bytes()).collect();
    std::fs::write(&file, [b"\x93NUMPY\x01\x00", &118u16.to_le_bytes()[..], header.as_bytes(), &data].concat()).unwrap();

    let inputs = || vec![input("x", DataType::FLOAT, &[Of(1), Of(6)]), input("shape", DataType::INT64, &[Named("rank")])];
    let bytes = model(inputs(), vec![node("Reshape", &["x", "shape"], "y")], vec![]);
    let message = import_bytes(&bytes).unwrap_err().to_string();
    assert!(message.contains("--bind shape=FILE.npy") && message.lines().count() == 2, "{message}");
    let graph = import_bytes_with(&bytes, &bind("shape", &file)).unwrap();
    assert_eq!((graph.inputs.len(), graph.shape(graph.outputs[0])), (1, &[2, 3][..]));

    for (name, expected) in [("x", "another type"), ("nobody", "no such input")] {
        let message = import_bytes_with(&bytes, &bind(name, &file)).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
    let longer = model(vec![input("shape", DataType::INT64, &[Of(3)])], vec![node("ConstantOfShape", &["shape"], "y")], vec![]);
    let message = import_bytes_with(&longer, &bind("shape", &file)).unwrap_err().to_string();
    assert!(message.contains("not the input's"), "{message}");
    let message = import_bytes_with(&longer, &bind("shape", &folder.path().join("missing"))).unwrap_err().to_string();
    assert!(message.contains("missing"), "{message}");
}

#[test]
fn weights_behind_moves_keep_the_name_of_their_initializer() {
    let weight = TensorProto {
        name: "fc.weight".into(),
        dims: vec![6],
        data_type: DataType::FLOAT as i32,
        float_data: (0..6).map(|v| v as f32).collect(),
        ..Default::default()
    };
    let shape = TensorProto {
        name: "shape".into(),
        dims: vec![2],
        data_type: DataType::INT64 as i32,
        int64_data: vec![3, 2],
        ..Default::default()
    };
    let nodes = vec![
        node("Reshape", &["fc.weight", "shape"], "matrix"),
        node("Transpose", &["matrix"], "transposed"),
        node("MatMul", &["x", "transposed"], "y"),
    ];
    let graph = import_bytes(&model(vec![input("x", DataType::FLOAT, &[Of(1), Of(2)])], nodes, vec![weight, shape])).unwrap();
    assert_eq!(graph.nodes.len(), 1);
    assert_eq!(graph.nodes[0].params[0], "fc.weight");
    assert_eq!(graph.params["fc.weight"].data, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
}
