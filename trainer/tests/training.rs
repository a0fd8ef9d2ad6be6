//! Whole trainings of LeNet on pictures in memory.

use staticnet::preprocess::{Fit, Preprocess};
use staticnet_trainer::checkpoint::Checkpoint;
use staticnet_trainer::config::Config;
use staticnet_trainer::dataset::Batch;
use staticnet_trainer::log::LogOptions;
use staticnet_trainer::lr_find::suggest;
use staticnet_trainer::metrics::MetricOptions;
use staticnet_trainer::models::by_name;
use staticnet_trainer::monitor::MonitorOptions;
use staticnet_trainer::optim::OptimOptions;
use staticnet_trainer::rng::{KeyedRng, permutation};
use staticnet_trainer::run::Run;
use staticnet_trainer::schedule::{ScheduleKind, ScheduleOptions};
use staticnet_trainer::source::{BatchSource, Batches};
use staticnet_trainer::targets::Targets;
use staticnet_trainer::train::{Control, Event, Range, Summary, TrainError, Training, dry_run, range_test};
use std::fs;
use std::path::Path;

const SIDE: usize = 28;
const BATCH: usize = 16;

/// Noise with a bright half: top, left, bottom or right.
struct Halves {
    labels: Vec<String>,
    samples: u32,
}

impl Halves {
    fn new(classes: usize) -> Self {
        let labels = ["top", "left", "bottom", "right"].map(String::from).into_iter().take(classes).collect();
        Halves { labels, samples: 64 }
    }

    fn picture(&self, index: u32) -> impl Iterator<Item = f32> + use<> {
        let mut rng = KeyedRng::new(4, 0, index.into(), 99);
        let class = index as usize % self.labels.len();
        (0..SIDE * SIDE).map(move |i| {
            let (y, x) = (i / SIDE, i % SIDE);
            let bright = [y < SIDE / 2, x < SIDE / 2, y >= SIDE / 2, x >= SIDE / 2][class];
            rng.normal() + if bright { 1.0 } else { -1.0 }
        })
    }

    fn batches(&self, order: Vec<u32>) -> Batches<'_> {
        let batches: Vec<Vec<u32>> = order.chunks(BATCH).map(<[u32]>::to_vec).collect();
        Box::new(batches.into_iter().map(|indices| {
            let images = indices.iter().flat_map(|i| self.picture(*i)).collect();
            let targets = Targets::Classes(indices.iter().map(|i| i % self.labels.len() as u32).collect());
            Ok(Batch { images, targets, indices })
        }))
    }
}

impl BatchSource for Halves {
    fn labels(&self) -> &[String] {
        &self.labels
    }

    fn preprocess(&self) -> Preprocess {
        let (width, height) = (SIDE as u16, SIDE as u16);
        Preprocess { width, height, channels: 1, fit: Fit::Stretch, mean: [0.5; 3], std: [0.25; 3] }
    }

    fn train_batches(&self) -> usize {
        self.samples as usize / BATCH
    }

    fn train(&self, epoch: u32, from: usize) -> Batches<'_> {
        self.batches(permutation(1, epoch, self.samples).split_off(from * BATCH))
    }

    fn test_len(&self) -> usize {
        32
    }

    fn test(&self) -> Batches<'_> {
        self.batches((1000..1032).collect())
    }
}

fn config(epochs: u32) -> Config {
    let config = Config { data: "memory".into(), epochs, batch_size: BATCH, threads: 2, ..Config::default() };
    config.decide(by_name("lenet").unwrap(), 1).unwrap()
}

fn rate(lr: f64, schedule: ScheduleKind) -> ScheduleOptions {
    ScheduleOptions { lr, schedule, ..ScheduleOptions::default() }
}

fn run(config: &Config, folder: &Path, resume: bool) -> Result<Summary, TrainError> {
    Training::new(config, &Halves::new(4), &Run::at(folder)).resume(resume).run()
}

