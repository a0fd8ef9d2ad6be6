//! What cannot be imported is named: everything at once, with a hint, and without a panic whatever the bytes.

mod common;

use common::{Random, every_op};
use onnx_protobuf::attribute_proto::AttributeType;
use onnx_protobuf::tensor_proto::{DataLocation, DataType};
use onnx_protobuf::tensor_shape_proto::dimension;
use onnx_protobuf::{
    AttributeProto, GraphProto, Message, ModelProto, NodeProto, OperatorSetIdProto, SparseTensorProto, TensorProto,
    ValueInfoProto, type_proto,
};
use staticnet_graph::diagnostic::Diagnostic;
use staticnet_graph::onnx::{self, ImportError};

fn model() -> ModelProto {
    ModelProto::parse_from_bytes(&onnx::to_bytes(&every_op()).unwrap()).unwrap()
}

fn graph(model: &mut ModelProto) -> &mut GraphProto {
    model.graph.as_mut().unwrap()
}

fn node<'a>(model: &'a mut ModelProto, name: &str) -> &'a mut NodeProto {
    graph(model).node.iter_mut().find(|n| n.name == name).unwrap()
}

fn initializer<'a>(model: &'a mut ModelProto, name: &str) -> &'a mut TensorProto {
    graph(model).initializer.iter_mut().find(|t| t.name == name).unwrap()
}

fn input_type(model: &mut ModelProto) -> &mut type_proto::Tensor {
    match graph(model).input[0].type_.as_mut().unwrap().value.as_mut().unwrap() {
        type_proto::Value::TensorType(tensor) => tensor,
        other => panic!("{other:?}"),
    }
}

fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.into(), type_: AttributeType::INT.into(), i, ..Default::default() }
}

fn ints(name: &str, ints: &[i64]) -> AttributeProto {
    AttributeProto { name: name.into(), type_: AttributeType::INTS.into(), ints: ints.to_vec(), ..Default::default() }
}

fn set(node: &mut NodeProto, attribute: AttributeProto) {
    node.attribute.retain(|a| a.name != attribute.name);
    node.attribute.push(attribute);
}

fn problems(model: &ModelProto) -> Vec<Diagnostic> {
    match onnx::import_bytes(&model.write_to_bytes().unwrap()) {
        Err(error @ ImportError::Unsupported { .. }) => error.diagnostics().to_vec(),
        Err(error) => panic!("{error}"),
        Ok(_) => vec![],
    }
}

/// The only diagnostic after `change`, which must have a hint.
fn only(change: impl FnOnce(&mut ModelProto)) -> Diagnostic {
    let mut model = model();
    change(&mut model);
    let problems = problems(&model);
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert!(!problems[0].hint.is_empty(), "{problems:?}");
    problems.into_iter().next().unwrap()
}

#[test]
fn the_model_itself_has_no_problem() {
    assert_eq!(problems(&model()), []);
}

#[test]
fn everything_is_told_at_once_and_nothing_twice() {
    let mut m = model();
    set(node(&mut m, "features.0"), ints("strides", &[0, 1]));
    set(node(&mut m, "features.0"), ints("pads", &[-1, 0, 0, 0]));
    // Its input is missing then, but what is wrong with it itself can still be said.
    set(node(&mut m, "features.3"), int("fancy", 1));
    node(&mut m, "features.4").op_type = "ConvTranspose".into();
    node(&mut m, "classifier.0").domain = "com.example".into();
    initializer(&mut m, "classifier.3.weight").raw_data.pop();
    let found: Vec<_> = problems(&m).into_iter().map(|d| (d.node, d.op, d.attribute)).collect();
    let expected = [
        ("features.0", "Conv", "strides"),
        ("features.0", "Conv", "pads"),
        ("features.3", "MaxPool", "fancy"),
        ("features.4", "ConvTranspose", ""),
        ("classifier.0", "Dropout", ""),
        ("classifier.3", "Gemm", "B"),
    ];
    assert_eq!(found, expected.map(|(n, o, a)| (n.to_string(), o.to_string(), a.to_string())));
}

