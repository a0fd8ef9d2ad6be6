//! What is said about the learning rate.

use crate::option::OptionError;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Shape of the learning rate's curve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ScheduleKind {
    /// Up to the given rate and down to almost 0, both along a cosine, changing every step: PyTorch's `OneCycleLR`
    /// with `anneal_strategy="cos"` and a constant momentum (Smith and Topin, "Super-Convergence", 2017).
    #[default]
    OneCycle,
    /// Multiplied by `step_factor` at epochs: PyTorch's `MultiStepLR` and `StepLR`.
    Step,
    /// The given rate.
    Constant,
    /// Multiplied by `gamma` every epoch: PyTorch's `ExponentialLR`.
    Exponential,
    /// Divided by `1 + lr_decay * step`: the `decay` of Keras and of neon.
    InverseTime,
    /// Down to `lr_min` along half a cosine, changing every step: PyTorch's `CosineAnnealingLR` over the whole training.
    Cosine,
    /// Down to 0 as a power of the share that is left, changing every step: PyTorch's `PolynomialLR` over the whole training.
    Polynomial,
    /// Multiplied by `plateau_factor` when the watched metric stops getting better: PyTorch's `ReduceLROnPlateau`.
    Plateau,
}

impl fmt::Display for ScheduleKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ScheduleKind::OneCycle => "one-cycle",
            ScheduleKind::Step => "step",
            ScheduleKind::Constant => "constant",
            ScheduleKind::Exponential => "exponential",
            ScheduleKind::InverseTime => "inverse-time",
            ScheduleKind::Cosine => "cosine",
            ScheduleKind::Polynomial => "polynomial",
            ScheduleKind::Plateau => "plateau",
        })
    }
}

/// How a learning rate that is meant for another size of batch is changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum LrScaling {
    /// Multiplied by as much as the batch is larger: a step then goes as far as the steps it takes the place of (Goyal and others, "Accurate,
    /// Large Minibatch SGD", 2017).
    #[default]
    Linear,
    /// By the root of that: the noise of a step stays what it was (Krizhevsky, "One weird trick", 2014).
    Sqrt,
}

impl fmt::Display for LrScaling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LrScaling::Linear => "linear",
            LrScaling::Sqrt => "sqrt",
        })
    }
}

/// The learning rate and how it changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default)]
pub struct ScheduleOptions {
    /// Learning rate: the first one, the largest one for one-cycle.
    #[arg(long, value_name = "RATE", default_value_t = Self::default().lr)]
    pub lr: f64,
    /// Pictures of the batch that the rate is meant for: with a step of more (batch_size x accumulate) it is larger, of fewer smaller. 0 for
    /// the rate as it is. Large batches want a warm-up, too: --warmup-epochs 5.
    #[arg(long, value_name = "N", default_value_t = Self::default().lr_batch)]
    pub lr_batch: usize,
    /// With lr_batch: how the rate follows the size of the batch.
    #[arg(long, value_enum, default_value_t = Self::default().lr_scaling)]
    pub lr_scaling: LrScaling,
    /// Pictures of a step, where that is known.
    #[arg(skip)]
    #[serde(skip)]
    pub batch: usize,
    /// Curve of the learning rate.
    #[arg(long, value_enum, default_value_t = Self::default().schedule)]
    pub schedule: ScheduleKind,
    /// One-cycle: share of the steps during which the rate grows.
    #[arg(long, value_name = "SHARE", default_value_t = Self::default().warmup)]
    pub warmup: f64,
    /// Step: epochs (from 0) at whose beginning the rate is multiplied; none for half and three quarters of the epochs.
    #[arg(long, value_name = "E,E,..", value_delimiter = ',')]
    pub step_epochs: Vec<u32>,
    /// Step: multiply after every so many epochs instead; 0 for the epochs listed.
    #[arg(long, value_name = "EPOCHS", default_value_t = Self::default().step_every)]
    pub step_every: u32,
    /// Step: what the rate is multiplied by.
    #[arg(long, value_name = "FACTOR", default_value_t = Self::default().step_factor)]
    pub step_factor: f64,
    /// Exponential: what the rate is multiplied by every epoch.
    #[arg(long, value_name = "FACTOR", default_value_t = Self::default().gamma)]
    pub gamma: f64,
    /// Inverse-time: the rate of step n (from 0) is lr / (1 + lr_decay * n).
    #[arg(long, value_name = "SHARE", default_value_t = Self::default().lr_decay)]
    pub lr_decay: f64,
    /// Cosine and plateau: the rate that is not gone below.
    #[arg(long, value_name = "RATE", default_value_t = Self::default().lr_min)]
    pub lr_min: f64,
    /// Polynomial: the power.
    #[arg(long, value_name = "POWER", default_value_t = Self::default().power)]
    pub power: f64,
    /// Plateau: what the rate is multiplied by.
    #[arg(long, value_name = "FACTOR", default_value_t = Self::default().plateau_factor)]
    pub plateau_factor: f64,
    /// Plateau: epochs without anything better that are put up with.
    #[arg(long, value_name = "EPOCHS", default_value_t = Self::default().plateau_patience)]
    pub plateau_patience: u32,
    /// Plateau: better means better by this share of the best value.
    #[arg(long, value_name = "SHARE", default_value_t = Self::default().plateau_threshold)]
    pub plateau_threshold: f64,
    /// Optimiser steps over which the rate of any schedule grows from almost 0 (linear warm-up).
    #[arg(long, value_name = "STEPS", default_value_t = Self::default().warmup_steps)]
    pub warmup_steps: u64,
    /// The same in epochs.
    #[arg(long, value_name = "EPOCHS", default_value_t = Self::default().warmup_epochs)]
    pub warmup_epochs: u32,
}

