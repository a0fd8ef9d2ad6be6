//! A graph as an ONNX model.

use super::form::data_type;
use super::write::{self, Written};
use super::{batch, metadata, tensor};
use crate::file::{self, FileError};
use crate::graph::{Graph, Op, Value};
use onnx_protobuf::tensor_shape_proto::{Dimension, dimension};
use onnx_protobuf::type_proto;
use onnx_protobuf::{
    GraphProto, Message, ModelProto, OperatorSetIdProto, StringStringEntryProto, TensorShapeProto, TypeProto, ValueInfoProto,
};
use std::collections::HashSet;
use std::fmt;
use std::path::Path;

/// IR version written: the first one of opset 15, which every reader of opset 13 knows as well.
const IR_VERSION: i64 = 8;
/// The same for the operator sets from 19 on.
const LATER_IR_VERSION: i64 = 9;
/// Name of the batch dimension.
const BATCH: &str = "N";
/// A protobuf message holds less than 2 GiB.
const MAX_BYTES: u64 = (1 << 31) - 1;

/// Why a graph cannot be written as ONNX.
#[derive(Debug)]
pub enum OnnxError {
    /// The file cannot be written.
    File(FileError),
    /// The graph contradicts itself; one sentence for each contradiction.
    Inconsistent(Vec<String>),
    /// The model is larger than a protobuf file may be.
    TooLarge {
        /// Its size.
        bytes: u64,
    },
}

impl fmt::Display for OnnxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OnnxError::File(error) => write!(f, "{error}"),
            OnnxError::Inconsistent(problems) => write!(f, "the graph cannot be written as ONNX: {}", problems.join("; ")),
            OnnxError::TooLarge { bytes } => write!(f, "the model takes {bytes} bytes, an ONNX file holds at most {MAX_BYTES}"),
        }
    }
}

impl std::error::Error for OnnxError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            OnnxError::File(error) => Some(error),
            OnnxError::Inconsistent(_) | OnnxError::TooLarge { .. } => None,
        }
    }
}

/// Writes the graph as ONNX: opset 13 or what its operators need, inputs and outputs with a symbolic batch dimension `N` where
/// every node treats each sample on its own, parameters and nodes under their own names, preprocessing and labels in
/// `metadata_props`. A graph without a name is called `network`.
///
/// # Errors
/// [`OnnxError`]; the file is then left as it was.
pub fn export(graph: &Graph, path: &Path) -> Result<(), OnnxError> {
    file::write_atomically(path, &to_bytes(graph)?).map_err(OnnxError::File)
}

/// The bytes that [`export`] writes.
///
/// # Errors
/// [`OnnxError`] where the graph contradicts itself or is too large.
pub fn to_bytes(graph: &Graph) -> Result<Vec<u8>, OnnxError> {
    let opset = write::opset(graph);
    let (written, mut problems) = written(graph, opset);
    let mut model = ModelProto {
        ir_version: if opset < 19 { IR_VERSION } else { LATER_IR_VERSION },
        producer_name: "staticnet".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        opset_import: vec![OperatorSetIdProto { version: opset, ..Default::default() }],
        ..Default::default()
    };
    if let Some(preprocess) = &graph.preprocess {
        add_metadata(&mut model, metadata::PREPROCESS, metadata::preprocess_to_json(preprocess), &mut problems);
    }
    if !graph.labels.is_empty() {
        add_metadata(&mut model, metadata::LABELS, metadata::labels_to_json(&graph.labels), &mut problems);
    }
    if !problems.is_empty() {
        return Err(OnnxError::Inconsistent(problems));
    }
    model.graph = Some(graph_proto(graph, written)).into();
    let bytes = model.compute_size();
    if bytes > MAX_BYTES {
        return Err(OnnxError::TooLarge { bytes });
    }
    model.write_to_bytes().map_err(|e| OnnxError::Inconsistent(vec![e.to_string()]))
}

