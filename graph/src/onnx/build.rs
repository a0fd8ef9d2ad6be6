//! The graph of a parsed model, node by node.

use super::expand::{Expanded, expand};
use super::external::External;
use super::fold::{self, Plan};
use super::import::ImportOptions;
use super::inputs;
use super::metadata;
use super::node::{Domain, Lowered, NodeReader, Operand, Param, Planned};
use super::scope::{Scope, Slot, Unreadable};
use super::tensor::Constant;
use crate::diagnostic::Diagnostic;
use crate::graph::{Elem, Graph, Op, Value, ValueId};
use crate::op::quantized::{takes_codes, takes_indices};
use onnx_protobuf::{GraphProto, ModelProto, ValueInfoProto};
use std::collections::HashSet;
use std::ops::RangeInclusive;

/// Operator sets taken.
const OPSETS: RangeInclusive<i64> = 7..=25;
/// No activation of a network has more elements.
const MAX_ELEMENTS: usize = 1 << 31;
/// Parameters may take this many times the bytes of the model. More can only come from one tensor used in different ways by very
/// many nodes.
const MAX_EXPANSION: usize = 4;
/// Nobody reads a longer list.
const MAX_PROBLEMS: usize = 1000;
const DAMAGED: &str = "the file may be damaged; export it again";

/// The graph, or everything that stands in the way. `length` is that of the file.
pub(super) fn build(
    mut model: ModelProto,
    length: u64,
    external: External,
    options: &ImportOptions,
) -> Result<Graph, Vec<Diagnostic>> {
    let mut proto = model.graph.take().unwrap_or_default();
    let functions = std::mem::take(&mut model.functions);
    let taken = proto.initializer.iter().map(|t| t.name.clone()).chain(proto.input.iter().map(|i| i.name.clone()));
    let Expanded { nodes, written } = expand(std::mem::take(&mut proto.node), &functions, taken.collect());
    let outputs = proto.output.iter().map(|o| o.name.clone()).collect();
    let scope = Scope::new(&proto.name, &nodes, &written, outputs, external);
    let mut import = Import { scope, options, problems: vec![] };
    import.holds(length);
    for function in functions.iter().filter(|f| f.name.is_empty()) {
        import.refuse(&function.domain, "function", "", "a function has no name", DAMAGED);
    }
    import.model(&model);
    import.graph(proto);
    if import.problems.is_empty() { Ok(import.scope.graph) } else { Err(import.problems) }
}

pub(super) struct Import<'a> {
    pub(super) scope: Scope<'a>,
    pub(super) options: &'a ImportOptions,
    pub(super) problems: Vec<Diagnostic>,
}

