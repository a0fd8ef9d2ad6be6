//! A rate that falls when nothing gets better any more.

use super::ScheduleOptions;
use crate::bits;

/// Which values of a watched metric are better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// Small ones: a loss.
    Lower,
    /// Large ones: an accuracy.
    Higher,
}

/// What PyTorch's `ReduceLROnPlateau` remembers, with `threshold_mode="rel"` and no cooldown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plateau {
    /// The best value so far; none yet at the beginning.
    best: Option<f64>,
    /// Epochs since, or since the last reduction.
    waited: u64,
    /// Product of all reductions.
    factor: f64,
}

impl Default for Plateau {
    fn default() -> Self {
        Plateau { best: None, waited: 0, factor: 1.0 }
    }
}

/// Numbers of f32 that [`Plateau::state`] takes.
pub(crate) const STATE: usize = 4 * bits::WORDS;

impl Plateau {
    /// What the rate is multiplied by.
    pub fn factor(&self) -> f64 {
        self.factor
    }

    /// Takes in the value of the watched metric after an epoch. What is not a number is not better.
    pub fn end_of_epoch(&mut self, options: &ScheduleOptions, watched: f64, better: Better) {
        let share = options.plateau_threshold;
        let is_better = match (self.best, better) {
            (None, _) => !watched.is_nan(),
            (Some(best), Better::Lower) => watched < best * (1.0 - share),
            (Some(best), Better::Higher) => watched > best * (1.0 + share),
        };
        if is_better {
            (self.best, self.waited) = (Some(watched), 0);
            return;
        }
        self.waited += 1;
        if self.waited > u64::from(options.plateau_patience) {
            self.waited = 0;
            self.factor *= options.plateau_factor;
        }
    }

    /// All of it as exact numbers.
    pub(crate) fn state(&self) -> Vec<f32> {
        let best = self.best.unwrap_or(0.0).to_bits();
        let words = [self.best.is_some().into(), best, self.waited, self.factor.to_bits()];
        words.into_iter().flat_map(bits::split).collect()
    }

    /// What [`Plateau::state`] gave; none where `state` is something else.
    pub(crate) fn from_state(state: &[f32]) -> Option<Plateau> {
        let words: Vec<u64> = state.chunks(bits::WORDS).map(bits::join).collect::<Option<_>>()?;
        let [known, best, waited, factor] = words.try_into().ok()?;
        let best = (known != 0).then_some(f64::from_bits(best));
        Some(Plateau { best, waited, factor: f64::from_bits(factor) })
    }
}
