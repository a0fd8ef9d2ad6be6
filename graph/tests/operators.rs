//! Every operator, in every operator set in which its form changed, against what onnxruntime computed
//! (`fixtures/make_operators.py`).

use staticnet_graph::graph::{Graph, Tensor};
use staticnet_graph::{npy, onnx, reference};
use std::path::{Path, PathBuf};

/// Of the largest magnitude.
const TOLERANCE: f32 = 1e-5;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/operators")
}

/// The tensors of a record: rank, dimensions and elements of each, behind each other.
fn tensors(record: &Tensor) -> Vec<Tensor> {
    let mut rest = &record.data[..];
    let mut tensors = vec![];
    while let [rank, tail @ ..] = rest {
        let (shape, tail) = tail.split_at(*rank as usize);
        let shape: Vec<usize> = shape.iter().map(|&d| d as usize).collect();
        let (data, tail) = tail.split_at(shape.iter().product());
        tensors.push(Tensor { shape, data: data.to_vec() });
        rest = tail;
    }
    tensors
}

/// Everything in which the graph differs from what is expected.
fn differences(graph: &Graph, input: &Tensor, expected: &[Tensor]) -> Vec<String> {
    let values = reference::run(graph, std::slice::from_ref(input)).unwrap();
    assert_eq!(graph.outputs.len(), expected.len());
    let mut differences = vec![];
    for (&id, expected) in graph.outputs.iter().zip(expected) {
        let (found, name) = (&values[id.0], &graph.value(id).name);
        if found.shape != expected.shape {
            differences.push(format!("{name} has shape {:?}, not {:?}", found.shape, expected.shape));
            continue;
        }
        let largest = expected.data.iter().fold(0f32, |m, v| m.max(v.abs()));
        let error = found.data.iter().zip(&expected.data).fold(0f32, |m, (f, e)| m.max((f - e).abs()));
        if error.is_nan() || error > TOLERANCE * largest {
            differences.push(format!("{name} differs by {error} of {largest}"));
        }
    }
    differences
}

#[test]
fn onnxruntime_computes_the_same() {
    let mut models: Vec<PathBuf> = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    models.retain(|path| path.extension().is_some_and(|extension| extension == "onnx"));
    models.sort();
    assert!(models.len() >= 40, "{models:?}");
    let mut problems = vec![];
    for model in models {
        let name = model.file_stem().unwrap().to_string_lossy().into_owned();
        let record = tensors(&npy::read(&model.with_extension("npy")).unwrap());
        let (input, expected) = record.split_first().unwrap();
        let graph = match onnx::import(&model) {
            Ok(graph) => graph,
            Err(error) => {
                problems.push(format!("{error}"));
                continue;
            }
        };
        problems.extend(differences(&graph, input, expected).into_iter().map(|problem| format!("{name}: {problem}")));
        // Written and read again it computes the same.
        match onnx::to_bytes(&graph).map(|bytes| onnx::import_bytes(&bytes)) {
            Ok(Ok(again)) => {
                let found = differences(&again, input, expected);
                problems.extend(found.into_iter().map(|problem| format!("{name} again: {problem}")));
            }
            Ok(Err(error)) => problems.push(format!("{name} again: {error}")),
            Err(error) => problems.push(format!("{name}: {error}")),
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
