//! Files made to do harm: each gives an error that says what is wrong, soon, without a panic and without eating the memory.

mod common;

use common::Random;
use onnx_protobuf::attribute_proto::AttributeType;
use onnx_protobuf::tensor_proto::{DataLocation, DataType};
use onnx_protobuf::tensor_shape_proto::{Dimension, dimension};
use onnx_protobuf::{
    AttributeProto, FunctionProto, GraphProto, Message, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto,
    TensorProto, TensorShapeProto, TypeProto, ValueInfoProto, type_proto,
};
use staticnet_graph::graph::Graph;
use staticnet_graph::onnx::{self, ImportError};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// No single file may take longer.
const PATIENCE: Duration = Duration::from_secs(20);

fn opset(domain: &str, version: i64) -> OperatorSetIdProto {
    OperatorSetIdProto { domain: domain.into(), version, ..Default::default() }
}

fn floats(name: &str, sizes: &[i64]) -> ValueInfoProto {
    typed(name, DataType::FLOAT, sizes)
}

fn typed(name: &str, kind: DataType, sizes: &[i64]) -> ValueInfoProto {
    let dim = |&n: &i64| Dimension { value: Some(dimension::Value::DimValue(n)), ..Default::default() };
    let shape = Some(TensorShapeProto { dim: sizes.iter().map(dim).collect(), ..Default::default() }).into();
    let tensor = type_proto::Tensor { elem_type: kind as i32, shape, ..Default::default() };
    let type_ = Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() }).into();
    ValueInfoProto { name: name.into(), type_, ..Default::default() }
}

fn node(op: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    let owned = |names: &[&str]| names.iter().map(|n| n.to_string()).collect();
    NodeProto { op_type: op.into(), input: owned(inputs), output: owned(outputs), ..Default::default() }
}

fn with(mut node: NodeProto, attribute: AttributeProto) -> NodeProto {
    node.attribute.push(attribute);
    node
}

fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.into(), type_: AttributeType::INT.into(), i, ..Default::default() }
}

fn int_tensor(name: &str, data: &[i64]) -> TensorProto {
    let dims = vec![data.len() as i64];
    TensorProto { name: name.into(), dims, data_type: DataType::INT64 as i32, int64_data: data.to_vec(), ..Default::default() }
}

fn tensor(name: &str, dims: &[i64], data: &[f32]) -> TensorProto {
    let (dims, float_data) = (dims.to_vec(), data.to_vec());
    TensorProto { name: name.into(), dims, data_type: DataType::FLOAT as i32, float_data, ..Default::default() }
}

fn bytes(name: &str, kind: DataType, dims: &[i64], data: &[u8]) -> TensorProto {
    let (dims, raw_data) = (dims.to_vec(), data.to_vec());
    TensorProto { name: name.into(), dims, data_type: kind as i32, raw_data, ..Default::default() }
}

/// A model of `x: [1, 4]` whose output is `y`.
fn model(nodes: Vec<NodeProto>, initializer: Vec<TensorProto>) -> ModelProto {
    let graph = GraphProto {
        node: nodes,
        initializer,
        input: vec![floats("x", &[1, 4])],
        output: vec![floats("y", &[])],
        ..Default::default()
    };
    ModelProto { opset_import: vec![opset("", 13), opset("com.microsoft", 1)], graph: Some(graph).into(), ..Default::default() }
}

fn import(model: &ModelProto) -> Result<Graph, ImportError> {
    let start = Instant::now();
    let result = onnx::import_bytes(&model.write_to_bytes().unwrap());
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
    result
}

