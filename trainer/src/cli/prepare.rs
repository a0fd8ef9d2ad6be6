//! What `train`, `lr-find` and `--dry-run` do first: decide the options, open the data set, say what is there.

use super::CliError;
use super::progress::Progress;
use crate::checkpoint::Checkpoint;
use crate::config::{Config, ConfigError};
use crate::models::{self, Architecture};
use crate::run::Run;
use crate::source::{BatchSource, Batching, Normalise, Pictures, base_preprocess};
use crate::train::TrainError;
use clap::ArgMatches;
use staticnet_exporter::data::{DataSet, Split};
use std::path::Path;

/// `options` over `files`, with an architecture and a data set.
pub(super) fn decided(
    options: &Config,
    typed: &ArgMatches,
    files: &[&Path],
) -> Result<(Config, &'static Architecture), CliError> {
    let config = options.over(typed, files)?;
    if config.arch.is_empty() {
        return Err(ConfigError::Missing { what: "--arch is needed; `trainer archs` lists them" }.into());
    }
    let architecture = models::by_name(&config.arch).ok_or_else(|| TrainError::UnknownArchitecture(config.arch.clone()))?;
    if config.data.as_os_str().is_empty() {
        return Err(ConfigError::Missing { what: "DATA, the data set's folder, is needed" }.into());
    }
    Ok((config, architecture))
}

/// The data set, every picture of it known to be readable. A training that goes on keeps the normalisation it began with.
pub(super) fn open(
    config: Config,
    architecture: &Architecture,
    run: Option<(&Run, bool)>,
) -> Result<(Config, Pictures), CliError> {
    let channels = DataSet::open(&config.data, Split::Train)?.channels()?;
    let config = config.decide(architecture, channels)?;
    let begun = match run {
        Some((run, true)) => Checkpoint::preprocess(&run.last())?,
        Some((_, false)) | None => None,
    };
    let normalise = begun.map_or(Normalise::Measured(base_preprocess(architecture, channels)), Normalise::Given);
    let batching = Batching {
        batch_size: config.batch_size,
        augment: config.augment.unwrap_or_default(),
        seed: config.seed,
        // Small pictures cost next to nothing beside the training; large ones need every core at times.
        threads: if architecture.size <= 64 { 1 } else { std::thread::available_parallelism().map_or(1, |n| n.get()) },
    };
    let known = run.map(|(run, _)| run.pictures());
    let mut progress = Progress::new(0);
    let opened = Pictures::open(&config.data, normalise, batching, &config.pictures, known.as_deref(), &mut |done, of| {
        progress.checking(done, of);
    });
    progress.finish();
    let source = opened?;
    for bad in source.bad() {
        eprintln!("left out: {bad}");
    }
    eprintln!(
        "{} on {}: {} training and {} test pictures, {} classes, batch {}, {} epochs, augmentation {}",
        config.arch,
        config.data.display(),
        source.train_len(),
        source.test_len(),
        source.labels().len(),
        config.batch_size,
        config.epochs,
        batching.augment,
    );
    Ok((config, source))
}
