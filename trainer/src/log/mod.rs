//! What a training does, written down while it does it: JSON lines in log.jsonl, and event files for TensorBoard.
//!
//! [`Log`] has both. Everything is keyed by the number of optimiser steps done; a training that goes on at an earlier step takes
//! back what was said about later ones.

mod json;
mod protobuf;
mod record;
mod tensorboard;

pub use json::JsonLines;
pub use tensorboard::EventFile;

use crate::metrics::EpochMetrics;
use serde::{Deserialize, Serialize};
use staticnet_graph::file::FileError;
use std::collections::BTreeMap;
use std::path::Path;

/// What is written down.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default)]
pub struct LogOptions {
    /// Steps between two lines about steps in log.jsonl and TensorBoard; 0 for none, epochs are always there.
    #[arg(long, value_name = "STEPS", default_value_t = LogOptions::default().log_every)]
    pub log_every: u64,
    /// Whether event files for TensorBoard are written (true or false).
    #[arg(long, value_name = "BOOL", action = clap::ArgAction::Set, default_value_t = LogOptions::default().tensorboard)]
    pub tensorboard: bool,
}

impl Default for LogOptions {
    fn default() -> Self {
        LogOptions { log_every: 10, tensorboard: true }
    }
}

impl LogOptions {
    /// Whether something is to be said about step `step`, counted from 1 over the whole training.
    pub fn is_due(&self, step: u64) -> bool {
        self.log_every > 0 && step.is_multiple_of(self.log_every)
    }
}

/// What is known after a step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepRecord {
    /// Epochs begun, from 1.
    pub epoch: u32,
    /// Optimiser steps done since the training began.
    pub step: u64,
    /// Loss of the step's batch, before its update.
    pub loss: f64,
    /// Learning rate.
    pub lr: f64,
    /// Training samples per second.
    pub images_per_s: f64,
    /// Whatever else is worth a line: the gradient's norm, time spent waiting for data.
    #[serde(flatten)]
    pub more: BTreeMap<String, f64>,
}

/// All logs of a RUN folder.
#[derive(Debug)]
pub struct Log {
    options: LogOptions,
    json: JsonLines,
    events: Option<EventFile>,
}

impl Log {
    /// Opens `log.jsonl` and a new file in `tensorboard/` of the RUN folder. `resumed` is the number of steps after which the
    /// training goes on: what is there about later ones is taken back; all of it where a training begins.
    ///
    /// # Errors
    /// [`FileError`] naming the file.
    pub fn open(run: &Path, options: &LogOptions, resumed: Option<u64>) -> Result<Self, FileError> {
        let json = JsonLines::open(&run.join("log.jsonl"), resumed)?;
        let events = options.tensorboard.then(|| EventFile::create(&run.join("tensorboard"), resumed)).transpose()?;
        Ok(Log { options: options.clone(), json, events })
    }

    /// Writes down a step, where one is due.
    ///
    /// # Errors
    /// [`FileError`] naming the file.
    pub fn step(&mut self, record: &StepRecord) -> Result<(), FileError> {
        if !self.options.is_due(record.step) {
            return Ok(());
        }
        self.json.step(record)?;
        let values = [("loss", record.loss), ("lr", record.lr), ("images_per_s", record.images_per_s)].into_iter();
        self.scalars("step", record.step, values.chain(record.more.iter().map(|(name, value)| (name.as_str(), *value))))
    }

    /// Writes down an epoch.
    ///
    /// # Errors
    /// [`FileError`] naming the file.
    pub fn epoch(&mut self, m: &EpochMetrics) -> Result<(), FileError> {
        self.json.epoch(m)?;
        self.scalars("epoch", m.step, m.numbers())
    }

    /// Writes down something that happened after `step` steps.
    ///
    /// # Errors
    /// [`FileError`] naming the file.
    pub fn event(&mut self, step: u64, text: &str) -> Result<(), FileError> {
        self.json.event(step, text)
    }

    /// Shows TensorBoard how numbers (a layer's weights) are distributed after `step` steps.
    ///
    /// # Errors
    /// [`FileError`] naming the file.
    pub fn histogram(&mut self, step: u64, name: &str, values: &[f32]) -> Result<(), FileError> {
        self.events.as_mut().map_or(Ok(()), |events| events.histogram(step, name, values))
    }

    fn scalars<'a>(&mut self, group: &str, step: u64, values: impl Iterator<Item = (&'a str, f64)>) -> Result<(), FileError> {
        let Some(events) = &mut self.events else { return Ok(()) };
        let values: Vec<(String, f64)> = values.map(|(name, value)| (format!("{group}/{name}"), value)).collect();
        events.scalars(step, &values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Args, FromArgMatches};

    #[test]
    fn text_and_back() {
        let parse = |line: &[&str]| {
            let matches = LogOptions::augment_args(clap::Command::new("x")).get_matches_from(line);
            LogOptions::from_arg_matches(&matches).unwrap()
        };
        let given = parse(&["x", "--log-every", "3", "--tensorboard", "false"]);
        assert_eq!(given, LogOptions { log_every: 3, tensorboard: false });
        assert_eq!(toml::from_str::<LogOptions>(&toml::to_string(&given).unwrap()).unwrap(), given);
        assert_eq!(parse(&["x"]), LogOptions::default());
        assert_eq!(toml::from_str::<LogOptions>("").unwrap(), LogOptions::default());
    }

    #[test]
    fn steps_are_logged_when_due() {
        let dir = tempfile::tempdir().unwrap();
        let options = LogOptions { log_every: 4, tensorboard: false };
        let mut log = Log::open(dir.path(), &options, None).unwrap();
        for step in 1..=9 {
            let more = BTreeMap::from([("gradient_norm".to_string(), 0.5)]);
            log.step(&StepRecord { epoch: 1, step, loss: 2.5, lr: 0.25, images_per_s: 100.0, more }).unwrap();
        }
        log.histogram(9, "fc", &[1.0]).unwrap();
        let text = std::fs::read_to_string(dir.path().join("log.jsonl")).unwrap();
        let line = |step| {
            format!(
                r#"{{"kind":"step","epoch":1,"step":{step},"loss":2.5,"lr":0.25,"images_per_s":100.0,"gradient_norm":0.5}}"#
            )
        };
        assert_eq!(text, format!("{}\n{}\n", line(4), line(8)));
        assert!(!dir.path().join("tensorboard").exists());
    }
}
