//! The names of an ONNX graph while it is read: what they stand for and who uses them.

use super::node::Param;
use super::tensor::{Constant, Refusal, decode};
use crate::graph::{Graph, ValueId};
use onnx_protobuf::{GraphProto, NodeProto, TensorProto};
use std::collections::{HashMap, HashSet};

/// What a name stands for.
#[derive(Debug)]
pub(super) enum Slot<'a> {
    /// An activation.
    Value(ValueId),
    /// A constant in an initializer, read when it is used.
    Initializer(&'a TensorProto),
    /// A constant made by a node.
    Constant(Constant),
    /// The output of a node that was refused.
    Refused,
}

/// The graph made so far and the names that later nodes may use.
pub(crate) struct Scope<'a> {
    /// The graph made so far.
    pub(super) graph: Graph,
    /// Version of ONNX's operator set.
    pub(super) opset: i64,
    /// Elements of its parameters.
    pub(super) param_elements: usize,
    /// Meaning of every name defined so far.
    pub(super) names: HashMap<&'a str, Slot<'a>>,
    /// All nodes of the file.
    pub(super) nodes: &'a [NodeProto],
    /// The nodes that read a name.
    readers: HashMap<&'a str, Vec<usize>>,
    /// The node that makes a name.
    makers: HashMap<&'a str, usize>,
    /// Names of the network's outputs.
    outputs: HashSet<&'a str>,
}

/// Where a node may not read a name.
pub(super) enum Unreadable {
    /// It is made by a node that was refused: nothing new to say.
    Refused,
    /// A sentence and a hint.
    Invalid(Refusal),
}

impl<'a> Scope<'a> {
    pub(super) fn new(proto: &'a GraphProto) -> Self {
        let mut scope = Scope {
            graph: Graph::new(&proto.name),
            opset: 0,
            param_elements: 0,
            names: HashMap::new(),
            nodes: &proto.node,
            readers: HashMap::new(),
            makers: HashMap::new(),
            outputs: proto.output.iter().map(|o| o.name.as_str()).collect(),
        };
        for (index, node) in proto.node.iter().enumerate() {
            for name in node.input.iter().filter(|name| !name.is_empty()) {
                scope.readers.entry(name).or_default().push(index);
            }
            for name in node.output.iter().filter(|name| !name.is_empty()) {
                scope.makers.entry(name).or_insert(index);
            }
        }
        scope
    }

    /// What the node `index` may know about `name`.
    pub(super) fn slot(&self, name: &str, index: usize) -> Result<&Slot<'a>, Unreadable> {
        let refusal = |reason: String, hint: &str| Unreadable::Invalid(Refusal { reason, hint: hint.into() });
        if self.makers.get(name).is_some_and(|&maker| maker >= index) {
            return Err(refusal(format!("reads {name} before it is made"), "sort the nodes: each after those it reads from"));
        }
        match self.names.get(name) {
            Some(Slot::Refused) => Err(Unreadable::Refused),
            Some(slot) => Ok(slot),
            None => Err(refusal(format!("reads {name}, which nothing makes"), "the file may be damaged; export it again")),
        }
    }

    /// The constant called `name`, or `None` where it is an activation.
    pub(super) fn constant(&self, name: &str, index: usize) -> Result<Option<Constant>, Unreadable> {
        match self.slot(name, index)? {
            Slot::Value(_) | Slot::Refused => Ok(None),
            Slot::Constant(constant) => Ok(Some(constant.clone())),
            Slot::Initializer(proto) => {
                let name_it = |r: Refusal| Unreadable::Invalid(Refusal { reason: format!("{name}: {}", r.reason), ..r });
                decode(proto).map(Some).map_err(name_it)
            }
        }
    }

    /// Whether a node or the network's user sees `name`.
    pub(super) fn is_used(&self, name: &str) -> bool {
        self.outputs.contains(name) || self.readers.contains_key(name)
    }

    /// The node that alone reads `name`.
    pub(super) fn only_reader(&self, name: &str) -> Option<usize> {
        match self.readers.get(name).map(Vec::as_slice) {
            Some(&[reader]) if !self.outputs.contains(name) => Some(reader),
            _ => None,
        }
    }

    /// Puts a parameter into the graph and returns its name there: its own, unless another one has it. Nodes that share a
    /// constant share the parameter as long as they mean the same numbers.
    pub(super) fn add_param(&mut self, param: Param, node: &str) -> String {
        let mut name = param.name;
        while !self.may_be_called(&name, &param.tensor) {
            name = format!("{name}@{node}");
        }
        if !self.graph.params.contains_key(&name) {
            self.param_elements += param.tensor.data.len();
            self.graph.codes.extend(param.codes.map(|codes| (name.clone(), codes)));
            self.graph.params.insert(name.clone(), param.tensor);
        }
        name
    }

    fn may_be_called(&self, name: &str, tensor: &crate::graph::Tensor) -> bool {
        match self.graph.params.get(name) {
            Some(other) => other == tensor,
            None => match self.names.get(name) {
                Some(Slot::Initializer(_) | Slot::Constant(_)) => true,
                Some(Slot::Value(_) | Slot::Refused) => false,
                None => !self.makers.contains_key(name),
            },
        }
    }
}
