//! How a training is described: by the command line, by a TOML file, and resolved in the RUN folder's config.toml.

use crate::augment::Augment;
use crate::init::{Init, InitError};
use crate::models::Architecture;
use crate::schedule::{ScheduleKind, ScheduleOptions};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Where the first parameters come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Start {
    /// They are drawn.
    Drawn(Init),
    /// They are those of a RUN folder or a .safetensors or .onnx file.
    From(PathBuf),
}

impl FromStr for Start {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "" => Err("kaiming, gaussian, a RUN folder, or a .safetensors or .onnx file is needed".into()),
            init if Init::is_meant(init) => init.parse().map(Start::Drawn).map_err(|e: InitError| e.to_string()),
            path => Ok(Start::From(PathBuf::from(path))),
        }
    }
}

impl TryFrom<String> for Start {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Start> for String {
    fn from(start: Start) -> String {
        start.to_string()
    }
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Start::Drawn(init) => write!(f, "{init}"),
            Start::From(path) => write!(f, "{}", path.display()),
        }
    }
}

/// A training, every value decided. Serialised it is a RUN folder's config.toml, which is a valid `--config` file again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The data set's folder.
    pub data: PathBuf,
    /// Name of the architecture.
    pub arch: String,
    /// Passes over the training samples.
    pub epochs: u32,
    /// Samples of one optimiser step.
    pub batch_size: usize,
    /// Base or largest learning rate.
    pub lr: f64,
    /// Momentum of the optimiser.
    pub momentum: f32,
    /// L2 decay of all parameters.
    pub weight_decay: f32,
    /// Curve of the learning rate.
    pub schedule: ScheduleKind,
    /// One-cycle: share of the steps during which the rate grows.
    pub warmup: f64,
    /// Step: epochs (from 0) at whose beginning the rate is multiplied.
    pub step_epochs: Vec<u32>,
    /// Step: what it is multiplied by.
    pub step_factor: f64,
    /// Where the first parameters come from.
    pub init: Start,
    /// How training pictures are varied.
    pub augment: Augment,
    /// Where the kernels run; `cpu`.
    pub device: Device,
    /// Worker threads; 0 for as many as the machine has cores. Results are the same bit for bit for the same number.
    pub threads: usize,
    /// Key of all random numbers.
    pub seed: u64,
}

/// Where kernels run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Device {
    /// The processor's cores.
    #[default]
    Cpu,
}

/// What a command line or a TOML file says about a training; the rest keeps its default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(deny_unknown_fields)]
pub struct Choices {
    /// Data set: a folder with one sub-folder of pictures per class (optionally inside train/ and test/), or IDX or CIFAR-10 files.
    #[arg(value_name = "DATA")]
    pub data: Option<PathBuf>,
    /// Architecture; `trainer archs` lists them.
    #[arg(long, value_name = "NAME")]
    pub arch: Option<String>,
    /// Passes over the training pictures [default: 10].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub epochs: Option<u32>,
    /// Pictures of one optimiser step [default: 64].
    #[arg(long, value_name = "N", value_parser = positive)]
    pub batch_size: Option<usize>,
    /// Learning rate, the largest one for one-cycle [default: 0.02].
    #[arg(long, value_name = "RATE")]
    pub lr: Option<f64>,
    /// Momentum [default: 0.9].
    #[arg(long, value_name = "SHARE")]
    pub momentum: Option<f32>,
    /// L2 decay of all parameters [default: 0.0005].
    #[arg(long, value_name = "FACTOR")]
    pub weight_decay: Option<f32>,
    /// Curve of the learning rate [default: one-cycle].
    #[arg(long)]
    pub schedule: Option<ScheduleKind>,
    /// One-cycle: share of the steps during which the rate grows [default: 0.3].
    #[arg(long, value_name = "SHARE")]
    pub warmup: Option<f64>,
    /// Step: epochs (from 0) at which the rate is multiplied [default: half and three quarters of the epochs].
    #[arg(long, value_name = "E,E,..", value_delimiter = ',')]
    pub step_epochs: Option<Vec<u32>>,
    /// Step: what the rate is multiplied by [default: 0.1].
    #[arg(long, value_name = "FACTOR")]
    pub step_factor: Option<f64>,
    /// First parameters: kaiming, gaussian, a RUN folder, or a .safetensors or .onnx file [default: kaiming].
    #[arg(long, alias = "init-from", value_name = "INIT")]
    pub init: Option<Start>,
    /// Variations of training pictures: none, flip or crop-flip [default: crop-flip for colour at 32 pixels, flip for larger
    /// colour, none for grey].
    #[arg(long)]
    pub augment: Option<Augment>,
    /// Where the kernels run [default: cpu].
    #[arg(long)]
    pub device: Option<Device>,
    /// Worker threads [default: 0, all cores].
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// Key of all random numbers [default: 0].
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
}

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("a whole number of 1 or more is needed".into()),
        Ok(n) => Ok(n),
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
        name: &'static str,
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

impl Choices {
    /// Reads a TOML file.
    ///
    /// # Errors
    /// [`ConfigError::File`] naming the file, with the line at fault.
    pub fn read(path: &Path) -> Result<Choices, ConfigError> {
        let fail = |reason: String| ConfigError::File { path: path.to_path_buf(), reason };
        let text = std::fs::read_to_string(path).map_err(|e| fail(format!("cannot be read: {e}")))?;
        toml::from_str(&text).map_err(|e| fail(format!("not a training's description: {e}")))
    }

