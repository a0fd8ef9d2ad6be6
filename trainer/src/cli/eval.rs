//! `trainer eval`.

use super::CliError;
use super::on::On;
use super::progress::Progress;
use crate::augment::Augment;
use crate::backend::Backend;
use crate::backend::open::{OnBackend, on_device};
use crate::loss::CrossEntropy;
use crate::metrics::{MetricOptions, Tally};
use crate::network::Network;
use crate::plot;
use crate::run::Run;
use crate::source::{Batching, in_order};
use crate::train::evaluate;
use clap::Args;
use staticnet::preprocess::Preprocess;
use staticnet_data::{DataSet, Split};
use staticnet_graph::console::line;
use staticnet_graph::file::write_atomically;
use staticnet_graph::graph::Graph;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Measures the best network of a RUN folder on the test pictures of a data set.
#[derive(Args)]
#[command(after_help = "Example:\n  trainer eval runs/first pictures --json")]
pub(super) struct Eval {
    /// RUN folder of a training.
    run: PathBuf,
    /// Data set; of a split one the test pictures are taken.
    data: PathBuf,
    /// Print only JSON: {"n", "top1", "top5", "loss", "metrics"}, the last line in any case.
    #[arg(long)]
    json: bool,
    /// Metrics besides top-1 and top-5: topK and topK-error for any K, rmse, binary-accuracy, precision, recall, f1.
    #[arg(long, value_name = "NAME,NAME,..", value_delimiter = ',')]
    metrics: Vec<String>,
    /// Where to write how often which class was taken for which: a .svg picture, or a .csv table.
    #[arg(long, value_name = "FILE")]
    confusion: Option<PathBuf>,
    #[command(flatten)]
    on: On,
}

/// The best network of a RUN folder and how pictures become its input.
pub(super) fn trained(run: &Path) -> Result<(Graph, Preprocess), CliError> {
    let graph = Run::at(run).network()?;
    let missing = || CliError::Input(format!("{}: the checkpoint has no preprocessing", run.display()));
    let preprocess = graph.preprocess.ok_or_else(missing)?;
    Ok((graph, preprocess))
}

impl Eval {
    pub(super) fn run(self) -> Result<(), CliError> {
        on_device(&self.on.target(), self)?
    }
}

impl OnBackend for Eval {
    type Output = Result<(), CliError>;

    fn run<B: Backend>(self, backend: Arc<B>) -> Self::Output {
        let (graph, preprocess) = trained(&self.run)?;
        let data = Arc::new(DataSet::open(&self.data, Split::Test)?);
        if data.labels != graph.labels {
            let (ours, theirs) = (data.labels.join(", "), graph.labels.join(", "));
            let text = format!("{}: has the classes {ours}; the network was trained on {theirs}", self.data.display());
            return Err(CliError::Input(text));
        }
        let network = Network::new(backend, graph).map_err(CliError::input)?;
        let batching = Batching { batch_size: 64, augment: Augment::None, seed: 0, threads: 1 };
        let (of, mut progress) = (data.len(), Progress::new(1));
        let asked = MetricOptions { metrics: self.metrics, ..MetricOptions::default() };
        let metrics = asked.build(&data.labels).map_err(CliError::input)?;
        let loss = CrossEntropy::default();
        let tally = Tally::new(&loss, metrics).with_confusion(&data.labels);
        let batches = Box::new(in_order(data, preprocess, batching));
        let result = evaluate(&network, batches, tally, &mut |done| progress.tested(done, of));
        progress.finish();
        let tally = result?;
        let evaluation = tally.evaluation();
        if let (Some(path), Some(confusion)) = (&self.confusion, tally.confusion()) {
            let text = match path.extension().and_then(|e| e.to_str()) {
                Some("csv") => confusion.to_csv(),
                _ => plot::confusion(confusion),
            };
            write_atomically(path, text.as_bytes()).map_err(CliError::failed)?;
        }
        if !self.json {
            let (top1, top5) = (evaluation.top1 * 100.0, evaluation.top5 * 100.0);
            for (name, value) in &evaluation.metrics {
                line(format!("{name}: {value:.4}"))?;
            }
            let (n, loss) = (evaluation.n, evaluation.loss);
            line(format!("{n} pictures: top-1 {top1:.2} %, top-5 {top5:.2} %, loss {loss:.4}"))?;
        }
        Ok(line(serde_json::to_string(&evaluation).map_err(CliError::failed)?)?)
    }
}
