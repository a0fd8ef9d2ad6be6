//! A network that learns: a [`Graph`] whose parameters are dfdx tensors.

use crate::backend::{Backend, Batch, DeviceError, Fault, Grads, LossError};
use crate::dataset;
use crate::forward::{Done, Mode, Tap, forward};
use crate::loss::Loss;
use crate::ops::{self, Weight, put, take};
use crate::optim::{Moment, Optimiser, Stepped};
use crate::plan::{Plan, Untrained};
use crate::targets::Targets;
use dfdx::prelude::*;
use staticnet_graph::graph::Graph;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// What a batch gave.
#[derive(Debug)]
pub struct Pass<B: Backend> {
    /// Mean loss of its samples.
    pub loss: f32,
    /// The gradients of all parameters, added to those before.
    pub gradients: Grads<B>,
    /// Where the loss is not finite: what was not finite first, in words.
    pub broken: Option<String>,
}

/// Samples whose pictures are on their way to the device.
#[derive(Debug)]
pub struct Staged<B: Backend> {
    images: B::Staged,
    /// What the network should say about every sample.
    pub targets: Targets,
    /// Which sample of the data set each one is.
    pub indices: Vec<u32>,
}

impl<B: Backend> Staged<B> {
    /// Sends the pictures of `batch` on their way to the device of `backend`, from whichever thread. They arrive in the order in which they
    /// were sent, and must be used in it.
    ///
    /// # Errors
    /// The device's.
    pub fn new(backend: &B, batch: dataset::Batch) -> Result<Self, DeviceError> {
        let dataset::Batch { images, targets, indices } = batch;
        Ok(Staged { images: backend.stage(images).map_err(DeviceError::of)?, targets, indices })
    }
}

/// How a batch is gone through.
#[derive(Clone, Copy, Debug)]
pub struct Going {
    /// Key of the dropout masks.
    pub seed: u64,
    /// Epoch, from 0.
    pub epoch: u32,
    /// What the gradients are multiplied by.
    pub scale: f32,
}

/// A parameter's name and its numbers.
pub type Parameter<'a> = (&'a str, Cow<'a, [f32]>);