impl Default for ScheduleOptions {
    fn default() -> Self {
        ScheduleOptions {
            lr: 0.02,
            lr_batch: 0,
            lr_scaling: LrScaling::Linear,
            batch: 0,
            schedule: ScheduleKind::OneCycle,
            warmup: 0.3,
            step_epochs: Vec::new(),
            step_every: 0,
            step_factor: 0.1,
            gamma: 0.9,
            lr_decay: 1e-4,
            lr_min: 0.0,
            power: 1.0,
            plateau_factor: 0.1,
            plateau_patience: 10,
            plateau_threshold: 1e-4,
            warmup_steps: 0,
            warmup_epochs: 0,
        }
    }
}

impl ScheduleOptions {
    /// Whether the values make sense.
    ///
    /// # Errors
    /// The first that does not.
    pub fn check(&self) -> Result<(), OptionError> {
        let wrong = |name, reason: &str| Err(OptionError { name, reason: reason.into() });
        let above = |value: f64| value > 0.0 && value.is_finite();
        let from = |value: f64| value >= 0.0 && value.is_finite();
        match () {
            () if !above(self.lr) => wrong("lr", "a rate above 0 is needed"),
            () if !(0.0..=1.0).contains(&self.warmup) => wrong("warmup", "a share from 0 to 1 is needed"),
            () if !above(self.step_factor) => wrong("step_factor", "a factor above 0 is needed"),
            () if self.step_every > 0 && !self.step_epochs.is_empty() => wrong("step_every", "step_epochs says otherwise"),
            () if !above(self.gamma) => wrong("gamma", "a factor above 0 is needed"),
            () if !from(self.lr_decay) => wrong("lr_decay", "0 or more is needed"),
            () if !from(self.lr_min) => wrong("lr_min", "a rate of 0 or more is needed"),
            () if !above(self.power) => wrong("power", "a power above 0 is needed"),
            () if !(self.plateau_factor > 0.0 && self.plateau_factor < 1.0) => {
                wrong("plateau_factor", "a factor between 0 and 1 is needed")
            }
            () if !(0.0..1.0).contains(&self.plateau_threshold) => {
                wrong("plateau_threshold", "a share from 0 to, but not including, 1 is needed")
            }
            () if self.warmup_steps > 0 && self.warmup_epochs > 0 => wrong("warmup_steps", "warmup_epochs says otherwise"),
            () => Ok(()),
        }
    }
}
