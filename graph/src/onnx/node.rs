//! One node of an ONNX file, as the operators see it.

mod attributes;

use super::lowered::{Lowered, Param};
use super::refusal::Refusal;
use super::scope::{Scope, Slot, Unreadable};
use super::tensor::Constant;
use crate::diagnostic::Diagnostic;
use crate::graph::{Elem, ValueId};
use onnx_protobuf::NodeProto;

/// What a node reads.
pub(crate) enum Input {
    /// An activation.
    Value(ValueId),
    /// A constant; [`NodeReader::constant`] reads it.
    Constant,
}

/// Reads attributes and inputs of a node and notes everything that does not fit. Whatever attribute no operator asks for is
/// refused in the end, so that nothing is overlooked.
pub(crate) struct NodeReader<'s> {
    scope: &'s Scope<'s>,
    proto: &'s NodeProto,
    index: usize,
    name: String,
    asked: Vec<&'static str>,
    /// Outputs that the operator has, used or not, even where the node is refused.
    known_outputs: usize,
    /// Whether an input is missing because its own node was refused.
    waits: bool,
    refused_whole: bool,
    problems: Vec<Diagnostic>,
}

const DAMAGED: &str = "the file may be damaged; export it again";

impl<'s> NodeReader<'s> {
    pub(super) fn new(scope: &'s Scope<'s>, index: usize, name: String) -> Self {
        let proto = &scope.nodes[index];
        let mut node = NodeReader {
            scope,
            proto,
            index,
            name,
            asked: vec![],
            known_outputs: 1,
            waits: false,
            refused_whole: false,
            problems: vec![],
        };
        if proto.output.first().is_none_or(String::is_empty) {
            node.refuse("", "has no output", DAMAGED);
        }
        node
    }

    /// Everything noted, and whether the node can be used: nothing was noted and no input is missing.
    pub(super) fn finish(mut self, lowered: Option<Lowered>) -> Result<Lowered, Vec<Diagnostic>> {
        // What is refused as a whole is not refused again for each attribute.
        let attributes = if self.refused_whole { &[][..] } else { &self.proto.attribute[..] };
        for (i, attribute) in attributes.iter().enumerate() {
            if !self.asked.contains(&attribute.name.as_str()) {
                self.refuse(&attribute.name, "the attribute is not supported", "export the model without it");
            } else if attributes[..i].iter().any(|a| a.name == attribute.name) {
                self.refuse(&attribute.name, "is given twice", DAMAGED);
            }
        }
        let made = match &lowered {
            Some(Lowered::Nodes { outputs, .. }) => outputs.len(),
            Some(Lowered::Constants(constants)) => constants.len(),
            None => 1,
        };
        let made = made.max(self.known_outputs);
        for extra in self.proto.output.iter().skip(made).filter(|o| !o.is_empty() && self.scope.is_used(o)) {
            self.refuse(extra, "this output is used", "only the first output is supported; remove what reads the other");
        }
        match lowered {
            Some(lowered) if self.problems.is_empty() => Ok(lowered),
            None if self.problems.is_empty() && !self.waits => {
                self.refuse("", "cannot be read", DAMAGED);
                Err(self.problems)
            }
            Some(_) | None => Err(self.problems),
        }
    }

