//! A graph as an ONNX model.

use super::{metadata, tensor};
use crate::file::{self, FileError};
use crate::graph::{Graph, Value};
use onnx_protobuf::tensor_proto::DataType;
use onnx_protobuf::tensor_shape_proto::{Dimension, dimension};
use onnx_protobuf::type_proto;
use onnx_protobuf::{
    GraphProto, Message, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto, TensorShapeProto, TypeProto,
    ValueInfoProto,
};
use std::collections::HashSet;
use std::fmt;
use std::path::Path;

/// IR version written: the first one of opset 15, which every reader of opset 13 knows as well.
const IR_VERSION: i64 = 8;
/// Operator set written.
const OPSET: i64 = 13;
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

/// Writes the graph as ONNX: opset 13, inputs and outputs with a symbolic batch dimension `N`, parameters and nodes under their
/// own names, preprocessing and labels in `metadata_props`. A graph without a name is called `network`.
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
    let mut problems = contradictions(graph);
    let mut model = ModelProto {
        ir_version: IR_VERSION,
        producer_name: "staticnet".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        opset_import: vec![OperatorSetIdProto { version: OPSET, ..Default::default() }],
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
    model.graph = Some(graph_proto(graph)).into();
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

fn graph_proto(graph: &Graph) -> GraphProto {
    let name = if graph.name.is_empty() { "network" } else { &graph.name };
    let mut proto = GraphProto { name: name.into(), ..Default::default() };
    proto.input = graph.inputs.iter().map(|&id| value_info(graph.value(id))).collect();
    proto.output = graph.outputs.iter().map(|&id| value_info(graph.value(id))).collect();
    proto.initializer = graph.params.iter().map(|(name, t)| tensor::encode(name, t)).collect();
    for node in &graph.nodes {
        let form = crate::op::to_onnx(&node.op);
        let mut input: Vec<String> = node.inputs.iter().map(|&id| graph.value(id).name.clone()).collect();
        input.extend(node.params.iter().cloned());
        for (suffix, constant) in form.constants {
            let name = constant_name(&node.name, suffix);
            proto.initializer.push(tensor::encode(&name, &constant));
            input.push(name);
        }
        proto.node.push(NodeProto {
            name: node.name.clone(),
            op_type: node.op.name().into(),
            input,
            output: vec![graph.value(node.output).name.clone()],
            attribute: form.attributes,
            ..Default::default()
        });
        if !graph.outputs.contains(&node.output) {
            proto.value_info.push(value_info(graph.value(node.output)));
        }
    }
    proto
}

/// The initializer that holds an attribute which ONNX wants as an input.
fn constant_name(node: &str, suffix: &str) -> String {
    format!("{node}.{suffix}")
}

/// Name, f32 and shape of a value, its batch dimension symbolic.
fn value_info(value: &Value) -> ValueInfoProto {
    let dimension = |v| Dimension { value: Some(v), ..Default::default() };
    let mut dim = vec![dimension(dimension::Value::DimParam(BATCH.into()))];
    dim.extend(value.shape.iter().skip(1).map(|&d| dimension(dimension::Value::DimValue(d as i64))));
    let shape = Some(TensorShapeProto { dim, ..Default::default() }).into();
    let tensor = type_proto::Tensor { elem_type: DataType::FLOAT as i32, shape, ..Default::default() };
    let type_ = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() };
    ValueInfoProto { name: value.name.clone(), type_: Some(type_).into(), ..Default::default() }
}

/// Everything that would make the file invalid: ONNX keeps values and parameters in one namespace and wants a full definition of
/// each.
fn contradictions(graph: &Graph) -> Vec<String> {
    let mut problems = Vec::new();
    let mut names = HashSet::new();
    let constants = graph.nodes.iter().flat_map(|node| {
        crate::op::to_onnx(&node.op).constants.into_iter().map(|(suffix, _)| constant_name(&node.name, suffix))
    });
    let all = graph.values.iter().map(|v| v.name.clone()).chain(graph.params.keys().cloned()).chain(constants);
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
