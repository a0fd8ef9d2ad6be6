//! The logs of a training that is killed and goes on, read by TensorBoard's own reader where a Python has it.

use serde_json::{Value, json};
use staticnet_trainer::log::{Log, LogOptions, StepRecord};
use staticnet_trainer::metrics::EpochMetrics;
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A Python that has tensorboard; why there is none, otherwise. `STATICNET_PYTHON` or `PYTHON` (which scripts/test sets) names
/// one, else it is the one that scripts/test has made, else `python3`.
fn python() -> Result<PathBuf, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let named = ["STATICNET_PYTHON", "PYTHON"].into_iter().filter_map(std::env::var_os).map(PathBuf::from);
    let known = [root.join("target/python/bin/python3"), PathBuf::from("python3")];
    let mut reasons = Vec::new();
    for python in named.chain(known) {
        match Command::new(&python).args(["-c", "import tensorboard.backend.event_processing.event_accumulator"]).output() {
            Ok(output) if output.status.success() => return Ok(python),
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or("it failed").to_string();
                reasons.push(format!("{}: {said}", python.display()));
            }
            Err(error) => reasons.push(format!("{}: {error}", python.display())),
        }
    }
    Err(reasons.join("; "))
}

fn step(log: &mut Log, step: u64, loss: f64) {
    let more = BTreeMap::from([("gradient_norm".to_string(), 2.0 * loss)]);
    log.step(&StepRecord { epoch: 1, step, loss, lr: 0.25, images_per_s: 100.0, more }).unwrap();
}

fn epoch(log: &mut Log, step: u64, top1: f64) {
    let more = BTreeMap::from([("f1/cat".to_string(), 0.5)]);
    let (train_loss, test_loss, top5) = (1.5, 1.25, 1.0);
    let images_per_s = 100.0;
    log.epoch(&EpochMetrics { epoch: 1, step, train_loss, lr: 0.25, test_loss, top1, top5, images_per_s, seconds: 1.0, more })
        .unwrap();
}

#[test]
fn tensorboard_reads_a_training_that_was_killed_and_went_on() {
    let python = match python() {
        Ok(python) => python,
        Err(reason) => {
            assert!(std::env::var_os("CI").is_none(), "a Python with tensorboard is needed: {reason}");
            println!("skipped: what TensorBoard reads (a Python with tensorboard is needed: {reason})");
            return;
        }
    };
    let run = tempfile::tempdir().unwrap();
    let options = LogOptions { log_every: 1, tensorboard: true };
    // What an earlier training has left in the folder must not show.
    step(&mut Log::open(run.path(), &options, None).unwrap(), 9, 77.0);

    let mut log = Log::open(run.path(), &options, None).unwrap();
    (1..=4).for_each(|i| step(&mut log, i, i as f64));
    epoch(&mut log, 4, 0.25);
    log.histogram(4, "weights/fc", &[-1.0, 0.5, 2.0]).unwrap();
    (5..=7).for_each(|i| step(&mut log, i, 100.0));
    log.histogram(7, "weights/fc", &[100.0]).unwrap();
    drop(log);
    // Killed while it wrote: the last record is half there.
    let files = fs::read_dir(run.path().join("tensorboard")).unwrap().map(|entry| entry.unwrap().path());
    let last = files.max().unwrap();
    let length = fs::metadata(&last).unwrap().len();
    OpenOptions::new().write(true).open(&last).unwrap().set_len(length - 9).unwrap();

    // It goes on after the epoch.
    let mut log = Log::open(run.path(), &options, Some(4)).unwrap();
    (5..=8).for_each(|i| step(&mut log, i, i as f64));
    epoch(&mut log, 8, 0.75);
    log.histogram(8, "weights/fc", &[0.0, 4.0, f32::NAN]).unwrap();

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/check_tensorboard.py");
    let output = Command::new(python).arg(script).arg(run.path().join("tensorboard")).arg("--json").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let found: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {said}"));
    let points = |factor: f64| json!((1..=8).map(|i| json!([i, factor * f64::from(i)])).collect::<Vec<_>>());
    let constant = |value: f64| json!((1..=8).map(|i| json!([i, value])).collect::<Vec<_>>());
    let at_epochs = |first: f64, second: f64| json!([[4, first], [8, second]]);
    let expected = json!({
        "scalars": {
            "step/loss": points(1.0),
            "step/gradient_norm": points(2.0),
            "step/lr": constant(0.25),
            "step/images_per_s": constant(100.0),
            "epoch/train_loss": at_epochs(1.5, 1.5),
            "epoch/test_loss": at_epochs(1.25, 1.25),
            "epoch/top1": at_epochs(0.25, 0.75),
            "epoch/top5": at_epochs(1.0, 1.0),
            "epoch/lr": at_epochs(0.25, 0.25),
            "epoch/images_per_s": at_epochs(100.0, 100.0),
            "epoch/seconds": at_epochs(1.0, 1.0),
            "epoch/f1/cat": at_epochs(0.5, 0.5),
        },
        "histograms": { "weights/fc": [[4, 3.0, 1.5, -1.0, 2.0], [8, 2.0, 4.0, 0.0, 4.0]] },
    });
    assert_eq!(found, expected);
    let lines = fs::read_to_string(run.path().join("log.jsonl")).unwrap();
    let steps: Vec<u64> = lines.lines().map(|l| serde_json::from_str::<Value>(l).unwrap()["step"].as_u64().unwrap()).collect();
    assert_eq!(steps, [1, 2, 3, 4, 4, 5, 6, 7, 8, 8]);
}
