//! What a training makes small: how far the scores of a batch are from its targets, and the gradient of that.
//!
//! A [`Loss`] knows one sample; the mean over a batch or a whole test set is the same for all of them. [`LossOptions`] is how one
//! is asked for. All sums are binary64, and no formula overflows for finite scores.

mod cross_entropy;
mod options;
mod sigmoid;
mod squared;

pub use cross_entropy::CrossEntropy;
pub use options::{ClassWeights, LossKind, LossOptions};
pub use sigmoid::SigmoidCrossEntropy;
pub use squared::SquaredError;

use crate::targets::{Target, Targets};
use std::fmt;

/// How far scores are from what they should be.
pub trait Loss: fmt::Debug + Send + Sync {
    /// The loss of one sample, times its weight. `gradient` is a slice as long as `scores` and a factor: the derivative with
    /// respect to each score, times the factor, is left in it.
    ///
    /// # Errors
    /// [`Misfit`] where the target is none for so many scores; the gradient is then without meaning.
    fn sample(&self, scores: &[f32], target: Target<'_>, gradient: Option<(&mut [f32], f64)>) -> Result<f64, Misfit>;

    /// What a sample counts for in the mean over several.
    fn weight(&self, target: Target<'_>) -> f64 {
        let _ = target;
        1.0
    }

    /// Itself, where it is a cross-entropy: a device may have a kernel for that.
    fn as_cross_entropy(&self) -> Option<&CrossEntropy> {
        None
    }

    /// What a batch counts for.
    fn batch_weight(&self, targets: &Targets) -> f64 {
        targets.iter().map(|target| self.weight(target)).sum()
    }

    /// What the sum over a batch is multiplied by to be the mean; 0 where nothing has a weight.
    fn mean_factor(&self, targets: &Targets) -> f64 {
        let weight = self.batch_weight(targets);
        if weight > 0.0 { 1.0 / weight } else { 0.0 }
    }

    /// The mean over a batch: the losses of its samples, by the sum of their weights; 0 where nothing has a weight. `scores` is
    /// `[N, outputs]`. Leaves the mean's gradient with respect to the scores in `gradient`.
    ///
    /// # Errors
    /// [`TargetError`] naming the first sample whose target does not fit; the gradient is then without meaning.
    ///
    /// # Panics
    /// Panics where `gradient` is not as long as `scores`.
    fn loss(&self, outputs: usize, scores: &[f32], targets: &Targets, gradient: &mut [f32]) -> Result<f32, TargetError> {
        assert_eq!(scores.len(), gradient.len(), "one derivative a score");
        if outputs == 0 || scores.len() != targets.len() * outputs {
            return Err(TargetError::Count { scores: scores.len(), outputs, targets: targets.len() });
        }
        let factor = self.mean_factor(targets);
        let mut sum = 0.0;
        let rows = scores.chunks_exact(outputs).zip(gradient.chunks_exact_mut(outputs));
        for (sample, ((scores, gradient), target)) in rows.zip(targets.iter()).enumerate() {
            let loss = self.sample(scores, target, Some((gradient, factor)));
            sum += loss.map_err(|misfit| TargetError::Sample { sample, misfit })?;
        }
        Ok((sum * factor) as f32)
    }
}

/// Why a target cannot be compared with a sample's scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Misfit {
    /// There is no score for its class.
    Class {
        /// The class.
        class: usize,
        /// Number of scores.
        outputs: usize,
    },
    /// It has more or fewer values than there are scores.
    Length {
        /// Its values.
        found: usize,
        /// Number of scores.
        outputs: usize,
    },
    /// A value outside what the loss is defined for.
    Value {
        /// Which output it is for.
        output: usize,
        /// The value.
        value: f32,
        /// What is needed.
        needed: &'static str,
    },
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Misfit::Class { class, outputs } => {
                write!(f, "its class is {class}, and the network has {outputs} outputs: a class below {outputs} is needed")
            }
            Misfit::Length { found, outputs } => write!(f, "it has {found} values, and the network has {outputs} outputs"),
            Misfit::Value { output, value, needed } => {
                write!(f, "its value for output {output} is {value}: {needed} is needed")
            }
        }
    }
}

/// Why a batch has no loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TargetError {
    /// There are not as many targets as rows of scores.
    Count {
        /// Number of scores, of all samples.
        scores: usize,
        /// Scores of one sample.
        outputs: usize,
        /// Number of targets.
        targets: usize,
    },
    /// The target of one sample does not fit.
    Sample {
        /// Its place in the batch, or in the set that is measured, from 0.
        sample: usize,
        /// What is wrong with it.
        misfit: Misfit,
    },
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TargetError::Count { scores, outputs, targets } => {
                write!(f, "{scores} scores are not {outputs} for each of {targets} targets")
            }
            TargetError::Sample { sample, misfit } => write!(f, "the target of sample {sample} does not fit: {misfit}"),
        }
    }
}

