//! Training and measuring.
//!
//! A [`Training`] takes batches from a [`BatchSource`], and everything that happens is told to [`Callback`]s: the progress bar, the
//! logs, or code of your own. A [`Run`] folder holds all that is needed to go on after any instant:
//!
//! - every step is a function of the parameters, the optimiser's state, and (seed, epoch, batch);
//! - a checkpoint is all of that, whole, between two steps.
//!
//! So a training that was stopped, in whatever way, and resumed ends with the very bytes of one that was not.

mod begin;
mod callback;
mod dry;
mod error;
mod memory;
mod range;
mod session;
pub(crate) mod staging;
mod together;

use crate::backend::open::{OnBackend, on_device};
use crate::backend::{Backend, Device, Target};
use crate::config::Config;
use crate::loss::Loss;
use crate::metrics::{Better, Confusion, EpochMetrics, Metric, Tally};
use crate::network::Network;
use crate::ranks::Ranks;
use crate::run::Run;
use crate::source::{BatchSource, Batches};
use crate::{metrics, plot};
pub use callback::{Callback, Control, EpochEnd, Event, StepEnd};
pub use dry::{DryRun, dry_run};
pub use error::TrainError;
pub use range::{Range, range_test};
use serde::Serialize;
use session::Session;
use staticnet_graph::file::write_atomically;
use staticnet_graph::{onnx, safetensors};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

/// What came of a training.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Epochs done.
    pub epochs: u32,
    /// Share of test samples whose class has the best score, after the best epoch; that network is exported.
    pub top1: f64,
    /// Share of test samples whose class is among the five best scores, after the same epoch.
    pub top5: f64,
    /// Time of all epochs.
    pub seconds: f64,
    /// Whether it was stopped before the last epoch was done.
    pub stopped: bool,
    /// The RUN folder.
    pub out: PathBuf,
}

/// A training about to begin.
#[allow(missing_debug_implementations)] // Callbacks need not be printable.
pub struct Training<'a, S> {
    config: &'a Config,
    source: &'a S,
    run: &'a Run,
    resume: bool,
    loss: Option<Box<dyn Loss>>,
    metrics: Vec<Box<dyn Fn() -> Box<dyn Metric> + 'a>>,
    callbacks: Vec<&'a mut dyn Callback>,
    ranks: Ranks,
}

/// Makes each metric anew for every epoch.
type Metrics<'a> = &'a [Box<dyn Fn() -> Box<dyn Metric> + 'a>];

impl<'a, S: BatchSource> Training<'a, S> {
    /// Trains as `config` says on `source`, writing to the RUN folder `run`.
    pub fn new(config: &'a Config, source: &'a S, run: &'a Run) -> Self {
        let (metrics, callbacks) = (Vec::new(), Vec::new());
        Training { config, source, run, resume: false, loss: None, metrics, callbacks, ranks: Ranks::alone() }
    }

    /// Whether to go on after the last checkpoint of the RUN folder.
    #[must_use]
    pub fn resume(self, resume: bool) -> Self {
        Training { resume, ..self }
    }

    /// Makes `loss` small instead of the configured one.
    #[must_use]
    pub fn loss(self, loss: Box<dyn Loss>) -> Self {
        Training { loss: Some(loss), ..self }
    }

    /// Measures another metric, one that `metric` makes for every epoch.
    #[must_use]
    pub fn metric(mut self, metric: impl Fn() -> Box<dyn Metric> + 'a) -> Self {
        self.metrics.push(Box::new(metric));
        self
    }

    /// Trains together with other processes, which do the same. The first rank writes the RUN folder; callbacks are told at every rank. A
    /// rank that fails has to end the others: [`Ranks::abort`].
    #[must_use]
    pub fn ranks(self, ranks: Ranks) -> Self {
        Training { ranks, ..self }
    }

    /// Tells `callback` what happens.
    #[must_use]
    pub fn callback(mut self, callback: &'a mut dyn Callback) -> Self {
        self.callbacks.push(callback);
        self
    }

    /// Trains until the last epoch is done, a callback stops it, or [`Config::max_time`] or [`Config::patience`] are over.
    ///
    /// With the same number of threads a training that was stopped and resumed ends with the very bytes of one that was not.
    ///
    /// # Errors
    /// [`TrainError`]. What was saved last is in the RUN folder.
    pub fn run(self) -> Result<Summary, TrainError> {
        let Training { config, run, .. } = self;
        if !self.resume && run.has_checkpoint() {
            return Err(TrainError::Occupied(run.folder().to_path_buf()));
        }
        let device = own_device(&config.device, &self.ranks)?;
        let threads = if config.threads == 0 { self.ranks.cores() } else { config.threads };
        on_device(&Target { device, threads, ..config.target() }, self)?
    }

    fn on<B: Backend>(mut self, backend: Arc<B>) -> Result<Summary, TrainError> {
        let Training { config, source, run, .. } = self;
        let until = config.max_time.map(|span| Instant::now() + span.0);
        if config.device != Device::Cpu {
            callback::tell(&mut self.callbacks, &Event::Note(&format!("on {}", backend.describe())));
        }
        let first = self.ranks.is_first();
        let mut session = Session::open(config, source, run, (self.resume, self.loss), backend, self.ranks)?;
        if first {
            write_atomically(&run.config(), config.to_toml()?.as_bytes())?;
        }
        if !config.optim.rule.is_empty() {
            callback::tell(&mut self.callbacks, &Event::Note(&session.rules()));
        }
        let mut stopped = false;
        while session.position.epoch < config.epochs && !stopped {
            if exhausted(config, &session.history)? {
                let text = format!("not better for {} epochs: the end", config.patience);
                callback::tell(&mut self.callbacks, &Event::Note(&text));
                break;
            }
            stopped = session.epoch(until, &self.metrics, &mut self.callbacks)? == Control::Stop;
        }
        finish(config, run, &session.history, stopped, first)
    }
}

impl<S: BatchSource> OnBackend for Training<'_, S> {
    type Output = Result<Summary, TrainError>;

    fn run<B: Backend>(self, backend: Arc<B>) -> Self::Output {
        self.on(backend)
    }
}

