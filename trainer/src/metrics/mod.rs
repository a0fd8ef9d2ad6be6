//! What a training measures, and its metrics.csv.
//!
//! A [`Metric`] is told the scores of one sample after another; a [`Tally`] has several of them and the loss. Built in are
//! accuracy and error for any K, rmse, binary accuracy, precision, recall and F1 ([`MetricOptions`] has the names), and the
//! [`Confusion`] matrix.

mod accuracy;
mod confusion;
mod epoch;
mod options;
mod outputs;
mod per_class;
mod tally;

pub use accuracy::TopK;
pub use confusion::Confusion;
pub use epoch::{EpochMetrics, csv};
pub use options::MetricOptions;
pub use outputs::{BinaryAccuracy, Rmse};
pub use per_class::{PerClass, Score};
pub use tally::{Evaluation, Tally};

use crate::targets::Target;
use std::fmt::Debug;

/// Which of two values is the better one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// The higher.
    Higher,
    /// The lower.
    Lower,
    /// Neither: the number only says something.
    Neither,
}

impl Better {
    /// Whether `new` is better than the best one so far, if there is one. What is not a number beats nothing, and everything
    /// beats it.
    pub fn beats(self, new: f64, best: Option<f64>) -> bool {
        match (self, best.filter(|best| !best.is_nan())) {
            (Better::Neither, _) => false,
            (_, _) if new.is_nan() => false,
            (_, None) => true,
            (Better::Higher, Some(best)) => new > best,
            (Better::Lower, Some(best)) => new < best,
        }
    }
}

/// A number, or a few of one kind, for how good scores are over a set of samples.
pub trait Metric: Debug + Send {
    /// Its name: `top1`.
    fn name(&self) -> String;

    /// Whether higher values are better.
    fn better(&self) -> Better;

    /// Counts one sample. A target that fits no score (a [`Loss`](crate::loss::Loss) refuses such) counts as wrong.
    fn add(&mut self, scores: &[f32], target: Target<'_>);

    /// Names and values for the samples so far; the first has the metric's own name. Zeros where there were none.
    fn values(&self) -> Vec<(String, f64)>;
}

/// The output with the highest score; of equal ones the first. None where no score is a number.
fn first_of_highest(scores: &[f32]) -> Option<usize> {
    let numbers = scores.iter().enumerate().filter(|(_, score)| !score.is_nan());
    numbers.reduce(|best, next| if next.1 > best.1 { next } else { best }).map(|(output, _)| output)
}

/// The class of a target: its own, or of values the one with the highest.
fn class_of(target: Target<'_>) -> Option<usize> {
    match target {
        Target::Class(class) => Some(class),
        Target::Values(values) => first_of_highest(values),
    }
}

/// `part / whole`, and 0 of nothing.
fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_better_value() {
        assert!(
            Better::Higher.beats(0.5, None)
                && Better::Higher.beats(0.5, Some(0.25))
                && Better::Higher.beats(0.5, Some(f64::NAN))
        );
        assert!(!Better::Higher.beats(0.5, Some(0.5)) && !Better::Higher.beats(f64::NAN, None));
        assert!(Better::Lower.beats(0.5, Some(0.75)) && !Better::Lower.beats(0.5, Some(0.5)));
        assert!(!Better::Neither.beats(0.5, None));
    }

    #[test]
    fn the_highest_score() {
        assert_eq!(first_of_highest(&[1.0, 3.0, f32::NAN, 3.0]), Some(1));
        assert_eq!(first_of_highest(&[-0.0, 0.0]), Some(0), "zeros are equal whatever their sign");
        assert_eq!(first_of_highest(&[f32::NEG_INFINITY, f32::NAN]), Some(0));
        assert_eq!(first_of_highest(&[f32::NAN]), None);
        assert_eq!(class_of(Target::Values(&[0.25, 0.75])), Some(1));
    }
}
