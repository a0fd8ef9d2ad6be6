//! `trainer features`.

use super::CliError;
use super::eval::trained;
use super::on::On;
use super::progress::Progress;
use crate::augment::Augment;
use crate::backend::Backend;
use crate::backend::open::{OnBackend, on_device};
use crate::nearest::nearest;
use crate::network::Network;
use crate::source::{Batching, in_order};
use clap::{Args, ValueEnum};
use serde_json::json;
use staticnet_data::{DataSet, Split};
use staticnet_graph::console::line;
use staticnet_graph::graph::{Graph, Tensor};
use staticnet_graph::npy;
use std::path::PathBuf;
use std::sync::Arc;

/// Writes what a layer of the best network of a RUN folder makes of every picture, as [N, ..] in NCHW.
///
/// Samples come in the order of the data set: class folders by name, files by name. The last line on stdout is JSON: {"layer", "shape",
/// "out"}.
#[derive(Args)]
#[command(after_help = "Example:\n  trainer features runs/first pictures --layer classifier.4 -o features.npy")]
pub(super) struct Features {
    /// RUN folder of a training.
    run: PathBuf,
    /// Data set; its classes need not be those of the network.
    data: PathBuf,
    /// Layer, as `trainer summary` names it. Its own output: a convolution's before the ReLU behind it.
    #[arg(long, value_name = "NAME")]
    layer: String,
    /// File to write.
    #[arg(long, short, value_name = "FILE.npy")]
    out: PathBuf,
    /// Which part of a split data set.
    #[arg(long, value_enum, default_value_t = Part::Test)]
    split: Part,
    #[command(flatten)]
    on: On,
}

/// A part of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The training pictures.
    Train,
    /// The test pictures.
    Test,
}

/// `graph` up to `layer`, whose output is the only one.
fn up_to(mut graph: Graph, layer: &str) -> Result<Graph, CliError> {
    let Some(last) = graph.nodes.iter().position(|node| node.name == layer) else {
        let near = nearest(layer, graph.nodes.iter().map(|node| node.name.as_str()));
        return Err(CliError::Input(format!("--layer: there is no layer `{layer}`; there are {}", near.join(", "))));
    };
    graph.nodes.truncate(last + 1);
    graph.outputs = vec![graph.nodes[last].output];
    Ok(graph)
}

impl Features {
    pub(super) fn run(self) -> Result<(), CliError> {
        on_device(&self.on.target(), self)?
    }
}

impl OnBackend for Features {
    type Output = Result<(), CliError>;

    fn run<B: Backend>(self, backend: Arc<B>) -> Self::Output {
        let (graph, preprocess) = trained(&self.run)?;
        let graph = up_to(graph, &self.layer)?;
        let split = match self.split {
            Part::Train => Split::Train,
            Part::Test => Split::Test,
        };
        let data = Arc::new(DataSet::open(&self.data, split)?);
        let mut shape = vec![data.len()];
        shape.extend_from_slice(&graph.shape(graph.outputs[0])[1..]);
        let network = Network::new(backend, graph).map_err(CliError::input)?;
        let (of, mut progress) = (data.len(), Progress::new(1));
        let batching = Batching { batch_size: 64, augment: Augment::None, seed: 0, threads: 1 };
        let mut features = Vec::with_capacity(shape.iter().product());
        let mut done = 0;
        for batch in in_order(data, preprocess, batching) {
            let batch = batch?;
            let count = batch.targets.len();
            features.extend(network.evaluate(batch.images, count).map_err(CliError::failed)?);
            done += count;
            progress.tested(done, of);
        }
        progress.finish();
        let features = Tensor { shape, data: features };
        npy::write(&self.out, &features).map_err(CliError::failed)?;
        Ok(line(json!({ "layer": self.layer, "shape": features.shape, "out": self.out }))?)
    }
}
