//! Training and measuring.

use crate::backend::cpu::{CpuBackend, PoolError};
use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::config::{Config, ConfigError, Start};
use crate::init::initialise;
use crate::metrics::{self, EpochMetrics, Evaluation, Tally};
use crate::models;
use crate::network::Network;
use crate::optim::Sgd;
use crate::plan::Untrained;
use crate::plot;
use crate::run::Run;
use crate::schedule::{Moment, Plateau};
use crate::source::{BatchSource, Batches};
use crate::targets::Target;
use dfdx::prelude::CpuError;
use serde::Serialize;
use staticnet_exporter::data::DataError;
use staticnet_graph::file::{FileError, write_atomically};
use staticnet_graph::graph::{Graph, ShapeError};
use staticnet_graph::onnx::{self, ImportError, OnnxError};
use staticnet_graph::safetensors::{self, SafetensorsError};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// Something to tell while training.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// A step of training is done.
    Step {
        /// Epochs done before this one.
        epoch: u32,
        /// Steps of this epoch done, and to do in all.
        step: u64,
        /// Steps of an epoch.
        steps: u64,
        /// Loss of the step's batch.
        loss: f32,
        /// Learning rate of the step.
        lr: f64,
        /// Training samples per second since the epoch began.
        images_per_s: f64,
    },
    /// Test samples were measured.
    Tested {
        /// So many.
        done: usize,
        /// Of so many.
        of: usize,
    },
    /// An epoch is done and its checkpoint written.
    Epoch(&'a EpochMetrics),
}

/// What came of a training.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Epochs done.
    pub epochs: u32,
    /// Best share of test samples whose class has the best score; that network is exported.
    pub top1: f64,
    /// Share of test samples whose class is among the five best scores, after the same epoch.
    pub top5: f64,
    /// Time of all epochs.
    pub seconds: f64,
    /// The RUN folder.
    pub out: PathBuf,
}

/// Why a training ends early.
#[derive(Debug)]
pub enum TrainError {
    /// No architecture has this name.
    UnknownArchitecture(String),
    /// The network cannot be built.
    Shape(ShapeError),
    /// The network has operators that cannot be trained.
    Untrained(Untrained),
    /// The description makes no sense.
    Config(ConfigError),
    /// A sample cannot be read.
    Data(DataError),
    /// Memory ran out.
    Device(CpuError),
    /// No worker threads.
    Threads(PoolError),
    /// A checkpoint cannot be written or read.
    Checkpoint(CheckpointError),
    /// A file cannot be written.
    File(FileError),
    /// Initial parameters or the result cannot be read or written.
    Parameters(SafetensorsError),
    /// Initial parameters cannot be read.
    Import(ImportError),
    /// The result cannot be written.
    Onnx(OnnxError),
    /// The RUN folder holds a training already.
    Occupied(PathBuf),
    /// A checkpoint of another network.
    OtherNetwork {
        /// The checkpoint's folder.
        folder: PathBuf,
        /// What it holds.
        found: String,
        /// What was asked for.
        expected: String,
    },
    /// The loss is not a number any more.
    Diverged {
        /// Epochs done.
        epoch: u32,
        /// Steps of the next one done.
        step: u64,
    },
}

impl fmt::Display for TrainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TrainError::UnknownArchitecture(name) => {
                let names: Vec<&str> = models::ARCHITECTURES.iter().map(|a| a.name).collect();
                write!(f, "no architecture is called `{name}`; there are {}", names.join(", "))
            }
            TrainError::Shape(error) => write!(f, "{error}"),
            TrainError::Untrained(error) => write!(f, "{error}"),
            TrainError::Config(error) => write!(f, "{error}"),
            TrainError::Data(error) => write!(f, "{error}"),
            TrainError::Device(error) => write!(f, "the device failed ({error}); a smaller --batch-size needs less memory"),
            TrainError::Threads(error) => write!(f, "{error}"),
            TrainError::Checkpoint(error) => write!(f, "{error}"),
            TrainError::File(error) => write!(f, "{error}"),
            TrainError::Parameters(error) => write!(f, "{error}"),
            TrainError::Import(error) => write!(f, "{error}"),
            TrainError::Onnx(error) => write!(f, "{error}"),
            TrainError::Occupied(folder) => {
                write!(
                    f,
                    "{}: holds a training already; add --resume to go on with it, or choose another --out",
                    folder.display()
                )
            }
            TrainError::OtherNetwork { folder, found, expected } => {
                write!(f, "{}: this is a checkpoint of {found}, not of {expected}", folder.display())
            }
            TrainError::Diverged { epoch, step } => {
                write!(f, "the loss is not finite in epoch {}, step {step}; try a lower --lr", epoch + 1)
            }
        }
    }
}

