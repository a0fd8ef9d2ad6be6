//! The nodes of a model, one after the other, as nodes of the graph or constants.

use super::fold::{self, Plan};
use super::lowered::{Lowered, Operand, Planned};
use super::node::{Domain, NodeReader};
use super::reading::{Reading, elements};
use super::scope::Slot;
use super::tensor::Constant;
use crate::diagnostic::Diagnostic;
use crate::graph::{Elem, Op, Value, ValueId};
use crate::op;
use std::collections::HashSet;
use std::ops::RangeInclusive;

/// Operator sets taken.
pub(super) const OPSETS: RangeInclusive<i64> = 7..=25;
/// Parameters may take this many times the bytes of the model. More can only come from one tensor used in different ways by very
/// many nodes.
const MAX_EXPANSION: usize = 4;
/// Nobody reads a longer list.
pub(super) const MAX_PROBLEMS: usize = 1000;

impl Reading<'_> {
    pub(super) fn nodes(&mut self) {
        let nodes = self.scope.nodes;
        // A constant needs nothing, and a bias may be looked for before its own node comes.
        let is_constant = |index: &usize| nodes[*index].op_type == "Constant" && nodes[*index].domain_is_onnx();
        let (first, then): (Vec<usize>, Vec<usize>) = (0..nodes.len()).partition(is_constant);
        // Said already when the nodes were written out.
        let mut unwritten: Vec<_> = self.scope.written.iter().filter(|(_, w)| w.problem.is_some()).collect();
        unwritten.sort_by_key(|(index, _)| **index);
        self.problems.extend(unwritten.into_iter().take(MAX_PROBLEMS).filter_map(|(_, w)| w.problem.clone()));
        let mut names = HashSet::new();
        let mut absorbed = HashSet::new();
        for index in first.into_iter().chain(then) {
            if self.problems.len() >= MAX_PROBLEMS {
                self.refuse("", "model", "", "there are more problems than can be listed", "begin with the first ones");
                return;
            }
            if !absorbed.contains(&index) {
                let name = self.node_name(index, &mut names);
                absorbed.extend(self.node(index, name));
            }
            self.scope.forget(index);
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
        let written = self.scope.written.get(&index);
        let op_type = written.map_or(&proto.op_type, |w| &w.op);
        if written.is_some_and(|w| w.problem.is_some()) {
            self.define_outputs(index, vec![]);
            return None;
        }
        if let Some(opset) = written.and_then(|w| w.opset).filter(|opset| !OPSETS.contains(opset)) {
            let reason = format!("is written for the operator set {opset}, not one of {} to {}", OPSETS.start(), OPSETS.end());
            self.refuse(&name, op_type, "opset", reason, "convert the model with onnx.version_converter");
            self.define_outputs(index, vec![]);
            return None;
        }
        let lowered = match fold::plan(&self.scope, index, proto) {
            Plan::Node => {
                let mut reader = NodeReader::new(&self.scope, index, name.clone());
                let lowered = op::from_onnx(&mut reader);
                reader.finish(lowered)
            }
            Plan::Fold => {
                let mut reader = NodeReader::new(&self.scope, index, name.clone());
                let lowered = fold::fold(&mut reader);
                reader.finish(lowered)
            }
            Plan::Run => self.run(index, &name),
            Plan::Skip => {
                let spent = proto.output.iter().map(|_| Slot::Spent).collect();
                self.define_outputs(index, spent);
                return None;
            }
        };
        let mut absorbed = None;
        let slots = match lowered {
            Ok(Lowered::Constants(constants)) => {
                let origin = single_origin(proto).map(|source| self.scope.origin(source).to_string());
                constants.into_iter().map(|c| Slot::Constant(c, origin.clone())).collect()
            }
            Ok(Lowered::Nodes { nodes, outputs, absorbs }) => {
                absorbed = absorbs;
                let made_by = absorbs.map_or(proto, |other| &self.scope.nodes[other]);
                match self.chain(&name, nodes, &outputs, &made_by.output) {
                    Ok(values) => values.into_iter().map(Slot::Value).collect(),
                    Err(reason) => {
                        self.refuse(&name, op_type, "", reason, "check the model with onnx.checker (full_check=True)");
                        vec![]
                    }
                }
            }
            Err(problems) => {
                self.problems.extend(problems);
                vec![]
            }
        };
        self.define_outputs(absorbed.unwrap_or(index), slots);
        absorbed
    }

    fn define_outputs(&mut self, index: usize, slots: Vec<Slot>) {
        let mut slots = slots.into_iter();
        for output in &self.scope.nodes[index].output {
            let slot = slots.next().unwrap_or(Slot::Refused);
            if !output.is_empty() {
                self.define(output, slot, "value");
            }
        }
    }

    /// Reads a node of constants as if its first input were an activation, and computes it.
    fn run(&mut self, index: usize, name: &str) -> Result<Lowered, Vec<Diagnostic>> {
        let input = &self.scope.nodes[index].input[0];
        let constant = self.scope.constant(input, index);
        let (Ok(Some(Constant::Float(x) | Constant::Quantized { tensor: x, .. })), false) = (constant, input.is_empty()) else {
            // Whatever is wrong with it, the operator says so.
            let mut reader = NodeReader::new(&self.scope, index, name.to_string());
            let lowered = op::from_onnx(&mut reader);
            return reader.finish(lowered);
        };
        let id = ValueId(self.scope.graph.values.len());
        let value = Value { name: input.clone(), shape: x.shape.clone(), elem: Elem::F32 };
        self.scope.graph.values.push(value);
        let slot = self.scope.names.insert(input.clone(), Slot::Value(id));
        let lowered = {
            let mut reader = NodeReader::new(&self.scope, index, name.to_string());
            let lowered = op::from_onnx(&mut reader);
            match lowered {
                Some(Lowered::Nodes { nodes, outputs, absorbs: None }) => {
                    match fold::run(&nodes, &outputs, (id, &x), |elements| self.scope.may_fold(elements)) {
                        Ok(constants) => reader.finish(Some(Lowered::Constants(constants))),
                        Err(reason) => {
                            reader.refuse("", reason, "check the model with onnx.checker (full_check=True)");
                            reader.finish(None)
                        }
                    }
                }
                other => reader.finish(other),
            }
        };
        self.scope.names.extend(slot.map(|slot| (input.clone(), slot)));
        self.scope.graph.values.truncate(id.0);
        lowered
    }

    /// Adds the nodes that one ONNX node becomes; the one that makes its first output gets its name. Returns the values that stand for
    /// the outputs.
    pub(super) fn chain(
        &mut self,
        name: &str,
        nodes: Vec<Planned>,
        outputs: &[Operand],
        named: &[String],
    ) -> Result<Vec<ValueId>, String> {
        let mut made: Vec<ValueId> = vec![];
        for (place, planned) in nodes.into_iter().enumerate() {
            let output = outputs.iter().position(|o| *o == Operand::Made(place));
            let node_name = if output == Some(0) { name.to_string() } else { format!("{name}/{place}") };
            let value_name = match output.and_then(|i| named.get(i)).filter(|n| !n.is_empty()) {
                Some(given) => given.clone(),
                None if output == Some(0) => node_name.clone(),
                None => self.scope.fresh(node_name.clone()),
            };
            let params: Vec<String> = planned.params.into_iter().map(|p| self.scope.add_param(p, name)).collect();
            let inputs: Vec<ValueId> = planned.inputs.iter().map(|operand| value(operand, &made)).collect::<Result<_, _>>()?;
            self.elements_fit(&planned.op, &inputs)?;
            let id = self.scope.graph.add_named(&node_name, planned.op, &inputs, &params, &value_name).map_err(|e| e.reason)?;
            self.reasonable(id)?;
            made.push(id);
        }
        outputs.iter().map(|operand| value(operand, &made)).collect()
    }

    /// Whether the operator takes the element types of its inputs.
    fn elements_fit(&self, op: &Op, inputs: &[ValueId]) -> Result<(), String> {
        let mut elems = inputs.iter().map(|&id| self.scope.graph.value(id).elem);
        let Some(first) = elems.next() else { return Ok(()) };
        match elems.find(|&other| other != first) {
            Some(other) => Err(format!("computes with {first:?} and {other:?} at once")),
            None if !op::takes(op, first) => Err(format!("does not take elements of the type {first:?}")),
            None => Ok(()),
        }
    }

    /// Whether the value just made, and all parameters, have sizes that a real network could have.
    fn reasonable(&self, id: ValueId) -> Result<(), String> {
        let shape = self.scope.graph.shape(id);
        match elements(shape) {
            None => return Err(format!("its output {shape:?} is absurdly large")),
            Some(0) => return Err(format!("its output {shape:?} is empty")),
            Some(_) => {}
        }
        if self.scope.param_elements / MAX_EXPANSION > self.scope.stored.saturating_add(self.scope.folded()) {
            return Err("constants used in too many ways; give every node its own".into());
        }
        Ok(())
    }
}

fn value(operand: &Operand, made: &[ValueId]) -> Result<ValueId, String> {
    match operand {
        Operand::Value(id) => Ok(*id),
        Operand::Made(i) => made.get(*i).copied().ok_or_else(|| "reads a value before it is made".to_string()),
    }
}

/// The input that a constant made by the node is another form of.
fn single_origin(node: &onnx_protobuf::NodeProto) -> Option<&str> {
    let moved = ["DequantizeLinear", "QuantizeLinear", "Identity", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten"];
    node.input.first().filter(|_| moved.contains(&node.op_type.as_str())).map(String::as_str)
}
