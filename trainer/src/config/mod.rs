//! How a training is described: by the command line, by TOML files, and resolved in the RUN folder's config.toml.
//!
//! There is one struct. Its fields are the options of `trainer train`, their doc comments its `--help` and the comments of a
//! config.toml. The fields of its parts stand beside its own: in TOML all is one flat table.

mod commented;
mod layers;
mod start;

use crate::augment::Augment;
use crate::backend::{Device, Precision, Target};
use crate::dataset::DataOptions;
use crate::log::LogOptions;
use crate::loss::LossOptions;
use crate::metrics::MetricOptions;
use crate::models::Architecture;
use crate::monitor::MonitorOptions;
use crate::optim::OptimOptions;
use crate::option::OptionError;
use crate::ranks::DEFAULT_BUCKET;
use crate::schedule::ScheduleOptions;
use crate::text::written_as_text;
use clap::ArgMatches;
use serde::{Deserialize, Serialize};
pub use start::Start;
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

/// A training. What is left open (`data`, `arch`, `augment`) is decided by [`Config::decide`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, clap::Args)]
pub struct Config {
    /// Data set: a folder with one sub-folder of pictures per class (optionally inside train/ and test/), or IDX or CIFAR-10 files.
    #[arg(value_name = "DATA", default_value = "", hide_default_value = true, value_parser = any_path)]
    pub data: PathBuf,
    /// Architecture; `trainer archs` lists them.
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub arch: String,
    /// Passes over the training pictures.
    #[arg(long, value_name = "N", default_value_t = Config::default().epochs)]
    pub epochs: u32,
    /// Pictures of a batch, of all ranks together.
    #[arg(long, value_name = "N", default_value_t = Config::default().batch_size)]
    pub batch_size: usize,
    /// Batches whose gradients make one step of the optimiser together; the mean over them counts.
    #[arg(long, value_name = "N", default_value_t = Config::default().accumulate)]
    pub accumulate: u32,
    /// First parameters: kaiming, xavier, gaussian:STD, uniform:BOUND, constant:VALUE, alexnet (the paper's), or those of a RUN folder or
    /// of a .safetensors or .onnx file.
    #[arg(long, alias = "init-from", value_name = "INIT", default_value_t = Config::default().init)]
    pub init: Start,
    /// Variations of training pictures: none, flip, crop-flip or resized-crop [default: crop-flip for colour at 32 pixels, flip for larger
    /// colour, none for grey].
    #[arg(long)]
    pub augment: Option<Augment>,
    /// Where the kernels run: cpu, or cuda:0 for the first GPU, cuda:0,1 for two of them (with a build for it; see
    /// docs/training-on-gpus.md).
    #[arg(long, default_value_t = Config::default().device)]
    pub device: Device,
    /// Numbers that a GPU multiplies: binary32, or fewer bits on its matrix units (then the loss is scaled for f16). Sums are binary32.
    #[arg(long, value_enum, default_value_t = Config::default().precision)]
    pub precision: Precision,
    /// Threads of the kernels, of each rank; 0 for as many as the machine has cores, divided among its ranks. Results are the same bit for bit for the same number, which a
    /// RUN's config.toml keeps.
    #[arg(long, value_name = "N", default_value_t = Config::default().threads)]
    pub threads: usize,
    /// Key of all random numbers.
    #[arg(long, value_name = "N", default_value_t = Config::default().seed)]
    pub seed: u64,

