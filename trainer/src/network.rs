//! A network that learns: a [`Graph`] whose parameters are dfdx tensors.

use crate::backend::{Backend, raw};
use crate::dataset::Batch;
use crate::forward::{Mode, forward};
use crate::ops::{Activation, Weight, loss::softmax_cross_entropy};
use crate::optim::Sgd;
use crate::plan::{Plan, Untrained};
use crate::targets::Targets;
use dfdx::prelude::*;
use staticnet_graph::graph::Graph;
use std::collections::BTreeMap;
use std::sync::Arc;

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
        // The device keeps the buffer of a dropped tensor for the next of its size. One that it did not hand out itself would never be
        // asked for again: each batch would stay in memory.
        let mut batch = self.device.try_zeros_like(&(count, images.len() / count))?;
        batch.copy_from(&images);
        Ok(batch)
    }

    /// Scores (logits) of `count` samples `[N, C, H, W]`, as `count` rows of [`Network::classes`].
    ///
    /// # Errors
    /// The device's, when memory runs out.
    pub fn evaluate(&self, images: Vec<f32>, count: usize) -> Result<Vec<f32>, CpuError> {
        let x = self.batch(images, count)?;
        let (outputs, NoneTape) = forward(&self.backend, &self.graph, &self.plan, &self.params, vec![x], Mode::Evaluate)?;
        Ok(raw::slice(&outputs[0]).to_vec())
    }

    /// One step of training on a batch of epoch `epoch`: forward, loss, backward, update. Returns the loss before the update.
    /// `seed` is the key of the dropout masks.
    ///
    /// # Errors
    /// The device's, when memory runs out.
    pub fn train_step(&mut self, batch: Batch, seed: u64, epoch: u32, optimiser: &mut Sgd, lr: f32) -> Result<f32, CpuError> {
        let Batch { images, targets, indices } = batch;
        let Targets::Classes(labels) = targets else { panic!("softmax cross-entropy is for classes") };
        let x = self.batch(images, labels.len())?;
        let mode = Mode::Train { seed, epoch, samples: &indices };
        let (mut outputs, tape): (_, OwnedTape<f32, Cpu>) =
            forward(&self.backend, &self.graph, &self.plan, &self.params, vec![x], mode)?;
        let loss = softmax_cross_entropy(&self.backend, outputs.swap_remove(0).put_tape(tape), &labels)?;
        let value = loss.array();
        let mut grads = loss.try_backward()?;
        optimiser.step(self.backend.as_ref(), &mut self.params, &mut grads, lr)?;
        Ok(value)
    }
}
