//! ONNX files as protobuf: the only place that puts their messages together, for graphs ([`export()`](super::export())) and for
//! whoever else writes a model.

use super::attributes;
use crate::graph::Elem;
pub use attributes::{flag, float, int, ints, size, sizes, text, window};
pub use onnx_protobuf::AttributeProto as Attribute;
use onnx_protobuf::tensor_proto::DataType;
use onnx_protobuf::tensor_shape_proto::{Dimension, dimension};
use onnx_protobuf::{GraphProto, Message, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto};
use onnx_protobuf::{TensorProto, TensorShapeProto, TypeProto, ValueInfoProto, type_proto};
use std::fmt;

/// A protobuf message holds less than 2 GiB.
const MAX_BYTES: u64 = (1 << 31) - 1;

/// Why a file cannot be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProtoError {
    /// It is larger than a protobuf file may be.
    TooLarge {
        /// Its size.
        bytes: u64,
    },
    /// The encoder refuses it, in its words.
    Encoding(String),
}

impl fmt::Display for ProtoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProtoError::TooLarge { bytes } => {
                write!(f, "the model takes {bytes} bytes, an ONNX file holds at most {MAX_BYTES}")
            }
            ProtoError::Encoding(reason) => write!(f, "the model cannot be encoded: {reason}"),
        }
    }
}

impl std::error::Error for ProtoError {}

/// The elements of a tensor.
#[derive(Clone, Copy, Debug)]
pub enum Values<'v> {
    /// float32.
    Floats(&'v [f32]),
    /// uint8.
    Unsigned(&'v [u8]),
    /// int8.
    Signed(&'v [i8]),
    /// int32.
    Words(&'v [i32]),
    /// int64.
    Integers(&'v [i64]),
}

/// A dimension of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dim<'d> {
    /// A number.
    Fixed(i64),
    /// Any number, by a name.
    Symbol(&'d str),
}

/// A node: an operator of a domain (empty for ONNX's own) that makes one value.
#[derive(Clone, Debug)]
pub struct Node<'n> {
    /// Its own name.
    pub name: &'n str,
    /// The operator's domain.
    pub domain: &'n str,
    /// The operator.
    pub op: &'n str,
    /// Values that it reads; an empty name is an input left out.
    pub inputs: Vec<String>,
    /// The value that it makes.
    pub output: String,
    /// Its attributes.
    pub attributes: Vec<Attribute>,
}

impl Node<'_> {
    /// As protobuf.
    pub(crate) fn proto(self) -> NodeProto {
        NodeProto {
            name: self.name.into(),
            op_type: self.op.into(),
            domain: self.domain.into(),
            input: self.inputs,
            output: vec![self.output],
            attribute: self.attributes,
            ..Default::default()
        }
    }
}

/// What a file says of itself.
#[derive(Clone, Debug)]
pub struct Head<'h> {
    /// Version of the file format.
    pub ir_version: i64,
    /// Version of the producer, or nothing.
    pub producer_version: &'h str,
    /// Domains (empty for ONNX's own) and the versions of their operator sets.
    pub opsets: &'h [(&'h str, i64)],
    /// Further keys and values.
    pub metadata: Vec<(&'h str, String)>,
}

/// A file that is being written.
#[derive(Debug)]
pub struct Writer {
    graph: GraphProto,
}

impl Writer {
    /// A file of a graph of this name, `network` where that is empty.
    pub fn new(name: &str) -> Self {
        let name = if name.is_empty() { "network" } else { name };
        Writer { graph: GraphProto { name: name.into(), ..Default::default() } }
    }

    /// Number of nodes so far.
    pub fn nodes(&self) -> usize {
        self.graph.node.len()
    }

    /// Adds a node.
    pub fn node(&mut self, node: Node) {
        self.graph.node.push(node.proto());
    }