#[test]
fn a_training_learns_and_fills_its_folder() {
    let dir = tempfile::tempdir().unwrap();
    let (mut steps, mut epochs) = (0, Vec::new());
    let mut listen = |event: &Event<'_>| {
        match event {
            Event::Step(step) => {
                steps += u64::from(step.loss.is_finite() && step.total == 4 * u64::from(step.epoch) + step.step)
            }
            Event::Tested { .. } | Event::Note(_) => {}
            Event::Epoch(epoch) => epochs.push(epoch.metrics.clone()),
        }
        Control::Continue
    };
    let (config, source, folder) = (config(4), Halves::new(4), Run::at(dir.path()));
    let summary = Training::new(&config, &source, &folder).callback(&mut listen).run().unwrap();
    assert_eq!((steps, epochs.len(), summary.epochs, summary.stopped), (16, 4, 4, false));
    assert!(summary.top1 > 0.9, "top-1 {}", summary.top1);
    assert!(epochs[3].test_loss < epochs[0].test_loss);
    let metrics = fs::read_to_string(dir.path().join("metrics.csv")).unwrap();
    assert_eq!(metrics.lines().count(), 5);
    for file in ["config.toml", "model.onnx", "model.safetensors", "plots/curve.svg", "last/state.json", "best/state.json"] {
        assert!(dir.path().join(file).is_file(), "{file}");
    }
    assert_eq!(Config::read(&dir.path().join("config.toml")).unwrap(), config);

    let exported = staticnet_graph::onnx::import(&dir.path().join("model.onnx")).unwrap();
    let best = Checkpoint::load(&dir.path().join("best")).unwrap().graph;
    assert_eq!((&exported.params, exported.preprocess), (&best.params, best.preprocess));
    assert_eq!(exported.labels, ["top", "left", "bottom", "right"]);
}

/// What must not depend on how often a training was stopped.
fn weights(folder: &Path) -> Vec<Vec<u8>> {
    let files = ["last/weights.safetensors", "last/state.safetensors", "best/weights.safetensors", "model.onnx"];
    files.map(|file| fs::read(folder.join(file)).unwrap()).into()
}

/// Trains until `stop` steps are done in this process; with `crash` by a panic, as if it had been killed there.
fn run_until(config: &Config, folder: &Path, resume: bool, stop: u64, crash: bool) {
    let mut steps = 0;
    let mut count = |event: &Event<'_>| {
        if let Event::Step(_) = event {
            steps += 1;
            assert!(!crash || steps < stop, "killed");
        }
        if steps == stop { Control::Stop } else { Control::Continue }
    };
    let (source, run) = (Halves::new(4), Run::at(folder));
    let training = Training::new(config, &source, &run).resume(resume).callback(&mut count);
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| training.run().unwrap()));
    match crash {
        true => assert!(result.is_err()),
        false => assert!(result.unwrap().stopped),
    }
}

#[test]
fn wherever_a_training_stops_it_ends_with_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole");
    run(&config(3), &whole, false).unwrap();
    // After each step of 12, at the ends of epochs as within them.
    for stop in 1..12 {
        let stopped = dir.path().join(format!("stopped-{stop}"));
        run_until(&config(3), &stopped, false, stop, false);
        assert_eq!(Checkpoint::load(&stopped.join("last")).unwrap().position.step, stop);
        let summary = run(&config(3), &stopped, true).unwrap();
        assert_eq!((summary.epochs, summary.stopped), (3, false));
        assert!(weights(&whole) == weights(&stopped), "stopped after step {stop}");
    }
}

#[test]
fn a_killed_training_goes_on_from_its_last_save() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, killed) = (dir.path().join("whole"), dir.path().join("killed"));
    let config = Config { save_every: 3, keep: 2, ..config(3) };
    run(&config, &whole, false).unwrap();
    let place = |folder: &Path| Checkpoint::load(&folder.join("last")).unwrap().position;
    run_until(&config, &killed, false, 7, true);
    assert_eq!((place(&killed).epoch, place(&killed).step), (1, 6));
    run_until(&config, &killed, true, 2, true);
    run_until(&config, &killed, true, 4, true);
    assert_eq!((place(&killed).epoch, place(&killed).step), (2, 9));
    run(&config, &killed, true).unwrap();
    assert!(weights(&whole) == weights(&killed));
    let kept = |folder: &Path| -> Vec<String> {
        let names = fs::read_dir(folder.join("checkpoints")).unwrap();
        let mut names: Vec<String> = names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    // 3, 4 (an epoch's end), 6, 8, 9, 12 were saved.
    assert_eq!(kept(&whole), ["step-0000000009", "step-0000000012"]);
    assert_eq!(kept(&killed), kept(&whole));
    let nine = Checkpoint::load(&killed.join("checkpoints/step-0000000009")).unwrap();
    assert_eq!((nine.position.epoch, nine.position.batch, nine.history.len()), (2, 1, 2));
}

