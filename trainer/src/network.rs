//! A network that learns: a [`Graph`] whose parameters are dfdx tensors.

use crate::backend::{Backend, SgdStep, raw};
use crate::dataset::Batch;
use crate::forward::{Mode, Plan, forward};
use crate::ops::{Weight, loss::softmax_cross_entropy};
use dfdx::prelude::*;
use staticnet_graph::graph::Graph;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A graph, its parameters on the device and the velocity of each.
#[derive(Debug)]
pub struct Network<B> {
    backend: Arc<B>,
    device: Cpu,
    graph: Graph,
    plan: Plan,
    params: BTreeMap<String, Weight>,
    velocities: BTreeMap<String, Vec<f32>>,
}

impl<B: Backend> Network<B> {
    /// Takes over the parameters of `graph`; velocities begin at 0.
    pub fn new(backend: Arc<B>, graph: Graph) -> Self {
        let device = Cpu::default();
        // Every step allocates the same sizes: dfdx then reuses the buffers of the step before.
        device.enable_cache();
        let tensor = |data: &Vec<f32>| device.tensor_from_vec(data.clone(), (data.len(),));
        let params = graph.params.iter().map(|(name, p)| (name.clone(), tensor(&p.data))).collect();
        let velocities = graph.params.iter().map(|(name, p)| (name.clone(), vec![0.0; p.data.len()])).collect();
        Network { plan: Plan::new(&graph), backend, device, graph, params, velocities }
    }

    /// The network's structure; parameters in it are those it began with.
    pub fn structure(&self) -> &Graph {
        &self.graph
    }

    /// The graph with the parameters as they are now.
    pub fn to_graph(&self) -> Graph {
        let mut graph = self.graph.clone();
        for (name, param) in &mut graph.params {
            param.data.copy_from_slice(self.parameter(name));
        }
        graph
    }

    /// A parameter as it is now.
    ///
    /// # Panics
    /// Panics where the graph has no such parameter.
    pub fn parameter(&self, name: &str) -> &[f32] {
        raw::slice(&self.params[name])
    }

    /// The optimiser's velocity of each parameter.
    pub fn velocities(&self) -> &BTreeMap<String, Vec<f32>> {
        &self.velocities
    }

    /// Replaces the velocities.
    ///
    /// # Panics
    /// Panics where names or lengths differ from the parameters'.
    pub fn set_velocities(&mut self, velocities: BTreeMap<String, Vec<f32>>) {
        let sizes = |v: &BTreeMap<String, Vec<f32>>| v.iter().map(|(n, v)| (n.clone(), v.len())).collect::<Vec<_>>();
        assert_eq!(sizes(&velocities), sizes(&self.velocities), "velocities of another network");
        self.velocities = velocities;
    }

    fn batch(&self, images: Vec<f32>, count: usize) -> Result<Tensor<(usize, usize), f32, Cpu>, CpuError> {
        let elements = images.len() / count;
        self.device.try_tensor_from_vec(images, (count, elements))
    }

    /// Scores (logits) of a batch `[N, C, H, W]`, as `N` rows.
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
    pub fn train_step(&mut self, batch: Batch, seed: u64, epoch: u32, step: SgdStep) -> Result<f32, CpuError> {
        let Batch { images, labels, indices } = batch;
        let x = self.batch(images, labels.len())?;
        let mode = Mode::Train { seed, epoch, samples: &indices };
        let (mut outputs, tape): (_, OwnedTape<f32, Cpu>) =
            forward(&self.backend, &self.graph, &self.plan, &self.params, vec![x], mode)?;
        let loss = softmax_cross_entropy(&self.backend, outputs.swap_remove(0).put_tape(tape), &labels)?;
        let value = loss.array();
        let mut grads = loss.try_backward()?;
        for (name, param) in &mut self.params {
            if let Some(velocity) = self.velocities.get_mut(name) {
                let gradient = grads.get_or_alloc_mut(param)?;
                self.backend.sgd(step, raw::slice_mut(param), velocity, gradient);
            }
        }
        Ok(value)
    }
}
