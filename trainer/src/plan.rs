//! A graph looked through before it is run: what each node is to the trainer, and what the nodes have to do with each other.

use staticnet::op::{Conv2d, Function, Lrn, MaxPool};
use staticnet_graph::diagnostic::Diagnostic;
use staticnet_graph::graph::{Graph, Node, Op};
use std::fmt;

/// What the trainer can do, forward and backward.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Trained {
    /// Convolution.
    Conv(Conv2d),
    /// Fully connected.
    Linear,
    /// Maximum over a window.
    MaxPool(MaxPool),
    /// Local response normalisation.
    Lrn(Lrn),
    /// `max(x, 0)`.
    Relu,
    /// Drops with this probability while training.
    Dropout(f32),
    /// The same numbers in the same order: nothing to do.
    Pass,
}

impl Trained {
    /// The kind of layer, if it has parameters.
    fn kind(self) -> Option<Kind> {
        match self {
            Trained::Conv(_) => Some(Kind::Conv),
            Trained::Linear => Some(Kind::Linear),
            Trained::MaxPool(_) | Trained::Lrn(_) | Trained::Relu | Trained::Dropout(_) | Trained::Pass => None,
        }
    }
}

/// A kind of layer that has parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Convolution.
    Conv,
    /// Fully connected.
    Linear,
}

impl Kind {
    /// Of the layers of an operator; nothing if the trainer learns no parameters of them.
    pub(crate) fn of(op: &Op) -> Option<Kind> {
        form(op).and_then(Trained::kind)
    }

    /// As rules name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Conv => "conv",
            Kind::Linear => "linear",
        }
    }
}

/// What a parameter is to its layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It multiplies.
    Weight,
    /// It is added.
    Bias,
}

impl Role {
    /// As rules name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Role::Weight => "weight",
            Role::Bias => "bias",
        }
    }
}

/// Everything in a graph that the trainer cannot train yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untrained(pub Vec<Diagnostic>);

