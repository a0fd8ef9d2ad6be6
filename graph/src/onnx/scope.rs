//! The names of an ONNX graph while it is read: what they stand for and who uses them.

use super::expand::Written;
use super::external::External;
use super::lowered::Param;
use super::refusal::Refusal;
use super::tensor::{Constant, decode, plausible};
use crate::graph::{Graph, ValueId};
use onnx_protobuf::{NodeProto, TensorProto};
use std::cell::Cell;
use std::collections::{HashMap, HashSet};

/// Elements that may be made by folding constants. VGG-19 has 144 million parameters, and a file that makes all of them exists.
const MAX_FOLDED: usize = 160 << 20;
/// Elements that may be read from constants besides a few times what the model holds; a constant that many nodes read counts each
/// time.
const MAX_READ: usize = 1 << 28;
/// How many times a model may be read.
const READINGS: usize = 4;

/// What a name stands for.
#[derive(Debug)]
pub(super) enum Slot {
    /// An activation.
    Value(ValueId),
    /// A constant in an initializer, read when it is used.
    Initializer(TensorProto),
    /// A constant made by a node, and the initializer that it was made of.
    Constant(Constant, Option<String>),
    /// A constant that nothing reads any more.
    Spent,
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
    /// Elements that the files of the model can hold.
    pub(super) stored: usize,
    /// Meaning of every name defined so far.
    pub(super) names: HashMap<String, Slot>,
    /// All nodes.
    pub(super) nodes: &'a [NodeProto],
    /// Those of them that stand for nodes written otherwise in the file.
    pub(super) written: &'a HashMap<usize, Written>,
    /// Where data outside the file lies.
    pub(super) external: External,
    /// The nodes that read a name.
    readers: HashMap<&'a str, Vec<usize>>,
    /// The node that makes a name.
    makers: HashMap<&'a str, usize>,
    /// Names of the network's outputs.
    outputs: HashSet<String>,
    /// Elements made by folding.
    folded: Cell<usize>,
    /// Elements of constants read.
    read: Cell<usize>,
}

/// Where a node may not read a name.
pub(super) enum Unreadable {
    /// It is made by a node that was refused: nothing new to say.
    Refused,
    /// A sentence and a hint.
    Invalid(Refusal),
}

impl<'a> Scope<'a> {
    pub(super) fn new(
        name: &str,
        nodes: &'a [NodeProto],
        written: &'a HashMap<usize, Written>,
        outputs: HashSet<String>,
        external: External,
    ) -> Self {
        let mut scope = Scope {
            graph: Graph::new(name),
            opset: 0,
            param_elements: 0,
            stored: 0,
            names: HashMap::new(),
            nodes,
            written,
            external,
            readers: HashMap::new(),
            makers: HashMap::new(),
            outputs,
            folded: Cell::new(0),
            read: Cell::new(0),
        };
        for (index, node) in nodes.iter().enumerate() {
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
    pub(super) fn slot(&self, name: &str, index: usize) -> Result<&Slot, Unreadable> {
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
        let constant = match self.slot(name, index)? {
            Slot::Value(_) | Slot::Refused | Slot::Spent => return Ok(None),
            Slot::Constant(constant, _) => {
                self.count_read(constant.elements())?;
                constant.clone()
            }
            Slot::Initializer(proto) => {
                // Counted first: what is too much must not be read.
                self.count_read(announced(proto))?;
                let name_it = |r: Refusal| Unreadable::Invalid(Refusal { reason: format!("{name}: {}", r.reason), ..r });
                decode(proto, &self.external).map_err(name_it)?
            }
        };
        Ok(Some(constant))
    }

    fn count_read(&self, elements: usize) -> Result<(), Unreadable> {
        self.read.set(self.read.get().saturating_add(elements));
        let limit = self.stored.saturating_add(self.folded.get()).saturating_mul(READINGS).saturating_add(MAX_READ);
        if self.read.get() > limit {
            let hint = "give every node a constant of its own";
            return Err(Unreadable::Invalid(Refusal::new("reads constants that too many nodes read", hint)));
        }
        Ok(())
    }

    /// Whether folding may make so many more elements; it is counted if so.
    pub(super) fn may_fold(&self, elements: usize) -> bool {
        let folded = self.folded.get().saturating_add(elements);
        let fits = folded <= MAX_FOLDED;
        if fits {
            self.folded.set(folded);
        }
        fits
    }

    /// Elements made by folding so far.
    pub(super) fn folded(&self) -> usize {
        self.folded.get()
    }

    /// The name that a parameter made of the constant `name` should have: that of the initializer it comes from.
    pub(super) fn origin<'n>(&'n self, name: &'n str) -> &'n str {
        match self.names.get(name) {
            Some(Slot::Constant(_, Some(origin))) => origin,
            Some(Slot::Constant(_, None) | Slot::Value(_) | Slot::Initializer(_) | Slot::Spent | Slot::Refused) | None => name,
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

    /// Drops the constants that no node behind `index` reads.
    pub(super) fn forget(&mut self, index: usize) {
        for name in self.nodes[index].input.iter().filter(|name| !self.outputs.contains(*name)) {
            let last = self.readers.get(name.as_str()).and_then(|readers| readers.last());
            let Some(slot) = self.names.get_mut(name).filter(|_| last == Some(&index)) else { continue };
            match slot {
                Slot::Initializer(_) | Slot::Constant(..) => *slot = Slot::Spent,
                Slot::Value(_) | Slot::Spent | Slot::Refused => {}
            }
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
            // Whoever changed the numbers has made the integers wrong.
            let codes = param.codes.filter(|codes| codes.stand_for(&param.tensor));
            self.graph.codes.extend(codes.map(|codes| (name.clone(), codes)));
            self.graph.params.insert(name.clone(), param.tensor);
        }
        name
    }

    fn may_be_called(&self, name: &str, tensor: &crate::graph::Tensor) -> bool {
        match self.graph.params.get(name) {
            Some(other) => other == tensor,
            None => match self.names.get(name) {
                Some(Slot::Initializer(_) | Slot::Constant(..) | Slot::Spent) => true,
                Some(Slot::Value(_) | Slot::Refused) => false,
                None => !self.makers.contains_key(name),
            },
        }
    }

    /// `wish`, or something like it that nothing is called yet.
    pub(super) fn fresh(&self, wish: String) -> String {
        let mut name = wish;
        while self.names.contains_key(&name) || self.makers.contains_key(name.as_str()) || self.graph.params.contains_key(&name)
        {
            name.push('_');
        }
        name
    }
}

/// The number of elements that a tensor says it has; it may lie, but is not read then.
fn announced(proto: &TensorProto) -> usize {
    let sizes: Option<Vec<usize>> = proto.dims.iter().map(|&d| usize::try_from(d).ok()).collect();
    sizes.and_then(|sizes| plausible(&sizes)).unwrap_or(0)
}
