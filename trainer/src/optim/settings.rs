//! Everything that a rule can set, by name.

use super::options::OptimOptions;
use crate::init::Init;
use crate::nearest::meant;
use crate::option::OptionError;
use crate::schedule::ScheduleOptions;
use clap::ValueEnum;
use std::str::FromStr;

/// What holds for one parameter.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// The optimiser; clipping, average and rules in it are those of the whole training.
    pub optim: OptimOptions,
    /// The learning rate.
    pub schedule: ScheduleOptions,
    /// What the schedule's rate is multiplied by; none for 1.
    pub lr_factor: Option<f64>,
    /// How the parameter begins, while rules are gone through; see [`super::Groups::init`].
    pub init: Option<Init>,
    /// Whether it stays as it is.
    pub freeze: bool,
}

/// The names of what a rule can set.
pub const KEYS: [&str; 28] = [
    "lr",
    "lr_factor",
    "weight_decay",
    "decoupled_decay",
    "freeze",
    "init",
    "optimizer",
    "momentum",
    "nesterov",
    "beta1",
    "beta2",
    "alpha",
    "centered",
    "eps",
    "schedule",
    "warmup",
    "step_epochs",
    "step_every",
    "step_factor",
    "gamma",
    "lr_decay",
    "lr_min",
    "power",
    "plateau_factor",
    "plateau_patience",
    "plateau_threshold",
    "warmup_steps",
    "warmup_epochs",
];

/// Keys of training-wide options, which no rule can set for a part of it.
const GLOBAL: [&str; 3] = ["clip_norm", "clip_value", "ema"];

impl Settings {
    /// Sets what is called `key` to what `value` says.
    ///
    /// # Errors
    /// In words, naming the key: it does not exist, or the value is none of its values.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let Settings { optim, schedule, lr_factor, init, freeze } = self;
        match key {
            "lr" => put(&mut schedule.lr, key, value),
            "lr_factor" => {
                *lr_factor = Some(number(key, value)?);
                Ok(())
            }
            "weight_decay" => put(&mut optim.weight_decay, key, value),
            "decoupled_decay" => put(&mut optim.decoupled_decay, key, value),
            "freeze" => put(freeze, key, value),
            "init" => {
                *init = Some(value.parse().map_err(|e| format!("init: {e}"))?);
                Ok(())
            }
            "optimizer" => choose(&mut optim.optimizer, key, value),
            "momentum" => put(&mut optim.momentum, key, value),
            "nesterov" => put(&mut optim.nesterov, key, value),
            "beta1" => put(&mut optim.beta1, key, value),
            "beta2" => put(&mut optim.beta2, key, value),
            "alpha" => put(&mut optim.alpha, key, value),
            "centered" => put(&mut optim.centered, key, value),
            "eps" => put(&mut optim.eps, key, value),
            "schedule" => choose(&mut schedule.schedule, key, value),
            "warmup" => put(&mut schedule.warmup, key, value),
            // One of the two ways of the step schedule takes the place of the other.
            "step_epochs" => {
                schedule.step_every = 0;
                schedule.step_epochs = value.split(',').map(|e| number(key, e.trim())).collect::<Result<_, _>>()?;
                Ok(())
            }
            "step_every" => {
                schedule.step_epochs.clear();
                put(&mut schedule.step_every, key, value)
            }
            "step_factor" => put(&mut schedule.step_factor, key, value),
            "gamma" => put(&mut schedule.gamma, key, value),
            "lr_decay" => put(&mut schedule.lr_decay, key, value),
            "lr_min" => put(&mut schedule.lr_min, key, value),
            "power" => put(&mut schedule.power, key, value),
            "plateau_factor" => put(&mut schedule.plateau_factor, key, value),
            "plateau_patience" => put(&mut schedule.plateau_patience, key, value),
            "plateau_threshold" => put(&mut schedule.plateau_threshold, key, value),
            // So do these two.
            "warmup_steps" => {
                schedule.warmup_epochs = 0;
                put(&mut schedule.warmup_steps, key, value)
            }
            "warmup_epochs" => {
                schedule.warmup_steps = 0;
                put(&mut schedule.warmup_epochs, key, value)
            }
            _ if GLOBAL.contains(&key) => Err(format!("`{key}` is for the whole training, not for a part of the parameters")),
            _ => Err(format!("nothing is called `{key}`{} (there are {})", perhaps(meant(key, KEYS)), KEYS.join(", "))),
        }
    }

    /// Whether the values make sense together.
    ///
    /// # Errors
    /// The first that does not.
    pub fn check(&self) -> Result<(), OptionError> {
        self.optim.check()?;
        self.schedule.check()?;
        match self.lr_factor {
            Some(factor) if !(factor >= 0.0 && factor.is_finite()) => {
                Err(OptionError { name: "lr_factor", reason: "0 or more is needed".into() })
            }
            _ => Ok(()),
        }
    }
}

/// How an error goes on that has something to suggest.
fn perhaps(meant: Option<&str>) -> String {
    meant.map_or(String::new(), |name| format!("; perhaps `{name}` is meant"))
}

fn put<T: FromStr + Described>(place: &mut T, key: &str, value: &str) -> Result<(), String> {
    *place = number(key, value)?;
    Ok(())
}

/// What a value of a type is called when there is none.
trait Described {
    const WHAT: &str;
}

impl Described for f64 {
    const WHAT: &str = "a number";
}

impl Described for u32 {
    const WHAT: &str = "a whole number of 0 or more";
}

impl Described for u64 {
    const WHAT: &str = "a whole number of 0 or more";
}

impl Described for bool {
    const WHAT: &str = "true or false";
}

fn number<T: FromStr + Described>(key: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{key}: {} is needed, not `{value}`", T::WHAT))
}

fn choose<T: ValueEnum>(place: &mut T, key: &str, value: &str) -> Result<(), String> {
    *place = T::from_str(value, false).map_err(|_| {
        let names: Vec<_> = T::value_variants().iter().filter_map(ValueEnum::to_possible_value).collect();
        let names: Vec<&str> = names.iter().map(|n| n.get_name()).collect();
        let (all, close) = (names.join(", "), perhaps(meant(value, names)));
        format!("{key}: one of {all} is needed, not `{value}`{close}")
    })?;
    Ok(())
}