impl fmt::Display for Untrained {
    /// One problem a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(Diagnostic::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for Untrained {}

/// A graph prepared to be run: what its nodes do, which ReLUs are fused, what needs a gradient, when a value is used last.
#[derive(Debug)]
pub struct Plan {
    /// What each node does.
    pub(crate) trained: Vec<Trained>,
    /// For each node: whether the node after it is a ReLU that it computes itself.
    pub(crate) fused: Vec<bool>,
    /// For each node: whether it is such a ReLU.
    pub(crate) absorbed: Vec<bool>,
    /// For each value: whether a parameter has a part in it.
    pub(crate) learns: Vec<bool>,
    /// For each value: the last node that reads it, if any.
    pub(crate) last_use: Vec<Option<usize>>,
}

impl Plan {
    /// Looks through `graph`.
    ///
    /// # Errors
    /// Every node that cannot be trained.
    pub fn new(graph: &Graph) -> Result<Self, Untrained> {
        let (mut all, mut problems) = (Vec::with_capacity(graph.nodes.len()), Vec::new());
        for node in &graph.nodes {
            match trained(graph, node) {
                Ok(trained) => all.push(trained),
                Err(problem) => problems.push(problem),
            }
        }
        if !problems.is_empty() {
            return Err(Untrained(problems));
        }
        let mut plan = Plan {
            trained: all,
            fused: vec![false; graph.nodes.len()],
            absorbed: vec![false; graph.nodes.len()],
            learns: vec![false; graph.values.len()],
            last_use: vec![None; graph.values.len()],
        };
        for (i, node) in graph.nodes.iter().enumerate() {
            plan.learns[node.output.0] = !node.params.is_empty() || node.inputs.iter().any(|x| plan.learns[x.0]);
            for x in &node.inputs {
                plan.last_use[x.0] = Some(i);
            }
            if let Some(relu) = sole_relu(graph, node, plan.trained[i]) {
                plan.fused[i] = true;
                plan.absorbed[relu] = true;
            }
        }
        Ok(plan)
    }
}

/// What a node is to the trainer.
fn trained(graph: &Graph, node: &Node) -> Result<Trained, Diagnostic> {
    let refused = |attribute: &str, reason: String, hint: &str| Diagnostic {
        node: node.name.clone(),
        op: node.op.name().into(),
        attribute: attribute.into(),
        reason,
        hint: hint.into(),
    };
    let one_sample = |shape: &[usize]| shape.first() == Some(&1);
    if let Some(value) = node.inputs.iter().chain([&node.output]).find(|&&value| !one_sample(graph.shape(value))) {
        let reason = format!("has shape {:?}; the first dimension must be 1, the batch", graph.shape(*value));
        return Err(refused("shape", reason, "keep the batch in front"));
    }
    match form(&node.op) {
        Some(Trained::Linear) if graph.shape(node.inputs[0]).len() != 2 => {
            let reason = format!("its input has shape {:?}; rows of features are not trained yet", graph.shape(node.inputs[0]));
            Err(refused("shape", reason, "flatten the input first"))
        }
        Some(trained) => Ok(trained),
        None => {
            let hint = "train it elsewhere and give the ONNX model to the exporter, or use convolutions, fully connected layers, \
                        max-pools, LRN, ReLU and dropout";
            Err(refused("", "the trainer has no gradient of it yet".into(), hint))
        }
    }
}

/// What an operator is to the trainer; nothing if it has no gradient of it. The one place that names all of them.
fn form(op: &Op) -> Option<Trained> {
    match op {
        Op::Conv(attrs) => Some(Trained::Conv(*attrs)),
        Op::Linear => Some(Trained::Linear),
        Op::MaxPool(attrs) => Some(Trained::MaxPool(*attrs)),
        Op::Lrn(attrs) => Some(Trained::Lrn(*attrs)),
        Op::Relu => Some(Trained::Relu),
        Op::Dropout { ratio } => Some(Trained::Dropout(*ratio)),
        Op::Flatten | Op::Identity | Op::Reshape { .. } => Some(Trained::Pass),
        Op::Unary(function) if *function == Function::Identity => Some(Trained::Pass),
        Op::MatMul
        | Op::AveragePool(_)
        | Op::LpPool(_)
        | Op::BatchNorm { .. }
        | Op::Unary(_)
        | Op::PRelu
        | Op::Softmax { .. }
        | Op::Binary(_)
        | Op::Concat { .. }
        | Op::Slice { .. }
        | Op::Transpose { .. }
        | Op::Pad { .. }
        | Op::ReduceMean { .. }
        | Op::ArgMax { .. }
        | Op::Resize(_)
        | Op::Constant
        | Op::Quantize(_)
        | Op::Dequantize(_) => None,
    }
}

/// The ReLU that alone reads the output of a convolution or fully connected layer.
fn sole_relu(graph: &Graph, node: &Node, trained: Trained) -> Option<usize> {
    match trained {
        Trained::Conv(_) | Trained::Linear => {}
        Trained::MaxPool(_) | Trained::Lrn(_) | Trained::Relu | Trained::Dropout(_) | Trained::Pass => return None,
    }
    if graph.outputs.contains(&node.output) {
        return None;
    }
    let mut readers = graph.nodes.iter().enumerate().filter(|(_, n)| n.inputs.contains(&node.output));
    let (Some((i, reader)), None) = (readers.next(), readers.next()) else { return None };
    (reader.op == Op::Relu).then_some(i)
}

#[cfg(test)]
mod tests {
    use super::*;
    use staticnet::op::BinaryOp;

    #[test]
    fn what_cannot_be_trained_is_named_all_at_once() {
        let mut graph = Graph::new("residual");
        let x = graph.input("x", &[1, 4, 3, 3]);
        let swish = graph.add("swish", Op::Unary(Function::HardSwish), &[x], &[]).unwrap();
        let sum = graph.add("sum", Op::Binary(BinaryOp::Add), &[x, swish], &[]).unwrap();
        let rows = graph.add("rows", Op::Reshape { shape: vec![1, 4, 9] }, &[sum], &[]).unwrap();
        let fc = graph.linear("fc", rows, 2);
        assert!(fc.is_err(), "Graph::linear is for flat inputs");
        graph.params.insert("fc.weight".into(), staticnet_graph::graph::Tensor::zeros(&[2, 9]));
        let params = ["fc.weight".to_string(), "fc.bias".to_string()];
        let fc = graph.add("fc", Op::Linear, &[rows], &params).unwrap();
        graph.output(fc);
        let Untrained(problems) = Plan::new(&graph).unwrap_err();
        let named: Vec<(&str, &str)> = problems.iter().map(|p| (p.node.as_str(), p.op.as_str())).collect();
        assert_eq!(named, [("swish", "HardSwish"), ("sum", "Add"), ("fc", "Gemm")]);
    }

    #[test]
    fn what_only_renames_elements_passes() {
        let mut graph = Graph::new("reshaped");
        let x = graph.input("x", &[1, 4, 3, 3]);
        let y = graph.add("reshape", Op::Reshape { shape: vec![1, 36] }, &[x], &[]).unwrap();
        graph.output(y);
        assert_eq!(Plan::new(&graph).unwrap().trained, [Trained::Pass]);
    }
}
