//! What each operator refuses, by the name of the node, the operator and the attribute.

use onnx_protobuf::attribute_proto::AttributeType;
use onnx_protobuf::tensor_proto::DataType;
use onnx_protobuf::{
    AttributeProto, GraphProto, Message, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, ValueInfoProto,
};
use staticnet_graph::diagnostic::Diagnostic;
use staticnet_graph::graph::{Graph, Op};
use staticnet_graph::onnx::{self, ImportError};

/// One node under test, called `node`, that reads `x` of the shape `[1, 2, 4, 6]`.
struct Case {
    opset: i64,
    node: NodeProto,
    initializers: Vec<TensorProto>,
    outputs: Vec<String>,
}

fn case(op: &str, opset: i64) -> Case {
    let node = NodeProto {
        name: "node".into(),
        op_type: op.into(),
        input: vec!["x".into()],
        output: vec!["y".into()],
        ..Default::default()
    };
    Case { opset, node, initializers: vec![], outputs: vec!["y".into()] }
}

impl Case {
    fn attribute(mut self, name: &str, kind: AttributeType, fill: impl FnOnce(&mut AttributeProto)) -> Self {
        let mut attribute = AttributeProto { name: name.into(), type_: kind.into(), ..Default::default() };
        fill(&mut attribute);
        self.node.attribute.push(attribute);
        self
    }

    fn int(self, name: &str, value: i64) -> Self {
        self.attribute(name, AttributeType::INT, |a| a.i = value)
    }

    fn list(self, name: &str, values: &[i64]) -> Self {
        self.attribute(name, AttributeType::INTS, |a| a.ints = values.to_vec())
    }

    fn text(self, name: &str, value: &str) -> Self {
        self.attribute(name, AttributeType::STRING, |a| a.s = value.into())
    }

    fn input(mut self, name: &str) -> Self {
        self.node.input.push(name.into());
        self
    }

    fn tensor(mut self, kind: DataType, dims: &[usize], raw_data: Vec<u8>) -> Self {
        let name = format!("constant{}", self.initializers.len());
        let dims = dims.iter().map(|&d| d as i64).collect();
        self.initializers.push(TensorProto {
            name: name.clone(),
            data_type: kind as i32,
            dims,
            raw_data,
            ..Default::default()
        });
        self.input(&name)
    }

    fn integers(self, values: &[i64]) -> Self {
        self.tensor(DataType::INT64, &[values.len()], values.iter().flat_map(|v| v.to_le_bytes()).collect())
    }

    fn floats(self, dims: &[usize]) -> Self {
        let elements: usize = dims.iter().product();
        self.tensor(DataType::FLOAT, dims, (0..elements).flat_map(|_| 0.6f32.to_le_bytes()).collect())
    }

    fn output(mut self, name: &str) -> Self {
        self.node.output.push(name.into());
        self.outputs.push(name.into());
        self
    }

    /// The diagnostics, all of which name the node and its operator and have a reason and a hint.
    fn refused(self) -> Vec<Diagnostic> {
        let mut graph = Graph::new("case");
        let x = graph.input("x", &[1, 2, 4, 6]);
        let y = graph.add("placeholder", Op::Identity, &[x], &[]).unwrap();
        graph.output(y);
        let mut model = ModelProto::parse_from_bytes(&onnx::to_bytes(&graph).unwrap()).unwrap();
        model.opset_import = vec![OperatorSetIdProto { version: self.opset, ..Default::default() }];
        let proto: &mut GraphProto = model.graph.as_mut().unwrap();
        proto.initializer = self.initializers;
        proto.output = self.outputs.into_iter().map(|name| ValueInfoProto { name, ..Default::default() }).collect();
        let op = self.node.op_type.clone();
        proto.node = vec![self.node];
        let problems = match onnx::import_bytes(&model.write_to_bytes().unwrap()) {
            Err(error @ ImportError::Unsupported { .. }) => error.diagnostics().to_vec(),
            Err(error) => panic!("{error}"),
            Ok(graph) => panic!("{op} is taken:\n{graph}"),
        };
        for problem in &problems {
            assert_eq!((problem.node.as_str(), &problem.op), ("node", &op), "{problem}");
            assert!(!problem.reason.is_empty() && !problem.hint.is_empty(), "{problem}");
        }
        problems
    }

    /// The attribute of the only diagnostic.
    fn attribute_refused(self) -> String {
        let problems = self.refused();
        assert_eq!(problems.len(), 1, "{problems:#?}");
        problems[0].attribute.clone()
    }
}