    /// Updates.
    #[command(flatten, next_help_heading = "How parameters are updated")]
    #[serde(flatten)]
    pub optim: OptimOptions,
    /// Rates.
    #[command(flatten, next_help_heading = "Learning rate")]
    #[serde(flatten)]
    pub schedule: ScheduleOptions,
    /// What is made small.
    #[command(flatten, next_help_heading = "Loss and metrics")]
    #[serde(flatten)]
    pub loss: LossOptions,
    /// What is measured.
    #[command(flatten, next_help_heading = "Loss and metrics")]
    #[serde(flatten)]
    pub metrics: MetricOptions,
    /// How pictures are read.
    #[command(flatten, next_help_heading = "Pictures")]
    #[serde(flatten)]
    pub pictures: DataOptions,
    /// What is looked at on the way.
    #[command(flatten, next_help_heading = "What to tell")]
    #[serde(flatten)]
    pub monitor: MonitorOptions,
    /// What is written down.
    #[command(flatten, next_help_heading = "What to tell")]
    #[serde(flatten)]
    pub log: LogOptions,

    /// Stop where the watched metric was not better for so many epochs; 0 for never.
    #[arg(long, value_name = "EPOCHS", default_value_t = Config::default().patience, help_heading = "When to stop")]
    pub patience: u32,
    /// What counts as better: by more than this.
    #[arg(long, value_name = "DELTA", default_value_t = Config::default().min_delta, help_heading = "When to stop")]
    pub min_delta: f64,
    /// Stop after so much time, as 90m or 1h30m, with all that is needed to go on saved. What an earlier process took counts not.
    #[arg(long, value_name = "TIME", help_heading = "When to stop")]
    pub max_time: Option<Span>,

    /// Several ranks (mpirun, or several devices): KiB of gradients that travel together, while the way back goes on.
    #[arg(long, value_name = "KIB", default_value_t = Config::default().bucket_kib, help_heading = "Several ranks")]
    pub bucket_kib: usize,

    /// Save the last checkpoint after every so many steps of the optimiser, too; 0 for after every epoch alone.
    #[arg(long, value_name = "STEPS", default_value_t = Config::default().save_every, help_heading = "What to keep")]
    pub save_every: u64,
    /// Keep so many of the newest checkpoints besides the last and the best, in checkpoints/.
    #[arg(long, value_name = "N", default_value_t = Config::default().keep, help_heading = "What to keep")]
    pub keep: u32,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            data: PathBuf::new(),
            arch: String::new(),
            epochs: 10,
            batch_size: 64,
            accumulate: 1,
            init: Start::default(),
            augment: None,
            device: Device::default(),
            precision: Precision::default(),
            threads: 0,
            seed: 0,
            optim: OptimOptions::default(),
            schedule: ScheduleOptions::default(),
            loss: LossOptions::default(),
            metrics: MetricOptions::default(),
            pictures: DataOptions::default(),
            monitor: MonitorOptions::default(),
            log: LogOptions::default(),
            patience: 0,
            min_delta: 0.0,
            max_time: None,
            bucket_kib: DEFAULT_BUCKET >> 10,
            save_every: 0,
            keep: 0,
        }
    }
}

fn any_path(text: &str) -> Result<PathBuf, std::convert::Infallible> {
    Ok(PathBuf::from(text))
}

/// A span of time: `45s`, `90m`, `2h`, `1h30m`; a number alone is seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(pub Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no time; write 45s, 90m, 2h or 1h30m");
        let (mut seconds, mut number) = (0u64, None);
        for c in text.trim().chars() {
            let unit = match c {
                '0'..='9' => {
                    let digit = u64::from(c) - u64::from('0');
                    number = Some(number.unwrap_or(0u64).checked_mul(10).and_then(|n| n.checked_add(digit)).ok_or_else(wrong)?);
                    continue;
                }
                's' => 1,
                'm' => 60,
                'h' => 3600,
                'd' => 86_400,
                _ => return Err(wrong()),
            };
            let part = number.take().and_then(|n| n.checked_mul(unit)).ok_or_else(wrong)?;
            seconds = seconds.checked_add(part).ok_or_else(wrong)?;
        }
        let total = seconds.checked_add(number.unwrap_or(0)).filter(|total| *total > 0);
        total.map(|total| Span(Duration::from_secs(total))).ok_or_else(wrong)
    }
}