/// Why there is no network.
#[derive(Debug)]
pub enum NetworkError {
    /// Nodes that cannot be trained.
    Untrained(Untrained),
    /// The parameters do not fit the device's memory, or it fails.
    Device(DeviceError),
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NetworkError::Untrained(error) => write!(f, "{error}"),
            NetworkError::Device(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for NetworkError {}

/// A graph and its parameters on the device.
#[derive(Debug)]
pub struct Network<B: Backend> {
    backend: Arc<B>,
    graph: Graph,
    plan: Plan,
    params: BTreeMap<String, Weight<B::Device>>,
}

impl<B: Backend> Network<B> {
    /// Takes over the parameters of `graph`.
    ///
    /// # Errors
    /// [`NetworkError`]: every node that the trainer cannot train, or too little memory.
    pub fn new(backend: Arc<B>, graph: Graph) -> Result<Self, NetworkError> {
        let plan = Plan::new(&graph).map_err(NetworkError::Untrained)?;
        let mut params = BTreeMap::new();
        for (name, tensor) in &graph.params {
            let tensor = backend.device().try_tensor_from_vec(tensor.data.clone(), (tensor.data.len(),));
            params.insert(name.clone(), tensor.map_err(|e| NetworkError::Device(DeviceError::of(e)))?);
        }
        Ok(Network { plan, backend, graph, params })
    }

    /// The device and its kernels.
    pub fn backend(&self) -> &Arc<B> {
        &self.backend
    }

    /// The graph with the parameters as they were at first.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The graph with the parameters as they are now.
    ///
    /// # Errors
    /// The device's.
    pub fn to_graph(&self) -> Result<Graph, DeviceError> {
        let mut graph = self.graph.clone();
        for (name, param) in &mut graph.params {
            let now = self.backend.host(self.backend.read(&self.params[name]));
            param.data.copy_from_slice(&now.map_err(DeviceError::of)?);
        }
        Ok(graph)
    }

    /// Number of scores of a sample.
    pub fn classes(&self) -> usize {
        self.graph.value(self.graph.outputs[0]).elements()
    }

    /// Scores (logits) of `count` samples `[N, C, H, W]`, as `count` rows of [`Network::classes`].
    ///
    /// # Errors
    /// The device's, when memory runs out.
    pub fn evaluate(&self, images: Vec<f32>, count: usize) -> Result<Vec<f32>, DeviceError> {
        self.scores(images, count).map_err(DeviceError::of)
    }

    fn scores(&self, images: Vec<f32>, count: usize) -> Result<Vec<f32>, Fault<B>> {
        let x = self.backend.arrive(self.backend.stage(images)?, count)?;
        let (outputs, NoneTape) = self.forward(vec![x], Mode::Evaluate, NoneTape, (None, None))?;
        Ok(self.backend.host(self.backend.read(&outputs[0]))?.into_owned())
    }

    /// Loss of a batch, and the gradients of all parameters, added to those `before`. `tap` is shown the output of every layer.
    ///
    /// # Errors
    /// [`LossError`]: a target that does not fit, or the device's, when memory runs out.
    pub fn backward(
        &self,
        batch: Staged<B>,
        loss: &dyn Loss,
        going: Going,
        before: Option<Grads<B>>,
        tap: Option<Tap<'_>>,
    ) -> Result<Pass<B>, LossError> {
        self.backward_telling(batch, loss, going, before, (tap, None))
    }

    /// [`Network::backward`]; each gradient is told to `done` as soon as it is complete.
    ///
    /// # Errors
    /// Those of [`Network::backward`].
    pub(crate) fn backward_telling(
        &self,
        batch: Staged<B>,
        loss: &dyn Loss,
        going: Going,
        before: Option<Grads<B>>,
        told: (Option<Tap<'_>>, Option<&Done<B>>),
    ) -> Result<Pass<B>, LossError> {
        let Staged { images, targets, indices } = batch;
        let x = self.backend.arrive(images, targets.len()).map_err(DeviceError::of)?;
        let mode = Mode::Train { seed: going.seed, epoch: going.epoch, samples: &indices };
        // dfdx hands out a tape only around a tensor.
        let (x, tape) = x.traced(self.moved(before).map_err(DeviceError::of)?).split_tape();
        let (mut outputs, tape) = self.forward(vec![x.clone()], mode, tape, told).map_err(DeviceError::of)?;
        let scores = outputs.swap_remove(0).put_tape(tape);
        let (loss, value) = ops::loss::loss(&self.backend, loss, scores, &targets, going.scale)?;
        let broken = if value.is_finite() { None } else { self.broken(x, mode).map_err(DeviceError::of)? };
        Ok(Pass { loss: value, gradients: loss.try_backward().map_err(DeviceError::of)?, broken })
    }

    /// What is not finite first on the way of a batch through the network: a parameter, or the output of a layer.
    fn broken(&self, x: Batch<B>, mode: Mode<'_>) -> Result<Option<String>, Fault<B>> {
        let finite = |values: &[f32]| values.iter().all(|v| v.is_finite());
        for name in self.graph.nodes.iter().flat_map(|node| &node.params) {
            if !finite(&self.backend.host(self.backend.read(&self.params[name]))?) {
                return Ok(Some(format!("the parameter {name} is")));
            }
        }
        let mut first = None;
        let mut look = |layer: &str, output: &[f32]| {
            if first.is_none() && !finite(output) {
                first = Some(format!("the output of {layer} is"));
            }
        };
        self.forward(vec![x], mode, NoneTape, (Some(&mut look), None))?;
        Ok(first)
    }

    fn forward<T: Tape<f32, B::Device>>(
        &self,
        inputs: Vec<Batch<B>>,
        mode: Mode<'_>,
        tape: T,
        told: (Option<Tap<'_>>, Option<&Done<B>>),
    ) -> Result<(Vec<Batch<B>>, T), Fault<B>> {
        forward(&self.backend, &self.graph, &self.plan, &self.params, inputs, mode, tape, told)
    }

    /// The gradients of the parameters alone, without those of the activations that stand beside them.
    fn moved(&self, before: Option<Grads<B>>) -> Result<Grads<B>, Fault<B>> {
        let mut moved = Gradients::leaky();
        if let Some(mut before) = before {
            for param in self.params.values() {
                put::<B, _>(&mut moved, param, take(self.backend.as_ref(), &mut before, param)?)?;
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
        optimiser: &mut Optimiser<B>,
        gradients: &mut Grads<B>,
        at: Moment,
    ) -> Result<Stepped, DeviceError> {
        optimiser.step(&mut self.params, gradients, at)
    }

    /// Every parameter: its name, and its numbers.
    ///
    /// # Errors
    /// The device's.
    pub fn parameters(&self) -> Result<Vec<Parameter<'_>>, DeviceError> {
        let names = self.graph.nodes.iter().flat_map(|node| &node.params);
        let all = names.map(|name| Ok((name.as_str(), self.backend.host(self.backend.read(&self.params[name]))?)));
        all.collect::<Result<_, Fault<B>>>().map_err(DeviceError::of)
    }

    /// The gradient of the parameter `name`; nothing where there is no such parameter.
    ///
    /// # Errors
    /// The device's.
    pub fn gradient<'a>(&self, name: &str, gradients: &'a mut Grads<B>) -> Result<Option<Cow<'a, [f32]>>, DeviceError> {
        let Some(param) = self.params.get(name) else { return Ok(None) };
        let gradient = gradients.get_or_alloc_mut(param).map_err(DeviceError::of)?;
        self.backend.host(self.backend.read_vector(gradient)).map(Some).map_err(DeviceError::of)
    }

    /// Replaces the gradient of the parameter `name`.
    ///
    /// # Errors
    /// The device's.
    ///
    /// # Panics
    /// Panics where there is no such parameter, or it has another length.
    pub(crate) fn set_gradient(&self, name: &str, gradients: &mut Grads<B>, numbers: &[f32]) -> Result<(), DeviceError> {
        let gradient = gradients.get_or_alloc_mut(&self.params[name]).map_err(DeviceError::of)?;
        self.backend.set(self.backend.write_vector(gradient), numbers).map_err(DeviceError::of)
    }

    /// Exchanges the numbers of the parameters named with those given; lengths that differ stay.
    ///
    /// # Errors
    /// The device's; some may be exchanged then.
    pub fn exchange(&mut self, numbers: &mut BTreeMap<String, Vec<f32>>) -> Result<(), DeviceError> {
        for (name, numbers) in numbers {
            let Some(param) = self.params.get_mut(name) else { continue };
            if param.shape().0 == numbers.len() {
                let old = self.backend.host(self.backend.read(param)).map_err(DeviceError::of)?.into_owned();
                self.backend.set(self.backend.write(param), numbers).map_err(DeviceError::of)?;
                *numbers = old;
            }
        }
        Ok(())
    }
}

/// What callbacks may ask of a network on whichever device.
pub trait Learned: fmt::Debug {
    /// The graph with the parameters as they are now.
    ///
    /// # Errors
    /// The device's.
    fn to_graph(&self) -> Result<Graph, DeviceError>;

    /// Scores of `count` samples, as [`Network::evaluate`] gives them.
    ///
    /// # Errors
    /// The device's.
    fn evaluate(&self, images: Vec<f32>, count: usize) -> Result<Vec<f32>, DeviceError>;
}

impl<B: Backend> Learned for Network<B> {
    fn to_graph(&self) -> Result<Graph, DeviceError> {
        Network::to_graph(self)
    }

    fn evaluate(&self, images: Vec<f32>, count: usize) -> Result<Vec<f32>, DeviceError> {
        Network::evaluate(self, images, count)
    }
}
