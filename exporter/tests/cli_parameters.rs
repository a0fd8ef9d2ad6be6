//! The commands on parameters of a network by name.

#[path = "cli/fixture.rs"]
mod fixture;

use fixture::EXPORTER;
use staticnet_graph::graph::Tensor;
use staticnet_graph::{models, npy, reference, safetensors};
use std::path::Path;
use std::process::{Command, Output};

fn exporter(folder: &Path, args: &[&str]) -> Output {
    Command::new(EXPORTER).args(args).current_dir(folder).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// lenet for three classes of grey pictures, its parameters in `m.safetensors`.
fn lenet(folder: &Path) -> staticnet_graph::graph::Graph {
    let mut graph = (models::by_name("lenet").unwrap().build)(1, 3).unwrap();
    for (i, w) in graph.params.values_mut().flat_map(|t| &mut t.data).enumerate() {
        *w = ((i * 7919) % 1000) as f32 / 10_000.0 - 0.05;
    }
    safetensors::save(&graph, &folder.join("m.safetensors")).unwrap();
    graph
}

#[test]
fn parameters_of_a_network_by_name_are_checked_compiled_run_and_verified() {
    let dir = tempfile::tempdir().unwrap();
    let graph = lenet(dir.path());
    let x = Tensor { shape: vec![1, 1, 28, 28], data: (0..784).map(|i| (i % 29) as f32 / 29.0).collect() };
    npy::write(&dir.path().join("x.npy"), &x).unwrap();
    let commands: [&[&str]; 5] = [
        &["check", "m.safetensors", "--arch", "lenet"],
        &["compile", "m.safetensors", "--arch", "lenet", "--float", "-o", "m.snet"],
        &["run", "m.snet", "x.npy", "--output", "y.npy"],
        &["compile", "m.safetensors", "--arch", "lenet", "--calibrate", "x.npy", "-o", "int8.snet"],
        &["verify", "m.safetensors", "m.snet", "--arch", "lenet", "--data", "x.npy"],
    ];
    for command in commands {
        let done = exporter(dir.path(), command);
        assert_eq!(done.status.code(), Some(0), "{command:?}: {}", text(&done.stderr));
    }
    let wanted = &reference::run(&graph, &[x]).unwrap()[graph.outputs[0].0];
    let found = npy::read(&dir.path().join("y.npy")).unwrap();
    assert_eq!(found.shape, [1, 3]);
    let largest = wanted.data.iter().fold(0f32, |m, v| m.max(v.abs()));
    assert!(found.data.iter().zip(&wanted.data).all(|(f, w)| (f - w).abs() <= 1e-5 * largest), "{found:?} {wanted:?}");
}

#[test]
fn what_does_not_fit_together_is_told() {
    let dir = tempfile::tempdir().unwrap();
    lenet(dir.path());
    std::fs::write(dir.path().join("m.onnx"), b"").unwrap();
    let refusals: [(&[&str], &[&str]); 4] = [
        (&["check", "m.safetensors"], &["m.safetensors", "--arch"]),
        (&["check", "m.onnx", "--arch", "lenet"], &["m.onnx", "--arch"]),
        (&["check", "m.safetensors", "--arch", "resnet"], &["resnet", "alexnet-cifar"]),
        // Everything that is missing, unknown or of another shape, at once.
        (
            &["check", "m.safetensors", "--arch", "cifar-small"],
            &["features.6.weight", "is missing", "belongs to no layer", "features.0.weight is"],
        ),
    ];
    for (command, parts) in refusals {
        let refused = exporter(dir.path(), command);
        assert_eq!(refused.status.code(), Some(2), "{command:?}");
        let message = text(&refused.stderr);
        assert!(parts.iter().all(|part| message.contains(part)), "{command:?}: {message}");
    }
}
