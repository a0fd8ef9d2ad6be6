//! Cross-entropy of a softmax.

use super::{Loss, Misfit, check, wanted};
use crate::targets::Target;

/// `-sum(w[c] t[c] ln softmax(scores)[c])`, where `t` is 1 at the target's class, or the target's own probabilities.
///
/// As PyTorch's `cross_entropy`: of classes the mean divides by the sum of the weights of the samples' classes, of
/// probabilities by the number of samples.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CrossEntropy {
    /// Share of every target that is spread evenly over all classes, from 0 to 1 (Szegedy et al., "Rethinking the Inception
    /// Architecture", 2015): `t` becomes `(1 - smoothing) t + smoothing / classes`.
    pub smoothing: f64,
    /// `w`, one a class; 1 for those behind its end.
    pub weights: Vec<f64>,
}

impl CrossEntropy {
    fn class_weight(&self, class: usize) -> f64 {
        self.weights.get(class).copied().unwrap_or(1.0)
    }
}

impl Loss for CrossEntropy {
    fn sample(&self, scores: &[f32], target: Target<'_>, gradient: Option<(&mut [f32], f64)>) -> Result<f64, Misfit> {
        check(target, scores.len(), "a probability from 0 to 1", |value| (0.0..=1.0).contains(&value))?;
        let top = f64::from(scores.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        let sum: f64 = scores.iter().map(|score| (f64::from(*score) - top).exp()).sum();
        let even = self.smoothing / scores.len() as f64;
        let aim = |class| self.class_weight(class) * ((1.0 - self.smoothing) * wanted(target, class) + even);
        // -ln softmax, in an order that keeps the digits of what is left where all scores are large.
        let surprise = |score: f32| sum.ln() - (f64::from(score) - top);
        let (mut loss, mut mass) = (0.0, 0.0);
        for (class, score) in scores.iter().enumerate() {
            let aim = aim(class);
            mass += aim;
            // A class of no weight may have the probability 0.
            if aim != 0.0 {
                loss += aim * surprise(*score);
            }
        }
        // What a network that is not finite any more says must not vanish with a weight of 0.
        loss += if sum.is_nan() { f64::NAN } else { 0.0 };
        if let Some((gradient, factor)) = gradient {
            for (class, (g, score)) in gradient.iter_mut().zip(scores).enumerate() {
                let probability = (f64::from(*score) - top).exp() / sum;
                *g = (factor * (mass * probability - aim(class))) as f32;
            }
        }
        Ok(loss)
    }

    fn weight(&self, target: Target<'_>) -> f64 {
        match target {
            Target::Class(class) => self.class_weight(class),
            Target::Values(_) => 1.0,
        }
    }

    fn as_cross_entropy(&self) -> Option<&CrossEntropy> {
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::tests::differences;
    use crate::targets::Targets;

    const SCORES: [f32; 12] = [0.5, -1.25, 2.0, 0.0, 1.5, -0.75, 0.25, 3.0, -2.0, 1.0, 0.125, -0.5];

    #[test]
    fn gradients() {
        let classes = Targets::Classes(vec![3, 0, 1]);
        let rows = vec![0.1, 0.2, 0.3, 0.4, 1.0, 0.0, 0.0, 0.0, 0.5, 0.25, 0.125, 0.125];
        let rows = Targets::Values { data: rows, outputs: 4 };
        let weights = vec![0.5, 2.0, 1.0, 3.0];
        for targets in [classes, rows] {
            for smoothing in [0.0, 0.1] {
                for weights in [vec![], weights.clone()] {
                    differences(&CrossEntropy { smoothing, weights }, 4, &SCORES, &targets);
                }
            }
        }
    }

    #[test]
    fn by_hand() {
        // softmax of (0, ln 3) is (1/4, 3/4).
        let scores = [0.0, 3.0_f32.ln()];
        let of = |loss: CrossEntropy, target| loss.sample(&scores, target, None).unwrap();
        assert!((of(CrossEntropy::default(), Target::Class(0)) - 4.0_f64.ln()).abs() < 1e-7);
        let half = of(CrossEntropy::default(), Target::Values(&[0.5, 0.5]));
        assert!((half - 0.5 * (16.0_f64 / 3.0).ln()).abs() < 1e-7);
        // A fifth of the target is spread: 0.9 of class 0 and 0.1 of class 1.
        let smooth = of(CrossEntropy { smoothing: 0.2, weights: vec![] }, Target::Class(0));
        assert!((smooth - (0.9 * 4.0_f64.ln() + 0.1 * (4.0_f64 / 3.0).ln())).abs() < 1e-7);
    }

    #[test]
    fn a_batch_of_no_weight_teaches_nothing() {
        let loss = CrossEntropy { smoothing: 0.0, weights: vec![0.0, 1.0] };
        let mut gradient = [7.0; 2];
        let value = loss.loss(2, &[1.0, 2.0], &Targets::Classes(vec![0]), &mut gradient).unwrap();
        assert_eq!((value, gradient), (0.0, [0.0; 2]));
    }
}
