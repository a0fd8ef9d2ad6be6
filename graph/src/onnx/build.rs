//! The graph of a parsed model, node by node.

use super::expand::{Expanded, expand};
use super::external::External;
use super::inputs;
use super::lowered::{Operand, Param, Planned};
use super::metadata;
use super::nodes::{MAX_PROBLEMS, OPSETS};
use super::options::ImportOptions;
use super::reading::{DAMAGED, Reading};
use super::scope::{Scope, Slot, Unreadable};
use super::tensor::Constant;
use crate::diagnostic::Diagnostic;
use crate::graph::{Graph, Op};
use onnx_protobuf::{GraphProto, ModelProto, ValueInfoProto};

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
    let mut reading = Reading { scope, options, problems: vec![] };
    reading.holds(length);
    for function in functions.iter().filter(|f| f.name.is_empty()) {
        reading.refuse(&function.domain, "function", "", "a function has no name", DAMAGED);
    }
    reading.model(&model);
    reading.graph(proto);
    if reading.problems.is_empty() { Ok(reading.scope.graph) } else { Err(reading.problems) }
}

impl Reading<'_> {
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
}

/// Bytes of a tensor that lie in another file.
fn external_bytes(tensor: &onnx_protobuf::TensorProto) -> u64 {
    if tensor.external_data.is_empty() {
        return 0;
    }
    tensor.dims.iter().try_fold(8u64, |n, &d| n.checked_mul(u64::try_from(d).ok()?)).unwrap_or(0)
}