#[test]
fn a_finished_training_can_be_extended() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, extended) = (dir.path().join("whole"), dir.path().join("extended"));
    let constant = |epochs| Config { schedule: rate(0.02, ScheduleKind::Constant), ..config(epochs) };
    run(&constant(3), &whole, false).unwrap();
    run(&constant(2), &extended, false).unwrap();
    run(&constant(3), &extended, true).unwrap();
    assert!(weights(&whole) == weights(&extended));
}

#[test]
fn batches_can_share_a_step() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, stopped) = (dir.path().join("whole"), dir.path().join("stopped"));
    // 4 batches are two steps, of 3 and of 1.
    let config = Config { accumulate: 3, ..config(2) };
    let mut losses = Vec::new();
    let mut listen = |event: &Event<'_>| {
        if let Event::Step(step) = event {
            losses.push((step.step, step.steps, step.total));
        }
        Control::Continue
    };
    let source = Halves::new(4);
    Training::new(&config, &source, &Run::at(&folder)).callback(&mut listen).run().unwrap();
    assert_eq!(losses, [(1, 2, 1), (2, 2, 2), (1, 2, 3), (2, 2, 4)]);
    run_until(&config, &stopped, false, 3, false);
    run(&config, &stopped, true).unwrap();
    assert!(weights(&folder) == weights(&stopped));
}

/// Everything that remembers something from step to step.
fn remembering() -> Config {
    let rule = [
        "bias: optimizer=adam, lr=1e-3",
        "classifier.2.weight: optimizer=rmsprop, centered=true, lr=1e-4",
        "features.3: schedule=plateau, plateau_patience=0",
    ];
    let optim = OptimOptions {
        nesterov: true,
        clip_norm: Some(5.0),
        ema: Some(0.9),
        rule: rule.iter().map(|rule| rule.parse().unwrap()).collect(),
        ..OptimOptions::default()
    };
    Config { optim, ..config(3) }
}

#[test]
fn all_that_an_optimiser_remembers_is_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, stopped) = (dir.path().join("whole"), dir.path().join("stopped"));
    run(&remembering(), &whole, false).unwrap();
    for stop in [3, 1, 5] {
        run_until(&remembering(), &stopped, stop != 3, stop, false);
    }
    run(&remembering(), &stopped, true).unwrap();
    assert!(weights(&whole) == weights(&stopped));
    let average = |folder: &Path| fs::read(folder.join("best/average.safetensors")).unwrap();
    assert!(average(&whole) == average(&stopped));
    // What is exported is the average.
    let best = Checkpoint::load(&whole.join("best")).unwrap();
    let exported = staticnet_graph::onnx::import(&whole.join("model.onnx")).unwrap();
    assert_eq!(exported.params["features.0.weight"].data, best.average.unwrap()["features.0.weight"]);
    assert_ne!(exported.params["features.0.weight"].data, best.graph.params["features.0.weight"].data);
    // Other options have other memories.
    let error = run(&Config { optim: OptimOptions::default(), ..config(4) }, &stopped, true).unwrap_err().to_string();
    assert!(error.contains("last") && error.contains("exp_avg"), "{error}");
}

#[test]
fn logs_have_every_step_once() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, stopped) = (dir.path().join("whole"), dir.path().join("stopped"));
    let config = Config {
        log: LogOptions { log_every: 1, ..LogOptions::default() },
        monitor: MonitorOptions { monitor: 2 },
        metrics: MetricOptions { metrics: vec!["top3".into(), "f1".into()], best_by: "f1".into() },
        save_every: 3,
        ..config(2)
    };
    run(&config, &whole, false).unwrap();
    // Killed in step 6, behind the checkpoint of step 4 (an epoch's end).
    run_until(&config, &stopped, false, 6, true);
    run(&config, &stopped, true).unwrap();
    let steps = |folder: &Path| -> Vec<(String, u64)> {
        let text = fs::read_to_string(folder.join("log.jsonl")).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        lines.map(|line| (line["kind"].as_str().unwrap().to_string(), line["step"].as_u64().unwrap_or_default())).collect()
    };
    assert_eq!(steps(&whole), steps(&stopped));
    assert_eq!(steps(&whole).iter().filter(|(kind, _)| kind == "step").count(), 8);
    let monitor = |folder: &Path| fs::read_to_string(folder.join("monitor.csv")).unwrap();
    assert_eq!(monitor(&whole), monitor(&stopped));
    // LeNet has 9 layers and 8 parameters, looked at before and after 4 of the 8 steps.
    assert_eq!(monitor(&whole).lines().filter(|line| line.contains(",gradient,")).count(), 4 * 8);
    let table = fs::read_to_string(whole.join("metrics.csv")).unwrap();
    assert!(table.starts_with("epoch,step,train_loss,lr,test_loss,top1,top5,images_per_s,seconds,f1,"), "{table}");
    assert!(whole.join("plots/confusion.svg").is_file());
}

