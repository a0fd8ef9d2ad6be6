//! What a training measures, and its metrics.csv.

use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// The header of metrics.csv.
const HEADER: &str = "epoch,step,train_loss,lr,test_loss,top1,top5,images_per_s,seconds";

/// One epoch, one line of metrics.csv.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochMetrics {
    /// Epochs done, from 1.
    pub epoch: u32,
    /// Optimiser steps done since the training began.
    pub step: u64,
    /// Mean loss over the epoch's training batches, each before its update.
    pub train_loss: f64,
    /// Learning rate of the epoch's last step.
    pub lr: f64,
    /// Mean loss on the test samples.
    pub test_loss: f64,
    /// Share of test samples whose class has the best score.
    pub top1: f64,
    /// Share of test samples whose class is among the five best scores.
    pub top5: f64,
    /// Training samples per second.
    pub images_per_s: f64,
    /// Time for training and testing.
    pub seconds: f64,
}

/// metrics.csv of a training so far.
pub fn csv(history: &[EpochMetrics]) -> String {
    let mut text = format!("{HEADER}\n");
    for m in history {
        let EpochMetrics { epoch, step, train_loss, lr, test_loss, top1, top5, images_per_s, seconds } = m;
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{epoch},{step},{train_loss:.6},{lr:.3e},{test_loss:.6},{top1:.5},{top5:.5},{images_per_s:.1},{seconds:.2}"
        );
    }
    text
}

/// Accuracy and loss over a set of samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Evaluation {
    /// Samples.
    pub n: usize,
    /// Share of samples whose class has the best score.
    pub top1: f64,
    /// Share of samples whose class is among the five best scores.
    pub top5: f64,
    /// Mean of `-ln softmax(scores)[class]`.
    pub loss: f64,
}

/// Counts samples into an [`Evaluation`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    n: usize,
    first: usize,
    among_five: usize,
    loss: f64,
}

impl Tally {
    /// Counts one sample. Of equal scores the one of the lower class ranks first.
    ///
    /// # Panics
    /// Panics where there is no score for `class`.
    pub fn add(&mut self, scores: &[f32], class: usize) {
        let own = scores[class];
        let better = |(c, s): &(usize, &f32)| **s > own || (**s == own && *c < class);
        let rank = scores.iter().enumerate().filter(better).count();
        let top = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = scores.iter().map(|s| f64::from(s - top).exp()).sum();
        self.n += 1;
        self.first += usize::from(rank == 0);
        self.among_five += usize::from(rank < 5);
        self.loss += sum.ln() - f64::from(own - top);
    }

    /// Samples counted so far.
    pub fn len(&self) -> usize {
        self.n
    }

    /// Whether nothing was counted yet.
    pub fn is_empty(&self) -> bool {
        self.n == 0
    }

    /// The shares; zeros where nothing was counted.
    pub fn evaluation(&self) -> Evaluation {
        let n = self.n.max(1) as f64;
        Evaluation { n: self.n, top1: self.first as f64 / n, top5: self.among_five as f64 / n, loss: self.loss / n }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks() {
        let mut tally = Tally::default();
        tally.add(&[0.0, 3.0, 1.0, 2.0, 5.0, 4.0, -1.0], 4);
        tally.add(&[0.0, 3.0, 1.0, 2.0, 5.0, 4.0, -1.0], 2);
        tally.add(&[0.0, 3.0, 1.0, 2.0, 5.0, 4.0, -1.0], 0);
        tally.add(&[1.0; 7], 1);
        let result = tally.evaluation();
        assert_eq!((result.n, result.top1, result.top5), (4, 0.25, 0.75));
    }

    #[test]
    fn loss_by_hand() {
        let mut tally = Tally::default();
        // softmax of (0, ln 3) is (1/4, 3/4).
        tally.add(&[0.0, 3.0_f32.ln()], 0);
        assert!((tally.evaluation().loss - 4.0_f64.ln()).abs() < 1e-6);
    }

    #[test]
    fn csv_has_one_line_an_epoch() {
        let m = EpochMetrics {
            epoch: 1,
            step: 390,
            train_loss: 1.5,
            lr: 0.02,
            test_loss: 1.25,
            top1: 0.5,
            top5: 0.9375,
            images_per_s: 160.0,
            seconds: 312.5,
        };
        let text = csv(&[m, EpochMetrics { epoch: 2, ..m }]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "epoch,step,train_loss,lr,test_loss,top1,top5,images_per_s,seconds");
        assert_eq!(lines[1], "1,390,1.500000,2.000e-2,1.250000,0.50000,0.93750,160.0,312.50");
        assert_eq!(lines.len(), 3);
    }
}