    /// Adds a tensor of constants.
    pub fn initializer(&mut self, name: &str, dims: &[i64], values: Values) {
        self.graph.initializer.push(tensor(name, dims, values));
    }

    /// Adds an input of the network.
    pub fn input(&mut self, name: &str, elem: Elem, dims: &[Dim]) {
        self.graph.input.push(info(name, elem, dims));
    }

    /// Makes a value an output of the network.
    pub fn output(&mut self, name: &str, elem: Elem, dims: &[Dim]) {
        self.graph.output.push(info(name, elem, dims));
    }

    /// States type and shape of a value inside.
    pub fn value(&mut self, name: &str, elem: Elem, dims: &[Dim]) {
        self.graph.value_info.push(info(name, elem, dims));
    }

    /// Adds nodes and tensors that are protobuf already.
    pub(crate) fn extend(&mut self, nodes: Vec<NodeProto>, initializers: Vec<TensorProto>) {
        self.graph.initializer.extend(initializers);
        self.graph.node.extend(nodes);
    }

    /// The file's bytes.
    ///
    /// # Errors
    /// [`ProtoError`].
    pub fn finish(self, head: Head) -> Result<Vec<u8>, ProtoError> {
        let opset =
            |&(domain, version): &(&str, i64)| OperatorSetIdProto { domain: domain.into(), version, ..Default::default() };
        let entry = |(key, value): (&str, String)| StringStringEntryProto { key: key.into(), value, ..Default::default() };
        let model = ModelProto {
            ir_version: head.ir_version,
            producer_name: "staticnet".into(),
            producer_version: head.producer_version.into(),
            opset_import: head.opsets.iter().map(opset).collect(),
            metadata_props: head.metadata.into_iter().map(entry).collect(),
            graph: Some(self.graph).into(),
            ..Default::default()
        };
        let bytes = model.compute_size();
        if bytes > MAX_BYTES {
            return Err(ProtoError::TooLarge { bytes });
        }
        model.write_to_bytes().map_err(|e| ProtoError::Encoding(e.to_string()))
    }
}

/// A tensor of constants.
pub(crate) fn tensor(name: &str, dims: &[i64], values: Values) -> TensorProto {
    let (kind, raw_data) = match values {
        Values::Floats(values) => (DataType::FLOAT, values.iter().flat_map(|v| v.to_le_bytes()).collect()),
        Values::Unsigned(values) => (DataType::UINT8, values.to_vec()),
        Values::Signed(values) => (DataType::INT8, values.iter().map(|&v| v as u8).collect()),
        Values::Words(values) => (DataType::INT32, values.iter().flat_map(|v| v.to_le_bytes()).collect()),
        Values::Integers(values) => (DataType::INT64, values.iter().flat_map(|v| v.to_le_bytes()).collect()),
    };
    TensorProto { name: name.into(), dims: dims.to_vec(), data_type: kind as i32, raw_data, ..Default::default() }
}

/// Name, type and shape of a value.
fn info(name: &str, elem: Elem, dims: &[Dim]) -> ValueInfoProto {
    let size = |dim: &Dim| match *dim {
        Dim::Fixed(size) => dimension::Value::DimValue(size),
        Dim::Symbol(name) => dimension::Value::DimParam(name.into()),
    };
    let dim = dims.iter().map(|dim| Dimension { value: Some(size(dim)), ..Default::default() }).collect();
    let shape = Some(TensorShapeProto { dim, ..Default::default() }).into();
    let tensor = type_proto::Tensor { elem_type: data_type(elem) as i32, shape, ..Default::default() };
    let type_ = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() };
    ValueInfoProto { name: name.into(), type_: Some(type_).into(), ..Default::default() }
}

/// ONNX's number for an element type.
fn data_type(elem: Elem) -> DataType {
    match elem {
        Elem::F32 => DataType::FLOAT,
        Elem::U8 => DataType::UINT8,
        Elem::I8 => DataType::INT8,
        Elem::I64 => DataType::INT64,
    }
}
