//! The program as a user meets it: descriptions, bad pictures, a dry run, the range test.

use serde_json::Value;
use staticnet_data::{DataSet, Split};
use staticnet_graph::graph::Tensor;
use staticnet_graph::{npy, reference};
use staticnet_trainer::augment::Augment;
use staticnet_trainer::config::Config;
use staticnet_trainer::run::Run;
use staticnet_trainer::source::{Batching, in_order};
use staticnet_trainer::synth::{SynthOptions, generate};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

fn trainer(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_trainer")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The last line of stdout.
fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_str(text(&output.stdout).lines().last().unwrap()).unwrap()
}

fn pictures(folder: &Path) {
    let options = SynthOptions { train_per_class: 8, test_per_class: 2, ..SynthOptions::default() };
    generate(folder, &options, &mut |_, _| {}).unwrap();
}

#[cfg(not(feature = "demo"))]
#[test]
fn the_demo_says_what_it_was_built_without() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("here");
    let refused = trainer(&["demo", "--out", out.to_str().unwrap()]);
    let error = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{error}");
    assert!(error.contains("`cargo demo --out ") && error.contains("--features demo`"), "{error}");
    assert!(!out.exists());
}

/// tract is by far the largest dependency of the workspace.
#[test]
fn tract_comes_with_the_demo_alone() {
    let dependencies = |features: &str| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(env!("CARGO_MANIFEST_DIR")).args([
            "tree",
            "--locked",
            "-p",
            "staticnet-trainer",
            "--edges",
            "normal",
        ]);
        let output = cargo.args(["--prefix", "none", "--features", features]).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    assert!(!dependencies("").contains("tract-"));
    assert!(dependencies("demo").contains("tract-onnx"));
}

#[test]
fn a_description_is_written_and_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("net.toml");
    let words =
        ["config", "--arch", "alexnet-cifar", "--epochs", "3", "--rule", "bias: lr_factor=2", "--balance", "--ema", "0.99"];
    let output = trainer(&words);
    fs::write(&path, &output.stdout).unwrap();
    let config = Config::read(&path).unwrap();
    assert_eq!((config.arch.as_str(), config.epochs, config.optim.ema), ("alexnet-cifar", 3, Some(0.99)));
    assert!(config.pictures.balance && config.optim.rule.len() == 1);
    // What is typed wins over the file.
    let again = trainer(&["config", "--config", path.to_str().unwrap(), "--epochs", "4"]);
    fs::write(&path, &again.stdout).unwrap();
    assert_eq!(Config::read(&path).unwrap(), Config { epochs: 4, ..config });

    fs::write(&path, "epochs = 3\nbatchsize = 4").unwrap();
    let refused = trainer(&["train", "nowhere", "--config", path.to_str().unwrap()]);
    let error = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2));
    assert!(error.contains("net.toml") && error.contains("`batchsize`; do you mean `batch_size`?"), "{error}");

    // The folder to go on with stands behind --out, not where the data set does.
    let nowhere = trainer(&["train", "runs/first", "--resume"]);
    assert_eq!(nowhere.status.code(), Some(2));
    assert!(text(&nowhere.stderr).contains("--resume needs --out RUN"), "{}", text(&nowhere.stderr));
}

