//! A graph as an ONNX model.

use super::proto::{Dim, Head, ProtoError, Values, Writer};
use super::write::{self, Written};
use super::{batch, metadata};
use crate::file::{self, FileError};
use crate::graph::{Graph, Op, Value};
use std::collections::HashSet;
use std::fmt;
use std::path::Path;

/// IR version written: the first one of opset 15, which every reader of opset 13 knows as well.
const IR_VERSION: i64 = 8;
/// The same for the operator sets from 19 on.
const LATER_IR_VERSION: i64 = 9;
/// Name of the batch dimension.
const BATCH: &str = "N";
/// Why a graph cannot be written as ONNX.
#[derive(Debug)]
pub enum OnnxError {
    /// The file cannot be written.
    File(FileError),
    /// The graph contradicts itself; one sentence for each contradiction.
    Inconsistent(Vec<String>),
    /// The model is no file, such as one that is too large.
    Proto(ProtoError),
}

impl From<ProtoError> for OnnxError {
    fn from(error: ProtoError) -> Self {
        OnnxError::Proto(error)
    }
}

impl fmt::Display for OnnxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OnnxError::File(error) => write!(f, "{error}"),
            OnnxError::Inconsistent(problems) => write!(f, "the graph cannot be written as ONNX: {}", problems.join("; ")),
            OnnxError::Proto(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for OnnxError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            OnnxError::File(error) => Some(error),
            OnnxError::Proto(error) => Some(error),
            OnnxError::Inconsistent(_) => None,
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
    let mut entry = |key, value: Result<String, String>| match value {
        Ok(value) => Some((key, value)),
        Err(reason) => {
            problems.push(format!("{key}: {reason}"));
            None
        }
    };
    let preprocess = graph.preprocess.as_ref().and_then(|p| entry(metadata::PREPROCESS, metadata::preprocess_to_json(p)));
    let labels = (!graph.labels.is_empty()).then(|| metadata::labels_to_json(&graph.labels));
    let labels = labels.and_then(|labels| entry(metadata::LABELS, labels));
    if !problems.is_empty() {
        return Err(OnnxError::Inconsistent(problems));
    }
    let head = Head {
        ir_version: if opset < 19 { IR_VERSION } else { LATER_IR_VERSION },
        producer_version: env!("CARGO_PKG_VERSION"),
        opsets: &[("", opset)],
        metadata: preprocess.into_iter().chain(labels).collect(),
    };
    Ok(writer(graph, written).finish(head)?)
}

/// The file, but for what it says of itself.
fn writer(graph: &Graph, written: Vec<Written>) -> Writer {
    let mut writer = Writer::new(&graph.name);
    let free = batch::is_free(graph);
    let dims = |value: &Value| -> Vec<Dim> {
        let size = |(axis, &d): (usize, &usize)| if free && axis == 0 { Dim::Symbol(BATCH) } else { Dim::Fixed(d as i64) };
        value.shape.iter().enumerate().map(size).collect()
    };
    for value in graph.inputs.iter().map(|&id| graph.value(id)) {
        writer.input(&value.name, value.elem, &dims(value));
    }
    for value in graph.outputs.iter().map(|&id| graph.value(id)) {
        writer.output(&value.name, value.elem, &dims(value));
    }
    for (name, tensor) in &graph.params {
        let shape: Vec<i64> = tensor.shape.iter().map(|&d| d as i64).collect();
        writer.initializer(name, &shape, Values::Floats(&tensor.data));
    }
    for (node, written) in graph.nodes.iter().zip(written) {
        writer.extend(written.nodes, written.initializers);
        if !graph.outputs.contains(&node.output) && node.op != Op::Constant {
            let value = graph.value(node.output);
            writer.value(&value.name, value.elem, &dims(value));
        }
    }
    writer
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
