//! A network that learns: a [`Graph`] whose parameters are dfdx tensors.

use crate::backend::{Backend, raw};
use crate::dataset::Batch;
use crate::forward::{Mode, forward};
use crate::ops::{Activation, Weight, loss::softmax_cross_entropy, put, take};
use crate::optim::Sgd;
use crate::plan::{Plan, Untrained};
use crate::targets::Targets;
use dfdx::prelude::*;
use staticnet_graph::graph::Graph;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Gradients of parameters.
pub type ParamGradients = Gradients<f32, Cpu>;

/// A graph and its parameters on the device.
#[derive(Debug)]
pub struct Network<B> {
    backend: Arc<B>,
    device: Cpu,
    graph: Graph,
    plan: Plan,
    params: BTreeMap<String, Weight>,
}

impl<B: Backend> Network<B> {
    /// Takes over the parameters of `graph`.
    ///
    /// # Errors
    /// Every node that the trainer cannot train.
    pub fn new(backend: Arc<B>, graph: Graph) -> Result<Self, Untrained> {
        let plan = Plan::new(&graph)?;
        let device = Cpu::default();
        // Every step allocates the same sizes: dfdx then reuses the buffers of the step before.
        device.enable_cache();
        let tensor = |data: &Vec<f32>| device.tensor_from_vec(data.clone(), (data.len(),));
        let params = graph.params.iter().map(|(name, p)| (name.clone(), tensor(&p.data))).collect();
        Ok(Network { plan, backend, device, graph, params })
    }

    /// The graph with the parameters as they are now.
    pub fn to_graph(&self) -> Graph {
        let mut graph = self.graph.clone();
        for (name, param) in &mut graph.params {
            param.data.copy_from_slice(raw::slice(&self.params[name]));
        }
        graph
    }

    /// Number of scores of a sample.
    pub fn classes(&self) -> usize {
        self.graph.value(self.graph.outputs[0]).elements()
    }

    fn batch(&self, images: Vec<f32>, count: usize) -> Result<Activation, CpuError> {
        let elements = images.len() / count;
        self.device.try_tensor_from_vec(images, (count, elements))
    }

    /// Scores (logits) of `count` samples `[N, C, H, W]`, as `count` rows of [`Network::classes`].
    ///
    /// # Errors
    /// The device's, when memory runs out.
    pub fn evaluate(&self, images: Vec<f32>, count: usize) -> Result<Vec<f32>, CpuError> {
        let x = self.batch(images, count)?;
        let (outputs, _) = forward(&self.backend, &self.graph, &self.plan, &self.params, vec![x], Mode::Evaluate, NoneTape)?;
        Ok(raw::slice(&outputs[0]).to_vec())
    }

    /// Loss of a batch of epoch `epoch`, and the gradients of all parameters, added to those `before`. `seed` is the key of the dropout
    /// masks.
    ///
    /// # Errors
    /// The device's, when memory runs out.
    pub fn backward(
        &self,
        batch: Batch,
        seed: u64,
        epoch: u32,
        before: Option<ParamGradients>,
    ) -> Result<(f32, ParamGradients), CpuError> {
        let Batch { images, targets, indices } = batch;
        let Targets::Classes(labels) = targets else { panic!("softmax cross-entropy is for classes") };
        let x = self.batch(images, labels.len())?;
        let mode = Mode::Train { seed, epoch, samples: &indices };
        // dfdx hands out a tape only around a tensor.
        let (x, tape) = x.traced(self.moved(before)?).split_tape();
        let (mut outputs, tape) = forward(&self.backend, &self.graph, &self.plan, &self.params, vec![x], mode, tape)?;
        let loss = softmax_cross_entropy(&self.backend, outputs.swap_remove(0).put_tape(tape), &labels)?;
        let value = loss.array();
        Ok((value, loss.try_backward()?))
    }

    /// The gradients of the parameters alone, without those of the activations that stand beside them.
    fn moved(&self, before: Option<ParamGradients>) -> Result<ParamGradients, CpuError> {
        let mut moved = Gradients::leaky();
        if let Some(mut before) = before {
            for param in self.params.values() {
                put(&mut moved, param, take(&mut before, param)?)?;
            }
        }
        Ok(moved)
    }

    /// Moves the parameters along their gradients.
    ///
    /// # Errors
    /// The device's, when memory runs out.
    pub fn update(&mut self, optimiser: &mut Sgd, mut gradients: ParamGradients, lr: f32) -> Result<(), CpuError> {
        optimiser.step(self.backend.as_ref(), &mut self.params, &mut gradients, lr)
    }

    /// The first layer with a parameter that is not finite, in words.
    pub fn broken(&self) -> Option<String> {
        let finite = |name: &String| raw::slice(&self.params[name]).iter().all(|v| v.is_finite());
        let names = self.graph.nodes.iter().flat_map(|node| &node.params);
        names.into_iter().find(|name| !finite(name)).map(|name| format!("the weights {name}"))
    }
}