/// The device of this rank: of several the one with its number on its machine.
fn own_device(device: &Device, ranks: &Ranks) -> Result<Device, TrainError> {
    match device {
        Device::Cuda(numbers) if numbers.len() > 1 && !ranks.is_alone() => match numbers.get(ranks.local_rank()) {
            Some(number) => Ok(Device::Cuda(vec![*number])),
            None => Err(TrainError::FewDevices { device: device.clone(), ranks: ranks.local_size() }),
        },
        Device::Cpu | Device::Cuda(_) => Ok(device.clone()),
    }
}

/// Whether the watched metric was not better for as many epochs as it may. A function of the history alone, so that it does not matter
/// how often the training was resumed.
fn exhausted(config: &Config, history: &[EpochMetrics]) -> Result<bool, TrainError> {
    if config.patience == 0 {
        return Ok(false);
    }
    let better = config.metrics.better()?;
    let least = match better {
        Better::Lower => -config.min_delta,
        Better::Higher | Better::Neither => config.min_delta,
    };
    let (mut best, mut since) = (None, 0);
    for value in history.iter().filter_map(|metrics| metrics.get(&config.metrics.best_by)) {
        let improved = better.beats(value, best.map(|best| best + least));
        since = if improved { 0 } else { since + 1 };
        best = if improved { Some(value) } else { best };
    }
    Ok(since >= config.patience)
}

/// Exports the best network, at the `first` rank, and says what came of it.
fn finish(config: &Config, run: &Run, history: &[EpochMetrics], stopped: bool, first: bool) -> Result<Summary, TrainError> {
    if first && !history.is_empty() {
        let graph = run.network()?;
        safetensors::save(&graph, &run.safetensors())?;
        onnx::export(&graph, &run.onnx())?;
    }
    let top = config.metrics.best_epoch(history)?;
    Ok(Summary {
        epochs: history.len() as u32,
        top1: top.map_or(0.0, |m| m.top1),
        top5: top.map_or(0.0, |m| m.top5),
        seconds: history.iter().map(|m| m.seconds).sum(),
        stopped,
        out: run.folder().to_path_buf(),
    })
}

/// What is drawn and listed anew after every epoch.
fn write_history(run: &Run, history: &[EpochMetrics]) -> Result<(), TrainError> {
    write_atomically(&run.metrics(), metrics::csv(history).as_bytes())?;
    Ok(write_atomically(&run.curve(), plot::curves(history).as_bytes())?)
}

/// Draws the confusion matrix, where samples have classes.
fn write_confusion(run: &Run, confusion: &Confusion) -> Result<(), TrainError> {
    let counted = (0..confusion.labels().len()).any(|class| confusion.samples(class) > 0);
    if counted { Ok(write_atomically(&run.confusion(), plot::confusion(confusion).as_bytes())?) } else { Ok(()) }
}

/// Counts all samples of `batches` into `tally`; `observe` is told the number of samples done.
///
/// # Errors
/// [`TrainError::Data`], [`TrainError::Target`] or [`TrainError::Device`].
pub fn evaluate<'a, B: Backend>(
    network: &Network<B>,
    batches: Batches<'_>,
    mut tally: Tally<'a>,
    observe: &mut dyn FnMut(usize),
) -> Result<Tally<'a>, TrainError> {
    for batch in batches {
        let batch = batch?;
        let scores = network.evaluate(batch.images, batch.targets.len())?;
        for (scores, target) in scores.chunks_exact(network.classes()).zip(batch.targets.iter()) {
            tally.add(scores, target)?;
        }
        observe(tally.len());
    }
    Ok(tally)
}
