//! `trainer train`.

use super::CliError;
use super::progress::Progress;
use crate::config::{Choices, ConfigError};
use crate::dataset::DataOptions;
use crate::models;
use crate::run::Run;
use crate::source::{BatchSource, Batching, Normalise, Pictures, base_preprocess};
use crate::train::{TrainError, train};
use clap::Args;
use staticnet_exporter::data::{DataSet, Split};
use std::path::PathBuf;

/// Trains a network and writes a RUN folder with checkpoints, metrics, model.onnx and model.safetensors.
///
/// The last line on stdout is JSON: {"epochs", "top1", "top5", "seconds", "out"}.
#[derive(Args)]
#[command(after_help = "Example:\n  trainer train pictures --arch alexnet-cifar --epochs 3 --out runs/first\n  \
                        trainer train --out runs/first --resume")]
pub(super) struct Train {
    #[command(flatten)]
    choices: Choices,
    /// TOML file with the same names as these options (`batch_size = 64`); the command line wins.
    #[arg(long, value_name = "FILE.toml")]
    config: Option<PathBuf>,
    /// RUN folder to write [default: runs/ARCH].
    #[arg(long, short, value_name = "RUN")]
    out: Option<PathBuf>,
    /// Go on after the last whole epoch of the RUN folder; its config.toml supplies what is not given here.
    #[arg(long)]
    resume: bool,
}

impl Train {
    pub(super) fn run(self) -> Result<(), CliError> {
        let mut choices = self.choices;
        if let Some(file) = &self.config {
            choices = choices.over(Choices::read(file)?);
        }
        if let (Some(out), true) = (&self.out, self.resume) {
            choices = choices.over(Choices::read(&Run::at(out).config())?);
        }
        let name = choices.arch.clone().ok_or(ConfigError::Missing { what: "--arch is needed; `trainer archs` lists them" })?;
        let architecture = models::by_name(&name).ok_or(TrainError::UnknownArchitecture(name))?;
        let path = choices.data.clone().ok_or(ConfigError::Missing { what: "DATA, the data set's folder, is needed" })?;
        let run = Run::at(&self.out.unwrap_or_else(|| PathBuf::from("runs").join(architecture.name)));
        if !self.resume && run.has_checkpoint() {
            return Err(TrainError::Occupied(run.folder().to_path_buf()).into());
        }
        let channels = DataSet::open(&path, Split::Train)?.channels()?;
        let config = choices.resolve(architecture, channels)?;
        let batching = Batching {
            batch_size: config.batch_size,
            augment: config.augment,
            seed: config.seed,
            // Small pictures cost next to nothing beside the training; large ones need every core at times.
            threads: if architecture.size <= 64 { 1 } else { std::thread::available_parallelism().map_or(1, |n| n.get()) },
        };
        let source = Pictures::open(
            &path,
            Normalise::Measured(base_preprocess(architecture, channels)),
            batching,
            &DataOptions::default(),
            None,
            &mut |_, _| (),
        )?;
        eprintln!(
            "{} on {}: {} training and {} test pictures, {} classes, batch {}, {} epochs, augmentation {}",
            config.arch,
            path.display(),
            source.train_len(),
            source.test_len(),
            source.labels().len(),
            config.batch_size,
            config.epochs,
            config.augment,
        );
        let mut progress = Progress::new(config.epochs);
        let result = train(&config, &source, &run, self.resume, &mut |event| progress.observe(event));
        progress.finish();
        let summary = result?;
        println!("{}", serde_json::to_string(&summary).map_err(CliError::failed)?);
        Ok(())
    }
}