fn add_metadata(model: &mut ModelProto, key: &str, value: Result<String, String>, problems: &mut Vec<String>) {
    match value {
        Ok(value) => {
            model.metadata_props.push(StringStringEntryProto { key: key.into(), value, ..Default::default() });
        }
        Err(reason) => problems.push(format!("{key}: {reason}")),
    }
}

fn graph_proto(graph: &Graph, written: Vec<Written>) -> GraphProto {
    let name = if graph.name.is_empty() { "network" } else { &graph.name };
    let mut proto = GraphProto { name: name.into(), ..Default::default() };
    let free = batch::is_free(graph);
    proto.input = graph.inputs.iter().map(|&id| value_info(graph.value(id), free)).collect();
    proto.output = graph.outputs.iter().map(|&id| value_info(graph.value(id), free)).collect();
    proto.initializer = graph.params.iter().map(|(name, t)| tensor::encode(name, t)).collect();
    for (node, written) in graph.nodes.iter().zip(written) {
        proto.initializer.extend(written.initializers);
        proto.node.extend(written.nodes);
        if !graph.outputs.contains(&node.output) && node.op != Op::Constant {
            proto.value_info.push(value_info(graph.value(node.output), free));
        }
    }
    proto
}

/// Name, type and shape of a value; where the batch is free, its dimension is symbolic.
fn value_info(value: &Value, free: bool) -> ValueInfoProto {
    let dimension = |v| Dimension { value: Some(v), ..Default::default() };
    let size = |(axis, &d): (usize, &usize)| {
        let symbolic = free && axis == 0;
        dimension(if symbolic { dimension::Value::DimParam(BATCH.into()) } else { dimension::Value::DimValue(d as i64) })
    };
    let dim = value.shape.iter().enumerate().map(size).collect();
    let shape = Some(TensorShapeProto { dim, ..Default::default() }).into();
    let tensor = type_proto::Tensor { elem_type: data_type(value.elem) as i32, shape, ..Default::default() };
    let type_ = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() };
    ValueInfoProto { name: value.name.clone(), type_: Some(type_).into(), ..Default::default() }
}

/// The nodes of the file, and everything that would make it invalid.
fn written(graph: &Graph, opset: i64) -> (Vec<Written>, Vec<String>) {
    let mut problems = vec![];
    let mut written = vec![];
    for node in &graph.nodes {
        match write::write(graph, node, opset) {
            Ok(nodes) => written.push(nodes),
            Err(reason) => problems.push(format!("{}: {reason}", node.name)),
        }
    }
    problems.splice(0..0, contradictions(graph, &written));
    (written, problems)
}

/// Everything that would make the file invalid: ONNX keeps values and parameters in one namespace and wants a full definition of
/// each.
fn contradictions(graph: &Graph, written: &[Written]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut names = HashSet::new();
    // Values between the nodes that one node becomes, and what ONNX wants as inputs.
    let made = written.iter().flat_map(|written| {
        let between = written.nodes.iter().rev().skip(1).flat_map(|node| node.output.iter());
        written.initializers.iter().map(|tensor| &tensor.name).chain(between).cloned()
    });
    let all = graph.values.iter().map(|v| v.name.clone()).chain(graph.params.keys().cloned()).chain(made);
    for name in all {
        if name.is_empty() {
            problems.push("a value has no name".into());
        } else if !names.insert(name.clone()) {
            problems.push(format!("the name {name} is used twice; rename one of the two"));
        }
    }
    for (name, tensor) in &graph.params {
        if tensor.shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)) != Some(tensor.data.len()) {
            problems.push(format!("parameter {name} has {} elements, its shape is {:?}", tensor.data.len(), tensor.shape));
        }
    }
    for node in &graph.nodes {
        let missing = node.params.iter().filter(|name| !graph.params.contains_key(*name));
        problems.extend(missing.map(|name| format!("{}: parameter {name} is missing", node.name)));
    }
    if graph.inputs.is_empty() || graph.outputs.is_empty() {
        problems.push("a network needs an input and an output".into());
    }
    problems
}
