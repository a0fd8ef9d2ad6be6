//! What is known after an epoch.

use crate::exact;
use crate::text::csv_field;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// The first columns of metrics.csv.
const HEADER: &str = "epoch,step,train_loss,lr,test_loss,top1,top5,images_per_s,seconds";

/// One epoch, one line of metrics.csv.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochMetrics {
    /// Epochs done, from 1.
    pub epoch: u32,
    /// Optimiser steps done since the training began.
    pub step: u64,
    /// Mean loss over the epoch's training batches, each before its update.
    #[serde(with = "exact")]
    pub train_loss: f64,
    /// Learning rate of the epoch's last step.
    #[serde(with = "exact")]
    pub lr: f64,
    /// Mean loss on the test samples.
    #[serde(with = "exact")]
    pub test_loss: f64,
    /// Share of test samples whose class has the best score.
    #[serde(with = "exact")]
    pub top1: f64,
    /// Share of test samples whose class is among the five best scores.
    #[serde(with = "exact")]
    pub top5: f64,
    /// Training samples per second.
    #[serde(with = "exact")]
    pub images_per_s: f64,
    /// Time for training and testing.
    #[serde(with = "exact")]
    pub seconds: f64,
    /// All other metrics on the test samples.
    #[serde(default, with = "exact::map")]
    pub more: BTreeMap<String, f64>,
}

impl EpochMetrics {
    /// The value in the column `name`, if there is one.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.numbers().find(|(column, _)| *column == name).map(|(_, value)| value)
    }

    /// All that was measured, by the names of its columns and in their order.
    pub fn numbers(&self) -> impl Iterator<Item = (&str, f64)> {
        let fixed = [
            ("train_loss", self.train_loss),
            ("lr", self.lr),
            ("test_loss", self.test_loss),
            ("top1", self.top1),
            ("top5", self.top5),
            ("images_per_s", self.images_per_s),
            ("seconds", self.seconds),
        ];
        fixed.into_iter().chain(self.more.iter().map(|(name, value)| (name.as_str(), *value)))
    }
}

/// metrics.csv of a training so far. Behind the fixed columns stand the other metrics, by name; empty where an epoch has none.
pub fn csv(history: &[EpochMetrics]) -> String {
    let more: BTreeSet<&String> = history.iter().flat_map(|m| m.more.keys()).collect();
    let mut text = HEADER.to_string();
    for name in &more {
        text.push(',');
        text.push_str(&csv_field(name));
    }
    text.push('\n');
    for m in history {
        let EpochMetrics { epoch, step, train_loss, lr, test_loss, top1, top5, images_per_s, seconds, more: values } = m;
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "{epoch},{step},{train_loss:.6},{lr:.3e},{test_loss:.6},{top1:.5},{top5:.5},{images_per_s:.1},{seconds:.2}"
        );
        for name in &more {
            let _ = match values.get(*name) {
                Some(value) => write!(text, ",{value:.6}"),
                None => write!(text, ","),
            };
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics() -> EpochMetrics {
        EpochMetrics {
            epoch: 1,
            step: 390,
            train_loss: 1.5,
            lr: 0.02,
            test_loss: 1.25,
            top1: 0.5,
            top5: 0.9375,
            images_per_s: 160.0,
            seconds: 312.5,
            more: BTreeMap::new(),
        }
    }

    #[test]
    fn csv_has_one_line_an_epoch() {
        let text = csv(&[metrics(), EpochMetrics { epoch: 2, ..metrics() }]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "epoch,step,train_loss,lr,test_loss,top1,top5,images_per_s,seconds");
        assert_eq!(lines[1], "1,390,1.500000,2.000e-2,1.250000,0.50000,0.93750,160.0,312.50");
        assert_eq!(lines.len(), 3);
    }

    #[test]
    fn other_metrics_stand_behind() {
        let with = |epoch, more: &[(&str, f64)]| EpochMetrics {
            epoch,
            more: more.iter().map(|(name, value)| (name.to_string(), *value)).collect(),
            ..metrics()
        };
        let history = [with(1, &[("top3", 0.75)]), with(2, &[("top3", 0.875), ("f1/cat, big", 0.5)])];
        let text = csv(&history);
        let ends: Vec<&str> = text.lines().filter_map(|line| line.split_once(".50,").map(|(_, end)| end)).collect();
        assert!(text.starts_with("epoch,step,train_loss,lr,test_loss,top1,top5,images_per_s,seconds,\"f1/cat, big\",top3\n"));
        assert_eq!(ends, [",0.750000", "0.500000,0.875000"]);
        assert_eq!((history[1].get("top3"), history[1].get("top1"), history[0].get("rmse")), (Some(0.875), Some(0.5), None));
    }

    /// A resumed training goes on from state.json as if it had not stopped.
    #[test]
    fn json_keeps_every_bit() {
        let mut m = metrics();
        // Numbers whose last place serde_json's own reader misses now and then, and some that JSON cannot write.
        m.train_loss = 0.1 + 0.2;
        m.lr = 1.0e-5 / 3.0;
        m.test_loss = f64::NAN;
        m.top1 = 93.0 / 97.0;
        m.seconds = f64::MIN_POSITIVE / 3.0;
        for i in 1..200 {
            m.more.insert(format!("m{i}"), (f64::from(i) * 0.731).exp() / 1e20);
        }
        m.more.insert("rmse".into(), f64::INFINITY);
        let again: EpochMetrics = serde_json::from_str(&serde_json::to_string(&m).unwrap()).unwrap();
        let bits = |m: &EpochMetrics| {
            let fixed = [m.train_loss, m.lr, m.test_loss, m.top1, m.top5, m.images_per_s, m.seconds];
            fixed.into_iter().chain(m.more.values().copied()).map(f64::to_bits).collect::<Vec<_>>()
        };
        assert_eq!(bits(&again), bits(&m));
    }

    #[test]
    fn what_is_no_number_is_refused() {
        let text = serde_json::to_string(&metrics()).unwrap();
        assert_eq!(serde_json::from_str::<EpochMetrics>(&text).unwrap(), metrics());
        assert!(serde_json::from_str::<EpochMetrics>(&text.replace("\"1.25\"", "\"much\"")).is_err());
        assert!(serde_json::from_str::<EpochMetrics>(&text.replace("\"1.25\"", "null")).is_err());
    }
}
