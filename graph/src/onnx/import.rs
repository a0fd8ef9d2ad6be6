//! An ONNX model as a graph.

use super::node::{Domain, Lowered, NodeReader, Operand, Planned};
use super::scope::{Scope, Slot};
use super::tensor::type_name;
use super::{metadata, scan};
use crate::diagnostic::Diagnostic;
use crate::file::{self, FileError};
use crate::graph::{Graph, ValueId};
use onnx_protobuf::tensor_proto::DataType;
use onnx_protobuf::tensor_shape_proto::dimension;
use onnx_protobuf::type_proto;
use onnx_protobuf::{GraphProto, Message, ModelProto, TensorShapeProto, ValueInfoProto};
use std::collections::HashSet;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// Operator sets taken.
const OPSETS: RangeInclusive<i64> = 7..=22;
/// A protobuf message holds less than 2 GiB.
const MAX_BYTES: u64 = (1 << 31) - 1;
/// No activation of a network for one sample has more elements.
const MAX_ELEMENTS: usize = 1 << 31;
/// Parameters may take this many times the bytes of the file. More can only come from one tensor used in different ways by very
/// many nodes.
const MAX_EXPANSION: usize = 4;

/// Why a model cannot be imported.
#[derive(Debug)]
pub enum ImportError {
    /// The file cannot be read.
    Unreadable(FileError),
    /// The file is no ONNX model.
    NotOnnx {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The model is not valid or not supported.
    Unsupported {
        /// The file.
        file: PathBuf,
        /// Everything that stands in the way.
        problems: Vec<Diagnostic>,
    },
}

impl ImportError {
    /// Everything that stands in the way of an otherwise readable model.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        match self {
            ImportError::Unsupported { problems, .. } => problems,
            ImportError::Unreadable(_) | ImportError::NotOnnx { .. } => &[],
        }
    }
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ImportError::Unreadable(error) => write!(f, "{error}"),
            ImportError::NotOnnx { file, reason } => write!(f, "{}: not an ONNX model: {reason}", file.display()),
            ImportError::Unsupported { file, problems } => {
                write!(f, "{}: the model is not supported:", file.display())?;
                problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
            }
        }
    }
}

impl std::error::Error for ImportError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ImportError::Unreadable(error) => Some(error),
            ImportError::NotOnnx { .. } | ImportError::Unsupported { .. } => None,
        }
    }
}

/// Reads an ONNX model. A symbolic batch dimension becomes 1; everything else must have fixed sizes. Names of values and
/// initializers are kept; nodes without a name get that of their output.
///
/// # Errors
/// [`ImportError`], with everything that is not supported at once. The graph is never an approximation of the model.
pub fn import(path: &Path) -> Result<Graph, ImportError> {
    let bytes = file::read_at_most(path, MAX_BYTES).map_err(ImportError::Unreadable)?;
    import_named(path, &bytes)
}

/// As [`import`], from memory; messages call the file `<bytes>`.
///
/// # Errors
/// [`ImportError`], with everything that is not supported at once.
pub fn import_bytes(bytes: &[u8]) -> Result<Graph, ImportError> {
    import_named(Path::new("<bytes>"), bytes)
}

fn import_named(file: &Path, bytes: &[u8]) -> Result<Graph, ImportError> {
    let not_onnx = |reason: String| ImportError::NotOnnx { file: file.to_path_buf(), reason };
    scan::scan(bytes).map_err(not_onnx)?;
    let model = ModelProto::parse_from_bytes(bytes).map_err(|e| not_onnx(e.to_string()))?;
    let Some(graph) = model.graph.as_ref() else {
        return Err(not_onnx("it contains no graph".into()));
    };
    let mut import = Import { scope: Scope::new(graph), bytes: bytes.len(), problems: vec![] };
    import.model(&model);
    import.graph(graph);
    if import.problems.is_empty() {
        Ok(import.scope.graph)
    } else {
        Err(ImportError::Unsupported { file: file.to_path_buf(), problems: import.problems })
    }
}

