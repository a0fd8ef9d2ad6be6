//! Artifacts, byte for byte: the SHA-256 digest of each one that the exporter makes of seeded networks and of the ONNX models among
//! the fixtures is the one in `fixtures/artifact_digests`.
//!
//! A digest says that bytes changed, not that they are wrong. Where a change is wanted, its commit says why, and
//! `UPDATE_SNAPSHOTS=1 cargo test -p staticnet-tests --test artifact_digests` writes the files anew.

use sha2::{Digest, Sha256};
use staticnet::preprocess::{PixelFormat, Source};
use staticnet_exporter::compile::{Options, compile, compile_float};
use staticnet_exporter::emit::Emitted;
use staticnet_exporter::plan::{PlanOptions, Ram};
use staticnet_graph::graph::Graph;
use staticnet_graph::onnx;
use staticnet_tests::seeded::{self, Noise};
use std::path::{Path, PathBuf};

/// Networks by name, the smallest first; the two for 224 pixels would take as long as all others.
const NETWORKS: [&str; 4] = ["lenet", "cifar-small", "alexnet-cifar", "alexnet-cifar-lrn"];

/// The digest of head and weights, or that there is no such artifact.
fn digest<E>(emitted: Result<Emitted, E>) -> String {
    match emitted {
        Ok(emitted) => hex(&emitted.joined()),
        Err(_) => "refused".into(),
    }
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Inputs to calibrate with, in [-2, 2); none where the network has several inputs, which cannot be calibrated.
fn samples(graph: &Graph) -> Vec<Vec<f32>> {
    let [input] = graph.inputs[..] else { return vec![] };
    let elements: usize = graph.shape(input).iter().product();
    let mut noise = Noise::new(2);
    (0..2).map(|_| (0..elements).map(|_| 2.0 * noise.real()).collect()).collect()
}

/// What each artifact is planned for.
fn plans() -> [(&'static str, PlanOptions); 5] {
    let mapped = PlanOptions::default();
    let storage = PlanOptions { storage: true, ..mapped };
    [
        ("layer by layer", PlanOptions { layers: true, ..mapped }),
        ("mapped", mapped),
        ("mapped, least RAM", PlanOptions { ram: Ram::Min, ..mapped }),
        ("storage", storage),
        ("storage, least RAM", PlanOptions { ram: Ram::Min, ..storage }),
    ]
}

/// A line for the network as ONNX, and one for each artifact of it.
fn lines(name: &str, graph: &Graph, plans: &[(&str, PlanOptions)]) -> Vec<String> {
    let samples = samples(graph);
    let mut lines = vec![format!("{}  {name}: onnx", onnx::to_bytes(graph).map_or("refused".into(), |bytes| hex(&bytes)))];
    for &(about, plan) in plans {
        let options = Options { plan, ..Options::default() };
        lines.push(format!("{}  {name}: as it is, {about}", digest(compile_float(graph.clone(), &options))));
        if !samples.is_empty() {
            lines.push(format!("{}  {name}: int8, {about}", digest(compile(graph.clone(), &samples, &options))));
        }
    }
    lines
}

/// Compares with the file of this part, or writes it.
fn hold(part: &str, found: &[String]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/artifact_digests").join(format!("{part}.txt"));
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&path, found.join("\n") + "\n").expect("the fixtures' folder is there");
        return;
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let kept: Vec<&str> = kept.lines().collect();
    let changed: Vec<&str> = found.iter().map(|line| &line[..]).filter(|line| !kept.contains(line)).collect();
    let gone: Vec<&str> = kept.iter().copied().filter(|line| !found.iter().any(|found| found == line)).collect();
    assert!(
        changed.is_empty() && gone.is_empty(),
        "other artifacts than before (see the head of this file):\n{}\ninstead of\n{}",
        changed.join("\n"),
        gone.join("\n")
    );
}

/// The ONNX models of a folder of fixtures.
fn hold_folder(part: &str, folder: &Path, at_least: usize) {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut models: Vec<PathBuf> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    models.retain(|path| path.extension().is_some_and(|extension| extension == "onnx"));
    models.sort();
    assert!(models.len() >= at_least, "{models:?}");
    let lines = models.iter().flat_map(|path| {
        let graph = onnx::import(path).unwrap_or_else(|e| panic!("{e}"));
        lines(&path.file_stem().unwrap_or_default().to_string_lossy(), &graph, &plans())
    });
    hold(part, &lines.collect::<Vec<String>>());
}

fn of_graph(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../graph/tests/fixtures").join(folder)
}

#[test]
fn artifacts_of_networks_by_name() {
    let mut lines_of_all = vec![];
    for name in NETWORKS {
        let graph = seeded::graph(name, 10).expect("a network by name");
        // Pictures of another size, of which a row is in RAM at a time.
        let format = if name == "lenet" { PixelFormat::Grey } else { PixelFormat::Rgb888 };
        let source = Some(Source { width: 50, height: 41, format });
        let rows = PlanOptions { ram: Ram::Min, storage: true, source, ..PlanOptions::default() };
        let mut plans = plans().to_vec();
        plans.push(("storage, pictures row by row", rows));
        lines_of_all.extend(lines(name, &graph, &plans));
    }
    hold("networks", &lines_of_all);
}

#[test]
fn artifacts_of_every_operator() {
    hold_folder("operators", &of_graph("operators"), 40);
}

#[test]
fn artifacts_of_quantized_operators() {
    hold_folder("quantized", &of_graph("quantized"), 15);
}

#[test]
fn artifacts_of_quantized_networks() {
    hold_folder("bit_exact", &Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/bit_exact"), 4);
}
