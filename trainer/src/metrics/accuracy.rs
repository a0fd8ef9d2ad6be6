//! Whether the right class is among the best.

use super::{Better, Metric, class_of, share};
use crate::targets::Target;

/// Share of samples whose class is among the K best scores (`top1`), or is not (`top1-error`). Of equal scores the lower class
/// ranks first, and a class whose score is not a number is never among the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopK {
    k: usize,
    error: bool,
    n: u64,
    right: u64,
}

impl TopK {
    /// The share of right answers among the best `k`.
    pub fn accuracy(k: usize) -> Self {
        TopK { k, error: false, n: 0, right: 0 }
    }

    /// The share of wrong ones.
    pub fn error(k: usize) -> Self {
        TopK { error: true, ..TopK::accuracy(k) }
    }

    /// The share so far.
    pub fn value(&self) -> f64 {
        share(if self.error { self.n - self.right } else { self.right }, self.n)
    }
}

/// How many classes have better scores than `class`; none where it has no score that is a number.
fn rank(scores: &[f32], class: usize) -> Option<usize> {
    let own = *scores.get(class).filter(|score| !score.is_nan())?;
    let better = |(other, score): &(usize, &f32)| **score > own || (**score == own && *other < class);
    Some(scores.iter().enumerate().filter(better).count())
}

impl Metric for TopK {
    fn name(&self) -> String {
        format!("top{}{}", self.k, if self.error { "-error" } else { "" })
    }

    fn better(&self) -> Better {
        if self.error { Better::Lower } else { Better::Higher }
    }

    fn add(&mut self, scores: &[f32], target: Target<'_>) {
        let rank = class_of(target).and_then(|class| rank(scores, class));
        self.n += 1;
        self.right += u64::from(rank.is_some_and(|rank| rank < self.k));
    }

    fn values(&self) -> Vec<(String, f64)> {
        vec![(self.name(), self.value())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_by_hand() {
        let scores = [0.0, 3.0, 1.0, 2.0, 5.0, 4.0, -1.0];
        let ranks: Vec<Option<usize>> = (0..8).map(|class| rank(&scores, class)).collect();
        assert_eq!(ranks, [Some(5), Some(2), Some(4), Some(3), Some(0), Some(1), Some(6), None]);
        // Of equal scores the lower class ranks first.
        assert_eq!([0, 1, 2].map(|class| rank(&[1.0; 3], class)), [Some(0), Some(1), Some(2)]);
        // A score that is not a number is never right and stands in nobody's way.
        assert_eq!([0, 1, 2].map(|class| rank(&[f32::NAN, 1.0, 2.0], class)), [None, Some(1), Some(0)]);
    }

    #[test]
    fn shares() {
        let mut all = [TopK::accuracy(1), TopK::accuracy(3), TopK::error(1), TopK::error(3)];
        assert!(all.iter().all(|metric| metric.value() == 0.0));
        for metric in &mut all {
            for class in [4, 5, 0, 9] {
                metric.add(&[0.0, 3.0, 1.0, 2.0, 5.0, 4.0, -1.0], Target::Class(class));
            }
        }
        let values: Vec<(String, f64)> = all.iter().flat_map(|metric| metric.values()).collect();
        let expected = [("top1", 0.25), ("top3", 0.5), ("top1-error", 0.75), ("top3-error", 0.5)];
        assert_eq!(values, expected.map(|(name, value)| (name.to_string(), value)));
    }
}
