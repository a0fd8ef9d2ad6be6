//! `trainer train`.

use super::CliError;
use super::interrupt::Interrupt;
use super::progress::Progress;
use crate::config::{Config, ConfigError};
use crate::models;
use crate::run::Run;
use crate::source::{BatchSource, Batching, Pictures, base_preprocess};
use crate::train::{TrainError, Training};
use clap::{ArgMatches, Args};
use staticnet_exporter::data::{DataSet, Split};
use std::path::PathBuf;

/// Trains a network and writes a RUN folder with checkpoints, metrics, model.onnx and model.safetensors.
///
/// The last line on stdout is JSON: {"epochs", "top1", "top5", "seconds", "stopped", "out"}.
#[derive(Args)]
#[command(after_help = "Example:\n  trainer train pictures --arch alexnet-cifar --epochs 3 --out runs/first\n  \
                        trainer train --out runs/first --resume")]
pub(super) struct Train {
    #[command(flatten)]
    options: Config,
    /// TOML file with the same names as these options (`batch_size = 64`); the command line wins. `trainer config` writes one.
    #[arg(long, value_name = "FILE.toml")]
    config: Option<PathBuf>,
    /// RUN folder to write [default: runs/ARCH].
    #[arg(long, short, value_name = "RUN")]
    out: Option<PathBuf>,
    /// Go on after the last checkpoint of the RUN folder; its config.toml supplies what is not given here.
    #[arg(long)]
    resume: bool,
}

impl Train {
    pub(super) fn run(self, typed: &ArgMatches) -> Result<(), CliError> {
        let saved = self.out.as_ref().filter(|_| self.resume).map(|out| Run::at(out).config());
        let files: Vec<_> = self.config.iter().chain(&saved).map(PathBuf::as_path).collect();
        let config = self.options.over(typed, &files)?;
        if config.arch.is_empty() {
            return Err(ConfigError::Missing { what: "--arch is needed; `trainer archs` lists them" }.into());
        }
        let architecture = models::by_name(&config.arch).ok_or_else(|| TrainError::UnknownArchitecture(config.arch.clone()))?;
        if config.data.as_os_str().is_empty() {
            return Err(ConfigError::Missing { what: "DATA, the data set's folder, is needed" }.into());
        }
        let run = Run::at(&self.out.unwrap_or_else(|| PathBuf::from("runs").join(architecture.name)));
        if !self.resume && run.has_checkpoint() {
            return Err(TrainError::Occupied(run.folder().to_path_buf()).into());
        }
        let channels = DataSet::open(&config.data, Split::Train)?.channels()?;
        let config = config.decide(architecture, channels)?;
        let batching = Batching {
            batch_size: config.batch_size,
            augment: config.augment.unwrap_or_default(),
            seed: config.seed,
            // Small pictures cost next to nothing beside the training; large ones need every core at times.
            threads: if architecture.size <= 64 { 1 } else { std::thread::available_parallelism().map_or(1, |n| n.get()) },
        };
        let source = Pictures::open(&config.data, base_preprocess(architecture, channels), batching)?;
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
        let mut progress = Progress::new(config.epochs);
        let mut interrupt = Interrupt::listen()?;
        let training = Training::new(&config, &source, &run).resume(self.resume);
        let result = training.callback(&mut progress).callback(&mut interrupt).run();
        progress.finish();
        println!("{}", serde_json::to_string(&result?).map_err(CliError::failed)?);
        Ok(())
    }
}