/// The message of a model that must not be imported.
fn refused(model: &ModelProto) -> String {
    match import(model) {
        Ok(graph) => panic!("imported:\n{graph}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn constants_that_grow_without_end_are_refused() {
    let doubling = |op: &str, attribute: Option<AttributeProto>| {
        let step = |i: usize| {
            let (from, to) = (format!("c{i}"), format!("c{}", i + 1));
            let made = node(op, &[&from, &from], &[&to]);
            attribute.clone().map_or(made.clone(), |a| with(made, a))
        };
        let mut nodes: Vec<NodeProto> = (0..60).map(step).collect();
        nodes.push(node("Add", &["x", "c60"], &["y"]));
        nodes
    };
    let floats = model(doubling("Concat", Some(int("axis", 0))), vec![tensor("c0", &[4], &[1.0; 4])]);
    assert!(refused(&floats).contains("too many"), "{}", refused(&floats));
    let ints = model(doubling("Concat", Some(int("axis", 0))), vec![int_tensor("c0", &[1; 4])]);
    assert!(refused(&ints).contains("too many"), "{}", refused(&ints));

    let made = |op: &str, sizes: &[i64]| {
        let nodes = match op {
            "ConstantOfShape" => vec![node(op, &["sizes"], &["c"]), node("Add", &["x", "c"], &["y"])],
            "Range" => vec![node(op, &["zero", "sizes", "one"], &["c"]), node("Add", &["x", "c"], &["y"])],
            _ => vec![node(op, &["one", "sizes"], &["c"]), node("Add", &["x", "c"], &["y"])],
        };
        let scalars = [("zero", 0), ("one", 1)].map(|(name, v)| TensorProto { dims: vec![], ..int_tensor(name, &[v]) });
        refused(&model(nodes, scalars.into_iter().chain([int_tensor("sizes", sizes)]).collect()))
    };
    for (op, sizes, expected) in [
        ("ConstantOfShape", &[1 << 20, 1 << 20][..], "large"),
        ("ConstantOfShape", &[i64::MAX, i64::MAX, 0], "large"),
        ("ConstantOfShape", &[1 << 29], "too many"),
        ("ConstantOfShape", &[-1], "no shape"),
        ("ConstantOfShape", &[1; 1000], "large"),
        ("Expand", &[1 << 40], "large"),
        ("Expand", &[1 << 28, 2], "too many"),
        ("Range", &[i64::MAX], "large"),
    ] {
        let message = made(op, sizes);
        assert!(message.contains(op) && message.contains(expected), "{op} {sizes:?}: {message}");
    }
}

#[test]
fn a_constant_that_many_nodes_read_is_not_read_for_ever() {
    let big = tensor("c", &[1 << 20], &vec![0.5; 1 << 20]);
    let sum =
        |i: usize| [node("Add", &["c", "c"], &[&format!("s{i}")]), node("Shape", &[&format!("s{i}")], &[&format!("t{i}")])];
    let nodes = (0..50_000).flat_map(sum).chain([node("Relu", &["x"], &["y"])]);
    let message = refused(&model(nodes.collect(), vec![big]));
    assert!(message.contains("too many"), "{}", &message[..message.len().min(400)]);
}

#[test]
fn many_tiny_nodes_take_linear_time() {
    let chain = |n: usize| {
        let name = |i: usize| {
            if i == 0 {
                "x".to_string()
            } else if i == n {
                "y".into()
            } else {
                format!("v{i}")
            }
        };
        model((0..n).map(|i| node("Relu", &[&name(i)], &[&name(i + 1)])).collect(), vec![])
    };
    let graph = import(&chain(100_000)).unwrap();
    assert_eq!(graph.nodes.len(), 100_000);
    // All of them without a name and with an empty one for their output: names are made up.
    let nameless = (0..50_000).map(|_| node("Relu", &["x"], &[""])).chain([node("Relu", &["x"], &["y"])]);
    assert!(refused(&model(nameless.collect(), vec![])).contains("has no output"));
    let empty = vec![NodeProto::new(); 1_000_001];
    assert!(matches!(import(&model(empty, vec![])), Err(ImportError::NotOnnx { .. })));
}

#[test]
fn cycles_and_nodes_out_of_order_are_named() {
    let cycle = model(vec![node("Relu", &["b"], &["a"]), node("Relu", &["a"], &["b"]), node("Relu", &["b"], &["y"])], vec![]);
    assert!(refused(&cycle).contains("before it is made"));
    let itself = model(vec![node("Relu", &["y"], &["y"])], vec![]);
    assert!(refused(&itself).contains("before it is made"));
}

#[test]
fn functions_that_call_themselves_or_multiply_are_refused() {
    let calls = |name: &str, callee: &str, times: usize| FunctionProto {
        name: name.into(),
        domain: "f".into(),
        input: vec!["a".into()],
        output: vec!["b".into()],
        node: (0..times)
            .map(|i| {
                let output = if i + 1 == times { "b".to_string() } else { format!("t{i}") };
                NodeProto { domain: "f".into(), ..node(callee, &["a"], &[&output]) }
            })
            .collect(),
        opset_import: vec![opset("", 13)],
        ..Default::default()
    };
    let call = |function: &str| NodeProto { domain: "f".into(), ..node(function, &["x"], &["y"]) };
    let mut recursive = model(vec![call("self")], vec![]);
    recursive.functions.push(calls("self", "self", 1));
    assert!(refused(&recursive).contains("call each other"));
    let mut exploding = model(vec![call("f0")], vec![]);
    exploding.functions.extend((0..10).map(|i| calls(&format!("f{i}"), &format!("f{}", i + 1), 100)));
    let message = refused(&exploding);
    assert!(message.contains("absurdly large"), "{}", &message[..message.len().min(400)]);
}

#[test]
fn functions_are_written_out() {
    let slope = AttributeProto {
        name: "axis".into(),
        ref_attr_name: "along".into(),
        type_: AttributeType::INT.into(),
        ..int("axis", 0)
    };
    let mut m = model(vec![with(NodeProto { domain: "f".into(), ..node("twice", &["x"], &["y"]) }, int("along", 1))], vec![]);
    m.functions.push(FunctionProto {
        name: "twice".into(),
        domain: "f".into(),
        input: vec!["a".into()],
        output: vec!["b".into()],
        attribute: vec!["along".into()],
        node: vec![node("Relu", &["a"], &["t"]), with(node("Flatten", &["t"], &["b"]), slope)],
        opset_import: vec![opset("", 13)],
        ..Default::default()
    });
    let graph = import(&m).unwrap();
    assert_eq!(graph.nodes.iter().map(|n| n.op.name()).collect::<Vec<_>>(), ["Relu", "Flatten"]);
    assert_eq!(graph.value(graph.outputs[0]).name, "y");
}

#[test]
fn absurd_sizes_and_attributes_are_refused() {
    let huge = [i64::MAX, i64::MIN, 1 << 40, -1, 0];
    let ints = |name: &str, ints: &[i64]| AttributeProto {
        name: name.into(),
        type_: AttributeType::INTS.into(),
        ints: ints.to_vec(),
        ..Default::default()
    };
    for n in huge {
        for attribute in ["kernel_shape", "strides", "dilations", "pads"] {
            let pool = with(node("MaxPool", &["x"], &["y"]), ints(attribute, &[n, n, n, n]));
            assert!(import(&model(vec![pool], vec![])).is_err(), "{attribute} {n}");
        }
        for (op, attribute) in [("Softmax", "axis"), ("Flatten", "axis"), ("LRN", "size")] {
            if n.unsigned_abs() > 1 || op == "LRN" {
                let made = with(node(op, &["x"], &["y"]), int(attribute, n));
                assert!(import(&model(vec![made], vec![])).is_err(), "{op} {attribute} {n}");
            }
        }
        let mut m = model(vec![node("Relu", &["x"], &["y"])], vec![]);
        if !(0..=1).contains(&n) {
            m.graph.as_mut().unwrap().input[0] = floats("x", &[n, 1 << 40]);
            assert!(import(&m).is_err(), "input {n}");
        }
        let weights = TensorProto { dims: vec![n, n], ..tensor("w", &[], &[1.0]) };
        assert!(import(&model(vec![node("MatMul", &["x", "w"], &["y"])], vec![weights])).is_err(), "weights {n}");
    }
    // Slices, gathers and reshapes of constants with numbers from everywhere.
    let mut random = Random(3);
    for round in 0..3000 {
        let mut number = || match random.bits() % 6 {
            0 => i64::MAX,
            1 => i64::MIN,
            2 => (random.bits() % 9) as i64 - 4,
            3 => 0,
            4 => -1,
            _ => 1,
        };
        let parameters: Vec<Vec<i64>> = (0..4).map(|_| (0..1 + round % 3).map(|_| number()).collect()).collect();
        let names = ["p0", "p1", "p2", "p3"];
        let initializers = names.iter().zip(&parameters).map(|(name, data)| int_tensor(name, data));
        let initializers: Vec<_> =
            initializers.chain([TensorProto { dims: vec![2, 3], ..int_tensor("c", &[1, 2, 3, 4, 5, 6]) }]).collect();
        let axis = number();
        for made in [
            node("Slice", &["c", "p0", "p1", "p2", "p3"], &["d"]),
            with(node("Gather", &["c", "p0"], &["d"]), int("axis", axis)),
            node("Reshape", &["c", "p0"], &["d"]),
            node("Unsqueeze", &["c", "p0"], &["d"]),
            node("Squeeze", &["c", "p0"], &["d"]),
            node("Expand", &["p1", "p0"], &["d"]),
            node("ConstantOfShape", &["p0"], &["d"]),
            node("ReduceSum", &["c", "p0"], &["d"]),
            with(node("Concat", &["c", "p0", "c"], &["d"]), int("axis", axis)),
            node("Div", &["p0", "p1"], &["d"]),
            node("Mod", &["p0", "p1"], &["d"]),
            node("Mul", &["p0", "p1"], &["d"]),
            node("Neg", &["p0"], &["d"]),
            with(node("Flatten", &["c"], &["d"]), int("axis", axis)),
            with(with(node("Shape", &["x"], &["d"]), int("start", axis)), int("end", parameters[0][0])),
        ] {
            // A constant of several GB is possible in every single one, but not worth the time here.
            let sizes: i64 = parameters[0].iter().map(|&n| n.clamp(1, 1 << 40)).fold(1, i64::saturating_mul);
            if made.op_type == "ConstantOfShape" && (1 << 20..1 << 28).contains(&sizes) {
                continue;
            }
            // What nothing reads is not computed.
            let nodes = vec![made, node("Shape", &["d"], &["e"]), node("Relu", &["x"], &["y"])];
            let _ = import(&model(nodes, initializers.clone()));
        }
    }
}

#[test]
fn grids_must_make_sense() {
    let quantize = |scale: f32, zero_point: TensorProto| {
        let nodes = vec![node("QuantizeLinear", &["x", "s", "z"], &["q"]), node("DequantizeLinear", &["q", "s", "z"], &["y"])];
        model(nodes, vec![tensor("s", &[], &[scale]), zero_point])
    };
    let zero = || bytes("z", DataType::UINT8, &[], &[3]);
    for scale in [f32::NAN, f32::INFINITY, 0.0, -1.0, -0.0] {
        assert!(refused(&quantize(scale, zero())).contains("not a positive number"), "{scale}");
    }
    let outside = TensorProto { int32_data: vec![300], ..bytes("z", DataType::UINT8, &[], &[]) };
    assert!(refused(&quantize(1.0, outside)).contains("numbers that its type cannot"));
    let two = bytes("z", DataType::UINT8, &[2], &[3, 4]);
    assert!(refused(&quantize(1.0, two)).contains("2 are given for 1 scales"));
    for (kind, size) in [(DataType::INT16, 2), (DataType::UINT16, 2), (DataType::FLOAT8E4M3FN, 1), (DataType::INT4, 1)] {
        let message = refused(&quantize(1.0, bytes("z", kind, &[], &vec![0; size])));
        assert!(message.contains(&format!("{kind:?}").to_lowercase()), "{message}");
    }
    let mut blocks = quantize(1.0, zero());
    blocks.graph.as_mut().unwrap().node[1].attribute.push(int("block_size", 32));
    assert!(refused(&blocks).contains("block_size"));
    let axis = |axis: i64, scales: &[f32]| {
        let z = bytes("z", DataType::UINT8, &[scales.len() as i64], &vec![1; scales.len()]);
        let quantize = with(node("QuantizeLinear", &["x", "s", "z"], &["y"]), int("axis", axis));
        model(vec![quantize], vec![tensor("s", &[scales.len() as i64], scales), z])
    };
    for (along, scales) in [(2, &[1.0; 4][..]), (i64::MIN, &[1.0; 4]), (0, &[1.0; 4]), (1, &[1.0; 3]), (1, &[])] {
        assert!(import(&axis(along, scales)).is_err(), "{along} {scales:?}");
    }
    // Dynamic quantization has no grid at all.
    let dynamic = model(vec![node("DynamicQuantizeLinear", &["x"], &["y", "s", "z"])], vec![]);
    assert!(refused(&dynamic).contains("dynamic quantization"));
    // Codes are no numbers to compute with.
    let relu =
        model(vec![node("QuantizeLinear", &["x", "s"], &["q"]), node("Relu", &["q"], &["y"])], vec![tensor("s", &[], &[1.0])]);
    let message = refused(&relu);
    assert!(message.contains("y (Relu)") && message.contains("type U8"), "{message}");
}

/// A model whose weight lies at `location`.
fn external(location: &str, offset: &str, length: &str) -> ModelProto {
    let entry = |key: &str, value: &str| StringStringEntryProto { key: key.into(), value: value.into(), ..Default::default() };
    let weight = TensorProto {
        external_data: vec![entry("location", location), entry("offset", offset), entry("length", length)],
        data_location: DataLocation::EXTERNAL.into(),
        ..tensor("w", &[4, 2], &[])
    };
    model(vec![node("MatMul", &["x", "w"], &["y"])], vec![weight])
}

fn import_from(folder: &Path, model: &ModelProto) -> Result<Graph, ImportError> {
    let path = folder.join("model.onnx");
    fs::write(&path, model.write_to_bytes().unwrap()).unwrap();
    onnx::import(&path)
}

#[test]
fn external_data_is_read_beside_the_model_and_nowhere_else() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("model");
    fs::create_dir_all(folder.join("weights")).unwrap();
    let data: Vec<u8> = (0..12).flat_map(|i| (i as f32).to_le_bytes()).collect();
    for place in [outer.path().join("secret"), folder.join("w.bin"), folder.join("weights/w.bin")] {
        fs::write(place, &data).unwrap();
    }
    for location in ["w.bin", "weights/w.bin", "./w.bin"] {
        let graph = import_from(&folder, &external(location, "8", "32")).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(graph.params["w"].data, [2.0, 4.0, 6.0, 8.0, 3.0, 5.0, 7.0, 9.0], "{location}");
    }
    let absolute = outer.path().join("secret").to_string_lossy().into_owned();
    for (location, offset, length, expected) in [
        ("../secret", "0", "32", "not inside"),
        ("weights/../../secret", "0", "32", "not inside"),
        (&absolute, "0", "32", "not inside"),
        ("", "0", "32", "not a file"),
        (".", "0", "32", "not a file"),
        ("weights", "0", "32", "not a file"),
        ("no\0such", "0", "32", "not inside"),
        ("missing.bin", "0", "32", "cannot be read"),
        ("w.bin", "20", "32", "which has 48"),
        ("w.bin", "18446744073709551615", "32", "which has 48"),
        ("w.bin", "0", "31", "holds 31"),
        ("w.bin", "-4", "32", "no number"),
        ("w.bin", "0", "x", "no number"),
    ] {
        let message = import_from(&folder, &external(location, offset, length)).unwrap_err().to_string();
        assert!(message.contains(expected), "{location} {offset} {length}: {message}");
    }
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(outer.path().join("secret"), folder.join("link")).unwrap();
        let message = import_from(&folder, &external("link", "0", "32")).unwrap_err().to_string();
        assert!(message.contains("leaves the model's folder"), "{message}");
        std::os::unix::fs::symlink("w.bin", folder.join("inside")).unwrap();
        import_from(&folder, &external("inside", "0", "32")).unwrap_or_else(|e| panic!("{e}"));
    }
    let from_memory = onnx::import_bytes(&external("w.bin", "0", "32").write_to_bytes().unwrap()).unwrap_err();
    assert!(from_memory.to_string().contains("outside the model"), "{from_memory}");
}

