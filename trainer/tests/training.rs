//! Whole trainings of LeNet on pictures in memory.

use staticnet::preprocess::{Fit, Preprocess};
use staticnet_trainer::checkpoint::Checkpoint;
use staticnet_trainer::config::Config;
use staticnet_trainer::dataset::Batch;
use staticnet_trainer::models::by_name;
use staticnet_trainer::rng::{KeyedRng, permutation};
use staticnet_trainer::run::Run;
use staticnet_trainer::schedule::ScheduleKind;
use staticnet_trainer::source::{BatchSource, Batches};
use staticnet_trainer::targets::Targets;
use staticnet_trainer::train::{Control, Event, Summary, TrainError, Training};
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
    let constant = |epochs| Config { schedule: ScheduleKind::Constant, ..config(epochs) };
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

#[test]
fn a_training_that_does_not_get_better_ends() {
    let dir = tempfile::tempdir().unwrap();
    // Nothing is learned at this rate.
    let config = Config { lr: 1e-9, patience: 2, ..config(9) };
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
    let from = |path: &Path| Config { init: path.to_str().unwrap().parse().unwrap(), lr: 1e-6, ..config(1) };
    for source in [first.clone(), first.join("model.safetensors"), first.join("model.onnx")] {
        let summary = run(&from(&source), &second, false).unwrap();
        assert!(summary.top1 > 0.9, "{} gives top-1 {}", source.display(), summary.top1);
        fs::remove_dir_all(&second).unwrap();
    }
}