#[test]
fn attributes_are_named() {
    let resize = |opset| case("Resize", opset).input("");
    let shrunk = |c: Case| {
        let scales = [1.0f32, 1.0, 0.6, 0.6];
        c.tensor(DataType::FLOAT, &[4], scales.iter().flat_map(|v| v.to_le_bytes()).collect())
    };
    let norm = |opset| case("BatchNormalization", opset).floats(&[2]).floats(&[2]).floats(&[2]).floats(&[2]);
    let pool = || case("AveragePool", 19).list("kernel_shape", &[2, 2]);
    for (expected, case) in [
        ("mode", shrunk(resize(13)).text("mode", "cubic")),
        ("coordinate_transformation_mode", shrunk(resize(13)).text("coordinate_transformation_mode", "tf_crop_and_resize")),
        ("exclude_outside", shrunk(resize(13)).int("exclude_outside", 1)),
        ("antialias", resize(18).input("").integers(&[1, 2, 2, 3]).text("mode", "linear").int("antialias", 1)),
        ("scales", resize(13).floats(&[3])),
        ("sizes", resize(13).input("").integers(&[1, 2, 0, 4])),
        ("axes", resize(18).floats(&[2]).list("axes", &[2, 2])),
        ("keep_aspect_ratio_policy", resize(18).input("").integers(&[1, 2, 4, 4]).text("keep_aspect_ratio_policy", "fill")),
        ("nearest_mode", shrunk(resize(13)).text("nearest_mode", "round")),
        ("training_mode", norm(14).int("training_mode", 1)),
        ("spatial", norm(7).int("spatial", 0)),
        ("mode", case("Pad", 13).integers(&[0; 8]).text("mode", "mirror")),
        ("pads", case("Pad", 13).integers(&[0; 6])),
        ("pads", case("Pad", 13).integers(&[0, 0, -2, 0, 0, 0, -2, 0])),
        ("pads", case("Pad", 11)),
        ("axes", case("Pad", 18).integers(&[1, 1]).input("").integers(&[4])),
        ("axis", case("Softmax", 13).int("axis", 4)),
        ("axis", case("Concat", 13).int("axis", -5)),
        ("axis", case("Concat", 13)),
        ("axis", case("ArgMax", 13).int("axis", i64::MIN)),
        ("axes", case("ReduceMean", 13).list("axes", &[1, -3])),
        ("axes", case("Squeeze", 13).integers(&[1])),
        ("axes", case("Unsqueeze", 13)),
        ("axes", case("Unsqueeze", 13).integers(&[0, 1, 2, 3, 4])),
        ("axis", case("Flatten", 13).int("axis", 5)),
        ("shape", case("Reshape", 13).integers(&[-1, -1])),
        ("shape", case("Reshape", 13).integers(&[i64::MAX, i64::MAX])),
        ("shape", case("Reshape", 13).integers(&[7, -1])),
        ("perm", case("Transpose", 13).list("perm", &[0, 1, 1, 2])),
        ("starts", case("Slice", 13).integers(&[9]).integers(&[2]).integers(&[1])),
        ("starts", case("Slice", 13).integers(&[0]).integers(&[2]).integers(&[1]).integers(&[0])),
        ("ends", case("Slice", 9).list("starts", &[0])),
        ("split", case("Split", 13).integers(&[3, 4]).int("axis", 3).output("z")),
        ("split", case("Split", 13).int("axis", 3).output("z").output("a").output("b")),
        ("num_outputs", case("Split", 18).int("axis", 3).int("num_outputs", 3).output("z")),
        ("z", case("MaxPool", 13).list("kernel_shape", &[2, 2]).output("z")),
        ("count_include_pad", pool().int("count_include_pad", 2)),
        ("kernel_shape", case("AveragePool", 13)),
        ("slope", case("PRelu", 13).input("x")),
        ("min", case("Clip", 13).floats(&[2])),
        ("alpha", case("LeakyRelu", 13).attribute("alpha", AttributeType::FLOAT, |a| a.f = f32::NAN)),
        ("weight", case("Conv", 13).floats(&[2, 2, 3, 3, 3])),
        ("B", case("MatMul", 13).input("x")),
        ("B", case("MatMul", 13).floats(&[3, 2, 6, 2])),
        ("B", case("Gemm", 13).input("x")),
    ] {
        let shown = format!("{:?} of opset {}", case.node.input, case.opset);
        assert_eq!(case.attribute_refused(), expected, "{shown}");
    }
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    for case in [
        case("Add", 13).floats(&[5]),
        case("PRelu", 13).floats(&[2, 2, 1, 1]),
        case("BatchNormalization", 13).floats(&[3]).floats(&[3]).floats(&[3]).floats(&[3]),
        case("MatMul", 13).floats(&[5, 2]),
        case("Concat", 13).floats(&[1, 2, 4, 5]).int("axis", 1),
        case("Pad", 13).integers(&[0, 0, 4, 0, 0, 0, 0, 0]).text("mode", "reflect"),
        case("Pad", 13).integers(&[0, 0, i64::MAX, 0, 0, 0, i64::MAX, 0]),
        case("Resize", 13).input("").input("").integers(&[2, 2, 4, 6]),
        case("Resize", 13).input("").input("").integers(&[1, 2, 70000, 6]),
        case("AveragePool", 19).list("kernel_shape", &[2, 2]).list("pads", &[2, 0, 0, 0]),
        case("Div", 13).floats(&[5]),
    ] {
        let shown = format!("{:?} of opset {}", case.node.input, case.opset);
        assert_eq!(case.refused().len(), 1, "{shown}");
    }
}

#[test]
fn operators_that_nobody_supports_have_a_hint_of_their_own() {
    for op in [
        "LSTM",
        "ConvTranspose",
        "LogSoftmax",
        "Exp",
        "InstanceNormalization",
        "LayerNormalization",
        "GatherND",
        "NonMaxSuppression",
        "Attention",
        "DepthToSpace",
    ] {
        let problems = case(op, 13).refused();
        assert!(problems.len() == 1 && !problems[0].hint.contains("supported are Add"), "{problems:?}");
    }
    assert!(case("Bernoulli", 15).refused()[0].hint.contains("supported are Add"));
}
