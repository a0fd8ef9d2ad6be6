//! Interprets a [`Graph`] with dfdx tensors.

use crate::backend::{Backend, ConvShape, LinearShape, LrnShape, PoolShape};
use crate::ops::{self, Activation, LayerParams, Weight};
use crate::rng::{KeyedRng, stream};
use dfdx::prelude::*;
use staticnet_graph::graph::{Graph, Node, Op, ValueId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How to run the net.
#[derive(Clone, Copy, Debug)]
pub enum Mode<'a> {
    /// Dropout is the identity.
    Evaluate,
    /// Dropout draws.
    Train {
        /// Key of all random numbers.
        seed: u64,
        /// Number of the epoch.
        epoch: u32,
        /// Number of each sample of the batch within the data set: its masks are the same in whatever batch it comes.
        samples: &'a [u32],
    },
}

/// A graph prepared to be run: which ReLUs are fused, what needs a gradient, when a value is used last.
#[derive(Debug)]
pub struct Plan {
    /// For each node: whether the node after it is a ReLU that it computes itself.
    fused: Vec<bool>,
    /// For each node: whether it is such a ReLU.
    absorbed: Vec<bool>,
    /// For each value: whether a parameter has a part in it.
    learns: Vec<bool>,
    /// For each value: the last node that reads it, if any.
    last_use: Vec<Option<usize>>,
}

impl Plan {
    /// Looks through `graph`.
    pub fn new(graph: &Graph) -> Self {
        let mut plan = Plan {
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
            if let Some(relu) = sole_relu(graph, node) {
                plan.fused[i] = true;
                plan.absorbed[relu] = true;
            }
        }
        plan
    }
}

/// The ReLU that alone reads the output of a convolution or fully connected layer.
fn sole_relu(graph: &Graph, node: &Node) -> Option<usize> {
    match node.op {
        Op::Conv(_) | Op::Linear => {}
        Op::MaxPool(_) | Op::Lrn(_) | Op::Relu | Op::Dropout { .. } | Op::Flatten | Op::Identity => return None,
    }
    if graph.outputs.contains(&node.output) {
        return None;
    }
    let mut readers = graph.nodes.iter().enumerate().filter(|(_, n)| n.inputs.contains(&node.output));
    match (readers.next(), readers.next()) {
        (Some((i, reader)), None) if reader.op == Op::Relu => Some(i),
        _ => None,
    }
}

/// Runs `graph` on a batch and returns its outputs, and the tape with all that was recorded.
///
/// The tape travels apart from the values, so a value may be used by any number of nodes. `params` holds every parameter of the
/// graph by name, `inputs` one `[N, elements]` batch for each network input.
///
/// # Errors
/// The device's, when memory runs out.
///
/// # Panics
/// Panics where `inputs` or `params` do not fit the graph.
pub fn forward<B: Backend, T: Tape<f32, Cpu>>(
    backend: &Arc<B>,
    graph: &Graph,
    plan: &Plan,
    params: &BTreeMap<String, Weight>,
    inputs: Vec<Activation>,
    mode: Mode<'_>,
) -> Result<(Vec<Activation>, T), CpuError> {
    let mut values: Vec<Option<Activation>> = vec![None; graph.values.len()];
    for (id, input) in graph.inputs.iter().zip(inputs) {
        assert_eq!(input.shape().1, graph.value(*id).elements(), "input {}", graph.value(*id).name);
        values[id.0] = Some(input);
    }
    let mut tape = T::default();
    for (i, node) in graph.nodes.iter().enumerate() {
        let x = values[node.inputs[0].0].clone().expect("nodes stand in execution order");
        let traced = x.put_tape(tape);
        let step = Step { backend, graph, plan, params, index: i, node };
        let (y, recorded) = step.run(traced, mode)?.split_tape();
        tape = recorded;
        values[node.output.0] = Some(y);
        for x in &node.inputs {
            if plan.last_use[x.0] == Some(i) && !graph.outputs.contains(x) {
                values[x.0] = None;
            }
        }
    }
    let output = |id: &ValueId| values[id.0].clone().expect("every output is made by a node");
    Ok((graph.outputs.iter().map(output).collect(), tape))
}

/// One node about to run.
struct Step<'a, B> {
    backend: &'a Arc<B>,
    graph: &'a Graph,
    plan: &'a Plan,
    params: &'a BTreeMap<String, Weight>,
    index: usize,
    node: &'a Node,
}

impl<B: Backend> Step<'_, B> {
    fn run<T: Tape<f32, Cpu>>(&self, x: Activation<T>, mode: Mode<'_>) -> Result<Activation<T>, CpuError> {
        let batch = x.shape().0;
        let relu = self.plan.fused[self.index];
        let learns = self.plan.learns[self.node.inputs[0].0];
        let (input, output) = (self.graph.shape(self.node.inputs[0]), self.graph.shape(self.node.output));
        match self.node.op {
            Op::Conv(attrs) => {
                let groups = attrs.groups as usize;
                let (input, output) = ([input[1], input[2], input[3]], [output[1], output[2], output[3]]);
                let shape = ConvShape { batch, input, output, window: attrs.window, groups, relu };
                ops::conv::conv2d(self.backend, shape, x, self.layer(), learns)
            }
            Op::Linear => {
                let shape = LinearShape { batch, inputs: input[1], outputs: output[1], relu };
                ops::linear::linear(self.backend, shape, x, self.layer(), learns)
            }
            Op::MaxPool(attrs) => {
                let (planes, window) = (batch * input[1], attrs.window);
                let shape = PoolShape { planes, input: [input[2], input[3]], output: [output[2], output[3]], window };
                ops::pool::max_pool(self.backend, shape, x)
            }
            Op::Lrn(attrs) => {
                let shape = LrnShape { batch, channels: input[1], plane: input[2] * input[3], attrs };
                ops::lrn::lrn(self.backend, shape, x)
            }
            Op::Relu if self.plan.absorbed[self.index] => Ok(x),
            Op::Relu => ops::relu::relu(self.backend, x),
            Op::Dropout { ratio } => match mode {
                Mode::Train { seed, epoch, samples } if ratio > 0.0 => {
                    let layer = stream::DROPOUT + self.index as u32;
                    let mask = |sample: &u32| KeyedRng::new(seed, epoch, u64::from(*sample), layer);
                    ops::dropout::dropout(self.backend, samples.iter().map(mask).collect(), ratio, x)
                }
                Mode::Train { .. } | Mode::Evaluate => Ok(x),
            },
            Op::Flatten | Op::Identity => Ok(x),
        }
    }

    fn layer(&self) -> LayerParams<'_> {
        LayerParams { weight: &self.params[&self.node.params[0]], bias: &self.params[&self.node.params[1]] }
    }
}
