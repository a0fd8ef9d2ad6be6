//! What `train`, `lr-find` and `--dry-run` do first: decide the options, open the data set, say what is there.

use super::CliError;
use super::progress::Progress;
use crate::checkpoint::Checkpoint;
use crate::config::{Config, ConfigError};
use crate::models::{self, Architecture};
use crate::ranks::Ranks;
use crate::run::Run;
use crate::source::{BatchSource, Batching, Normalise, Pictures, base_preprocess};
use crate::train::TrainError;
use clap::ArgMatches;
use staticnet::preprocess::Preprocess;
use staticnet_data::{DataSet, Split};
use staticnet_graph::console::note;
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

/// The data set, every picture of it known to be readable. A training that goes on keeps the normalisation it began with. Of several
/// ranks the first looks at the pictures, and the others go by what it found out.
pub(super) fn open(
    config: Config,
    architecture: &Architecture,
    run: Option<(&Run, bool)>,
    ranks: &Ranks,
) -> Result<(Config, Pictures), CliError> {
    let channels = DataSet::open(&config.data, Split::Train)?.channels()?;
    // Of several ranks each takes its share of whatever cores its machine has, today and when the training is resumed.
    let every_core = config.threads == 0 && !ranks.is_alone();
    let mut config = config.decide(architecture, channels)?;
    if every_core {
        config.threads = 0;
    }
    let begun = match run {
        Some((run, true)) if ranks.is_first() => Checkpoint::preprocess(&run.last())?,
        Some(_) | None => None,
    };
    let mut normalise = begun.map_or(Normalise::Measured(base_preprocess(architecture, channels)), Normalise::Given);
    let batching = Batching {
        batch_size: config.batch_size,
        augment: config.augment.unwrap_or_default(),
        seed: config.seed,
        // Small pictures cost next to nothing beside the training; large ones need every core at times.
        threads: if architecture.size <= 64 { 1 } else { ranks.cores() },
    };
    // The other ranks find the first one's file, or none.
    let known = run.map(|(run, _)| run.pictures()).filter(|path| ranks.is_first() || path.exists());
    if !ranks.is_first() {
        // Until the first rank knows its pictures.
        let found = ranks.broadcast(Vec::new())?;
        normalise = Normalise::Given(read_normalisation(&found, base_preprocess(architecture, channels)));
    }
    let mut progress = Progress::new(0);
    let opened = Pictures::open(&config.data, normalise, batching, &config.pictures, known.as_deref(), &mut |done, of| {
        if ranks.is_first() {
            progress.checking(done, of);
        }
    });
    progress.finish();
    let source = opened?;
    if !ranks.is_first() {
        return Ok((config, source));
    }
    ranks.broadcast(normalisation(&source.preprocess()))?;
    for bad in source.bad() {
        note(format!("left out: {bad}"));
    }
    if !ranks.is_alone() {
        note(format!("{} ranks, {} of them on {}", ranks.size(), ranks.local_size(), ranks.host()));
    }
    note(format!(
        "{} on {}: {} training and {} test pictures, {} classes, batch {}, {} epochs, augmentation {}",
        config.arch,
        config.data.display(),
        source.train_len(),
        source.test_len(),
        source.labels().len(),
        config.batch_size,
        config.epochs,
        batching.augment,
    ));
    Ok((config, source))
}

/// Mean and deviation as bytes.
fn normalisation(preprocess: &Preprocess) -> Vec<u8> {
    preprocess.mean.iter().chain(&preprocess.std).flat_map(|number| number.to_le_bytes()).collect()
}

/// `base` with the [`normalisation`] of another rank.
fn read_normalisation(bytes: &[u8], base: Preprocess) -> Preprocess {
    let mut numbers = bytes.as_chunks::<4>().0.iter().map(|number| f32::from_le_bytes(*number));
    let mut three = || std::array::from_fn(|_| numbers.next().unwrap_or(f32::NAN));
    Preprocess { mean: three(), std: three(), ..base }
}
