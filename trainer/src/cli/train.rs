//! `trainer train`.

use super::interrupt::Interrupt;
use super::progress::Progress;
use super::{CliError, prepare};
use crate::config::Config;
use crate::run::Run;
use crate::train::{TrainError, Training};
use clap::{ArgMatches, Args};
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
        let (config, architecture) = prepare::decided(&self.options, typed, &files)?;
        let run = Run::at(&self.out.unwrap_or_else(|| PathBuf::from("runs").join(architecture.name)));
        if !self.resume && run.has_checkpoint() {
            return Err(TrainError::Occupied(run.folder().to_path_buf()).into());
        }
        let (config, source) = prepare::open(config, architecture, Some((&run, self.resume)))?;
        let mut progress = Progress::new(config.epochs);
        let mut interrupt = Interrupt::listen()?;
        let training = Training::new(&config, &source, &run).resume(self.resume);
        let result = training.callback(&mut progress).callback(&mut interrupt).run();
        progress.finish();
        println!("{}", serde_json::to_string(&result?).map_err(CliError::failed)?);
        Ok(())
    }
}
