//! Cross-entropy of one sigmoid an output.

use super::{Loss, Misfit, check, wanted};
use crate::targets::Target;

/// Mean over the outputs of `-t ln p - (1 - t) ln(1 - p)`, `p = 1 / (1 + exp(-score))`: every output says yes or no by itself,
/// so a sample may have several labels, or none. A class stands for 1 at its own output and 0 elsewhere.
///
/// As PyTorch's `binary_cross_entropy_with_logits`, and stable as that: `max(x, 0) - x t + ln(1 + exp(-|x|))`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SigmoidCrossEntropy;

impl Loss for SigmoidCrossEntropy {
    fn sample(&self, scores: &[f32], target: Target<'_>, gradient: Option<(&mut [f32], f64)>) -> Result<f64, Misfit> {
        check(target, scores.len(), "a probability from 0 to 1", |value| (0.0..=1.0).contains(&value))?;
        let outputs = scores.len() as f64;
        let mut loss = 0.0;
        for (output, score) in scores.iter().enumerate() {
            let x = f64::from(*score);
            // `f64::max` would take 0 for NaN.
            let positive = if x < 0.0 { 0.0 } else { x };
            loss += positive - x * wanted(target, output) + (-x.abs()).exp().ln_1p();
        }
        if let Some((gradient, factor)) = gradient {
            for (output, (g, score)) in gradient.iter_mut().zip(scores).enumerate() {
                let probability = 1.0 / (1.0 + (-f64::from(*score)).exp());
                *g = (factor / outputs * (probability - wanted(target, output))) as f32;
            }
        }
        Ok(loss / outputs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::tests::differences;
    use crate::targets::Targets;

    #[test]
    fn gradients() {
        let scores = [0.5, -1.25, 2.0, 1.5, -0.75, 0.25];
        differences(&SigmoidCrossEntropy, 3, &scores, &Targets::Classes(vec![2, 0]));
        let several = Targets::Values { data: vec![1.0, 0.0, 1.0, 0.0, 0.25, 0.0], outputs: 3 };
        differences(&SigmoidCrossEntropy, 3, &scores, &several);
    }

    #[test]
    fn by_hand() {
        // Sigmoids of 0 and ln 3 are 1/2 and 3/4.
        let loss = SigmoidCrossEntropy.sample(&[0.0, 3.0_f32.ln()], Target::Values(&[1.0, 0.0]), None).unwrap();
        assert!((loss - 0.5 * (2.0_f64.ln() + 4.0_f64.ln())).abs() < 1e-7);
    }

    #[test]
    fn only_probabilities_are_targets() {
        let misfit = SigmoidCrossEntropy.sample(&[0.0], Target::Values(&[2.0]), None).unwrap_err();
        assert_eq!(misfit.to_string(), "its value for output 0 is 2: a probability from 0 to 1 is needed");
    }
}
