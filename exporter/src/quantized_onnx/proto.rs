//! Building an ONNX file node by node.

use onnx_protobuf::attribute_proto::AttributeType;
use onnx_protobuf::tensor_proto::DataType;
use onnx_protobuf::tensor_shape_proto::{Dimension, dimension};
use onnx_protobuf::{AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto};
use onnx_protobuf::{TypeProto, ValueInfoProto, type_proto};
use staticnet_graph::graph::Elem;
use std::collections::HashSet;

/// Version of ONNX's operator set that the files use.
const OPSET: i64 = 13;
/// onnxruntime's own operators.
const MICROSOFT: &str = "com.microsoft";

/// A list of integers.
pub(super) fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto { name: name.into(), type_: AttributeType::INTS.into(), ints: values.to_vec(), ..Default::default() }
}

/// An integer.
pub(super) fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { name: name.into(), type_: AttributeType::INT.into(), i: value, ..Default::default() }
}

/// A float.
pub(super) fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto { name: name.into(), type_: AttributeType::FLOAT.into(), f: value, ..Default::default() }
}

/// A file being written.
pub(super) struct Proto {
    graph: GraphProto,
    initializers: HashSet<String>,
}

impl Proto {
    pub(super) fn new(name: &str) -> Self {
        let name = if name.is_empty() { "network" } else { name };
        Proto { graph: GraphProto { name: name.into(), ..Default::default() }, initializers: HashSet::new() }
    }

    pub(super) fn model(self) -> ModelProto {
        let opset = |domain: &str, version| OperatorSetIdProto { domain: domain.into(), version, ..Default::default() };
        ModelProto {
            ir_version: 8,
            producer_name: "staticnet".into(),
            opset_import: vec![opset("", OPSET), opset(MICROSOFT, 1)],
            graph: Some(self.graph).into(),
            ..Default::default()
        }
    }

    /// Adds a node of ONNX's own operator set and returns its output.
    pub(super) fn node(&mut self, op: &str, inputs: &[String], attributes: Vec<AttributeProto>) -> String {
        self.node_of("", op, inputs, attributes)
    }

    /// Adds a node of onnxruntime's operator set and returns its output.
    pub(super) fn microsoft(&mut self, op: &str, inputs: &[String], attributes: Vec<AttributeProto>) -> String {
        self.node_of(MICROSOFT, op, inputs, attributes)
    }

    fn node_of(&mut self, domain: &str, op: &str, inputs: &[String], attribute: Vec<AttributeProto>) -> String {
        let name = format!("{op}_{}", self.graph.node.len());
        self.graph.node.push(NodeProto {
            name: name.clone(),
            op_type: op.into(),
            domain: domain.into(),
            input: inputs.to_vec(),
            output: vec![name.clone()],
            attribute,
            ..Default::default()
        });
        name
    }

    pub(super) fn reshape(&mut self, x: &str, shape: &[i64]) -> String {
        let key: Vec<String> = shape.iter().map(i64::to_string).collect();
        let shape = self.integers(&format!("shape_{}", key.join("x")), shape);
        self.node("Reshape", &[x.to_string(), shape], vec![])
    }

    /// Codes of one type as those of the other: int8 plus 128 is uint8.
    pub(super) fn shifted(&mut self, x: &str, to: Elem) -> String {
        let one = self.floats("one", &[], &[1.0]);
        let (unsigned, signed) = (self.bytes("unsigned_zero", &[], &[128]), self.signed("signed_zero", &[], &[0]));
        let (from, to) = if to == Elem::U8 { (signed, unsigned) } else { (unsigned, signed) };
        let real = self.node("DequantizeLinear", &[x.to_string(), one.clone(), from], vec![]);
        self.node("QuantizeLinear", &[real, one, to], vec![])
    }

    fn initializer(&mut self, name: &str, dims: &[i64], kind: DataType, raw_data: Vec<u8>) -> String {
        if self.initializers.insert(name.to_string()) {
            let tensor =
                TensorProto { name: name.into(), dims: dims.to_vec(), data_type: kind as i32, raw_data, ..Default::default() };
            self.graph.initializer.push(tensor);
        }
        name.to_string()
    }

    pub(super) fn floats(&mut self, name: &str, dims: &[i64], values: &[f32]) -> String {
        self.initializer(name, dims, DataType::FLOAT, values.iter().flat_map(|v| v.to_le_bytes()).collect())
    }

    pub(super) fn bytes(&mut self, name: &str, dims: &[i64], values: &[u8]) -> String {
        self.initializer(name, dims, DataType::UINT8, values.to_vec())
    }

    pub(super) fn signed(&mut self, name: &str, dims: &[i64], values: &[i8]) -> String {
        self.initializer(name, dims, DataType::INT8, values.iter().map(|&v| v as u8).collect())
    }

    pub(super) fn words(&mut self, name: &str, values: &[i32]) -> String {
        let raw = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.initializer(name, &[values.len() as i64], DataType::INT32, raw)
    }

    pub(super) fn integers(&mut self, name: &str, values: &[i64]) -> String {
        let raw = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.initializer(name, &[values.len() as i64], DataType::INT64, raw)
    }

    pub(super) fn input(&mut self, name: &str, elem: Elem, dims: &[u16]) -> String {
        let dims: Vec<i64> = dims.iter().map(|&d| d.into()).collect();
        self.graph.input.push(info(name, elem, &dims));
        name.to_string()
    }

    /// Makes a value an output of the network, with its shape there.
    pub(super) fn output(&mut self, value: &str, name: &str, elem: Elem, dims: &[i64]) {
        let shape = self.integers(&format!("{name}/shape"), dims);
        self.graph.node.push(NodeProto {
            name: format!("output_{name}"),
            op_type: "Reshape".into(),
            input: vec![value.to_string(), shape],
            output: vec![name.to_string()],
            ..Default::default()
        });
        self.graph.output.push(info(name, elem, dims));
    }
}

fn info(name: &str, elem: Elem, dims: &[i64]) -> ValueInfoProto {
    let elem_type = match elem {
        Elem::F32 => DataType::FLOAT,
        Elem::U8 => DataType::UINT8,
        Elem::I8 => DataType::INT8,
        Elem::I64 => DataType::INT64,
    };
    let dimension = |&d: &i64| Dimension { value: Some(dimension::Value::DimValue(d)), ..Default::default() };
    let shape = TensorShapeProto { dim: dims.iter().map(dimension).collect(), ..Default::default() };
    let tensor = type_proto::Tensor { elem_type: elem_type as i32, shape: Some(shape).into(), ..Default::default() };
    let kind = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() };
    ValueInfoProto { name: name.into(), type_: Some(kind).into(), ..Default::default() }
}