struct Import<'a> {
    scope: Scope<'a>,
    /// Length of the file.
    bytes: usize,
    problems: Vec<Diagnostic>,
}

impl<'a> Import<'a> {
    fn refuse(&mut self, node: &str, op: &str, attribute: &str, reason: impl Into<String>, hint: &str) {
        self.problems.push(Diagnostic {
            node: node.into(),
            op: op.into(),
            attribute: attribute.into(),
            reason: reason.into(),
            hint: hint.into(),
        });
    }

    /// What is said about the model as a whole.
    fn model(&mut self, model: &ModelProto) {
        let opsets: Vec<i64> =
            model.opset_import.iter().filter(|o| matches!(o.domain.as_str(), "" | "ai.onnx")).map(|o| o.version).collect();
        match opsets[..] {
            [opset] if OPSETS.contains(&opset) => self.scope.opset = opset,
            _ => {
                let reason = format!("the operator set is {opsets:?}, not one of {} to {}", OPSETS.start(), OPSETS.end());
                self.refuse("", "model", "opset_import", reason, "convert the model with onnx.version_converter");
            }
        }
        if !model.training_info.is_empty() {
            self.refuse("", "model", "training_info", "the model carries its training", "export it for inference");
        }
        for function in &model.functions {
            let hint = "inline the functions first: onnx.inliner.inline_local_functions";
            self.refuse(&function.name, "function", "", "functions in the model are not supported", hint);
        }
        let mut preprocess = None;
        let mut labels = vec![];
        for property in &model.metadata_props {
            let read = match property.key.as_str() {
                metadata::PREPROCESS => metadata::preprocess_from_json(&property.value).map(|p| preprocess = Some(p)),
                metadata::LABELS => metadata::labels_from_json(&property.value).map(|l| labels = l),
                _ => Ok(()),
            };
            if let Err(reason) = read {
                self.refuse("", "model", &property.key, reason, "remove the entry, or write the model again with this tool");
            }
        }
        self.scope.graph.preprocess = preprocess;
        self.scope.graph.labels = labels;
    }

    fn graph(&mut self, graph: &'a GraphProto) {
        for sparse in &graph.sparse_initializer {
            let name = sparse.values.name.clone();
            self.refuse(&name, "sparse_initializer", "", "sparse tensors are not supported", "store it densely");
        }
        for tensor in &graph.initializer {
            self.define(&tensor.name, Slot::Initializer(tensor), "initializer");
        }
        for input in &graph.input {
            self.input(input);
        }
        self.nodes();
        if self.scope.graph.inputs.is_empty() && self.problems.is_empty() {
            self.refuse("", "model", "input", "the network has no input", "export it with its input");
        }
        if graph.output.is_empty() {
            self.refuse("", "model", "output", "the network has no output", "export it with its output");
        }
        for output in &graph.output {
            match self.scope.slot(&output.name, usize::MAX) {
                Ok(Slot::Value(id)) => {
                    let id = *id;
                    self.scope.graph.output(id);
                }
                Ok(Slot::Refused) | Err(super::scope::Unreadable::Refused) => {}
                Ok(Slot::Initializer(_) | Slot::Constant(_)) => {
                    self.refuse(&output.name, "output", "", "is a constant", "remove it from the outputs");
                }
                Err(super::scope::Unreadable::Invalid(_)) => {
                    self.refuse(&output.name, "output", "", "nothing makes it", "the file may be damaged; export it again");
                }
            }
        }
    }

    /// Gives a name its meaning, once.
    fn define(&mut self, name: &'a str, slot: Slot<'a>, role: &str) {
        if name.is_empty() {
            self.refuse("", role, "", "has no name", "the file may be damaged; export it again");
        } else if self.scope.names.insert(name, slot).is_some() {
            self.refuse(name, role, "", "the name is defined twice", "give every value a name of its own");
        }
    }

