//! The learning rate over the course of a training.

use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// Shape of the learning rate's curve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ScheduleKind {
    /// Up to the given rate and down to almost 0, both along a cosine, changing every step: PyTorch's `OneCycleLR`
    /// with `anneal_strategy="cos"` and a constant momentum (Smith and Topin, "Super-Convergence", 2017).
    #[default]
    OneCycle,
    /// The given rate, multiplied by a factor at given epochs.
    Step,
    /// The given rate.
    Constant,
}

/// PyTorch's default `div_factor`: the first rate is the largest one divided by this.
const FIRST_DIVISOR: f64 = 25.0;
/// PyTorch's default `final_div_factor`: the last rate is the first one divided by this.
const LAST_DIVISOR: f64 = 1e4;

/// The learning rate at every step of a training.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// Its shape.
    pub kind: ScheduleKind,
    /// The base (constant, step) or largest (one-cycle) rate.
    pub lr: f64,
    /// One-cycle: share of the steps during which the rate grows (PyTorch's `pct_start`).
    pub warmup: f64,
    /// Step: epochs (from 0) at whose beginning the rate is multiplied.
    pub step_epochs: Vec<u32>,
    /// Step: what it is multiplied by.
    pub step_factor: f64,
    /// Optimiser steps of one epoch.
    pub steps_per_epoch: u64,
    /// Epochs of the whole training.
    pub epochs: u32,
}

/// Half a cosine from `start` (`share` 0) to `end` (`share` 1).
fn cosine(start: f64, end: f64, share: f64) -> f64 {
    end + (start - end) / 2.0 * (1.0 + (PI * share).cos())
}

impl Schedule {
    /// The rate of optimiser step `step`, counted from 0 over the whole training.
    pub fn at(&self, step: u64) -> f64 {
        match self.kind {
            ScheduleKind::Constant => self.lr,
            ScheduleKind::Step => {
                let epoch = step / self.steps_per_epoch.max(1);
                let passed = self.step_epochs.iter().filter(|e| u64::from(**e) <= epoch).count();
                self.lr * self.step_factor.powi(passed as i32)
            }
            ScheduleKind::OneCycle => {
                let total = (self.steps_per_epoch * u64::from(self.epochs)) as f64;
                let (first, step) = (self.lr / FIRST_DIVISOR, step as f64);
                // The steps at which the two phases end, as PyTorch counts them.
                let (peak, end) = (self.warmup * total - 1.0, total - 1.0);
                if step <= peak {
                    cosine(first, self.lr, if peak > 0.0 { step / peak } else { 1.0 })
                } else {
                    let share = if end > peak { ((step - peak) / (end - peak)).min(1.0) } else { 1.0 };
                    cosine(self.lr, first / LAST_DIVISOR, share)
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(kind: ScheduleKind) -> Schedule {
        let step_epochs = vec![2, 3];
        Schedule { kind, lr: 0.5, warmup: 0.3, step_epochs, step_factor: 0.1, steps_per_epoch: 5, epochs: 4 }
    }

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9
    }

    #[test]
    fn one_cycle_by_hand() {
        // 20 steps: the rate grows over steps 0..=5 (0.3 * 20 - 1) from 0.5 / 25 and falls until step 19 to 0.5 / 25 / 10^4.
        let s = schedule(ScheduleKind::OneCycle);
        assert!(close(s.at(0), 0.02));
        assert!(close(s.at(5), 0.5));
        assert!(close(s.at(19), 2e-6));
        // A fifth of the way up: 0.5 - 0.24 (1 + cos 36 deg), cos 36 deg = (1 + sqrt 5) / 4.
        assert!(close(s.at(1), 0.5 - 0.24 * (1.0 + (1.0 + 5.0_f64.sqrt()) / 4.0)));
        // Half-way down: the mean of both ends.
        assert!(close(s.at(12), (0.5 + 2e-6) / 2.0));
    }

    #[test]
    fn steps_and_constant() {
        let s = schedule(ScheduleKind::Step);
        assert!(close(s.at(0), 0.5) && close(s.at(9), 0.5));
        assert!(close(s.at(10), 0.05) && close(s.at(14), 0.05));
        assert!(close(s.at(15), 0.005));
        assert!(close(schedule(ScheduleKind::Constant).at(17), 0.5));
    }

    #[test]
    fn a_training_of_one_step_has_a_rate() {
        let s = Schedule { steps_per_epoch: 1, epochs: 1, ..schedule(ScheduleKind::OneCycle) };
        assert!(s.at(0) > 0.0 && s.at(0) <= 0.5);
    }
}
