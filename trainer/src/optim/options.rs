//! What is said about the optimiser.

use super::rule::Rule;
use crate::option::OptionError;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How parameters follow their gradients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum OptimizerKind {
    /// Stochastic gradient descent with momentum, Nesterov's on request.
    #[default]
    Sgd,
    /// Steps by the mean gradient over the root of the mean square (Kingma and Ba, "Adam", 2015).
    Adam,
    /// Adam with decoupled decay (Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019).
    #[value(name = "adamw")]
    #[serde(rename = "adamw")]
    AdamW,
    /// Steps by the gradient over the root of the mean square (Hinton's lecture 6e, 2012).
    #[value(name = "rmsprop")]
    #[serde(rename = "rmsprop")]
    RmsProp,
}

impl fmt::Display for OptimizerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            OptimizerKind::Sgd => "sgd",
            OptimizerKind::Adam => "adam",
            OptimizerKind::AdamW => "adamw",
            OptimizerKind::RmsProp => "rmsprop",
        })
    }
}

/// How parameters are updated. The formulas are PyTorch's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default)]
pub struct OptimOptions {
    /// How parameters follow their gradients.
    #[arg(long, value_enum, default_value_t = Self::default().optimizer)]
    pub optimizer: OptimizerKind,
    /// SGD and RMSprop: share of the velocity kept from step to step.
    #[arg(long, value_name = "SHARE", default_value_t = Self::default().momentum)]
    pub momentum: f64,
    /// SGD: Nesterov's momentum.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        action = clap::ArgAction::Set, default_value_t = Self::default().nesterov)]
    pub nesterov: bool,
    /// Adam: share of the mean gradient kept from step to step.
    #[arg(long, value_name = "SHARE", default_value_t = Self::default().beta1)]
    pub beta1: f64,
    /// Adam: share of the mean square kept.
    #[arg(long, value_name = "SHARE", default_value_t = Self::default().beta2)]
    pub beta2: f64,
    /// RMSprop: share of the mean square kept.
    #[arg(long, value_name = "SHARE", default_value_t = Self::default().alpha)]
    pub alpha: f64,
    /// RMSprop: take the squares around the mean gradient.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        action = clap::ArgAction::Set, default_value_t = Self::default().centered)]
    pub centered: bool,
    /// Adam and RMSprop: what keeps the divisor away from 0.
    #[arg(long, value_name = "NUMBER", default_value_t = Self::default().eps)]
    pub eps: f64,
    /// Decay of the parameters: added to the gradient as factor times parameter (L2), or decoupled for AdamW.
    #[arg(long, value_name = "FACTOR", default_value_t = Self::default().weight_decay)]
    pub weight_decay: f64,
    /// Shrink parameters by lr * weight_decay before each update instead of adding to the gradient; AdamW always does.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        action = clap::ArgAction::Set, default_value_t = Self::default().decoupled_decay)]
    pub decoupled_decay: bool,
    /// Scale the gradient down where its norm over all parameters is larger than this; not given for never.
    #[arg(long, value_name = "NORM")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<f64>,
    /// Cut off every element of the gradient at this magnitude, after clip_norm; not given for never.
    #[arg(long, value_name = "MAGNITUDE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_value: Option<f64>,
    /// Share kept at each step by a moving average of the parameters (0.999, say); not given for no average.
    #[arg(long, value_name = "SHARE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ema: Option<f64>,
    /// Other settings for some layers, "bias: lr_factor=2, weight_decay=0" or "features.3: freeze=true"; may be repeated.
    #[arg(long, value_name = "RULE")]
    pub rule: Vec<Rule>,
}

impl Default for OptimOptions {
    fn default() -> Self {
        OptimOptions {
            optimizer: OptimizerKind::Sgd,
            momentum: 0.9,
            nesterov: false,
            beta1: 0.9,
            beta2: 0.999,
            alpha: 0.99,
            centered: false,
            eps: 1e-8,
            weight_decay: 5e-4,
            decoupled_decay: false,
            clip_norm: None,
            clip_value: None,
            ema: None,
            rule: Vec::new(),
        }
    }
}

impl OptimOptions {
    /// Whether the values make sense. What rules are for is checked where there is a graph, by [`super::Optimiser::new`].
    ///
    /// # Errors
    /// The first that does not.
    pub fn check(&self) -> Result<(), OptionError> {
        let wrong = |name, reason: &str| Err(OptionError { name, reason: reason.into() });
        let share = |value: f64| (0.0..1.0).contains(&value);
        let above = |value: Option<f64>| value.is_none_or(|v| v > 0.0 && v.is_finite());
        const SHARE: &str = "0 up to, but not including, 1 is needed";
        match () {
            () if !share(self.momentum) => wrong("momentum", SHARE),
            () if self.nesterov && self.momentum == 0.0 && self.optimizer == OptimizerKind::Sgd => {
                wrong("nesterov", "a momentum above 0 is needed")
            }
            () if !share(self.beta1) => wrong("beta1", SHARE),
            () if !share(self.beta2) => wrong("beta2", SHARE),
            () if !share(self.alpha) => wrong("alpha", SHARE),
            () if !above(Some(self.eps)) => wrong("eps", "a number above 0 is needed"),
            () if !(self.weight_decay >= 0.0 && self.weight_decay.is_finite()) => wrong("weight_decay", "0 or more is needed"),
            () if !above(self.clip_norm) => wrong("clip_norm", "a norm above 0 is needed"),
            () if !above(self.clip_value) => wrong("clip_value", "a magnitude above 0 is needed"),
            () if !self.ema.is_none_or(share) => wrong("ema", SHARE),
            () => Ok(()),
        }
    }

    /// Whether decay shrinks the parameters rather than being added to the gradient.
    pub fn decoupled(&self) -> bool {
        self.decoupled_decay || self.optimizer == OptimizerKind::AdamW
    }
}
