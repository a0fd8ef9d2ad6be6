//! Trainings on made-up pictures: losses beside each other, going on, memory, speed.

use super::{CheckError, Rate};
use crate::backend::{Backend, DeviceError};
use crate::dataset::Batch;
use crate::init::{Init, initialise};
use crate::loss::CrossEntropy;
use crate::models;
use crate::network::{Going, Network, Staged};
use crate::optim::{Moment, OptimOptions, Optimiser};
use crate::rng::KeyedRng;
use crate::schedule::{ScheduleKind, ScheduleOptions};
use crate::targets::Targets;
use crate::train::staging::StagedBatches;
use staticnet_graph::graph::Graph;
use std::sync::Arc;
use std::time::Instant;

/// A training.
#[derive(Clone, Copy, Debug)]
pub struct Trial {
    /// Name of an architecture.
    pub arch: &'static str,
    /// Pictures of a batch.
    pub batch_size: usize,
    /// Steps.
    pub steps: u32,
}

/// Different batches at most; then they come again, six times at least.
const BATCHES: u32 = 8;
const TURNS: u32 = 6;

impl Trial {
    fn graph(&self) -> Result<Graph, CheckError> {
        let (channels, classes) = match self.arch {
            "lenet" => (1, 10),
            "alexnet" | "alexnet-paper" => (3, 1000),
            _ => (3, 10),
        };
        let architecture = models::by_name(self.arch).ok_or(CheckError::Architecture(self.arch))?;
        let mut graph = (architecture.build)(channels, classes)?;
        initialise(&mut graph, Init::Kaiming, 1);
        Ok(graph)
    }

    /// Pictures of noise on a pattern of their class.
    fn batch(&self, graph: &Graph, number: u32) -> Batch {
        let elements = graph.value(graph.inputs[0]).elements();
        let classes = graph.value(graph.outputs[0]).elements() as u32;
        let first = number * self.batch_size as u32;
        let indices: Vec<u32> = (first..first + self.batch_size as u32).collect();
        let mut images = Vec::with_capacity(self.batch_size * elements);
        for sample in &indices {
            let (mut pattern, mut noise) = (pattern(sample % classes), KeyedRng::new(2, 0, u64::from(*sample), 0));
            images.extend((0..elements).map(|_| 0.4 * pattern.normal() + 0.2 * noise.normal()));
        }
        let targets = Targets::Classes(indices.iter().map(|sample| sample % classes).collect());
        Batch { images, targets, indices }
    }

    fn batches(&self, graph: &Graph) -> Vec<Batch> {
        (0..(self.steps / TURNS).clamp(1, BATCHES)).map(|number| self.batch(graph, number)).collect()
    }
}

fn pattern(class: u32) -> KeyedRng {
    KeyedRng::new(1, 0, u64::from(class), 0)
}

/// A network that is being trained.
struct Learner<B: Backend> {
    network: Network<B>,
    optimiser: Optimiser<B>,
    step: u32,
}

impl<B: Backend> Learner<B> {
    fn new(backend: &Arc<B>, graph: Graph) -> Result<Self, CheckError> {
        // A rate that does not blow rounding up.
        let schedule = ScheduleOptions { lr: 2e-3, schedule: ScheduleKind::Constant, ..ScheduleOptions::default() };
        let optimiser = Optimiser::new(backend, &graph, &OptimOptions::default(), &schedule)?;
        Ok(Learner { network: Network::new(Arc::clone(backend), graph)?, optimiser, step: 0 })
    }

    fn step(&mut self, batch: Staged<B>) -> Result<f32, CheckError> {
        let going = Going { seed: 1, epoch: self.step, scale: self.optimiser.loss_scale() };
        let mut pass = self.network.backward(batch, &CrossEntropy::default(), going, None, None)?;
        let at = Moment { step: self.step.into(), steps_per_epoch: 1000, epochs: 1, batches: 1 };
        self.network.update(&mut self.optimiser, &mut pass.gradients, at)?;
        self.step += 1;
        Ok(pass.loss)
    }

    fn send(&self, batch: &Batch) -> Result<Staged<B>, CheckError> {
        Ok(Staged::new(self.network.backend().as_ref(), batch.clone())?)
    }
}

