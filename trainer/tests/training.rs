//! Whole trainings of LeNet on pictures in memory.

use staticnet::preprocess::{Fit, Preprocess};
use staticnet_trainer::checkpoint::Checkpoint;
use staticnet_trainer::config::{Choices, Config};
use staticnet_trainer::dataset::Batch;
use staticnet_trainer::models::by_name;
use staticnet_trainer::rng::{KeyedRng, permutation};
use staticnet_trainer::run::Run;
use staticnet_trainer::source::{BatchSource, Batches};
use staticnet_trainer::targets::Targets;
use staticnet_trainer::train::{Event, Summary, TrainError, train};
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
    let choices = Choices {
        data: Some("memory".into()),
        epochs: Some(epochs),
        batch_size: Some(BATCH),
        threads: Some(2),
        ..Choices::default()
    };
    choices.resolve(by_name("lenet").unwrap(), 1).unwrap()
}

fn run(config: &Config, folder: &Path, resume: bool) -> Result<Summary, TrainError> {
    train(config, &Halves::new(4), &Run::at(folder), resume, &mut |_| {})
}

#[test]
fn a_training_learns_and_fills_its_folder() {
    let dir = tempfile::tempdir().unwrap();
    let (mut steps, mut epochs) = (0, Vec::new());
    let summary = train(&config(4), &Halves::new(4), &Run::at(dir.path()), false, &mut |event| match event {
        Event::Step { .. } => steps += 1,
        Event::Tested { .. } => {}
        Event::Epoch(metrics) => epochs.push(metrics.clone()),
    });
    let summary = summary.unwrap();
    assert_eq!((steps, epochs.len(), summary.epochs), (16, 4, 4));
    assert!(summary.top1 > 0.9, "top-1 {}", summary.top1);
    assert!(epochs[3].test_loss < epochs[0].test_loss);
    let metrics = fs::read_to_string(dir.path().join("metrics.csv")).unwrap();
    assert_eq!(metrics.lines().count(), 5);
    for file in ["config.toml", "model.onnx", "model.safetensors", "plots/curve.svg", "last/state.json", "best/state.json"] {
        assert!(dir.path().join(file).is_file(), "{file}");
    }
    let again = Choices::read(&dir.path().join("config.toml")).unwrap().resolve(by_name("lenet").unwrap(), 1).unwrap();
    assert_eq!(again, config(4));

    let exported = staticnet_graph::onnx::import(&dir.path().join("model.onnx")).unwrap();
    let best = Checkpoint::load(&dir.path().join("best")).unwrap().graph;
    assert_eq!((&exported.params, exported.preprocess), (&best.params, best.preprocess));
    assert_eq!(exported.labels, ["top", "left", "bottom", "right"]);
}

#[test]
fn a_resumed_training_ends_with_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, stopped) = (dir.path().join("whole"), dir.path().join("stopped"));
    run(&config(3), &whole, false).unwrap();
    // Stopped within the second epoch, as if the process had been killed.
    let result = std::panic::catch_unwind(|| {
        let mut steps = 0;
        train(&config(3), &Halves::new(4), &Run::at(&stopped), false, &mut |event| {
            if let Event::Step { .. } = event {
                steps += 1;
                assert!(steps < 7, "stopped");
            }
        })
    });
    assert!(result.is_err());
    assert_eq!(Checkpoint::load(&stopped.join("last")).unwrap().history.len(), 1);
    run(&config(3), &stopped, true).unwrap();
    for file in ["last/weights.safetensors", "last/state.safetensors", "best/weights.safetensors", "model.onnx"] {
        assert_eq!(fs::read(whole.join(file)).unwrap(), fs::read(stopped.join(file)).unwrap(), "{file}");
    }
}

#[test]
fn foreign_checkpoints_and_occupied_folders_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    run(&config(1), dir.path(), false).unwrap();
    let error = run(&config(1), dir.path(), false).unwrap_err();
    assert!(matches!(error, TrainError::Occupied(_)) && error.to_string().contains("--resume"));
    let error = train(&config(2), &Halves::new(3), &Run::at(dir.path()), true, &mut |_| {}).unwrap_err().to_string();
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
