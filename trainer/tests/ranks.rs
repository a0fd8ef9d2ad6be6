//! Several processes train one network as one process would; where one of them ends all of them do.
#![cfg(all(unix, feature = "mpi"))]

use serde_json::Value;
use staticnet_trainer::ranks::{Fetch, Launched, Ranks, Reducer};
use staticnet_trainer::synth::{SynthOptions, generate};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// `mpirun -n RANKS`; nothing, and a word about it, where there is none.
fn mpirun(ranks: usize) -> Option<Command> {
    let there = Command::new("mpirun").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !there.is_ok_and(|status| status.success()) {
        println!("skipped: no mpirun");
        return None;
    }
    let mut command = Command::new("mpirun");
    command.args(["--oversubscribe", "--bind-to", "none", "-n", &ranks.to_string()]);
    as_root(&mut command);
    Some(command)
}

/// Open MPI wants to be asked twice by root, who runs the tests in a container.
fn as_root(command: &mut Command) {
    if Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n") {
        command.envs([("OMPI_ALLOW_RUN_AS_ROOT", "1"), ("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
}

/// A folder, and in it pictures of which a batch of 16 makes so many steps.
fn pictures(steps: usize) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let options = SynthOptions { train_per_class: steps * 16 / 10, test_per_class: 3, ..SynthOptions::default() };
    generate(&data, &options, &mut |_, _| {}).unwrap();
    (dir, data)
}

/// `trainer train`, by so many ranks, each with one thread.
fn train(ranks: usize, data: &Path, out: &Path, arguments: &[&str]) -> Option<Command> {
    let trainer = env!("CARGO_BIN_EXE_trainer");
    let mut command = match ranks {
        1 => Command::new(trainer),
        _ => {
            let mut command = mpirun(ranks)?;
            command.arg(trainer);
            command
        }
    };
    command.arg("train").arg(data).arg("--out").arg(out).args(["--threads", "1", "--log-every", "1", "--tensorboard", "false"]);
    if !arguments.contains(&"--batch-size") {
        command.args(["--batch-size", "16"]);
    }
    command.args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Some(command)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn succeeded(output: &Output) {
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
}

/// What the log says of every step and every epoch.
fn curve(out: &Path) -> Curve {
    let log = fs::read_to_string(out.join("log.jsonl")).unwrap();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let numbers = |kind: &str, name: &str| -> Vec<f64> {
        lines.iter().filter(|line| line["kind"] == kind).map(|line| line[name].as_f64().unwrap()).collect()
    };
    Curve { losses: numbers("step", "loss"), norms: numbers("step", "grad_norm"), tests: numbers("epoch", "test_loss") }
}

#[derive(Clone)]
struct Curve {
    losses: Vec<f64>,
    norms: Vec<f64>,
    tests: Vec<f64>,
}

/// The largest difference, relative to what it should be.
fn furthest(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    found.iter().zip(expected).map(|(a, b)| ((a - b) / b).abs()).fold(0.0, f64::max)
}

/// The process of rank 1 of the training that writes `out`.
fn rank_1(out: &Path) -> String {
    let start = Instant::now();
    let (needle, out) = (b"OMPI_COMM_WORLD_RANK=1\0", out.to_str().unwrap());
    while start.elapsed() < Duration::from_secs(60) {
        for process in fs::read_dir("/proc").unwrap().flatten() {
            let read = |name: &str| fs::read(process.path().join(name)).unwrap_or_default();
            let ours = read("cmdline").windows(out.len()).any(|bytes| bytes == out.as_bytes());
            if ours && read("environ").windows(needle.len()).any(|bytes| bytes == needle) {
                return process.file_name().into_string().unwrap();
            }
        }
        sleep(Duration::from_millis(20));
    }
    panic!("there is no rank 1");
}

fn signal(signal: &str, process: &str) {
    assert!(Command::new("kill").args([signal, process]).status().unwrap().success());
}

/// Waits until so many steps are written down.
fn steps(child: &mut Child, out: &Path, many: usize) {
    let start = Instant::now();
    while fs::read_to_string(out.join("log.jsonl")).unwrap_or_default().lines().count() < many {
        assert!(start.elapsed() < Duration::from_secs(120), "there are no steps");
        assert!(child.try_wait().unwrap().is_none(), "it ended before");
        sleep(Duration::from_millis(5));
    }
}

/// The rates are low, and the second network begins with small numbers: where it learns fast a difference in the last bit, which comes
/// of the order of sums, grows tenfold every few steps.
#[test]
fn any_number_of_ranks_takes_the_same_steps() {
    let long = std::env::var_os("STATICNET_LONG").is_some();
    let (dir, data) = pictures(50);
    for (arch, init) in [("lenet", "kaiming"), ("alexnet-cifar", "gaussian:0.02")] {
        let mut one: Option<Curve> = None;
        for ranks in [1, 2, 4].into_iter().filter(|ranks| *ranks < 4 || long) {
            let out = dir.path().join(format!("{arch}-{ranks}"));
            let rate = ["--epochs", "1", "--arch", arch, "--init", init, "--schedule", "constant", "--lr", "0.001"];
            // Weighted classes: the parts of a batch do not weigh the same.
            let more = ["--class-weights", "1,2,1,3,1,1,0.5,1,1,2", "--momentum", "0.9", "--bucket-kib", "256"];
            let Some(mut command) = train(ranks, &data, &out, &[&rate[..], &more].concat()) else { return };
            let start = Instant::now();
            let output = command.output().unwrap();
            succeeded(&output);
            let summaries = text(&output.stdout).lines().filter(|line| line.contains("\"top1\"")).count();
            assert_eq!(summaries, 1, "one rank talks: {}", text(&output.stdout));
            let found = curve(&out);
            assert_eq!((found.losses.len(), found.tests.len()), (50, 1));
            let expected = one.get_or_insert_with(|| found.clone());
            let losses = furthest(&found.losses, &expected.losses).max(furthest(&found.tests, &expected.tests));
            let norms = furthest(&found.norms, &expected.norms);
            println!(
                "{arch}, {ranks} ranks: loss {:.4} to {:.4} in {:?}; furthest from one rank {losses:.1e}, gradients {norms:.1e}",
                found.losses[0],
                found.losses[49],
                start.elapsed()
            );
            assert!(losses < 1e-4 && norms < 1e-2, "{arch} on {ranks} ranks: {losses}, gradients {norms}");
        }
    }
}

#[test]
fn a_killed_rank_ends_the_job_and_another_number_goes_on() {
    let (dir, data) = pictures(20);
    let (out, whole) = (dir.path().join("run"), dir.path().join("whole"));
    let options = ["--epochs", "2", "--arch", "lenet", "--save-every", "1", "--lr", "0.001"];
    let Some(mut command) = train(2, &data, &out, &options) else { return };
    let mut child = command.spawn().unwrap();
    steps(&mut child, &out, 5);
    signal("-KILL", &rank_1(&out));
    let output = child.wait_with_output().unwrap();
    let said = text(&output.stderr);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("process rank 1 ") && said.contains(" on node "), "{said}");
    // Not from the beginning: what was saved is whole.
    let before = curve(&out).losses.len();
    succeeded(&train(3, &data, &out, &["--resume"]).unwrap().output().unwrap());
    succeeded(&train(1, &data, &whole, &options).unwrap().output().unwrap());
    let (resumed, expected) = (curve(&out), curve(&whole));
    assert!((5..40).contains(&before), "{before}");
    assert_eq!(resumed.losses.len(), 40);
    assert!(furthest(&resumed.losses, &expected.losses) < 1e-4 && furthest(&resumed.tests, &expected.tests) < 1e-4);
}

#[test]
fn all_ranks_stop_where_one_is_asked_to() {
    let (dir, data) = pictures(50);
    let out = dir.path().join("run");
    let options = ["--epochs", "50", "--arch", "lenet", "--lr", "0.01"];
    // By a signal, then as the process does that starts a rank for each device.
    for (resume, by_signal) in [(false, true), (true, false)] {
        let options = if resume { &["--resume"][..] } else { &options[..] };
        let Some(mut command) = train(2, &data, &out, options) else { return };
        let mut child = command.env("STATICNET_LAUNCHED", "1").stdin(Stdio::piped()).spawn().unwrap();
        let before = fs::read_to_string(out.join("log.jsonl")).unwrap_or_default().lines().count();
        steps(&mut child, &out, before + 5);
        match by_signal {
            true => signal("-INT", &rank_1(&out)),
            false => child.stdin.as_mut().unwrap().write_all(b"\n").unwrap(),
        }
        let output = child.wait_with_output().unwrap();
        succeeded(&output);
        let said = text(&output.stdout);
        let summary: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
        assert_eq!(summary["stopped"], true);
        assert!(curve(&out).losses.len() < 2500 && out.join("last/state.json").exists());
    }
}

#[test]
fn errors_name_the_rank_and_end_the_job() {
    let (dir, data) = pictures(2);
    let (out, missing) = (dir.path().join("run"), dir.path().join("missing"));
    let Some(mut command) = train(3, &data, &out, &["--arch", "lenet", "--batch-size", "2"]) else { return };
    let output = command.output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains(" of 3 (") && said.contains("a batch of 2 samples is not enough for 3 ranks"), "{said}");

    let output = train(2, &data, &missing, &["--arch", "lenet", "--resume"]).unwrap().output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("file system that all machines share"), "{said}");
}

