//! Nodes that stand for several others: calls of functions that the model defines, and operators on quantized numbers.
//!
//! They are written out before the model is read, so that what follows knows ONNX's own operators only. What is said about them
//! still names the operator of the file.

use super::names::{Names, Problem};
use super::qoperator;
use crate::diagnostic::Diagnostic;
use onnx_protobuf::{AttributeProto, FunctionProto, Message, NodeProto};
use std::collections::{HashMap, HashSet};

/// Calls inside each other.
const MAX_DEPTH: usize = 16;
/// Nodes that functions may become, over all calls.
const MAX_NODES: usize = 200_000;
/// Their bytes.
const MAX_BYTES: u64 = 1 << 28;

/// How a node stands in the file.
#[derive(Clone, Debug, Default)]
pub(super) struct Written {
    /// Its operator there.
    pub(super) op: String,
    /// The operator set it is written for, where that is not the model's.
    pub(super) opset: Option<i64>,
    /// Why it could not be written out.
    pub(super) problem: Option<Diagnostic>,
}

/// All nodes, written out.
#[derive(Default)]
pub(super) struct Expanded {
    /// In order.
    pub(super) nodes: Vec<NodeProto>,
    /// Those that stand otherwise in the file, by index.
    pub(super) written: HashMap<usize, Written>,
}

/// Writes out all nodes; `names` are those taken already besides the nodes' own.
pub(super) fn expand(nodes: Vec<NodeProto>, functions: &[FunctionProto], mut names: HashSet<String>) -> Expanded {
    names.extend(nodes.iter().flat_map(|node| node.output.iter().cloned()));
    let functions = functions.iter().map(|f| ((f.domain.as_str(), f.name.as_str(), f.overload.as_str()), f)).collect();
    let mut expansion = Expansion { functions, names: Names(names), expanded: Expanded::default(), called: 0, bytes: 0 };
    for node in nodes {
        expansion.node(node, None, 0);
    }
    expansion.expanded
}

struct Expansion<'a> {
    functions: HashMap<(&'a str, &'a str, &'a str), &'a FunctionProto>,
    names: Names,
    expanded: Expanded,
    /// Nodes made of functions so far.
    called: usize,
    bytes: u64,
}

impl<'a> Expansion<'a> {
    fn node(&mut self, node: NodeProto, opset: Option<i64>, depth: usize) {
        let function = self.functions.get(&(node.domain.as_str(), node.op_type.as_str(), node.overload.as_str())).copied();
        if let Some(function) = function {
            if let Err(problem) = self.call(&node, function, depth) {
                self.refuse(node, problem);
            }
            return;
        }
        match qoperator::expand(&node, &mut self.names) {
            None => {
                let op = node.op_type.clone();
                self.push(node, opset.map(|opset| Written { op, opset: Some(opset), problem: None }));
            }
            Some(Err(problem)) => self.refuse(node, problem),
            Some(Ok(parts)) => {
                for (part, own_opset) in parts {
                    self.push(part, Some(Written { op: node.op_type.clone(), opset: own_opset.or(opset), problem: None }));
                }
            }
        }
    }

    fn push(&mut self, node: NodeProto, written: Option<Written>) {
        self.expanded.written.extend(written.map(|w| (self.expanded.nodes.len(), w)));
        self.expanded.nodes.push(node);
    }

    fn refuse(&mut self, node: NodeProto, Problem(attribute, reason, hint): Problem) {
        let name = [&node.name].into_iter().chain(&node.output).find(|n| !n.is_empty()).cloned().unwrap_or_default();
        let op = node.op_type.clone();
        let problem = Diagnostic { node: name, op: op.clone(), attribute: attribute.into(), reason, hint: hint.into() };
        self.push(node, Some(Written { op, opset: None, problem: Some(problem) }));
    }

    /// The nodes of a function in place of its call.
    fn call(&mut self, call: &NodeProto, function: &'a FunctionProto, depth: usize) -> Result<(), Problem> {
        const INLINE: &str = "inline the functions first: onnx.inliner.inline_local_functions";
        if depth >= MAX_DEPTH {
            return Err(Problem("", format!("functions call each other more than {MAX_DEPTH} times"), INLINE));
        }
        if call.input.len() > function.input.len() || call.output.len() > function.output.len() {
            return Err(Problem("", "has more inputs or outputs than its function".into(), INLINE));
        }
        self.called += function.node.len();
        self.bytes += function.node.iter().map(NodeProto::compute_size).sum::<u64>();
        if self.called > MAX_NODES || self.bytes > MAX_BYTES {
            return Err(Problem("", "calls of functions make the model absurdly large".into(), INLINE));
        }
        let opset = function.opset_import.iter().find(|o| matches!(o.domain.as_str(), "" | "ai.onnx")).map(|o| o.version);
        let stem = [&call.name].into_iter().chain(&call.output).find(|n| !n.is_empty()).cloned().unwrap_or_default();
        let mut actual: HashMap<&str, String> = HashMap::new();
        for (place, formal) in function.input.iter().enumerate() {
            actual.insert(formal, call.input.get(place).cloned().unwrap_or_default());
        }
        let mut passed_on = vec![];
        for (formal, given) in function.output.iter().zip(&call.output).filter(|(_, given)| !given.is_empty()) {
            match actual.get(formal.as_str()) {
                Some(input) => passed_on.push((input.clone(), given.clone())),
                None => {
                    actual.insert(formal, given.clone());
                }
            }
        }
        for inner in &function.node {
            let mut node = NodeProto { op_type: inner.op_type.clone(), domain: inner.domain.clone(), ..NodeProto::default() };
            node.overload.clone_from(&inner.overload);
            node.name = if inner.name.is_empty() { String::new() } else { format!("{stem}/{}", inner.name) };
            node.attribute = inner.attribute.iter().filter_map(|a| self::attribute(a, call, function)).collect();
            let names = &mut self.names;
            let mut rename = |name: &'a String| {
                let rename = || if name.is_empty() { String::new() } else { names.fresh(format!("{stem}/{name}")) };
                actual.entry(name.as_str()).or_insert_with(rename).clone()
            };
            node.input = inner.input.iter().map(&mut rename).collect();
            node.output = inner.output.iter().map(&mut rename).collect();
            self.node(node, opset, depth + 1);
        }
        for (input, output) in passed_on {
            let (input, output) = (vec![input], vec![output]);
            self.push(NodeProto { op_type: "Identity".into(), input, output, ..NodeProto::default() }, None);
        }
        Ok(())
    }
}

/// An attribute of a function's node: its own, or the one that the call or the function's defaults give it.
fn attribute(inner: &AttributeProto, call: &NodeProto, function: &FunctionProto) -> Option<AttributeProto> {
    if inner.ref_attr_name.is_empty() {
        return Some(inner.clone());
    }
    let given = call.attribute.iter().chain(&function.attribute_proto).find(|a| a.name == inner.ref_attr_name);
    given.map(|a| AttributeProto { name: inner.name.clone(), ..a.clone() })
}
