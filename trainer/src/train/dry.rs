//! A training's memory and one of its steps, before it is begun.

use super::begin::{begin, blank_network};
use super::{TrainError, memory};
use crate::backend::Backend;
use crate::backend::open::{OnBackend, on_device};
use crate::config::Config;
use crate::network::{Going, Network, Staged};
use crate::optim::{Moment, Optimiser};
use crate::source::BatchSource;
use serde::Serialize;
use staticnet_graph::graph::Graph;
use staticnet_graph::memory::peak_rss;
use std::sync::Arc;
use std::time::Instant;

/// What a training will need, in bytes, and what one step of it gave.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DryRun {
    /// Samples of a batch.
    pub batch_size: usize,
    /// Steps of the optimiser in an epoch.
    pub steps_per_epoch: u64,
    /// Numbers that are learned.
    pub parameters: usize,
    /// Bytes of the parameters; their gradients take as much again.
    pub parameter_bytes: usize,
    /// Bytes of what the optimiser remembers, averages included.
    pub optimiser_bytes: usize,
    /// Bytes of the outputs of all layers for a batch; their gradients take as much again.
    pub activation_bytes: usize,
    /// Largest resident memory of this process so far, in bytes, where the system tells.
    pub resident_bytes: Option<u64>,
    /// Loss of the first batch.
    pub loss: f32,
    /// Seconds of one step, after one to warm up.
    pub step_seconds: f64,
}

/// Takes two steps on the first batch of the training that `config` describes. Nothing is written.
///
/// # Errors
/// [`TrainError`] as a training would end with.
pub fn dry_run<S: BatchSource>(config: &Config, source: &S) -> Result<(Graph, DryRun), TrainError> {
    on_device(&config.target(), Dry { config, source })?
}

/// A dry run on some device.
struct Dry<'a, S> {
    config: &'a Config,
    source: &'a S,
}

impl<S: BatchSource> OnBackend for Dry<'_, S> {
    type Output = Result<(Graph, DryRun), TrainError>;

    fn run<B: Backend>(self, backend: Arc<B>) -> Self::Output {
        two_steps(self.config, self.source, backend)
    }
}

fn two_steps<B: Backend>(config: &Config, source: &impl BatchSource, backend: Arc<B>) -> Result<(Graph, DryRun), TrainError> {
    let graph = begin(blank_network(config, source)?, config)?;
    memory::check(backend.as_ref(), &graph, config, config.batch_size)?;
    let mut optimiser = Optimiser::new(&backend, &graph, &config.optim, &config.schedule())?;
    let mut network = Network::new(Arc::clone(&backend), graph.clone())?;
    let loss = config.loss.build(network.classes(), &source.counts())?;
    let batches = source.train_batches() as u64;
    let steps_per_epoch = batches.div_ceil(u64::from(config.accumulate));
    let Some(batch) = source.train(0, 0).next().transpose()? else { return Err(TrainError::NoBatches) };
    let (mut first, mut seconds) = (None, 0.0);
    for step in 0..2 {
        let start = Instant::now();
        let staged = Staged::new(backend.as_ref(), batch.clone())?;
        let going = Going { seed: config.seed, epoch: 0, scale: optimiser.loss_scale() };
        let mut pass = network.backward(staged, loss.as_ref(), going, None, None)?;
        network.update(
            &mut optimiser,
            &mut pass.gradients,
            Moment { step, steps_per_epoch, epochs: config.epochs, batches: 1 },
        )?;
        seconds = start.elapsed().as_secs_f64();
        first.get_or_insert(pass.loss);
    }
    let parameters = graph.parameters();
    let vectors = optimiser.state()?.values().map(Vec::len).sum::<usize>();
    let averages = optimiser.average()?.map_or(0, |average| average.values().map(|v| v.len()).sum());
    let outputs: usize = graph.nodes.iter().map(|node| graph.value(node.output).elements()).sum();
    let report = DryRun {
        batch_size: batch.targets.len(),
        steps_per_epoch,
        parameters,
        parameter_bytes: 4 * parameters,
        optimiser_bytes: 4 * (vectors + averages),
        activation_bytes: 4 * outputs * batch.targets.len(),
        resident_bytes: peak_rss(),
        loss: first.unwrap_or_default(),
        step_seconds: seconds,
    };
    Ok((graph, report))
}
