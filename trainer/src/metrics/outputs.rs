//! Metrics that look at every output by itself.

use super::{Better, Metric, share};
use crate::targets::Target;

/// Root of the mean squared difference between scores and targets, over all outputs of all samples.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rmse {
    n: u64,
    squares: f64,
}

impl Metric for Rmse {
    fn name(&self) -> String {
        "rmse".into()
    }

    fn better(&self) -> Better {
        Better::Lower
    }

    fn add(&mut self, scores: &[f32], target: Target<'_>) {
        for (output, score) in scores.iter().enumerate() {
            // What has no target is off by more than can be said.
            let difference = target.wanted(output).map_or(f64::INFINITY, |wanted| f64::from(*score) - f64::from(wanted));
            self.squares += difference * difference;
        }
        self.n += scores.len() as u64;
    }

    fn values(&self) -> Vec<(String, f64)> {
        vec![(self.name(), (self.squares / self.n.max(1) as f64).sqrt())]
    }
}

/// Share of outputs on the right side: scores above 0 (probabilities above a half) where the target is above a half, 0 or less
/// where it is not. A score that is not a number is on neither.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BinaryAccuracy {
    n: u64,
    right: u64,
}

impl Metric for BinaryAccuracy {
    fn name(&self) -> String {
        "binary-accuracy".into()
    }

    fn better(&self) -> Better {
        Better::Higher
    }

    fn add(&mut self, scores: &[f32], target: Target<'_>) {
        for (output, score) in scores.iter().enumerate() {
            let right = target.wanted(output).is_some_and(|wanted| if wanted > 0.5 { *score > 0.0 } else { *score <= 0.0 });
            self.right += u64::from(right);
        }
        self.n += scores.len() as u64;
    }

    fn values(&self) -> Vec<(String, f64)> {
        vec![(self.name(), share(self.right, self.n))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(mut metric: impl Metric, samples: &[(&[f32], Target<'_>)]) -> f64 {
        for (scores, target) in samples {
            metric.add(scores, *target);
        }
        metric.values()[0].1
    }

    #[test]
    fn by_hand() {
        assert_eq!(value(Rmse::default(), &[]), 0.0);
        // Differences 1, -3, 0 and 4: their squares sum to 26.
        let samples: [(&[f32], _); 2] = [(&[2.0, 0.0], Target::Values(&[1.0, 3.0])), (&[0.0, 5.0], Target::Class(1))];
        assert_eq!(value(Rmse::default(), &samples), (26.0_f64 / 4.0).sqrt());
        assert!(value(Rmse::default(), &[(&[f32::NAN], Target::Class(0))]).is_nan());

        let samples: [(&[f32], _); 3] = [
            // Right, wrong, right (0 says no).
            (&[2.0, -1.0, 0.0], Target::Values(&[1.0, 1.0, 0.0])),
            // Right, wrong, wrong.
            (&[-0.5, 3.0, f32::NAN], Target::Class(2)),
            // Right, wrong, wrong.
            (&[-0.5, f32::NAN, 0.25], Target::Class(1)),
        ];
        assert_eq!(value(BinaryAccuracy::default(), &samples), 4.0 / 9.0);
    }
}