/// The losses of the same training on two devices, step by step. `progress` is told the number of steps done.
///
/// # Errors
/// [`CheckError`] where a device fails.
pub fn curves<A: Backend, B: Backend>(
    reference: &Arc<A>,
    tested: &Arc<B>,
    trial: &Trial,
    progress: &mut dyn FnMut(u32),
) -> Result<[Vec<f32>; 2], CheckError> {
    let graph = trial.graph()?;
    let batches = trial.batches(&graph);
    let (mut one, mut other) = (Learner::new(reference, graph.clone())?, Learner::new(tested, graph)?);
    let mut losses = [Vec::new(), Vec::new()];
    for step in 0..trial.steps {
        let batch = &batches[step as usize % batches.len()];
        losses[0].push(one.step(one.send(batch)?)?);
        losses[1].push(other.step(other.send(batch)?)?);
        progress(step + 1);
    }
    Ok(losses)
}

/// Trains, takes parameters and state to the host and goes on with them in another network: the largest difference of its losses from
/// those of the training that just went on. 0 where the device repeats itself bit for bit.
///
/// # Errors
/// [`CheckError`] where the device fails.
pub fn resumed<B: Backend>(backend: &Arc<B>, trial: &Trial) -> Result<f64, CheckError> {
    let graph = trial.graph()?;
    let batches = trial.batches(&graph);
    let batch = |step: u32| &batches[step as usize % batches.len()];
    let mut whole = Learner::new(backend, graph)?;
    let half = trial.steps / 2;
    for step in 0..half {
        whole.step(whole.send(batch(step))?)?;
    }
    let mut second = Learner::new(backend, whole.network.to_graph()?)?;
    second.optimiser.restore(whole.optimiser.state()?)?;
    second.step = half;
    let mut worst = 0.0_f64;
    for step in half..trial.steps {
        let [a, b] = [whole.step(whole.send(batch(step))?)?, second.step(second.send(batch(step))?)?];
        worst = worst.max(f64::from((a - b).abs()));
    }
    Ok(worst)
}

/// Bytes of the device's memory that went while it trained, after some steps to get going; nothing where it has no memory of its own.
/// `progress` is told the number of steps done.
///
/// # Errors
/// [`CheckError`] where the device fails.
pub fn memory<B: Backend>(backend: &Arc<B>, trial: &Trial, progress: &mut dyn FnMut(u32)) -> Result<Option<i64>, CheckError> {
    let graph = trial.graph()?;
    let batches = trial.batches(&graph);
    let mut learner = Learner::new(backend, graph)?;
    let free = || backend.free_memory().map_err(DeviceError::of);
    let (warm, mut before) = (trial.steps.div_ceil(10), None);
    for step in 0..trial.steps {
        if step == warm {
            before = free()?;
        }
        learner.step(learner.send(&batches[step as usize % batches.len()])?)?;
        progress(step + 1);
    }
    Ok(before.zip(free()?).map(|(before, after)| before as i64 - after as i64))
}

/// Times whole training steps; batches get to the device as in a training.
///
/// # Errors
/// [`CheckError`] where the device fails.
pub fn throughput<B: Backend>(backend: &Arc<B>, trial: &Trial) -> Result<Rate, CheckError> {
    let graph = trial.graph()?;
    let batches = trial.batches(&graph);
    let mut learner = Learner::new(backend, graph)?;
    let warm = trial.steps.div_ceil(4);
    let seconds = std::thread::scope(|scope| -> Result<f64, CheckError> {
        let all = batches.iter().cycle().take((warm + trial.steps) as usize).cloned().map(Ok);
        let mut start = Instant::now();
        for (step, batch) in StagedBatches::new(backend.as_ref(), Box::new(all), scope).enumerate() {
            if step == warm as usize {
                backend.synchronise().map_err(DeviceError::of)?;
                start = Instant::now();
            }
            learner.step(batch.map_err(|error| CheckError::Batches(Box::new(error)))?)?;
        }
        backend.synchronise().map_err(DeviceError::of)?;
        Ok(start.elapsed().as_secs_f64())
    })?;
    let images = f64::from(trial.steps) * trial.batch_size as f64;
    Ok(Rate { name: format!("{}, batch {}", trial.arch, trial.batch_size), images_per_s: images / seconds })
}