    fn input(&mut self, input: &'a ValueInfoProto) {
        // Old files list every initializer among the inputs as well.
        if matches!(self.scope.names.get(input.name.as_str()), Some(Slot::Initializer(_))) {
            return;
        }
        let slot = match self.input_shape(input) {
            Some(shape) => Slot::Value(self.scope.graph.input(&input.name, &shape)),
            None => Slot::Refused,
        };
        self.define(&input.name, slot, "input");
    }

    /// `[1, C, H, W]` or `[1, F]`.
    fn input_shape(&mut self, input: &ValueInfoProto) -> Option<Vec<usize>> {
        let Some(type_proto::Value::TensorType(tensor)) = input.type_.as_ref().and_then(|t| t.value.as_ref()) else {
            self.refuse(&input.name, "input", "type", "is not a tensor", "only tensors of float32 are supported");
            return None;
        };
        let before = self.problems.len();
        if tensor.elem_type != DataType::FLOAT as i32 {
            let reason = format!("its elements are {}", type_name(tensor.elem_type));
            self.refuse(&input.name, "input", "type", reason, "cut the model behind its conversion to float32");
        }
        let shape = match tensor.shape.as_ref() {
            Some(shape) => self.fixed(&input.name, shape),
            None => {
                self.refuse(&input.name, "input", "shape", "is not given", "export the model with a fixed input size");
                None
            }
        };
        shape.filter(|_| self.problems.len() == before)
    }

    fn fixed(&mut self, name: &str, shape: &TensorShapeProto) -> Option<Vec<usize>> {
        let mut sizes = vec![];
        let before = self.problems.len();
        for (axis, dim) in shape.dim.iter().enumerate() {
            let place = format!("dimension {axis}");
            match (&dim.value, axis) {
                (None | Some(dimension::Value::DimParam(_)), 0) => sizes.push(1),
                (Some(dimension::Value::DimValue(n)), 0) if *n != 1 => {
                    let hint = "export the model with batch 1 or a symbolic batch";
                    self.refuse(name, "input", &place, format!("the batch is fixed to {n}"), hint);
                }
                (Some(dimension::Value::DimValue(n)), _) if *n > 0 => sizes.push(usize::try_from(*n).unwrap_or(usize::MAX)),
                (Some(dimension::Value::DimValue(n)), _) => {
                    self.refuse(name, "input", &place, format!("{n} is no size"), "the file may be damaged; export it again");
                }
                (Some(dimension::Value::DimParam(symbol)), _) => {
                    let reason = format!("{symbol} is symbolic");
                    self.refuse(name, "input", &place, reason, "export the model with a fixed input size");
                }
                // Missing, or a kind of dimension that is newer than the parser.
                (None | Some(_), _) => {
                    self.refuse(name, "input", &place, "is not given", "export the model with a fixed input size");
                }
            }
        }
        if shape.dim.len() != 2 && shape.dim.len() != 4 {
            let reason = format!("has {} dimensions", shape.dim.len());
            self.refuse(name, "input", "shape", reason, "only [N, C, H, W] and [N, F] are supported");
        } else if self.problems.len() == before && elements(&sizes).is_none() {
            self.refuse(name, "input", "shape", format!("{sizes:?} is absurdly large"), "the file may be damaged");
        }
        Some(sizes).filter(|_| self.problems.len() == before)
    }

    fn nodes(&mut self) {
        let nodes = self.scope.nodes;
        // A constant needs nothing, and a bias may be looked for before its own node comes.
        let is_constant = |index: &usize| nodes[*index].op_type == "Constant" && nodes[*index].domain_is_onnx();
        let (first, then): (Vec<usize>, Vec<usize>) = (0..nodes.len()).partition(is_constant);
        let mut names = HashSet::new();
        let mut absorbed = HashSet::new();
        for index in first.into_iter().chain(then) {
            if !absorbed.contains(&index) {
                let name = self.node_name(index, &mut names);
                absorbed.extend(self.node(index, name));
            }
        }
    }

