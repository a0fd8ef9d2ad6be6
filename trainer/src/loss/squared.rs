//! Squared differences.

use super::{Loss, Misfit, check, wanted};
use crate::targets::Target;

/// Mean over the outputs of `(score - t)^2`, for networks that say numbers. A class stands for 1 at its own output and 0
/// elsewhere. As PyTorch's `mse_loss`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SquaredError;

impl Loss for SquaredError {
    fn sample(&self, scores: &[f32], target: Target<'_>, gradient: Option<(&mut [f32], f64)>) -> Result<f64, Misfit> {
        check(target, scores.len(), "a finite number", f32::is_finite)?;
        let outputs = scores.len() as f64;
        let difference = |(output, score): (usize, &f32)| f64::from(*score) - wanted(target, output);
        if let Some((gradient, factor)) = gradient {
            for (g, score) in gradient.iter_mut().zip(scores.iter().enumerate()) {
                *g = (factor * 2.0 / outputs * difference(score)) as f32;
            }
        }
        Ok(scores.iter().enumerate().map(|score| difference(score).powi(2)).sum::<f64>() / outputs)
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
        differences(&SquaredError, 3, &scores, &Targets::Classes(vec![2, 0]));
        let values = Targets::Values { data: vec![1.0, -3.0, 0.5, 0.0, 0.25, 2.0], outputs: 3 };
        differences(&SquaredError, 3, &scores, &values);
    }

    #[test]
    fn by_hand() {
        let loss = |target| SquaredError.sample(&[0.5, 3.0], target, None).unwrap();
        assert_eq!(loss(Target::Values(&[1.0, 1.0])), 2.125);
        assert_eq!(loss(Target::Class(0)), 4.625);
    }
}
