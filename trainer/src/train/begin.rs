//! The network that a training begins or goes on with.

use super::TrainError;
use crate::config::{Config, Start};
use crate::init::initialise_by;
use crate::models;
use crate::optim::Groups;
use crate::run::Run;
use crate::schedule::ScheduleOptions;
use crate::source::BatchSource;
use staticnet_graph::graph::Graph;
use staticnet_graph::{onnx, safetensors};
use std::path::Path;

/// The network for the source's pictures and classes, with zero parameters.
pub(super) fn blank_network(config: &Config, source: &impl BatchSource) -> Result<Graph, TrainError> {
    let architecture = models::by_name(&config.arch).ok_or_else(|| TrainError::UnknownArchitecture(config.arch.clone()))?;
    let mut graph = (architecture.build)(source.preprocess().channels as usize, source.labels().len())?;
    graph.preprocess = Some(source.preprocess());
    graph.labels = source.labels().to_vec();
    Ok(graph)
}

/// Fills in the first parameters.
pub(super) fn begin(mut graph: Graph, config: &Config) -> Result<Graph, TrainError> {
    match &config.init {
        Start::Drawn(init) => {
            // A schedule has no part in how parameters begin.
            let groups = Groups::new(&graph, &config.optim, &ScheduleOptions::default())?;
            initialise_by(&mut graph, *init, config.seed, |parameter| groups.init(parameter));
        }
        Start::From(path) => {
            let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
            match extension {
                "safetensors" => safetensors::load(&mut graph, path)?,
                "onnx" => adopt(&mut graph, onnx::import(path)?, path)?,
                _ => adopt(&mut graph, Run::at(path).network()?, path)?,
            }
        }
    }
    Ok(graph)
}

/// Takes over the parameters of `other`.
fn adopt(graph: &mut Graph, other: Graph, from: &Path) -> Result<(), TrainError> {
    let shapes = |g: &Graph| g.params.iter().map(|(n, t)| (n.clone(), t.shape.clone())).collect::<Vec<_>>();
    if shapes(graph) != shapes(&other) {
        return Err(other_network(graph, &other, from));
    }
    graph.params = other.params;
    Ok(())
}

/// Whether a checkpoint in `folder` is one of this network.
pub(super) fn same_network(expected: &Graph, found: &Graph, folder: &Path) -> Result<(), TrainError> {
    let same = expected.nodes == found.nodes && expected.values == found.values && expected.labels == found.labels;
    if same { Ok(()) } else { Err(other_network(expected, found, folder)) }
}

fn other_network(expected: &Graph, found: &Graph, folder: &Path) -> TrainError {
    let describe = |g: &Graph| {
        let input = g.inputs.first().map_or(&[][..], |i| g.shape(*i));
        let outputs = g.outputs.first().map_or(0, |o| g.value(*o).elements());
        format!("{} ({outputs} classes, input {input:?})", g.name)
    };
    TrainError::OtherNetwork { folder: folder.to_path_buf(), found: describe(found), expected: describe(expected) }
}