/// Held against the reference implementation of each operator on the pictures themselves.
#[test]
fn features_are_the_outputs_of_a_layer() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_string();
    let (data, run) = (path("data"), path("run"));
    pictures(Path::new(&data));
    json(&trainer(&["train", &data, "--arch", "lenet", "--epochs", "1", "--batch-size", "16", "--out", &run]));
    let features = |layer: &str| {
        let file = path("features.npy");
        let told = json(&trainer(&["features", &run, &data, "--layer", layer, "-o", &file]));
        let tensor = npy::read(Path::new(&file)).unwrap();
        assert_eq!(told["shape"], serde_json::json!(tensor.shape));
        tensor
    };
    let graph = Run::at(Path::new(&run)).network().unwrap();
    let test = Arc::new(DataSet::open(Path::new(&data), Split::Test).unwrap());
    let batching = Batching { batch_size: 20, augment: Augment::None, seed: 0, threads: 1 };
    let batch = in_order(test, graph.preprocess.unwrap(), batching).next().unwrap().unwrap();
    let elements = graph.value(graph.inputs[0]).elements();
    // A convolution before its ReLU, a pool, a fully connected layer, the scores.
    for node in graph
        .nodes
        .iter()
        .filter(|node| ["features.0", "features.2", "classifier.0", "classifier.2"].contains(&node.name.as_str()))
    {
        let found = features(&node.name);
        assert_eq!(found.shape[0], 20);
        let len = found.data.len() / 20;
        for (picture, found) in batch.images.chunks_exact(elements).zip(found.data.chunks_exact(len)) {
            let input = Tensor { shape: graph.shape(graph.inputs[0]).to_vec(), data: picture.to_vec() };
            let expected = &reference::run(&graph, &[input]).unwrap()[node.output.0].data;
            let largest = expected.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() <= 1e-4 * largest), "{}", node.name);
        }
        assert!(node.name != "features.0" || found.data.iter().any(|v| *v < 0.0), "before the ReLU");
    }
    let refused = trainer(&["features", &run, &data, "--layer", "classifier.9", "-o", &path("x.npy")]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        text(&refused.stderr).contains("there is no layer `classifier.9`; there are classifier."),
        "{}",
        text(&refused.stderr)
    );
}

#[test]
fn bad_pictures_are_all_named_before_the_first_step() {
    let dir = tempfile::tempdir().unwrap();
    let (data, run) = (dir.path().join("data"), dir.path().join("run"));
    pictures(&data);
    let broken = ["train/disc/broken.png", "train/star/empty.jpg", "test/ring/text.png"];
    let whole = fs::read(data.join("train/disc/0000.png")).unwrap();
    fs::write(data.join(broken[0]), &whole[..whole.len() / 2]).unwrap();
    fs::write(data.join(broken[1]), b"").unwrap();
    fs::write(data.join(broken[2]), b"not a picture").unwrap();
    let (data, out) = (data.to_str().unwrap(), run.to_str().unwrap());
    let words = ["train", data, "--arch", "lenet", "--epochs", "1", "--batch-size", "16", "--threads", "1", "--out", out];
    let refused = trainer(&words);
    let error = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{error}");
    for name in ["broken.png", "empty.jpg", "text.png"] {
        assert!(error.contains(name), "{name} is not named: {error}");
    }
    assert!(!run.join("last").exists());
    let skipped = trainer(&[&words[..], &["--skip-bad"]].concat());
    assert_eq!(json(&skipped)["epochs"], 1);
    assert!(text(&skipped.stderr).contains("left out: ") && text(&skipped.stderr).contains("text.png"));
}

#[test]
fn looking_before_training_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (data, run, plot) = (dir.path().join("data"), dir.path().join("run"), dir.path().join("rates.svg"));
    pictures(&data);
    let data = data.to_str().unwrap();
    let base = [data, "--arch", "lenet", "--batch-size", "16", "--threads", "1"];
    let dry = trainer(&[&["train"], &base[..], &["--dry-run", "--out", run.to_str().unwrap()]].concat());
    let report = json(&dry);
    assert_eq!((&report["batch_size"], &report["steps_per_epoch"]), (&16.into(), &5.into()));
    assert!(report["loss"].as_f64().unwrap() > 0.0 && text(&dry.stdout).contains("classifier"), "{}", text(&dry.stdout));
    assert!(!run.exists());

    let words = ["--steps", "30", "--last", "0.5", "--plot", plot.to_str().unwrap()];
    let found = json(&trainer(&[&["lr-find"], &base[..], &words[..]].concat()));
    assert!(found["points"].as_array().unwrap().len() > 5 && plot.is_file());
    let wrong = trainer(&[&["lr-find"], &base[..], &["--first", "1", "--last", "0.1"]].concat());
    assert_eq!(wrong.status.code(), Some(2));
}
