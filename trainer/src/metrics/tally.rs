//! Several metrics over one set of samples.

use super::{Confusion, Metric, TopK};
use crate::loss::{Loss, TargetError};
use crate::targets::Target;
use serde::Serialize;
use std::collections::BTreeMap;

/// Loss and metrics over a set of samples.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Evaluation {
    /// Samples.
    pub n: usize,
    /// Share of samples whose class has the best score.
    pub top1: f64,
    /// Share of samples whose class is among the five best scores.
    pub top5: f64,
    /// Mean loss.
    pub loss: f64,
    /// All other metrics.
    pub metrics: BTreeMap<String, f64>,
}

/// Counts samples into an [`Evaluation`].
#[derive(Debug)]
pub struct Tally<'a> {
    loss: &'a dyn Loss,
    n: usize,
    sum: f64,
    weight: f64,
    top1: TopK,
    top5: TopK,
    metrics: Vec<Box<dyn Metric>>,
    confusion: Option<Confusion>,
}

impl<'a> Tally<'a> {
    /// Nothing counted yet.
    pub fn new(loss: &'a dyn Loss, metrics: Vec<Box<dyn Metric>>) -> Self {
        let (top1, top5) = (TopK::accuracy(1), TopK::accuracy(5));
        Tally { loss, n: 0, sum: 0.0, weight: 0.0, top1, top5, metrics, confusion: None }
    }

    /// This tally, counting a confusion matrix too.
    #[must_use]
    pub fn with_confusion(self, labels: &[String]) -> Self {
        Tally { confusion: Some(Confusion::new(labels)), ..self }
    }

    /// Counts one sample.
    ///
    /// # Errors
    /// [`TargetError`] where the target does not fit the scores; nothing is counted then.
    pub fn add(&mut self, scores: &[f32], target: Target<'_>) -> Result<(), TargetError> {
        let loss = self.loss.sample(scores, target, None);
        self.sum += loss.map_err(|misfit| TargetError::Sample { sample: self.n, misfit })?;
        self.weight += self.loss.weight(target);
        self.n += 1;
        self.top1.add(scores, target);
        self.top5.add(scores, target);
        self.metrics.iter_mut().for_each(|metric| metric.add(scores, target));
        if let Some(confusion) = &mut self.confusion {
            confusion.add(scores, target);
        }
        Ok(())
    }

    /// Samples counted so far.
    pub fn len(&self) -> usize {
        self.n
    }

    /// Whether nothing was counted yet.
    pub fn is_empty(&self) -> bool {
        self.n == 0
    }

    /// The confusion matrix, where one is counted.
    pub fn confusion(&self) -> Option<&Confusion> {
        self.confusion.as_ref()
    }

    /// The shares and means; zeros where nothing was counted.
    pub fn evaluation(&self) -> Evaluation {
        let mut metrics: BTreeMap<String, f64> = self.metrics.iter().flat_map(|metric| metric.values()).collect();
        // They have fields.
        metrics.retain(|name, _| name != "top1" && name != "top5");
        let loss = if self.weight > 0.0 { self.sum / self.weight } else { 0.0 };
        Evaluation { n: self.n, top1: self.top1.value(), top5: self.top5.value(), loss, metrics }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::CrossEntropy;
    use crate::metrics::MetricOptions;

    #[test]
    fn one_pass_counts_all() {
        let labels: Vec<String> = (0..7).map(|i| i.to_string()).collect();
        let options = MetricOptions { metrics: ["top1", "top3", "f1"].map(String::from).into(), ..MetricOptions::default() };
        let plain = CrossEntropy::default();
        let mut tally = Tally::new(&plain, options.build(&labels).unwrap()).with_confusion(&labels);
        assert_eq!(tally.evaluation().n, 0);
        for class in [4, 2, 0] {
            tally.add(&[0.0, 3.0, 1.0, 2.0, 5.0, 4.0, -1.0], Target::Class(class)).unwrap();
        }
        tally.add(&[1.0; 7], Target::Class(1)).unwrap();
        let result = tally.evaluation();
        assert_eq!((result.n, result.top1, result.top5), (4, 0.25, 0.75));
        assert_eq!(result.metrics["top3"], 0.5);
        assert!(!result.metrics.contains_key("top1") && result.metrics.contains_key("f1/6"));
        assert_eq!(tally.confusion().unwrap().count(2, 4), 1);
        let json = serde_json::to_string(&result).unwrap();
        assert!(json.starts_with(r#"{"n":4,"top1":0.25,"top5":0.75,"loss":"#), "{json}");

        let error = tally.add(&[1.0; 7], Target::Class(7)).unwrap_err();
        assert!(error.to_string().starts_with("the target of sample 4 does not fit"), "{error}");
        assert_eq!(tally.evaluation(), result);
    }

    #[test]
    fn loss_by_hand() {
        // softmax of (0, ln 3) is (1/4, 3/4); the mean is that of a whole batch, whatever the weights.
        let scores = [0.0, 3.0_f32.ln()];
        let weighted = CrossEntropy { smoothing: 0.0, weights: vec![3.0, 1.0] };
        let mut tally = Tally::new(&weighted, vec![]);
        tally.add(&scores, Target::Class(0)).unwrap();
        tally.add(&scores, Target::Class(1)).unwrap();
        let expected = (3.0 * 4.0_f64.ln() + (4.0_f64 / 3.0).ln()) / 4.0;
        assert!((tally.evaluation().loss - expected).abs() < 1e-7);
    }
}