impl std::error::Error for TrainError {}

macro_rules! from {
    ($($error:ty => $variant:ident),* $(,)?) => {
        $(impl From<$error> for TrainError {
            fn from(error: $error) -> Self {
                TrainError::$variant(error)
            }
        })*
    };
}
from! {
    ShapeError => Shape, Untrained => Untrained, ConfigError => Config, DataError => Data, CpuError => Device, PoolError => Threads,
    CheckpointError => Checkpoint, FileError => File, SafetensorsError => Parameters, ImportError => Import, OnnxError => Onnx,
}

/// Trains as `config` says on `source`, writing to the RUN folder `run`; `resume` goes on after the last epoch done there.
///
/// With the same number of threads a training that was stopped and resumed ends with the very bytes of one that was not.
///
/// # Errors
/// [`TrainError`]. What was done until the last whole epoch is in the RUN folder.
pub fn train(
    config: &Config,
    source: &impl BatchSource,
    run: &Run,
    resume: bool,
    observe: &mut dyn FnMut(Event<'_>),
) -> Result<Summary, TrainError> {
    if !resume && run.has_checkpoint() {
        return Err(TrainError::Occupied(run.folder().to_path_buf()));
    }
    let graph = blank_network(config, source)?;
    let (graph, velocities, mut history) = if resume {
        let checkpoint = Checkpoint::load(&run.last())?;
        same_network(&graph, &checkpoint.graph, &run.last())?;
        (checkpoint.graph, checkpoint.velocities, checkpoint.history)
    } else {
        (begin(graph, config)?, Default::default(), Vec::new())
    };
    std::fs::create_dir_all(run.curve().parent().unwrap_or(run.folder()))
        .map_err(|source| CheckpointError::Io { path: run.folder().to_path_buf(), source })?;
    write_atomically(&run.config(), config.to_toml()?.as_bytes())?;

    let mut network = Network::new(Arc::new(CpuBackend::new(config.threads)?), graph)?;
    let mut optimiser = Sgd::new(config.momentum, config.weight_decay);
    optimiser.set_velocities(velocities);
    let best = |history: &[EpochMetrics]| history.iter().map(|m| m.top1).fold(f64::NEG_INFINITY, f64::max);
    for epoch in history.len() as u32..config.epochs {
        let metrics = train_epoch(config, source, epoch, &mut network, &mut optimiser, observe)?;
        let is_best = metrics.top1 > best(&history);
        history.push(metrics);
        let (graph, velocities) = (network.to_graph(), optimiser.velocities().clone());
        let checkpoint = Checkpoint { graph, velocities, history: history.clone() };
        // The best one first: a run killed between the two repeats this epoch and writes the same again.
        if is_best {
            checkpoint.save(&run.best())?;
        }
        checkpoint.save(&run.last())?;
        write_atomically(&run.metrics(), metrics::csv(&history).as_bytes())?;
        write_atomically(&run.curve(), plot::curves(&history).as_bytes())?;
        observe(Event::Epoch(&metrics));
    }
    let graph = run.network()?;
    safetensors::save(&graph, &run.safetensors())?;
    onnx::export(&graph, &run.onnx())?;
    let top = history.iter().fold(None, |top: Option<&EpochMetrics>, m| match top {
        Some(top) if top.top1 >= m.top1 => Some(top),
        _ => Some(m),
    });
    Ok(Summary {
        epochs: history.len() as u32,
        top1: top.map_or(0.0, |m| m.top1),
        top5: top.map_or(0.0, |m| m.top5),
        seconds: history.iter().map(|m| m.seconds).sum(),
        out: run.folder().to_path_buf(),
    })
}

/// The network for the source's pictures and classes, with zero parameters.
fn blank_network(config: &Config, source: &impl BatchSource) -> Result<Graph, TrainError> {
    let architecture = models::by_name(&config.arch).ok_or_else(|| TrainError::UnknownArchitecture(config.arch.clone()))?;
    let mut graph = (architecture.build)(source.preprocess().channels as usize, source.labels().len())?;
    graph.preprocess = Some(source.preprocess());
    graph.labels = source.labels().to_vec();
    Ok(graph)
}

/// Fills in the first parameters.
fn begin(mut graph: Graph, config: &Config) -> Result<Graph, TrainError> {
    match &config.init {
        Start::Drawn(init) => initialise(&mut graph, *init, config.seed),
        Start::From(path) => {
            let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
            match extension {
                "safetensors" => safetensors::load(&mut graph, path)?,
                "onnx" => adopt(&mut graph, onnx::import(path)?, path)?,
                _ => adopt(&mut graph, Run::at(path).network()?, path)?,
            }
        }
    }
    Ok(graph)
}

/// Takes over the parameters of `other`.
fn adopt(graph: &mut Graph, other: Graph, from: &Path) -> Result<(), TrainError> {
    let shapes = |g: &Graph| g.params.iter().map(|(n, t)| (n.clone(), t.shape.clone())).collect::<Vec<_>>();
    if shapes(graph) != shapes(&other) {
        return Err(other_network(graph, &other, from));
    }
    graph.params = other.params;
    Ok(())
}

fn same_network(expected: &Graph, found: &Graph, folder: &Path) -> Result<(), TrainError> {
    let same = expected.nodes == found.nodes && expected.values == found.values && expected.labels == found.labels;
    if same { Ok(()) } else { Err(other_network(expected, found, folder)) }
}

fn other_network(expected: &Graph, found: &Graph, folder: &Path) -> TrainError {
    let describe = |g: &Graph| {
        let input = g.inputs.first().map_or(&[][..], |i| g.shape(*i));
        let outputs = g.outputs.first().map_or(0, |o| g.value(*o).elements());
        format!("{} ({outputs} classes, input {input:?})", g.name)
    };
    TrainError::OtherNetwork { folder: folder.to_path_buf(), found: describe(found), expected: describe(expected) }
}

fn train_epoch(
    config: &Config,
    source: &impl BatchSource,
    epoch: u32,
    network: &mut Network<CpuBackend>,
    optimiser: &mut Sgd,
    observe: &mut dyn FnMut(Event<'_>),
) -> Result<EpochMetrics, TrainError> {
    let steps = source.train_batches() as u64;
    let schedule = config.schedule();
    let first_step = u64::from(epoch) * steps;
    let start = Instant::now();
    let (mut loss_sum, mut samples, mut lr, mut step) = (0.0, 0, 0.0, 0);
    for batch in source.train(epoch, 0) {
        let batch = batch?;
        samples += batch.targets.len();
        let at = Moment { step: first_step + step, steps_per_epoch: steps, epochs: config.epochs, batches: 1 };
        lr = schedule.rate(at, &Plateau::default());
        let loss = network.train_step(batch, config.seed, epoch, optimiser, lr as f32)?;
        if !loss.is_finite() {
            return Err(TrainError::Diverged { epoch, step });
        }
        step += 1;
        loss_sum += f64::from(loss);
        let images_per_s = samples as f64 / start.elapsed().as_secs_f64();
        observe(Event::Step { epoch, step, steps, loss, lr, images_per_s });
    }
    let images_per_s = samples as f64 / start.elapsed().as_secs_f64();
    let of = source.test_len();
    let test = evaluate(network, source.test(), &mut |done| observe(Event::Tested { done, of }))?;
    Ok(EpochMetrics {
        epoch: epoch + 1,
        step: first_step + step,
        train_loss: loss_sum / step.max(1) as f64,
        lr,
        test_loss: test.loss,
        top1: test.top1,
        top5: test.top5,
        images_per_s,
        seconds: start.elapsed().as_secs_f64(),
    })
}

/// Accuracy and loss over `batches`; `observe` is told the number of samples done.
///
/// # Errors
/// [`TrainError::Data`] or [`TrainError::Device`].
pub fn evaluate(
    network: &Network<CpuBackend>,
    batches: Batches<'_>,
    observe: &mut dyn FnMut(usize),
) -> Result<Evaluation, TrainError> {
    let mut tally = Tally::default();
    for batch in batches {
        let batch = batch?;
        let scores = network.evaluate(batch.images, batch.targets.len())?;
        for (scores, target) in scores.chunks_exact(network.classes()).zip(batch.targets.iter()) {
            if let Target::Class(class) = target {
                tally.add(scores, class);
            }
        }
        observe(tally.len());
    }
    Ok(tally.evaluation())
}
