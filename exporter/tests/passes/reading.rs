//! What is folded while a model is read: the network is that of a model which has only the rest.

use super::harness::{BOUND, assert_near, expected, inputs, lowered, run, snapshot};
use onnx_protobuf::tensor_proto::DataType;
use onnx_protobuf::tensor_shape_proto::{Dimension, dimension};
use onnx_protobuf::{
    AttributeProto, GraphProto, Message, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto,
    ValueInfoProto, attribute_proto::AttributeType, type_proto,
};
use staticnet_graph::graph::{Graph, Op};
use staticnet_graph::onnx::import_bytes;

fn node(op: &str, inputs: &[&str], output: &str, ints: &[(&str, i64)]) -> NodeProto {
    let attribute = |&(name, i): &(&str, i64)| AttributeProto {
        name: name.into(),
        i,
        type_: AttributeType::INT.into(),
        ..Default::default()
    };
    NodeProto {
        op_type: op.into(),
        input: inputs.iter().map(|n| n.to_string()).collect(),
        output: vec![output.into()],
        attribute: ints.iter().map(attribute).collect(),
        ..Default::default()
    }
}

fn floats(name: &str, shape: &[i64]) -> TensorProto {
    let n = shape.iter().product::<i64>();
    let float_data = (0..n).map(|i| ((i * 37 % 19) as f32 - 9.0) / 10.0).collect();
    TensorProto { name: name.into(), dims: shape.to_vec(), data_type: DataType::FLOAT as i32, float_data, ..Default::default() }
}

fn integers(name: &str, data: &[i64], shape: &[i64]) -> TensorProto {
    let (int64_data, dims) = (data.to_vec(), shape.to_vec());
    TensorProto { name: name.into(), dims, data_type: DataType::INT64 as i32, int64_data, ..Default::default() }
}

fn read(shape: &[i64], nodes: Vec<NodeProto>, initializer: Vec<TensorProto>) -> Graph {
    let dim = |&n: &i64| Dimension { value: Some(dimension::Value::DimValue(n)), ..Default::default() };
    let shape = Some(TensorShapeProto { dim: shape.iter().map(dim).collect(), ..Default::default() }).into();
    let tensor = type_proto::Tensor { elem_type: DataType::FLOAT as i32, shape, ..Default::default() };
    let type_ = Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() }).into();
    let input = vec![ValueInfoProto { name: "x".into(), type_, ..Default::default() }];
    let output = vec![ValueInfoProto { name: "y".into(), ..Default::default() }];
    let graph = GraphProto { node: nodes, initializer, input, output, ..Default::default() };
    let opset = OperatorSetIdProto { version: 13, ..Default::default() };
    let model = ModelProto { opset_import: vec![opset], graph: Some(graph).into(), ..Default::default() };
    import_bytes(&model.write_to_bytes().unwrap()).unwrap_or_else(|e| panic!("{e}"))
}

/// Both models have the same layers and the same results, which are those of the reference.
fn prove(name: &str, folded: &Graph, plain: &Graph) {
    let (network, wanted) = (lowered(folded), lowered(plain));
    snapshot(&format!("reading.{name}"), &network.to_string());
    let layers = |n: &staticnet_exporter::network::Network| n.layers.iter().map(|l| l.op).collect::<Vec<_>>();
    assert_eq!(layers(&network), layers(&wanted), "{name}\n{network}{wanted}");
    for seed in 0..3 {
        let inputs = inputs(folded, seed);
        assert_near(&run(&network, &inputs), &run(&wanted, &inputs), 0.0, name);
        assert_near(&run(&network, &inputs), &expected(plain, &inputs), BOUND, name);
    }
}

/// `x.view(x.size(0), -1)` as PyTorch exports it.
#[test]
fn a_shape_that_is_computed_costs_nothing() {
    let nodes = vec![
        node("Shape", &["x"], "shape", &[]),
        node("Gather", &["shape", "zero"], "batch", &[("axis", 0)]),
        node("Unsqueeze", &["batch", "axes"], "first", &[]),
        node("Concat", &["first", "minus_one"], "to", &[("axis", 0)]),
        node("Reshape", &["x", "to"], "flat", &[]),
        node("Gemm", &["flat", "w", "b"], "y", &[("transB", 1)]),
    ];
    let parameters = || vec![floats("w", &[4, 12]), floats("b", &[4])];
    let mut initializers = parameters();
    initializers.extend([integers("zero", &[0], &[]), integers("axes", &[0], &[1]), integers("minus_one", &[-1], &[1])]);
    let folded = read(&[1, 3, 2, 2], nodes, initializers);
    let plain = vec![node("Flatten", &["x"], "flat", &[]), node("Gemm", &["flat", "w", "b"], "y", &[("transB", 1)])];
    prove("computed_shape", &folded, &read(&[1, 3, 2, 2], plain, parameters()));
}

/// Weights that are made of others: transposed, scaled, joined.
#[test]
fn weights_that_are_computed_are_weights() {
    let nodes = vec![
        node("Mul", &["half", "two"], "w.1", &[]),
        node("Concat", &["w.1", "half"], "w", &[("axis", 0)]),
        node("Identity", &["b"], "b.1", &[]),
        node("Conv", &["x", "w", "b.1"], "y", &[]),
    ];
    let half = || floats("half", &[2, 3, 1, 1]);
    let two = TensorProto { float_data: vec![2.0], ..floats("two", &[]) };
    let folded = read(&[1, 3, 4, 5], nodes, vec![half(), two, floats("b", &[4])]);
    let mut whole = half();
    whole.name = "w".into();
    whole.dims = vec![4, 3, 1, 1];
    whole.float_data = half().float_data.iter().map(|w| 2.0 * w).chain(half().float_data).collect();
    let plain = read(&[1, 3, 4, 5], vec![node("Conv", &["x", "w", "b"], "y", &[])], vec![whole, floats("b", &[4])]);
    prove("computed_weights", &folded, &plain);
}

#[test]
fn what_passes_through_leaves_no_layer() {
    let nodes = vec![
        node("Identity", &["x"], "a", &[]),
        node("Dropout", &["a"], "b", &[]),
        node("Relu", &["b"], "c", &[]),
        node("Dropout", &["c"], "d", &[]),
        node("Identity", &["d"], "y", &[]),
    ];
    let folded = read(&[1, 3, 4, 5], nodes, vec![]);
    assert!(folded.nodes.iter().any(|node| matches!(node.op, Op::Dropout { .. })));
    prove("passes_through", &folded, &read(&[1, 3, 4, 5], vec![node("Relu", &["x"], "y", &[])], vec![]));
}
