//! A network that learns: a [`Graph`] whose parameters are dfdx tensors.

use crate::backend::{Backend, raw};
use crate::dataset::Batch;
use crate::forward::{Mode, forward};
use crate::loss::Loss;
use crate::ops::{self, Activation, Weight, loss::LossError, put, take};
use crate::optim::{Moment, Optimiser, Stepped};
use crate::plan::{Plan, Untrained};
use dfdx::prelude::*;
use staticnet_graph::graph::Graph;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Gradients of parameters.
pub type ParamGradients = Gradients<f32, Cpu>;

/// What a batch gave.
#[derive(Debug)]
pub struct Pass {
    /// Mean loss of its samples.
    pub loss: f32,
    /// The gradients of all parameters, added to those before.
    pub gradients: ParamGradients,
    /// Where the loss is not finite: what was not finite first, in words.
    pub broken: Option<String>,
}

/// Is shown the output of every layer of a batch: the layer's name, `[N, elements of one sample]`.
pub type Tap<'a> = &'a mut dyn FnMut(&str, &[f32]);

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
        let (outputs, NoneTape) = self.forward(vec![x], Mode::Evaluate, NoneTape, None)?;
        Ok(raw::slice(&outputs[0]).to_vec())
    }

    /// Loss of a batch of epoch `epoch`, and the gradients of all parameters, added to those `before`. `seed` is the key of the dropout
    /// masks. `tap` is shown the output of every layer.
    ///
    /// # Errors
    /// [`LossError`]: a target that does not fit, or the device's, when memory runs out.
    pub fn backward(
        &self,
        batch: Batch,
        loss: &dyn Loss,
        (seed, epoch): (u64, u32),
        before: Option<ParamGradients>,
        tap: Option<Tap<'_>>,
    ) -> Result<Pass, LossError> {
        let Batch { images, targets, indices } = batch;
        let x = self.batch(images, targets.len())?;
        let mode = Mode::Train { seed, epoch, samples: &indices };
        // dfdx hands out a tape only around a tensor.
        let (x, tape) = x.traced(self.moved(before)?).split_tape();
        let (mut outputs, tape) = self.forward(vec![x.clone()], mode, tape, tap)?;
        let loss = ops::loss::loss(&self.backend, loss, outputs.swap_remove(0).put_tape(tape), &targets)?;
        let value = loss.array();
        let broken = if value.is_finite() { None } else { self.broken(x, mode)? };
        Ok(Pass { loss: value, gradients: loss.try_backward()?, broken })
    }

    /// What is not finite first on the way of a batch through the network: a parameter, or the output of a layer.
    fn broken(&self, x: Activation, mode: Mode<'_>) -> Result<Option<String>, CpuError> {
        let finite = |values: &[f32]| values.iter().all(|v| v.is_finite());
        let parameters = self.graph.nodes.iter().flat_map(|node| &node.params);
        if let Some(name) = parameters.into_iter().find(|name| !finite(raw::slice(&self.params[*name]))) {
            return Ok(Some(format!("the parameter {name} is")));
        }
        let mut first = None;
        let mut look = |layer: &str, output: &[f32]| {
            if first.is_none() && !finite(output) {
                first = Some(format!("the output of {layer} is"));
            }
        };
        self.forward(vec![x], mode, NoneTape, Some(&mut look))?;
        Ok(first)
    }

    fn forward<T: Tape<f32, Cpu>>(
        &self,
        inputs: Vec<Activation>,
        mode: Mode<'_>,
        tape: T,
        tap: Option<Tap<'_>>,
    ) -> Result<(Vec<Activation>, T), CpuError> {
        forward(&self.backend, &self.graph, &self.plan, &self.params, inputs, mode, tape, tap)
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
    pub fn update(
        &mut self,
        optimiser: &mut Optimiser,
        gradients: &mut ParamGradients,
        at: Moment,
    ) -> Result<Stepped, CpuError> {
        optimiser.step(self.backend.as_ref(), &mut self.params, gradients, at)
    }

    /// Every parameter: its name, and its numbers.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, &[f32])> {
        let names = self.graph.nodes.iter().flat_map(|node| &node.params);
        names.map(|name| (name.as_str(), raw::slice(&self.params[name])))
    }

    /// The gradient of the parameter `name`; nothing where there is no such parameter.
    pub fn gradient<'a>(&self, name: &str, gradients: &'a mut ParamGradients) -> Result<Option<&'a [f32]>, CpuError> {
        match self.params.get(name) {
            Some(param) => Ok(Some(gradients.get_or_alloc_mut(param)?)),
            None => Ok(None),
        }
    }

    /// Exchanges the numbers of the parameters named with those given; lengths that differ stay.
    pub fn exchange(&mut self, numbers: &mut BTreeMap<String, Vec<f32>>) {
        for (name, numbers) in numbers {
            let Some(param) = self.params.get_mut(name) else { continue };
            let param = raw::slice_mut(param);
            if param.len() == numbers.len() {
                param.swap_with_slice(numbers);
            }
        }
    }
}