    /// The operator's name.
    pub(crate) fn op_type(&self) -> &'s str {
        &self.proto.op_type
    }

    /// Whether the operator is one of ONNX's own.
    pub(crate) fn in_onnx_domain(&self) -> bool {
        self.proto.domain_is_onnx()
    }

    /// Notes something that is not supported or not valid.
    pub(crate) fn refuse(&mut self, attribute: &str, reason: impl Into<String>, hint: impl Into<String>) {
        self.problems.push(Diagnostic {
            node: self.name.clone(),
            op: self.scope.written.get(&self.index).map_or(&self.proto.op_type, |w| &w.op).clone(),
            attribute: attribute.to_string(),
            reason: reason.into(),
            hint: hint.into(),
        });
    }

    /// Notes that the operator itself is not supported, whatever its attributes.
    pub(crate) fn refuse_operator(&mut self, reason: impl Into<String>, hint: impl Into<String>) {
        self.refused_whole = true;
        self.refuse("", reason, hint);
    }

    /// Shape of an activation.
    pub(crate) fn shape(&self, x: ValueId) -> &'s [usize] {
        self.scope.graph.shape(x)
    }

    /// Element type of an activation.
    pub(crate) fn elem(&self, x: ValueId) -> Elem {
        self.scope.graph.value(x).elem
    }

    /// Whether input `index` is given.
    pub(crate) fn has_input(&self, index: usize) -> bool {
        self.proto.input.get(index).is_some_and(|name| !name.is_empty())
    }

    /// Refuses inputs that the operator does not have.
    pub(crate) fn inputs_at_most(&mut self, most: usize) {
        let given = self.proto.input.len();
        if given > most {
            self.refuse("", format!("has {given} inputs, at most {most} are known"), DAMAGED);
        }
    }

    /// What input `index` is.
    pub(crate) fn input(&mut self, index: usize) -> Option<Input> {
        let Some(name) = self.proto.input.get(index).filter(|name| !name.is_empty()) else {
            self.refuse("", format!("input {index} is missing"), DAMAGED);
            return None;
        };
        match self.scope.slot(name, self.index) {
            Ok(Slot::Value(id)) => Some(Input::Value(*id)),
            Ok(Slot::Initializer(_) | Slot::Constant(..) | Slot::Spent) => Some(Input::Constant),
            Ok(Slot::Refused) => {
                self.unreadable("", Unreadable::Refused);
                None
            }
            Err(unreadable) => {
                self.unreadable("", unreadable);
                None
            }
        }
    }

    fn unreadable(&mut self, attribute: &str, why: Unreadable) {
        match why {
            Unreadable::Refused => self.waits = true,
            Unreadable::Invalid(Refusal { reason, hint }) => self.refuse(attribute, reason, hint),
        }
    }

    /// Shape of input `index`, activation or constant.
    pub(crate) fn input_shape(&mut self, index: usize) -> Option<Vec<usize>> {
        match self.input(index)? {
            Input::Value(id) => Some(self.shape(id).to_vec()),
            Input::Constant => self.constant(index, "input").map(|c| c.shape().to_vec()),
        }
    }

    /// The version of ONNX's operator set that the node is written for.
    pub(crate) fn opset(&self) -> i64 {
        self.scope.written.get(&self.index).and_then(|w| w.opset).unwrap_or(self.scope.opset)
    }

    /// Number of the node's inputs, those left out included.
    pub(crate) fn inputs(&self) -> usize {
        self.proto.input.len()
    }

    /// Notes where computing so many elements while reading the model is too much.
    pub(crate) fn may_fold(&mut self, elements: usize) -> bool {
        let fits = self.scope.may_fold(elements);
        if !fits {
            let reason = format!("computes {elements} constant elements, which makes too many in all");
            self.refuse("", reason, "store large constants in the file");
        }
        fits
    }

    /// Number of the node's outputs, unused ones at the end included, all of which the operator makes.
    pub(crate) fn outputs(&mut self) -> usize {
        self.known_outputs = self.proto.output.len();
        self.proto.output.len()
    }

    /// Input `index`, which must be a constant of integers (a shape, axes).
    pub(crate) fn integers(&mut self, index: usize, role: &str) -> Option<Vec<i64>> {
        match self.constant(index, role)? {
            Constant::Int { data, .. } => Some(data),
            Constant::Codes { data, .. } => Some(data.into_iter().map(i64::from).collect()),
            Constant::Float(_) | Constant::Quantized { .. } => {
                self.refuse(role, "is not of integers", DAMAGED);
                None
            }
        }
    }

    /// Input `index`, which must be a constant; `role` names it in messages.
    pub(crate) fn constant(&mut self, index: usize, role: &str) -> Option<Constant> {
        self.input(index)?;
        let name = &self.proto.input[index];
        match self.scope.constant(name, self.index) {
            Ok(Some(constant)) => Some(constant),
            Ok(None) => {
                let reason = format!("{name} is computed by the network, not a constant");
                self.refuse(role, reason, "fold constants first, for example with onnx-simplifier");
                None
            }
            Err(unreadable) => {
                self.unreadable(role, unreadable);
                None
            }
        }
    }

    /// Input `index`, which must be a constant of floats.
    pub(crate) fn floats(&mut self, index: usize, role: &str) -> Option<Param> {
        let constant = self.constant(index, role)?;
        let name = &self.proto.input[index];
        if constant.elements() == 0 {
            self.refuse(role, format!("{name} is empty"), DAMAGED);
            return None;
        }
        let name = self.scope.origin(name).to_string();
        match constant {
            Constant::Float(tensor) => Some(Param::new(name, tensor)),
            Constant::Quantized { tensor, codes } => Some(Param { name, tensor, codes: Some(codes) }),
            Constant::Codes { .. } | Constant::Int { .. } => {
                self.refuse(role, "is of integers", "convert the model to float32");
                None
            }
        }
    }

    /// The constant that the only reader of this node's output adds to it, and that reader's index, where there is such a one and
    /// `accept` takes the constant.
    pub(crate) fn bias_behind(&self, accept: impl Fn(&Constant) -> bool) -> Option<(Param, usize)> {
        let output = self.proto.output.first()?;
        let index = self.scope.only_reader(output)?;
        let add = &self.scope.nodes[index];
        if add.op_type != "Add" || !add.domain_is_onnx() || !add.attribute.is_empty() || add.output.len() != 1 {
            return None;
        }
        let name = match &add.input[..] {
            [a, b] if a == output && b != output => b,
            [a, b] if b == output && a != output => a,
            _ => return None,
        };
        match self.scope.constant(name, index).ok().flatten().filter(accept)? {
            Constant::Float(tensor) => Some((Param::new(name.clone(), tensor), index)),
            Constant::Quantized { .. } | Constant::Codes { .. } | Constant::Int { .. } => None,
        }
    }
}

/// Whether a node is of ONNX's own operator set.
pub(super) trait Domain {
    fn domain_is_onnx(&self) -> bool;
}

impl Domain for NodeProto {
    fn domain_is_onnx(&self) -> bool {
        matches!(self.domain.as_str(), "" | "ai.onnx")
    }
}
