//! Graph to [`Network`]: NCHW to NHWC, one file for each operator that has work to do.
//!
//! Flatten, Dropout and Identity make no layer: their output is another name for their input. Where a fully connected layer
//! reads a flattened tensor its weights are permuted, so nothing moves on the device.

mod conv;
mod linear;

use crate::network::{Layer, Network, Tensor};
use staticnet::op;
use staticnet_graph::diagnostic::Diagnostic;
use staticnet_graph::graph::{Graph, Node, Op};

/// Lowers a graph.
///
/// # Errors
/// Everything that the runtime cannot run, at once.
pub fn lower(graph: &Graph) -> Result<Network, Vec<Diagnostic>> {
    let mut lowering = Lowering { graph, tensor_of: vec![None; graph.values.len()], network: Network::default() };
    let mut problems = Vec::new();
    lowering.network.name = graph.name.clone();
    lowering.network.preprocess = graph.preprocess;
    lowering.network.labels = graph.labels.clone();
    for &input in &graph.inputs {
        match lowering.tensor(input.0) {
            Ok(tensor) => lowering.network.inputs.push(tensor),
            Err(problem) => problems.push(problem),
        }
    }
    for node in &graph.nodes {
        // After a problem the values behind it are unknown; their nodes are skipped, not reported.
        if node.inputs.iter().all(|i| lowering.tensor_of[i.0].is_some())
            && let Err(problem) = lowering.node(node)
        {
            problems.push(problem);
        }
    }
    for &output in &graph.outputs {
        let Some(tensor) = lowering.tensor_of[output.0] else { continue };
        match lowering.output(output.0, tensor) {
            Ok(()) => lowering.network.outputs.push(tensor),
            Err(problem) => problems.push(problem),
        }
    }
    if let (Some(preprocess), Some(&first)) = (graph.preprocess, lowering.network.inputs.first()) {
        let t = &lowering.network.tensors[first];
        if [preprocess.height as u32, preprocess.width as u32, preprocess.channels as u32] != [t.height, t.width, t.channels] {
            problems.push(problem(
                &t.name,
                "input",
                "preprocess",
                format!("the stored preprocessing makes {}x{}x{}", preprocess.height, preprocess.width, preprocess.channels),
                "export the model again with the preprocessing of its input's size",
            ));
        }
    }
    if problems.is_empty() { Ok(lowering.network) } else { Err(problems) }
}

/// A diagnostic from its parts.
pub(crate) fn problem(node: &str, op: &str, attribute: &str, reason: String, hint: &str) -> Diagnostic {
    Diagnostic { node: node.into(), op: op.into(), attribute: attribute.into(), reason, hint: hint.into() }
}

struct Lowering<'g> {
    graph: &'g Graph,
    /// The network's tensor that holds each of the graph's values.
    tensor_of: Vec<Option<usize>>,
    network: Network,
}

impl Lowering<'_> {
    /// A new tensor for a value of the graph.
    fn tensor(&mut self, value: usize) -> Result<usize, Diagnostic> {
        let v = &self.graph.values[value];
        let dims: Option<Vec<u32>> =
            v.shape.iter().map(|&d| u32::try_from(d).ok().filter(|d| (1..=65_535).contains(d))).collect();
        let (rank, height, width, channels) = match dims.as_deref() {
            Some(&[1, c, h, w]) => (4, h, w, c),
            Some(&[1, f]) => (2, 1, 1, f),
            _ => {
                let reason = format!("shape {:?} is not [1, C, H, W] or [1, F] with dimensions from 1 to 65,535", v.shape);
                return Err(problem(
                    &v.name,
                    "value",
                    "shape",
                    reason,
                    "batch 1 and at most four dimensions run on the device",
                ));
            }
        };
        self.network.tensors.push(Tensor { name: v.name.clone(), rank, height, width, channels });
        let index = self.network.tensors.len() - 1;
        self.tensor_of[value] = Some(index);
        Ok(index)
    }

    fn node(&mut self, node: &Node) -> Result<(), Diagnostic> {
        let Some(input) = self.tensor_of[node.inputs[0].0] else { return Ok(()) };
        let (op, weights, bias) = match &node.op {
            Op::Dropout { .. } | Op::Identity | Op::Flatten => {
                self.tensor_of[node.output.0] = Some(input);
                return Ok(());
            }
            Op::Conv(attrs) => conv::lower(self.graph, node, *attrs)?,
            Op::Linear => linear::lower(self.graph, node, &self.network.tensors[input])?,
            Op::MaxPool(attrs) => (op::Op::MaxPool(*attrs), Vec::new(), Vec::new()),
            Op::Lrn(attrs) => (op::Op::Lrn(*attrs), Vec::new(), Vec::new()),
            Op::Relu => (op::Op::Relu, Vec::new(), Vec::new()),
        };
        let output = match &node.op {
            // The layer works on the tensor as it lies in memory, which a Flatten before it has only renamed.
            Op::Relu => self.tensor_like(node.output.0, input),
            _ => self.tensor(node.output.0)?,
        };
        self.network.layers.push(Layer { name: node.name.clone(), op, input, output, relu: false, weights, bias });
        Ok(())
    }

    /// A new tensor for a value, of the shape that `like` has in memory.
    fn tensor_like(&mut self, value: usize, like: usize) -> usize {
        let tensor = Tensor { name: self.graph.values[value].name.clone(), ..self.network.tensors[like].clone() };
        self.network.tensors.push(tensor);
        let index = self.network.tensors.len() - 1;
        self.tensor_of[value] = Some(index);
        index
    }

    /// Makes a tensor a network output of the graph's rank.
    fn output(&mut self, value: usize, tensor: usize) -> Result<(), Diagnostic> {
        let v = &self.graph.values[value];
        let t = &mut self.network.tensors[tensor];
        if v.shape.len() == 2 && (t.height, t.width) != (1, 1) {
            let reason = "a flattened picture as an output would need its elements moved".to_string();
            return Err(problem(&v.name, "output", "shape", reason, "make the value before the Flatten the output"));
        }
        t.rank = v.shape.len() as u8;
        Ok(())
    }
}