#[test]
fn subgraphs_and_unknown_operators_are_named() {
    for (op, domain) in [("If", ""), ("Loop", ""), ("Scan", ""), ("Relu", "com.example"), ("FusedConv", "com.microsoft")] {
        let made = NodeProto { domain: domain.into(), ..node(op, &["x"], &["t"]) };
        let body = AttributeProto {
            name: "body".into(),
            type_: AttributeType::GRAPH.into(),
            g: Some(GraphProto::new()).into(),
            ..Default::default()
        };
        let message = refused(&model(vec![with(made, body), node("Relu", &["t"], &["y"])], vec![]));
        assert_eq!(message.lines().count(), 2, "what depends on it stays silent: {message}");
        assert!(message.contains(op), "{message}");
    }
}

/// Every fixture with bytes changed, cut out, put in, and cut off.
#[test]
fn changed_models_give_an_error_or_a_graph() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let folders = [fixtures.clone(), fixtures.join("quantized")];
    let files = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap()).map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|e| e == "onnx")).collect();
    files.sort();
    assert!(files.len() > 10);
    let mut random = Random(5);
    let (mut imported, start) = (0, Instant::now());
    for round in 0..400 {
        for file in &files {
            let mut bytes = fs::read(file).unwrap();
            for _ in 0..=round % 4 {
                let at = random.bits() as usize % bytes.len();
                match random.bits() % 5 {
                    0 | 1 => bytes[at] ^= 1 << (random.bits() % 8),
                    2 => bytes[at] = [0, 0xff, 0x7f, 0x80][random.bits() as usize % 4],
                    3 => {
                        let end = (at + 1 + random.bits() as usize % 8).min(bytes.len());
                        let piece = bytes[at..end].to_vec();
                        let to = random.bits() as usize % bytes.len();
                        bytes.splice(to..to, piece);
                    }
                    _ => bytes.truncate(at.max(1)),
                }
            }
            imported += usize::from(onnx::import_bytes(&bytes).is_ok());
        }
        if start.elapsed() > PATIENCE {
            break;
        }
    }
    assert!(imported > 100, "{imported}");
}
