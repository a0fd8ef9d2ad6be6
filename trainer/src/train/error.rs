//! Why a training cannot begin or go on.

use crate::backend::open::OpenError;
use crate::backend::{Device, DeviceError, LossError};
use crate::checkpoint::CheckpointError;
use crate::config::ConfigError;
use crate::loss::TargetError;
use crate::models;
use crate::network::NetworkError;
use crate::optim::{OptimiserError, RuleError, StateError};
use crate::option::OptionError;
use crate::plan::Untrained;
use crate::ranks::RanksError;
use staticnet_data::DataError;
use staticnet_graph::file::FileError;
use staticnet_graph::graph::ShapeError;
use staticnet_graph::onnx::{ImportError, OnnxError};
use staticnet_graph::safetensors::SafetensorsError;
use std::fmt;
use std::path::PathBuf;

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
    /// The device failed, or its memory ran out.
    Device(DeviceError),
    /// The device cannot be used.
    Open(OpenError),
    /// Batches are too large for the device.
    Memory {
        /// The device.
        device: String,
        /// Bytes needed.
        needed: usize,
        /// Bytes that are free.
        free: usize,
        /// Samples of a batch on this device.
        batch_size: usize,
        /// Samples that would fit.
        fitting: usize,
    },
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
    /// A checkpoint within an epoch of another number of batches.
    OtherBatches {
        /// The checkpoint's folder.
        folder: PathBuf,
        /// Batches of its epochs.
        found: u64,
        /// Batches of the epochs now.
        expected: u64,
    },
    /// The optimiser's state is not that of these options.
    OtherOptimiser {
        /// The checkpoint's folder.
        folder: PathBuf,
        /// What does not fit.
        error: StateError,
    },
    /// Processes cannot train together.
    Ranks(RanksError),
    /// A batch that cannot be shared out.
    FewSamples {
        /// Its samples.
        samples: usize,
        /// Number of ranks.
        ranks: usize,
    },
    /// A rank does not find the training that it is to go on with.
    NotShared {
        /// The checkpoint's folder.
        folder: PathBuf,
        /// Which rank.
        rank: String,
    },
    /// There are not as many devices as ranks on a machine.
    FewDevices {
        /// The devices.
        device: Device,
        /// Number of ranks on this machine.
        ranks: usize,
    },
    /// A rule, or an option of the optimiser.
    Rule(RuleError),
    /// What a sample should be fits no network of so many outputs.
    Target(TargetError),
    /// There is nothing to train on.
    NoBatches,
    /// What is best should be told by a metric that is not measured.
    NotMeasured(String),
    /// Some number is not finite any more.
    Diverged {
        /// Which: a layer's weights, gradients or outputs, or the loss.
        what: String,
        /// Epochs done.
        epoch: u32,
        /// Steps of the optimiser done in all.
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
            TrainError::Device(error) => write!(f, "{error}; a smaller --batch-size needs less memory"),
            TrainError::Open(error) => write!(f, "{error}"),
            TrainError::Memory { device, needed, free, batch_size, fitting } => {
                let mib = |bytes: &usize| bytes.div_ceil(1 << 20);
                write!(f, "batches of {batch_size} need {} MiB, and {device} has {} MiB free; ", mib(needed), mib(free))?;
                match fitting {
                    0 => write!(f, "even one sample does not fit: free some, or train on another device"),
                    n => write!(f, "--batch-size {n} fits, and --accumulate keeps the steps as large"),
                }
            }
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
            TrainError::OtherBatches { folder, found, expected } => write!(
                f,
                "{}: was saved within an epoch of {found} batches, now there are {expected}; resume with the data and the \
                 --batch-size it was begun with",
                folder.display()
            ),
            TrainError::OtherOptimiser { folder, error } => write!(
                f,
                "{}: {error}; resume with the options it was begun with, or begin anew with --init {}",
                folder.display(),
                folder.display()
            ),
            TrainError::Ranks(error) => write!(f, "{error}"),
            TrainError::FewSamples { samples, ranks } => write!(
                f,
                "a batch of {samples} samples is not enough for {ranks} ranks, each of which takes a part of it; use a larger \
                 --batch-size or fewer ranks"
            ),
            TrainError::NotShared { folder, rank } => write!(
                f,
                "{}: {rank} finds no checkpoint here; all ranks read it, so the RUN folder has to be on a file system that all \
                 machines share",
                folder.display()
            ),
            TrainError::FewDevices { device, ranks } => write!(
                f,
                "--device {device}: there are {ranks} ranks on this machine, each of which needs a device; start as many as there are \
                 devices (mpirun --map-by ppr:N:node), or one process, which starts them itself"
            ),
            TrainError::Rule(error) => write!(f, "{error}"),
            TrainError::Target(error) => write!(f, "{error}"),
            TrainError::NoBatches => write!(f, "there are no samples to train on"),
            TrainError::NotMeasured(name) => {
                write!(f, "best_by: `{name}` is not measured; name a metric of --metrics or test_loss")
            }
            TrainError::Diverged { what, epoch, step } => write!(
                f,
                "{what} not finite in epoch {}, step {step}; a lower --lr or --clip-norm may help. What was saved before is kept",
                epoch + 1
            ),
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
    ShapeError => Shape, Untrained => Untrained, ConfigError => Config, DataError => Data, DeviceError => Device, RanksError => Ranks, OpenError => Open,
    RuleError => Rule, TargetError => Target, CheckpointError => Checkpoint, FileError => File, SafetensorsError => Parameters, ImportError => Import, OnnxError => Onnx,
}

impl From<LossError> for TrainError {
    fn from(error: LossError) -> Self {
        match error {
            LossError::Target(error) => TrainError::Target(error),
            LossError::Device(error) => TrainError::Device(error),
        }
    }
}

impl From<NetworkError> for TrainError {
    fn from(error: NetworkError) -> Self {
        match error {
            NetworkError::Untrained(error) => TrainError::Untrained(error),
            NetworkError::Device(error) => TrainError::Device(error),
        }
    }
}

impl From<OptimiserError> for TrainError {
    fn from(error: OptimiserError) -> Self {
        match error {
            OptimiserError::Rule(error) => TrainError::Rule(error),
            OptimiserError::Device(error) => TrainError::Device(error),
        }
    }
}

impl From<OptionError> for TrainError {
    fn from(error: OptionError) -> Self {
        TrainError::Config(error.into())
    }
}
