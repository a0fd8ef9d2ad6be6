//! `trainer eval`.

use super::CliError;
use super::progress::Progress;
use crate::augment::Augment;
use crate::backend::cpu::CpuBackend;
use crate::network::Network;
use crate::run::Run;
use crate::source::{Batching, in_order};
use crate::train::evaluate;
use clap::Args;
use staticnet::preprocess::Preprocess;
use staticnet_exporter::data::{DataSet, Split};
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
    /// Print only JSON: {"n", "top1", "top5", "loss"}, the last line in any case.
    #[arg(long)]
    json: bool,
    /// Worker threads; 0 for all cores.
    #[arg(long, default_value_t = 0, value_name = "N")]
    threads: usize,
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
        let (graph, preprocess) = trained(&self.run)?;
        let data = Arc::new(DataSet::open(&self.data, Split::Test)?);
        if data.labels != graph.labels {
            let (ours, theirs) = (data.labels.join(", "), graph.labels.join(", "));
            let text = format!("{}: has the classes {ours}; the network was trained on {theirs}", self.data.display());
            return Err(CliError::Input(text));
        }
        let network =
            Network::new(Arc::new(CpuBackend::new(self.threads).map_err(CliError::failed)?), graph).map_err(CliError::input)?;
        let batching = Batching { batch_size: 64, augment: Augment::None, seed: 0, threads: 1 };
        let (of, mut progress) = (data.len(), Progress::new(1));
        let batches = Box::new(in_order(data, preprocess, batching));
        let result = evaluate(&network, batches, &mut |done| progress.tested(done, of));
        progress.finish();
        let evaluation = result?;
        if !self.json {
            let (top1, top5) = (evaluation.top1 * 100.0, evaluation.top5 * 100.0);
            println!("{} pictures: top-1 {top1:.2} %, top-5 {top5:.2} %, loss {:.4}", evaluation.n, evaluation.loss);
        }
        println!("{}", serde_json::to_string(&evaluation).map_err(CliError::failed)?);
        Ok(())
    }
}