impl std::error::Error for TargetError {}

/// Checks that a target is one for `outputs` scores and that `fits` holds for each of its values.
fn check(target: Target<'_>, outputs: usize, needed: &'static str, fits: fn(f32) -> bool) -> Result<(), Misfit> {
    match target {
        Target::Class(class) if class >= outputs => Err(Misfit::Class { class, outputs }),
        Target::Class(_) => Ok(()),
        Target::Values(values) if values.len() != outputs => Err(Misfit::Length { found: values.len(), outputs }),
        Target::Values(values) => match values.iter().position(|value| !fits(*value)) {
            Some(output) => Err(Misfit::Value { output, value: values[output], needed }),
            None => Ok(()),
        },
    }
}

/// What output `output` should be; NaN where there is no target, which [`check`] does not let pass.
fn wanted(target: Target<'_>, output: usize) -> f64 {
    target.wanted(output).map_or(f64::NAN, f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks the gradient of the mean against central finite differences of sums in binary64.
    pub(super) fn differences(loss: &dyn Loss, outputs: usize, scores: &[f32], targets: &Targets) {
        const STEP: f32 = 1.0 / 512.0;
        let mean = |scores: &[f32]| {
            let losses = scores.chunks_exact(outputs).zip(targets.iter()).map(|(s, t)| loss.sample(s, t, None).unwrap());
            losses.sum::<f64>() / targets.iter().map(|t| loss.weight(t)).sum::<f64>()
        };
        let mut gradient = vec![7.0; scores.len()];
        let value = loss.loss(outputs, scores, targets, &mut gradient).unwrap();
        assert!((f64::from(value) - mean(scores)).abs() < 1e-6);
        let mut moved = scores.to_vec();
        for (i, analytic) in gradient.iter().enumerate() {
            let (above, below) = (scores[i] + STEP, scores[i] - STEP);
            moved[i] = above;
            let high = mean(&moved);
            moved[i] = below;
            let low = mean(&moved);
            moved[i] = scores[i];
            let numeric = (high - low) / f64::from(above - below);
            assert!((f64::from(*analytic) - numeric).abs() < 2e-6, "score {i}: gradient {analytic}, difference {numeric}");
        }
        assert!(gradient.iter().any(|g| g.abs() > 0.02), "the gradient vanishes, the check would see nothing");
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let losses: [&dyn Loss; 3] = [&CrossEntropy::default(), &SigmoidCrossEntropy, &SquaredError];
        for loss in losses {
            let mut gradient = [0.0; 6];
            let mut error = |targets| loss.loss(3, &[0.0; 6], &targets, &mut gradient).unwrap_err().to_string();
            assert_eq!(
                error(Targets::Classes(vec![2, 3])),
                "the target of sample 1 does not fit: its class is 3, and the network has 3 outputs: a class below 3 is needed"
            );
            assert_eq!(
                error(Targets::Values { data: vec![0.0; 4], outputs: 2 }),
                "the target of sample 0 does not fit: it has 2 values, and the network has 3 outputs"
            );
            assert_eq!(error(Targets::Classes(vec![2])), "6 scores are not 3 for each of 1 targets");
            let values = Targets::Values { data: vec![0.0, 0.0, 0.0, 0.0, f32::NAN, 0.0], outputs: 3 };
            let said = error(values);
            assert!(said.starts_with("the target of sample 1 does not fit: its value for output 1 is NaN: "), "{said}");
        }
    }

    #[test]
    fn large_scores_stay_finite() {
        let losses: [&dyn Loss; 2] = [&CrossEntropy::default(), &SigmoidCrossEntropy];
        for loss in losses {
            for scores in [[3e38, -3e38], [-3e38, 3e38], [3e38, 3e38], [-3e38, -3e38]] {
                let mut gradient = [0.0; 2];
                let value = loss.loss(2, &scores, &Targets::Classes(vec![1]), &mut gradient).unwrap();
                assert!(value >= 0.0, "{loss:?} of {scores:?} is {value}");
                assert!(gradient.iter().all(|g| g.abs() <= 1.0), "{loss:?} of {scores:?} has the gradient {gradient:?}");
            }
        }
        // A broken network is not hidden.
        let value = CrossEntropy::default().loss(2, &[f32::NAN, 0.0], &Targets::Classes(vec![1]), &mut [0.0; 2]);
        assert!(value.unwrap().is_nan());
    }
}