#[test]
fn attributes_out_of_range_are_named() {
    let cases: [(&str, AttributeProto); 14] = [
        ("features.0", int("group", 0)),
        ("features.0", int("group", 70000)),
        ("features.0", ints("dilations", &[1, 1, 1])),
        ("features.0", ints("kernel_shape", &[3, 3])),
        ("features.0", ints("pads", &[1, 1])),
        ("features.0", int("pads", 1)),
        ("features.0", AttributeProto { s: b"SAME".to_vec(), type_: AttributeType::STRING.into(), ..int("auto_pad", 0) }),
        ("features.2", int("size", 0)),
        ("features.3", int("ceil_mode", 2)),
        ("flatten", int("axis", 5)),
        ("classifier.1", int("alpha", 1)),
        (
            "classifier.1",
            AttributeProto { g: Some(GraphProto::new()).into(), type_: AttributeType::GRAPH.into(), ..int("body", 0) },
        ),
        ("features.2", AttributeProto { f: f32::NAN, type_: AttributeType::FLOAT.into(), ..int("alpha", 0) }),
        ("classifier.0", AttributeProto { f: 1.0, type_: AttributeType::FLOAT.into(), ..int("ratio", 0) }),
    ];
    for (name, attribute) in cases {
        let expected = attribute.name.clone();
        let found = only(|m| set(node(m, name), attribute));
        assert_eq!((found.node.as_str(), &found.attribute), (name, &expected), "{found}");
    }
}

#[test]
fn shapes_that_do_not_fit_are_named() {
    let found = only(|m| set(node(m, "features.4"), int("group", 3)));
    assert!(found.node == "features.4" && found.reason.contains("3 groups"), "{found}");
    let found = only(|m| set(node(m, "classifier.1"), int("transB", 0)));
    assert!(found.node == "classifier.1" && found.attribute == "C", "{found}");
    let found = only(|m| node(m, "flatten").op_type = "Identity".into());
    assert!(found.reason.contains("axis") || found.attribute == "axis", "{found}");
}

#[test]
fn log_softmax_says_to_cut_it_off() {
    let found = only(|m| node(m, "classifier.2").op_type = "LogSoftmax".into());
    assert!(found.op == "LogSoftmax" && found.hint.contains("cut it off"), "{found}");
}

#[test]
fn a_mask_that_is_used_is_refused_and_one_that_is_not_is_not() {
    let mut unused = model();
    node(&mut unused, "classifier.0").output.push("mask".into());
    assert_eq!(problems(&unused), []);
    let found = only(|m| {
        node(m, "classifier.0").output.push("mask".into());
        graph(m).output.push(ValueInfoProto { name: "mask".into(), ..Default::default() });
    });
    assert_eq!((found.node.as_str(), found.attribute.as_str()), ("classifier.0", "mask"));
}

#[test]
fn names_are_defined_once_and_before_their_use() {
    let found = only(|m| graph(m).node.swap(0, 1));
    assert!(found.node == "features.1" && found.reason.contains("before it is made"), "{found}");
    let found = only(|m| node(m, "features.1").input[0] = "nobody".into());
    assert!(found.node == "features.1" && found.reason.contains("nothing makes"), "{found}");
    let found = only(|m| graph(m).output[0].name = "nobody".into());
    assert_eq!((found.node.as_str(), found.op.as_str()), ("nobody", "output"));
    let found = only(|m| {
        node(m, "classifier.3").output[0] = "hidden".into();
        graph(m).output[0].name = "hidden".into();
    });
    assert!(found.node == "hidden" && found.reason.contains("defined twice"), "{found}");
}

#[test]
fn inputs_must_be_numbers_of_fixed_size() {
    let dimension = |m: &mut ModelProto, axis: usize, value| {
        input_type(m).shape.as_mut().unwrap().dim[axis].value = value;
    };
    let fixed = |n| Some(dimension::Value::DimValue(n));
    let named = |name: &str| Some(dimension::Value::DimParam(name.into()));
    let of_integers = only(|m| input_type(m).elem_type = DataType::INT64 as i32);
    assert!(of_integers.reason.contains("int64") && of_integers.hint.contains("--bind input="), "{of_integers}");
    assert!(only(|m| input_type(m).elem_type = DataType::STRING as i32).reason.contains("string"));
    assert!(only(|m| dimension(m, 2, None)).attribute.contains('2'));
    let symbolic = only(|m| dimension(m, 3, named("w")));
    assert!(symbolic.reason.contains("w is symbolic") && symbolic.hint.contains("--size w="), "{symbolic}");
    assert!(only(|m| dimension(m, 1, fixed(-3))).reason.contains("-3"));
    assert!(only(|m| dimension(m, 3, fixed(i64::MAX))).reason.contains("absurdly large"));
    let long = |m: &mut ModelProto| input_type(m).shape.as_mut().unwrap().dim.push(Default::default());
    let mut five = model();
    long(&mut five);
    assert!(problems(&five).iter().any(|d| d.reason.contains("5 dimensions")));
    let mut one = model();
    dimension(&mut one, 0, fixed(1));
    assert_eq!(problems(&one), []);
}

