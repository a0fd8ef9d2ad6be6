//! The program is killed, interrupted, and resumed; its weights are those of one that was left alone.
#![cfg(unix)]

use staticnet_trainer::rng::KeyedRng;
use staticnet_trainer::synth::{SynthOptions, generate};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Starts `trainer train`, saving after every step, so that most of its time is spent in the middle of a save.
fn start(data: &Path, out: &Path, arguments: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trainer"));
    command.arg("train").arg(data).args(["--arch", "lenet", "--epochs", "2", "--batch-size", "16", "--threads", "1"]);
    command.args(["--save-every", "1"]).arg("--out").arg(out).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    command.spawn().unwrap()
}

/// A folder, pictures in it, and the RUN of a training that nobody stopped.
fn left_alone() -> (TempDir, PathBuf, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let (data, whole) = (dir.path().join("data"), dir.path().join("whole"));
    let options = SynthOptions { train_per_class: 16, test_per_class: 2, ..SynthOptions::default() };
    generate(&data, &options, &mut |_, _| {}).unwrap();
    assert!(start(&data, &whole, &[]).wait().unwrap().success());
    (dir, data, whole)
}

fn same_weights(a: &Path, b: &Path) {
    for file in ["last/weights.safetensors", "last/state.safetensors", "best/weights.safetensors", "model.onnx"] {
        assert!(fs::read(a.join(file)).unwrap() == fs::read(b.join(file)).unwrap(), "{file} differs");
    }
}

/// Waits until a checkpoint is there.
fn first_save(out: &Path) {
    let start = Instant::now();
    while !out.join("last/state.json").exists() {
        assert!(start.elapsed() < Duration::from_secs(60), "nothing was saved");
        sleep(Duration::from_millis(5));
    }
}

#[test]
fn killed_again_and_again() {
    let (dir, data, whole) = left_alone();
    let killed = dir.path().join("killed");
    let mut rng = KeyedRng::new(7, 0, 0, 0);
    let mut child = start(&data, &killed, &[]);
    first_save(&killed);
    let mut kills = 0;
    for _ in 0..12 {
        sleep(Duration::from_millis(u64::from(rng.below(250))));
        if child.try_wait().unwrap().is_some() {
            break;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
        child = start(&data, &killed, &["--resume"]);
    }
    let last = child.wait_with_output().unwrap();
    assert!(last.status.success() && kills > 0, "{kills} kills");
    // Where it was killed behind the last epoch there is nothing left to do.
    same_weights(&whole, &killed);
}

#[test]
fn an_interrupt_saves_and_ends_well() {
    let (dir, data, whole) = left_alone();
    let stopped = dir.path().join("stopped");
    let child = start(&data, &stopped, &[]);
    first_save(&stopped);
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let last: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&last["stopped"], &last["epochs"]), (&true.into(), &0.into()), "{last}");
    assert!(start(&data, &stopped, &["--resume"]).wait().unwrap().success());
    same_weights(&whole, &stopped);
}