    /// The node's own name, its output's, or one made up, such that no two are alike.
    fn node_name(&self, index: usize, taken: &mut HashSet<String>) -> String {
        let node = &self.scope.nodes[index];
        let output = node.output.first().cloned().unwrap_or_default();
        let made_up = (0..).map(|n| format!("{}_{index}_{n}", node.op_type));
        let mut candidates = [node.name.clone(), output].into_iter().chain(made_up).filter(|name| !name.is_empty());
        let name = candidates.find(|name| !taken.contains(name)).unwrap_or_default();
        taken.insert(name.clone());
        name
    }

    /// Reads one node and returns the node it absorbs, if any.
    fn node(&mut self, index: usize, name: String) -> Option<usize> {
        let proto = &self.scope.nodes[index];
        let mut reader = NodeReader::new(&self.scope, index, name.clone());
        let lowered = crate::op::from_onnx(&mut reader);
        let mut absorbed = None;
        let slots = match reader.finish(lowered) {
            Ok(Lowered::Constants(constants)) => constants.into_iter().map(Slot::Constant).collect(),
            Ok(Lowered::Nodes { nodes, outputs, absorbs }) => {
                absorbed = absorbs;
                let made_by = absorbs.map_or(proto, |other| &self.scope.nodes[other]);
                match self.chain(&name, nodes, &outputs, &made_by.output) {
                    Ok(values) => values.into_iter().map(Slot::Value).collect(),
                    Err(reason) => {
                        self.refuse(&name, &proto.op_type, "", reason, "check the model with onnx.checker (full_check=True)");
                        vec![]
                    }
                }
            }
            Err(problems) => {
                self.problems.extend(problems);
                vec![]
            }
        };
        let made_by = absorbed.map_or(proto, |other| &self.scope.nodes[other]);
        let mut slots = slots.into_iter();
        for output in &made_by.output {
            let slot = slots.next().unwrap_or(Slot::Refused);
            if !output.is_empty() {
                self.define(output, slot, "value");
            }
        }
        absorbed
    }

    /// Adds the nodes that one ONNX node becomes; the one that makes its first output gets its name. Returns the values that stand for
    /// the outputs.
    fn chain(&mut self, name: &str, nodes: Vec<Planned>, outputs: &[Operand], named: &[String]) -> Result<Vec<ValueId>, String> {
        let mut made: Vec<ValueId> = vec![];
        for (place, planned) in nodes.into_iter().enumerate() {
            let output = outputs.iter().position(|o| *o == Operand::Made(place));
            let node_name = if output == Some(0) { name.to_string() } else { format!("{name}/{place}") };
            let value_name = output.and_then(|i| named.get(i)).filter(|n| !n.is_empty()).unwrap_or(&node_name).clone();
            let params: Vec<String> = planned.params.into_iter().map(|p| self.scope.add_param(p, name)).collect();
            let value = |operand: &Operand| match operand {
                Operand::Value(id) => *id,
                Operand::Made(i) => made[*i],
            };
            let inputs: Vec<ValueId> = planned.inputs.iter().map(value).collect();
            let id = self.scope.graph.add_named(&node_name, planned.op, &inputs, &params, &value_name).map_err(|e| e.reason)?;
            self.reasonable(id)?;
            made.push(id);
        }
        let value = |operand: &Operand| match operand {
            Operand::Value(id) => *id,
            Operand::Made(i) => made[*i],
        };
        Ok(outputs.iter().map(value).collect())
    }

    /// Whether the value just made, and all parameters, have sizes that a real network could have.
    fn reasonable(&self, id: crate::graph::ValueId) -> Result<(), String> {
        let shape = self.scope.graph.shape(id);
        if elements(shape).is_none() {
            return Err(format!("its output {shape:?} is absurdly large"));
        }
        if self.scope.param_elements / MAX_EXPANSION > self.bytes / size_of::<f32>() {
            return Err("constants used in too many ways; give every node its own".into());
        }
        Ok(())
    }
}

/// Number of elements, if it is within reason.
fn elements(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).filter(|&n| n <= MAX_ELEMENTS)
}
