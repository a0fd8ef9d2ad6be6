//! The learning rate over the course of a training.

mod options;
mod plateau;

pub use options::{LrScaling, ScheduleKind, ScheduleOptions};
pub use plateau::Plateau;
pub(crate) use plateau::STATE as PLATEAU_STATE;
use std::f64::consts::PI;

/// PyTorch's default `div_factor`: the first rate is the largest one divided by this.
const FIRST_DIVISOR: f64 = 25.0;
/// PyTorch's default `final_div_factor`: the last rate is the first one divided by this.
const LAST_DIVISOR: f64 = 1e4;

/// A place in a training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Optimiser steps done since the training began.
    pub step: u64,
    /// Optimiser steps of one epoch.
    pub steps_per_epoch: u64,
    /// Epochs of the whole training.
    pub epochs: u32,
    /// Batches whose gradients are summed for this step, at least 1; the schedules do not look at it.
    pub batches: u32,
}

/// Half a cosine from `start` (`share` 0) to `end` (`share` 1).
fn cosine(start: f64, end: f64, share: f64) -> f64 {
    end + (start - end) / 2.0 * (1.0 + (PI * share).cos())
}

/// As an exponent.
fn whole(count: u64) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

impl ScheduleOptions {
    /// The rate of the step at `at`: a function of the step alone, but for what `plateau` remembers.
    ///
    /// Of a warm-up of `n` steps, step `i` has the share `(i + 1) / n` of the rate that the schedule gives it anyway: the
    /// schedule's own clock runs from the first step, so that its epochs are the training's.
    pub fn rate(&self, at: Moment, plateau: &Plateau) -> f64 {
        let warm = match self.warmup_epochs {
            0 => self.warmup_steps,
            epochs => u64::from(epochs) * at.steps_per_epoch,
        };
        let rate = self.curve(at, plateau);
        if at.step < warm { rate * ((at.step + 1) as f64 / warm as f64) } else { rate }
    }

    fn curve(&self, at: Moment, plateau: &Plateau) -> f64 {
        let (lr, epoch) = (self.lr * self.batch_factor(), at.step / at.steps_per_epoch.max(1));
        let total = (at.steps_per_epoch * u64::from(at.epochs)) as f64;
        let step = at.step as f64;
        let done = if total > 0.0 { (step / total).min(1.0) } else { 0.0 };
        match self.schedule {
            ScheduleKind::Constant => lr,
            ScheduleKind::Step => lr * self.step_factor.powi(self.passed(epoch, at.epochs)),
            ScheduleKind::Exponential => lr * self.gamma.powi(whole(epoch)),
            ScheduleKind::InverseTime => lr / (1.0 + self.lr_decay * step),
            ScheduleKind::Cosine => cosine(lr, self.lr_min, done),
            ScheduleKind::Polynomial => lr * (1.0 - done).powf(self.power),
            // A rate that begins below the least one stays.
            ScheduleKind::Plateau => (lr * plateau.factor()).max(self.lr_min.min(lr)),
            ScheduleKind::OneCycle => {
                let first = lr / FIRST_DIVISOR;
                // The steps at which the two phases end, as PyTorch counts them.
                let (peak, end) = (self.warmup * total - 1.0, total - 1.0);
                if step <= peak {
                    cosine(first, lr, if peak > 0.0 { step / peak } else { 1.0 })
                } else {
                    let share = if end > peak { ((step - peak) / (end - peak)).min(1.0) } else { 1.0 };
                    cosine(lr, first / LAST_DIVISOR, share)
                }
            }
        }
    }

    /// What the rate is multiplied by because a step has more pictures than it is meant for, or fewer.
    fn batch_factor(&self) -> f64 {
        if self.lr_batch == 0 || self.batch == 0 {
            return 1.0;
        }
        let factor = self.batch as f64 / self.lr_batch as f64;
        match self.lr_scaling {
            LrScaling::Linear => factor,
            LrScaling::Sqrt => factor.sqrt(),
        }
    }

    /// How many times the rate was multiplied until `epoch`, of so many.
    fn passed(&self, epoch: u64, epochs: u32) -> i32 {
        let ScheduleOptions { step_epochs, step_every, .. } = self;
        let (half, three_quarters) = (epochs.div_ceil(2), (3 * u64::from(epochs)).div_ceil(4));
        let begun = |e: u64| u64::from(e <= epoch);
        whole(match (step_every, step_epochs.as_slice()) {
            (0, []) => begun(half.into()) + begun(three_quarters),
            (0, listed) => listed.iter().map(|e| begun((*e).into())).sum(),
            (every, _) => epoch / u64::from(*every),
        })
    }
}

#[cfg(test)]
mod tests;