#[test]
fn tensors_must_be_floats_inside_the_file_and_complete() {
    let weight = "classifier.1.weight";
    let with = |change: fn(&mut TensorProto)| only(|m| change(initializer(m, weight))).reason;
    assert!(with(|t| t.dims = vec![i64::MAX, i64::MAX]).contains("not valid"));
    assert!(with(|t| t.dims = vec![-1, 1]).contains("not valid"));
    assert!(with(|t| t.dims[0] += 1).contains("elements"));
    assert!(with(|t| t.raw_data.clear()).contains("holds 0"));
    assert!(with(|t| t.float_data.push(1.0)).contains("both"));
    assert!(with(|t| t.data_type = DataType::FLOAT16 as i32).contains("float16"));
    assert!(with(|t| t.data_type = 99).contains("99"));
    assert!(with(|t| t.data_type = DataType::INT32 as i32).contains("integers"));
    assert!(with(|t| t.data_location = DataLocation::EXTERNAL.into()).contains("outside"));
    let sparse = only(|m| graph(m).sparse_initializer.push(SparseTensorProto::new()));
    assert!(sparse.reason.contains("sparse"), "{sparse}");
}

#[test]
fn the_model_as_a_whole_is_checked() {
    assert!(only(|m| m.opset_import[0].version = 6).reason.contains("[6]"));
    assert!(only(|m| m.opset_import[0].version = 26).reason.contains("[26]"));
    assert!(only(|m| m.opset_import.clear()).attribute.contains("opset_import"));
    assert!(only(|m| m.functions.push(Default::default())).op.contains("function"));
    assert!(only(|m| m.metadata_props[0].value = "{}".into()).attribute.contains("staticnet.preprocess"));
    assert!(only(|m| m.metadata_props[1].value = "[1]".into()).attribute.contains("staticnet.labels"));
    let mut other_domain = model();
    other_domain.opset_import.push(OperatorSetIdProto { domain: "com.example".into(), version: 1, ..Default::default() });
    assert_eq!(problems(&other_domain), []);
}

#[test]
fn what_is_no_model_is_said_to_be_none() {
    for bytes in [&b""[..], b"\xff\xd8\xff\xe0\x00\x10JFIF", b"hello, this is text", &[0x0b; 1000]] {
        let error = onnx::import_bytes(bytes).unwrap_err();
        assert!(matches!(error, ImportError::NotOnnx { .. }), "{error}");
    }
}

#[test]
fn hostile_bytes_give_an_error_or_a_graph() {
    let mut random = Random(11);
    let bytes = onnx::to_bytes(&every_op()).unwrap();
    // The weights make most of the file; what comes before and after them is what matters.
    let mut lengths: Vec<usize> = (0..bytes.len()).filter(|n| *n < 1500 || bytes.len() - n < 1500).collect();
    lengths.extend((0..200).map(|_| random.bits() as usize % bytes.len()));
    for length in lengths {
        // A cut right behind the graph loses only what follows it: to protobuf, that is a complete model.
        if let Ok(graph) = onnx::import_bytes(&bytes[..length]) {
            let whole = every_op();
            assert_eq!((&graph.nodes, &graph.params), (&whole.nodes, &whole.params), "cut at {length}");
            assert!(graph.labels.is_empty());
        }
    }

    let small = {
        let mut m = model();
        // Without the large weights, flips hit the structure.
        graph(&mut m).initializer.iter_mut().for_each(|t| t.raw_data.truncate(16));
        m.write_to_bytes().unwrap()
    };
    let mut imported = 0;
    for round in 0..4000 {
        let mut flipped = if round % 2 == 0 { bytes.clone() } else { small.clone() };
        for _ in 0..=round % 3 {
            let at = random.bits() as usize % flipped.len().min(if round % 4 == 0 { 2500 } else { usize::MAX });
            flipped[at] ^= 1 << (random.bits() % 8);
        }
        imported += usize::from(onnx::import_bytes(&flipped).is_ok());
    }
    assert!(imported > 100, "flips within the weights leave a model: {imported}");
}
