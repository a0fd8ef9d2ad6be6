//! log.jsonl: one JSON object a line.

use super::StepRecord;
use crate::lines::Lines;
use crate::metrics::EpochMetrics;
use serde::{Serialize, Serializer};
use serde_json::Value;
use staticnet_graph::file::FileError;
use std::path::Path;

/// The lines. `kind` says what one is about: `step`, `epoch` or `event`; every one has `step`, the optimiser steps done. What is
/// not finite is null.
#[derive(Debug)]
pub struct JsonLines {
    lines: Lines,
}

/// One line.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum Line<'a> {
    Step(&'a StepRecord),
    Epoch {
        epoch: u32,
        step: u64,
        #[serde(flatten, serialize_with = "numbers")]
        metrics: &'a EpochMetrics,
    },
    Event {
        step: u64,
        text: &'a str,
    },
}

/// [`EpochMetrics`] with numbers as JSON has them.
fn numbers<S: Serializer>(metrics: &EpochMetrics, to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(metrics.numbers())
}

/// The steps done at the time of a line; none where it is no such line.
fn step(line: &str) -> Option<u64> {
    serde_json::from_str::<Value>(line).ok()?.get("step")?.as_u64()
}

impl JsonLines {
    /// Opens the file. Of what is in it already, lines of more than `resumed` steps are cut; all where a training begins.
    ///
    /// # Errors
    /// [`FileError`] naming the file.
    pub fn open(path: &Path, resumed: Option<u64>) -> Result<Self, FileError> {
        let keep = |line: &str| step(line).zip(resumed).is_some_and(|(step, resumed)| step <= resumed);
        Ok(JsonLines { lines: Lines::open(path, keep)? })
    }

    fn add(&mut self, line: &Line<'_>) -> Result<(), FileError> {
        // Strings, numbers and maps by strings: nothing that JSON could refuse.
        let text = serde_json::to_string(line).unwrap_or_default();
        self.lines.add(&(text + "\n"))
    }

    /// Adds `{"kind": "step", "epoch", "step", "loss", "lr", "images_per_s", ..}`.
    ///
    /// # Errors
    /// [`FileError`] naming the file.
    pub fn step(&mut self, record: &StepRecord) -> Result<(), FileError> {
        self.add(&Line::Step(record))
    }

    /// Adds `{"kind": "epoch", "epoch", "step", "train_loss", ..}` with all metrics.
    ///
    /// # Errors
    /// [`FileError`] naming the file.
    pub fn epoch(&mut self, metrics: &EpochMetrics) -> Result<(), FileError> {
        let EpochMetrics { epoch, step, .. } = *metrics;
        self.add(&Line::Epoch { epoch, step, metrics })
    }

    /// Adds `{"kind": "event", "step", "text"}`.
    ///
    /// # Errors
    /// [`FileError`] naming the file.
    pub fn event(&mut self, step: u64, text: &str) -> Result<(), FileError> {
        self.add(&Line::Event { step, text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::fs;

    fn record(step: u64) -> StepRecord {
        StepRecord { epoch: 1, step, loss: 0.5, lr: 0.1, images_per_s: 50.0, more: BTreeMap::new() }
    }

    #[test]
    fn kinds_of_lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.jsonl");
        let mut log = JsonLines::open(&path, None).unwrap();
        log.event(0, "it begins:\n\"a\"").unwrap();
        log.step(&StepRecord { loss: f64::NAN, ..record(3) }).unwrap();
        let metrics = EpochMetrics {
            epoch: 1,
            step: 4,
            train_loss: 1.5,
            lr: 0.02,
            test_loss: 1.25,
            top1: 0.5,
            top5: 0.75,
            images_per_s: 160.0,
            seconds: 2.0,
            more: BTreeMap::from([("f1/cat".to_string(), 0.25)]),
        };
        log.epoch(&metrics).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], r#"{"kind":"event","step":0,"text":"it begins:\n\"a\""}"#);
        assert_eq!(lines[1], r#"{"kind":"step","epoch":1,"step":3,"loss":null,"lr":0.1,"images_per_s":50.0}"#);
        assert_eq!(
            lines[2],
            r#"{"kind":"epoch","epoch":1,"step":4,"train_loss":1.5,"lr":0.02,"test_loss":1.25,"top1":0.5,"top5":0.75,"images_per_s":160.0,"seconds":2.0,"f1/cat":0.25}"#
        );
    }

    #[test]
    fn a_resumed_log_is_that_of_one_that_did_not_stop() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.jsonl");
        let mut log = JsonLines::open(&path, None).unwrap();
        (1..=6).for_each(|step| log.step(&record(step)).unwrap());
        let whole = fs::read_to_string(&path).unwrap();
        // Killed within a line; the last checkpoint is of step 4.
        fs::write(&path, &whole[..whole.len() - 7]).unwrap();
        let mut log = JsonLines::open(&path, Some(4)).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 4);
        (5..=6).for_each(|step| log.step(&record(step)).unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), whole);
        JsonLines::open(&path, None).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"", "a training that begins anew keeps nothing");
    }
}