/// Ranks that were started with different options: the last one's come after a colon.
#[test]
fn ranks_that_do_not_fit_are_named() {
    let (dir, data) = pictures(2);
    let run = |arguments: &[&str], last: &Path| {
        let mut command = train(2, &data, &dir.path().join("run"), &["--arch", "lenet"])?;
        command.args([":", "-n", "1", env!("CARGO_BIN_EXE_trainer"), "train"]).arg(last).args(["--arch", "lenet"]);
        command.args(["--batch-size", "16", "--threads", "1", "--log-every", "1", "--tensorboard", "false"]).args(arguments);
        let output = command.arg("--out").arg(dir.path().join("run")).output().unwrap();
        assert!(!output.status.success());
        Some(text(&output.stderr))
    };
    let Some(said) = run(&["--lr", "0.5"], &data) else { return };
    let first = "the options, the data or the first parameters: not that of rank 0 at rank 2 of 3 (";
    assert!(said.contains(first), "{said}");
    // One rank fails on its own while the others wait for it.
    let said = run(&[], &dir.path().join("missing")).unwrap_or_default();
    assert!(said.contains("rank 2 of 3 (") && said.contains("missing") && !said.contains("rank 0 of 3"), "{said}");
    assert!(!dir.path().join("run/last").exists());
}