    /// These choices, and for what they leave open those of `below`.
    #[must_use]
    pub fn over(self, below: Choices) -> Choices {
        Choices {
            data: self.data.or(below.data),
            arch: self.arch.or(below.arch),
            epochs: self.epochs.or(below.epochs),
            batch_size: self.batch_size.or(below.batch_size),
            lr: self.lr.or(below.lr),
            momentum: self.momentum.or(below.momentum),
            weight_decay: self.weight_decay.or(below.weight_decay),
            schedule: self.schedule.or(below.schedule),
            warmup: self.warmup.or(below.warmup),
            step_epochs: self.step_epochs.or(below.step_epochs),
            step_factor: self.step_factor.or(below.step_factor),
            init: self.init.or(below.init),
            augment: self.augment.or(below.augment),
            device: self.device.or(below.device),
            threads: self.threads.or(below.threads),
            seed: self.seed.or(below.seed),
        }
    }

    /// Decides everything left open, for pictures of `channels` channels.
    ///
    /// # Errors
    /// [`ConfigError`] where data or architecture are missing or a value makes no sense.
    pub fn resolve(self, architecture: &Architecture, channels: u8) -> Result<Config, ConfigError> {
        let epochs = self.epochs.unwrap_or(10);
        let augment = match (channels, architecture.size) {
            (1, _) => Augment::None,
            (_, 32) => Augment::CropFlip,
            _ => Augment::Flip,
        };
        let config = Config {
            data: self.data.ok_or(ConfigError::Missing { what: "the data set's folder is needed" })?,
            arch: architecture.name.to_string(),
            epochs,
            batch_size: self.batch_size.unwrap_or(64),
            lr: self.lr.unwrap_or(0.02),
            momentum: self.momentum.unwrap_or(0.9),
            weight_decay: self.weight_decay.unwrap_or(5e-4),
            schedule: self.schedule.unwrap_or_default(),
            warmup: self.warmup.unwrap_or(0.3),
            step_epochs: self.step_epochs.unwrap_or_else(|| vec![epochs.div_ceil(2), (3 * epochs).div_ceil(4)]),
            step_factor: self.step_factor.unwrap_or(0.1),
            init: self.init.unwrap_or(Start::Drawn(Init::default())),
            augment: self.augment.unwrap_or(augment),
            device: self.device.unwrap_or_default(),
            threads: self.threads.unwrap_or(0),
            seed: self.seed.unwrap_or(0),
        };
        config.check()?;
        Ok(config)
    }
}

impl Config {
    fn check(&self) -> Result<(), ConfigError> {
        let value = |name, reason: &str| Err(ConfigError::Value { name, reason: reason.into() });
        match () {
            () if self.epochs == 0 => value("epochs", "at least 1 is needed"),
            () if self.batch_size == 0 => value("batch_size", "at least 1 is needed"),
            () if !(self.lr > 0.0 && self.lr.is_finite()) => value("lr", "a rate above 0 is needed"),
            () if !(0.0..1.0).contains(&self.momentum) => value("momentum", "0 up to, but not including, 1 is needed"),
            () if !(self.weight_decay >= 0.0 && self.weight_decay.is_finite()) => value("weight_decay", "0 or more is needed"),
            () if !(0.0..=1.0).contains(&self.warmup) => value("warmup", "a share from 0 to 1 is needed"),
            () if !(self.step_factor > 0.0 && self.step_factor.is_finite()) => {
                value("step_factor", "a factor above 0 is needed")
            }
            () => Ok(()),
        }
    }

    /// The learning rate over the training.
    pub fn schedule(&self) -> ScheduleOptions {
        ScheduleOptions {
            schedule: self.schedule,
            lr: self.lr,
            warmup: self.warmup,
            step_epochs: self.step_epochs.clone(),
            step_factor: self.step_factor,
            ..ScheduleOptions::default()
        }
    }

    /// The text of config.toml.
    ///
    /// # Errors
    /// [`ConfigError`] where a path is not UTF-8.
    pub fn to_toml(&self) -> Result<String, ConfigError> {
        toml::to_string(self).map_err(|e| ConfigError::Value { name: "config.toml", reason: e.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::by_name;

    #[test]
    fn the_command_line_wins_over_the_file() {
        let file: Choices = toml::from_str("data = \"D\"\nepochs = 7\nlr = 0.5\ninit = \"gaussian\"").unwrap();
        let line = Choices { lr: Some(0.25), ..Choices::default() };
        let config = line.over(file).resolve(by_name("alexnet-cifar").unwrap(), 3).unwrap();
        assert_eq!((config.epochs, config.lr, config.init.clone()), (7, 0.25, Start::Drawn(Init::GAUSSIAN)));
        assert_eq!((config.batch_size, config.augment), (64, Augment::CropFlip));
        let again: Choices = toml::from_str(&config.to_toml().unwrap()).unwrap();
        assert_eq!(again.resolve(by_name("alexnet-cifar").unwrap(), 3).unwrap(), config);
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        let lenet = by_name("lenet").unwrap();
        let base = Choices { data: Some("D".into()), ..Choices::default() };
        let error = Choices { lr: Some(-1.0), ..base.clone() }.resolve(lenet, 1).unwrap_err();
        assert!(error.to_string().starts_with("lr:"));
        assert!(Choices { momentum: Some(1.0), ..base.clone() }.resolve(lenet, 1).is_err());
        assert!(Choices::default().resolve(lenet, 1).is_err());
        assert_eq!(base.resolve(lenet, 1).unwrap().augment, Augment::None);
        assert!(toml::from_str::<Choices>("epoch = 3").is_err(), "a misspelt key is an error");
    }
}