impl Import<'_> {
    pub(super) fn refuse(&mut self, node: &str, op: &str, attribute: &str, reason: impl Into<String>, hint: &str) {
        self.problems.push(Diagnostic {
            node: node.into(),
            op: op.into(),
            attribute: attribute.into(),
            reason: reason.into(),
            hint: hint.into(),
        });
    }

    /// Counts bytes that parameters may come from.
    pub(super) fn holds(&mut self, bytes: u64) {
        let elements = usize::try_from(bytes / size_of::<f32>() as u64).unwrap_or(usize::MAX);
        self.scope.stored = self.scope.stored.saturating_add(elements);
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
        for contrib in model.opset_import.iter().filter(|o| o.domain == "com.microsoft" && o.version != 1) {
            let reason = format!("version {} of com.microsoft is not known, only 1", contrib.version);
            self.refuse("", "model", "opset_import", reason, "quantize the model with onnxruntime's tools");
        }
        if !model.training_info.is_empty() {
            self.refuse("", "model", "training_info", "the model carries its training", "export it for inference");
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

    fn graph(&mut self, proto: GraphProto) {
        for sparse in &proto.sparse_initializer {
            let name = sparse.values.name.clone();
            self.refuse(&name, "sparse_initializer", "", "sparse tensors are not supported", "store it densely");
        }
        for tensor in proto.initializer {
            let name = tensor.name.clone();
            self.holds(external_bytes(&tensor));
            // What nothing reads need not stay in memory.
            let slot = if self.scope.is_used(&name) { Slot::Initializer(tensor) } else { Slot::Spent };
            self.define(&name, slot, "initializer");
        }
        inputs::read(self, &proto.input);
        self.nodes();
        if proto.output.is_empty() {
            self.refuse("", "model", "output", "the network has no output", "export it with its output");
        }
        proto.output.iter().for_each(|output| self.output(output));
    }

    fn output(&mut self, output: &ValueInfoProto) {
        let name = output.name.as_str();
        match self.scope.slot(name, usize::MAX) {
            Ok(Slot::Value(id)) => {
                let id = *id;
                self.scope.graph.output(id);
            }
            Ok(Slot::Refused) | Err(Unreadable::Refused) => {}
            Ok(Slot::Initializer(_) | Slot::Constant(..) | Slot::Spent) => self.constant_output(name),
            Err(Unreadable::Invalid(_)) if self.problems.len() > MAX_PROBLEMS => {}
            Err(Unreadable::Invalid(_)) => self.refuse(name, "output", "", "nothing makes it", DAMAGED),
        }
    }

    /// A constant that the network gives out is a node without inputs.
    fn constant_output(&mut self, name: &str) {
        let tensor = match self.scope.constant(name, usize::MAX) {
            Ok(Some(Constant::Float(tensor) | Constant::Quantized { tensor, .. })) if !tensor.data.is_empty() => tensor,
            Err(Unreadable::Invalid(refusal)) => return self.refuse(name, "output", "", refusal.reason, &refusal.hint),
            Ok(_) | Err(Unreadable::Refused) => {
                return self.refuse(name, "output", "", "is a constant that is not of float32", "remove it from the outputs");
            }
        };
        let param = Param::new(self.scope.fresh(format!("{name}.value")), tensor);
        match self.chain(
            name,
            vec![Planned { op: Op::Constant, inputs: vec![], params: vec![param] }],
            &[Operand::Made(0)],
            &[],
        ) {
            Ok(values) => {
                values.iter().for_each(|&id| self.scope.graph.output(id));
                self.scope.names.extend(values.first().map(|&id| (name.to_string(), Slot::Value(id))));
            }
            Err(reason) => self.refuse(name, "output", "", reason, "remove it from the outputs"),
        }
    }

    /// Gives a name its meaning, once.
    pub(super) fn define(&mut self, name: &str, slot: Slot, role: &str) {
        if name.is_empty() {
            self.refuse("", role, "", "has no name", DAMAGED);
        } else if self.scope.names.insert(name.to_string(), slot).is_some() {
            self.refuse(name, role, "", "the name is defined twice", "give every value a name of its own");
        }
    }

    fn nodes(&mut self) {
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
                let lowered = crate::op::from_onnx(&mut reader);
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
            let lowered = crate::op::from_onnx(&mut reader);
            return reader.finish(lowered);
        };
        let id = ValueId(self.scope.graph.values.len());
        let value = Value { name: input.clone(), shape: x.shape.clone(), elem: Elem::F32 };
        self.scope.graph.values.push(value);
        let slot = self.scope.names.insert(input.clone(), Slot::Value(id));
        let lowered = {
            let mut reader = NodeReader::new(&self.scope, index, name.to_string());
            let lowered = crate::op::from_onnx(&mut reader);
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
    fn chain(
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
        let fits = match first {
            Elem::F32 => !matches!(op, Op::Dequantize(_)),
            Elem::U8 | Elem::I8 => takes_codes(op),
            Elem::I64 => takes_indices(op),
        };
        match elems.find(|&other| other != first) {
            Some(other) => Err(format!("computes with {first:?} and {other:?} at once")),
            None if !fits => Err(format!("does not take elements of the type {first:?}")),
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

/// Bytes of a tensor that lie in another file.
fn external_bytes(tensor: &onnx_protobuf::TensorProto) -> u64 {
    if tensor.external_data.is_empty() {
        return 0;
    }
    tensor.dims.iter().try_fold(8u64, |n, &d| n.checked_mul(u64::try_from(d).ok()?)).unwrap_or(0)
}

/// Number of elements, if it is within reason.
pub(super) fn elements(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).filter(|&n| n <= MAX_ELEMENTS)
}
