//! How a training begins or goes on.

use super::Session;
use crate::backend::Backend;
use crate::checkpoint::{Checkpoint, CheckpointError, Position};
use crate::config::Config;
use crate::log::Log;
use crate::loss::Loss;
use crate::monitor::MonitorFile;
use crate::network::Network;
use crate::optim::{Optimiser, RestoreError};
use crate::ranks::Ranks;
use crate::run::Run;
use crate::source::BatchSource;
use crate::train::begin::{begin, blank_network, same_network};
use crate::train::together::{Together, digest};
use crate::train::{TrainError, memory};
use std::fs;
use std::sync::Arc;

impl<'a, S: BatchSource, B: Backend> Session<'a, S, B> {
    /// A new training, or the one whose last checkpoint is in `run`. `loss` is the one to use instead of the configured one.
    pub(in crate::train) fn open(
        config: &'a Config,
        source: &'a S,
        run: &'a Run,
        (resume, loss): (bool, Option<Box<dyn Loss>>),
        backend: Arc<B>,
        ranks: Ranks,
    ) -> Result<Self, TrainError> {
        let blank = blank_network(config, source)?;
        let batches = source.train_batches() as u64;
        if batches == 0 {
            return Err(TrainError::NoBatches);
        }
        if config.batch_size < ranks.size() {
            return Err(TrainError::FewSamples { samples: config.batch_size, ranks: ranks.size() });
        }
        memory::check(backend.as_ref(), &blank, config, config.batch_size.div_ceil(ranks.size()))?;
        let (graph, optimiser, position, history) = if resume {
            let last = run.last();
            let loaded = Checkpoint::load(&last);
            if let (Err(CheckpointError::Missing { folder }), false) = (&loaded, ranks.is_first()) {
                return Err(TrainError::NotShared { folder: folder.clone(), rank: ranks.to_string() });
            }
            let checkpoint = loaded?;
            same_network(&blank, &checkpoint.graph, &last)?;
            let Position { batch, batches: found, .. } = checkpoint.position;
            if batch > 0 && found != batches {
                return Err(TrainError::OtherBatches { folder: last, found, expected: batches });
            }
            let other = |error| match error {
                RestoreError::State(error) => TrainError::OtherOptimiser { folder: run.last(), error },
                RestoreError::Device(error) => error.into(),
            };
            let mut optimiser = Optimiser::new(&backend, &checkpoint.graph, &config.optim, &config.schedule())?;
            optimiser.restore(checkpoint.optimiser).map_err(other)?;
            optimiser.restore_average(checkpoint.average.unwrap_or_default()).map_err(other)?;
            (checkpoint.graph, optimiser, Position { batches, ..checkpoint.position }, checkpoint.history)
        } else {
            let graph = begin(blank, config)?;
            let optimiser = Optimiser::new(&backend, &graph, &config.optim, &config.schedule())?;
            (graph, optimiser, Position { batches, ..Position::default() }, Vec::new())
        };
        let together = Together::new(ranks, &backend, &graph, config.bucket_kib.saturating_mul(1024));
        let what = match resume {
            true => "the last checkpoint, the options or the data",
            false => "the options, the data or the first parameters",
        };
        together.same_start(what, || {
            let state = optimiser.state()?;
            let parameters = graph.params.iter().map(|(name, tensor)| (name.as_str(), tensor.data.as_slice()));
            let state = state.iter().map(|(name, numbers)| (name.as_str(), numbers.as_slice()));
            let mut digest = digest(config, source, parameters.chain(state))?;
            let Position { epoch, batch, step, .. } = position;
            [epoch.into(), batch, step].into_iter().for_each(|number| digest.long(number));
            Ok(digest)
        })?;
        let (mut log, mut monitor) = (None, None);
        if together.is_first() {
            let plots = run.plots();
            fs::create_dir_all(&plots).map_err(|source| CheckpointError::Io { path: plots, source })?;
            let resumed = resume.then_some(position.step);
            log = Some(Log::open(run.folder(), &config.log, resumed)?);
            monitor = (config.monitor.monitor > 0).then(|| MonitorFile::open(&run.monitor(), resumed)).transpose()?;
        }
        let network = Network::new(backend, graph)?;
        let loss = match loss {
            Some(loss) => loss,
            None => config.loss.build(network.classes(), &source.counts())?,
        };
        let better = config.metrics.better()?;
        Ok(Session { config, source, run, loss, better, network, optimiser, together, log, monitor, position, history })
    }
}