written_as_text!(Span);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = self.0.as_secs();
        for (unit, name) in [(3600, "h"), (60, "m"), (1, "s")] {
            if left >= unit {
                write!(f, "{}{name}", left / unit)?;
                left %= unit;
            }
        }
        Ok(())
    }
}

/// Why a training's description cannot be used.
#[derive(Clone, Debug, PartialEq)]
pub enum ConfigError {
    /// A file cannot be read or is not what it should be.
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A value that must be given is not.
    Missing {
        /// What to give.
        what: &'static str,
    },
    /// A value outside what makes sense.
    Value {
        /// Its name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::File { path, reason } => write!(f, "{}: {reason}", path.display()),
            ConfigError::Missing { what } => write!(f, "{what}"),
            ConfigError::Value { name, reason } => write!(f, "{name}: {reason}"),
        }
    }
}

impl std::error::Error for ConfigError {}

impl From<OptionError> for ConfigError {
    fn from(OptionError { name, reason }: OptionError) -> Self {
        ConfigError::Value { name: name.into(), reason }
    }
}

impl Config {
    /// `self` as clap made it of `matches`, and what was not typed as the first of `files` that has it says.
    ///
    /// # Errors
    /// [`ConfigError`] where a file cannot be read, has an option that does not exist, or a value of another kind.
    pub fn over(&self, matches: &ArgMatches, files: &[&Path]) -> Result<Config, ConfigError> {
        layers::merge(self, &layers::typed(matches), files)
    }

    /// What a TOML file says, and the defaults for everything else.
    ///
    /// # Errors
    /// As [`Config::over`].
    pub fn read(path: &Path) -> Result<Config, ConfigError> {
        layers::merge(&Config::default(), &BTreeSet::new(), &[path])
    }

    /// Decides what was left open, for pictures of `channels` channels.
    ///
    /// # Errors
    /// [`ConfigError`] where a value makes no sense.
    pub fn decide(mut self, architecture: &Architecture, channels: u8) -> Result<Config, ConfigError> {
        let augment = match (channels, architecture.size) {
            (1, _) => Augment::None,
            (_, 32) => Augment::CropFlip,
            _ => Augment::Flip,
        };
        self.arch = architecture.name.to_string();
        self.augment.get_or_insert(augment);
        if self.threads == 0 {
            // Results depend on it: the number is kept, so that a training can be resumed on a machine with more cores.
            self.threads = std::thread::available_parallelism().map_or(1, |n| n.get());
        }
        self.check()?;
        Ok(self)
    }

    /// # Errors
    /// [`ConfigError::Value`] for the first option whose value makes no sense.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.optim.check()?;
        self.schedule.check()?;
        self.loss.check()?;
        self.metrics.check()?;
        self.pictures.check()?;
        let value = |name, reason: &str| Err(OptionError { name, reason: reason.into() }.into());
        match () {
            () if self.epochs == 0 => value("epochs", "at least 1 is needed"),
            () if self.batch_size == 0 => value("batch_size", "at least 1 is needed"),
            () if self.accumulate == 0 => value("accumulate", "at least 1 is needed"),
            () if !(self.min_delta >= 0.0 && self.min_delta.is_finite()) => value("min_delta", "0 or more is needed"),
            () => Ok(()),
        }
    }

    /// The learning rate, which may depend on the pictures of a step.
    pub fn schedule(&self) -> ScheduleOptions {
        ScheduleOptions { batch: self.batch_size.saturating_mul(self.accumulate as usize), ..self.schedule.clone() }
    }

    /// Where the kernels run.
    pub fn target(&self) -> Target {
        Target { device: self.device.clone(), threads: self.threads, precision: self.precision }
    }

    /// The text of config.toml: every option, explained.
    ///
    /// # Errors
    /// [`ConfigError`] where a path is not UTF-8.
    pub fn to_toml(&self) -> Result<String, ConfigError> {
        commented::text(self)
    }
}

#[cfg(test)]
mod tests;
