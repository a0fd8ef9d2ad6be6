//! What becomes of output that nobody reads, and of output that does not fit: a training goes on.
#![cfg(unix)]

use staticnet_trainer::synth::{SynthOptions, generate};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// A pipe whose reading end is gone, as behind a `head` that has seen enough.
fn closed() -> Stdio {
    let (_, writer) = std::io::pipe().unwrap();
    writer.into()
}

#[cfg(target_os = "linux")]
fn full() -> Stdio {
    fs::OpenOptions::new().write(true).open("/dev/full").unwrap().into()
}

fn trainer(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trainer"));
    command.args(arguments).stdin(Stdio::null());
    command
}

fn train(data: &Path, out: &Path) -> Command {
    let mut command = trainer(&["train", "--arch", "lenet", "--epochs", "2", "--batch-size", "16", "--threads", "1"]);
    command.arg(data).arg("--out").arg(out);
    command
}

#[test]
fn a_training_goes_on_whoever_reads() {
    let dir = tempfile::tempdir().unwrap();
    let (data, heard, unheard) = (dir.path().join("data"), dir.path().join("heard"), dir.path().join("unheard"));
    let options = SynthOptions { train_per_class: 8, test_per_class: 2, ..SynthOptions::default() };
    generate(&data, &options, &mut |_, _| {}).unwrap();
    let output = train(&data, &heard).output().unwrap();
    assert!(output.status.success() && !output.stdout.is_empty() && !output.stderr.is_empty());
    // `trainer train .. 2>&1 | head -n 1`
    let status = train(&data, &unheard).stdout(closed()).stderr(closed()).status().unwrap();
    assert_eq!(status.code(), Some(0));
    let same = |out: &Path| {
        for file in ["last/weights.safetensors", "last/state.safetensors", "best/weights.safetensors", "model.onnx"] {
            assert!(fs::read(heard.join(file)).unwrap() == fs::read(out.join(file)).unwrap(), "{file} differs");
        }
    };
    same(&unheard);
    #[cfg(target_os = "linux")]
    {
        let no_room = dir.path().join("no-room");
        let output = train(&data, &no_room).stdout(full()).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{stderr}");
        assert!(stderr.contains("stdout: cannot write") && !stderr.contains("panicked"), "{stderr}");
        same(&no_room);
    }

    let picture = data.join("test/ring/0000.png");
    let predict = ["predict", unheard.to_str().unwrap(), picture.to_str().unwrap()];
    assert_eq!(trainer(&predict).stdout(closed()).stderr(closed()).status().unwrap().code(), Some(0));
}

#[test]
fn what_a_command_prints_is_its_product() {
    for arguments in [&["archs"][..], &["summary", "alexnet"], &["config", "--arch", "lenet"]] {
        let output = trainer(arguments).stdout(closed()).stderr(Stdio::piped()).output().unwrap();
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]), "{arguments:?}");
        assert_eq!(trainer(arguments).stdout(closed()).stderr(closed()).status().unwrap().code(), Some(0), "{arguments:?}");
        #[cfg(target_os = "linux")]
        {
            let output = trainer(arguments).stdout(full()).output().unwrap();
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{arguments:?}\n{stderr}");
            assert!(stderr.starts_with("error: stdout: cannot write"), "{arguments:?}\n{stderr}");
        }
    }
}