#[test]
fn a_number_that_is_not_finite_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { schedule: rate(1e30, ScheduleKind::Constant), ..config(2) };
    let error = run(&config, dir.path(), false).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, TrainError::Diverged { .. }), "{text}");
    assert!(text.contains("features.") || text.contains("classifier."), "no layer is named: {text}");
    assert!(text.contains("epoch 1, step "), "{text}");
}

#[test]
fn a_dry_run_and_a_range_test_write_nothing() {
    let (graph, report) = dry_run(&config(2), &Halves::new(4)).unwrap();
    assert_eq!((report.batch_size, report.steps_per_epoch, report.parameters), (16, 4, graph.parameters()));
    // SGD remembers a velocity for each parameter, and how many steps were made.
    assert!(report.optimiser_bytes >= report.parameter_bytes && report.optimiser_bytes < report.parameter_bytes + 64);
    let mut heard = 0;
    let range = Range { first: 1e-5, last: 10.0, steps: 40 };
    let points = range_test(&config(2), &Halves::new(4), range, &mut |_, _| heard += 1).unwrap();
    assert_eq!(points.len(), heard);
    assert!(points.len() > 10 && points.windows(2).all(|p| p[0].lr < p[1].lr));
    // Where the loss still falls: before the rate at which it was lowest.
    let lowest = points.iter().min_by(|a, b| a.smoothed.total_cmp(&b.smoothed)).unwrap();
    let suggestion = suggest(&points).unwrap();
    assert!((range.first..lowest.lr).contains(&suggestion), "{suggestion}, the lowest loss is at {}", lowest.lr);
}

#[test]
fn a_training_that_does_not_get_better_ends() {
    let dir = tempfile::tempdir().unwrap();
    // Nothing is learned at this rate.
    let config = Config { schedule: rate(1e-9, ScheduleKind::Constant), patience: 2, ..config(9) };
    let summary = run(&config, dir.path(), false).unwrap();
    assert_eq!((summary.epochs, summary.stopped), (3, false));
    assert_eq!(run(&config, dir.path(), true).unwrap().epochs, 3, "resuming changes nothing");
}

#[test]
fn time_may_run_out() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, whole) = (dir.path().join("timed"), dir.path().join("whole"));
    let timed = Config { max_time: Some("1s".parse().unwrap()), ..config(2) };
    let mut wait = |event: &Event<'_>| {
        if let Event::Step(_) = event {
            std::thread::sleep(std::time::Duration::from_millis(600));
        }
        Control::Continue
    };
    let source = Halves::new(4);
    let summary = Training::new(&timed, &source, &Run::at(&folder)).callback(&mut wait).run().unwrap();
    assert_eq!((summary.epochs, summary.stopped), (0, true));
    run(&config(2), &folder, true).unwrap();
    run(&config(2), &whole, false).unwrap();
    assert!(weights(&folder) == weights(&whole));
}

#[test]
fn foreign_checkpoints_and_occupied_folders_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    run(&config(1), dir.path(), false).unwrap();
    let error = run(&config(1), dir.path(), false).unwrap_err();
    assert!(matches!(error, TrainError::Occupied(_)) && error.to_string().contains("--resume"));
    let (three, folder) = (Halves::new(3), Run::at(dir.path()));
    let error = Training::new(&config(2), &three, &folder).resume(true).run().unwrap_err().to_string();
    assert!(error.contains("lenet (4 classes") && error.contains("lenet (3 classes"), "{error}");
    let other = Config { arch: "cifar-small".into(), ..config(2) };
    let error = run(&other, dir.path(), true).unwrap_err().to_string();
    assert!(error.contains("lenet") && error.contains("cifar-small"), "{error}");
}

#[test]
fn a_training_can_begin_with_other_weights() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (dir.path().join("first"), dir.path().join("second"));
    run(&config(4), &first, false).unwrap();
    let from = |path: &Path| Config {
        init: path.to_str().unwrap().parse().unwrap(),
        schedule: rate(1e-6, ScheduleKind::OneCycle),
        ..config(1)
    };
    for source in [first.clone(), first.join("model.safetensors"), first.join("model.onnx")] {
        let summary = run(&from(&source), &second, false).unwrap();
        assert!(summary.top1 > 0.9, "{} gives top-1 {}", source.display(), summary.top1);
        fs::remove_dir_all(&second).unwrap();
    }
}
