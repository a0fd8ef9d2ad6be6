//! What becomes of output that nobody reads, and of output that does not fit.
#![cfg(unix)]

#[path = "cli/fixture.rs"]
mod fixture;

use fixture::{EXPORTER, Fixture};
use std::process::{Command, Stdio};

/// A pipe whose reading end is gone, as behind a `head` that has seen enough.
fn closed() -> Stdio {
    let (_, writer) = std::io::pipe().unwrap();
    writer.into()
}

fn command(fixture: &Fixture, args: &[&str]) -> Command {
    let mut command = Command::new(EXPORTER);
    command.args(args).current_dir(fixture.path("")).stdin(Stdio::null());
    command
}

const PRINTING: [(&[&str], i32); 7] = [
    (&["check", "model.onnx"], 0),
    (&["inspect", "model.snet", "--plan"], 0),
    (&["inspect", "model.snet", "--json"], 0),
    (&["run", "model.snet", "data/test/bee/0.png"], 0),
    (&["eval", "model.snet", "data"], 0),
    (&["verify", "model.onnx", "float.snet", "--samples", "1"], 0),
    // A check that fails says so by its exit code, whoever reads.
    (&["compile", "model.onnx", "--float", "-o", "small.snet", "--ram", "1K"], 1),
];

#[test]
fn a_closed_pipe_ends_no_command() {
    let fixture = Fixture::compiled();
    for (args, code) in PRINTING {
        let output = command(&fixture, args).stdout(closed()).stderr(Stdio::piped()).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}\n{stderr}");
        assert!(!stderr.contains("panicked") && !stderr.contains("stdout"), "{args:?}\n{stderr}");
        // `exporter .. 2>&1 | head`
        let status = command(&fixture, args).stdout(closed()).stderr(closed()).status().unwrap();
        assert_eq!(status.code(), Some(code), "{args:?}");
    }
    let args = ["compile", "model.onnx", "--calibrate", "data", "-o", "again.snet"];
    assert!(command(&fixture, &args).stdout(closed()).stderr(closed()).status().unwrap().success());
    assert_eq!(fixture.read("again.snet"), fixture.read("model.snet"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_named_and_is_no_success() {
    let fixture = Fixture::compiled();
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    for (args, _) in PRINTING {
        let output = command(&fixture, args).stdout(full()).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}\n{stderr}");
        assert!(stderr.contains("exporter: stdout: cannot write") && !stderr.contains("panicked"), "{args:?}\n{stderr}");
    }
}