/// Without GPUs, too: the ranks are started, and say why they end.
#[test]
fn several_devices_start_their_ranks_themselves() {
    let (dir, data) = pictures(2);
    if mpirun(1).is_none() {
        return;
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_trainer"));
    as_root(&mut command);
    let out = dir.path().join("run");
    command.arg("train").arg(&data).args(["--arch", "lenet", "--device", "cuda:90,91"]).arg("--out").arg(&out);
    let output = command.output().unwrap();
    let said = text(&output.stderr);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains(" of 2 (") && said.contains("error: "), "{said}");
    assert!(!out.join("last").exists());
}

/// What [`talk`] gives at `rank` in `step`: small whole numbers, whose sums are exact.
fn gradient(rank: usize, step: usize, parameter: usize, len: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 7 + parameter * 13 + step * 3 + rank * 29) % 101) as f32 - 50.0).collect()
}

/// What each rank of [`ranks_talk`] does.
fn talk() {
    let ranks = Ranks::join().unwrap();
    let (rank, size) = (ranks.rank(), ranks.size());
    assert!(size > 1 && ranks.local_size() == size && ranks.local_rank() == rank && !ranks.host().is_empty());

    let mut numbers = [rank as f64, 1.0, 0.5];
    ranks.sum(&mut numbers).unwrap();
    assert_eq!(numbers, [(size * (size - 1) / 2) as f64, size as f64, size as f64 / 2.0]);
    let all = ranks.gather(&vec![rank as u8; rank * 1000]).unwrap();
    assert!(all.iter().enumerate().all(|(from, bytes)| *bytes == vec![from as u8; from * 1000]));
    let long: Vec<u8> = (0..5 << 20).map(|i| (i % 251) as u8).collect();
    let given = if rank == 0 { long.clone() } else { Vec::new() };
    assert!(ranks.broadcast(given).unwrap() == long);
    ranks.same("everything", 7).unwrap();
    let error = ranks.same("the rank", u64::from(rank == 1)).unwrap_err().to_string();
    assert!(error.starts_with(&format!("the rank: not that of rank 0 at rank 1 of {size} (")), "{error}");

    // Smaller than a bucket, larger than one, larger than what is summed at once.
    let lens = [10, 3000, 1, 2_500_000, 0, 77];
    let parameters = lens.iter().enumerate().map(|(i, len)| (format!("p{i}"), *len)).collect();
    let mut reducer = Reducer::new(&ranks, parameters, 4096);
    for step in 0..4 {
        for at in 0..lens.len() {
            // Every rank in an order of its own.
            let parameter = (at + rank + step) % lens.len();
            let given = gradient(rank, step, parameter, lens[parameter]);
            match (step, parameter) {
                (3, 1) => {}
                (2, _) => {
                    let fetch: Fetch = Box::new(move |place| {
                        place.copy_from_slice(&given);
                        Ok(())
                    });
                    reducer.ready_later(parameter, fetch).unwrap();
                }
                _ => reducer.ready(parameter, &given).unwrap(),
            }
        }
        let mut seen = 0;
        let traffic = reducer.finish(|parameter, sum| {
            let mut expected = vec![0.0; lens[parameter]];
            for rank in (0..size).filter(|_| (step, parameter) != (3, 1)) {
                expected.iter_mut().zip(gradient(rank, step, parameter, lens[parameter])).for_each(|(e, g)| *e += g);
            }
            assert!(sum == expected, "parameter {parameter} in step {step}");
            seen += 1;
            Ok::<(), staticnet_trainer::ranks::RanksError>(())
        });
        let traffic = traffic.unwrap();
        assert_eq!((seen, traffic.bytes), (lens.len(), 4 * lens.iter().sum::<usize>() as u64));
    }
    println!("{ranks} is done");
}

#[test]
fn ranks_talk() {
    // The program of the tests is that of the ranks, too.
    if Launched::here().is_some() {
        return talk();
    }
    for ranks in [2, 3] {
        let Some(mut command) = mpirun(ranks) else { return };
        command.arg(std::env::current_exe().unwrap()).args(["--exact", "ranks_talk", "--nocapture"]);
        let output = command.output().unwrap();
        succeeded(&output);
        let said = text(&output.stdout);
        assert!((0..ranks).all(|rank| said.contains(&format!("rank {rank} of {ranks} ("))), "{said}");
    }
}
