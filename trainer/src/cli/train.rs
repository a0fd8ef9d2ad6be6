//! `trainer train`.

use super::interrupt::Interrupt;
use super::progress::Progress;
use super::summary::layers;
use super::{CliError, prepare};
use crate::backend::Device;
use crate::config::{Config, ConfigError};
use crate::models::Architecture;
use crate::ranks::{Launched, Part, Ranks, launch};
use crate::run::Run;
use crate::train::{TrainError, Training, dry_run};
use clap::{ArgMatches, Args};
use staticnet_graph::console::{line, note};
use std::path::PathBuf;
use std::process::ExitCode;

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
    /// Show shapes, memory and two steps on the first batch; nothing is written. The last line on stdout is then another JSON:
    /// {"batch_size", "steps_per_epoch", "parameters", "parameter_bytes", "optimiser_bytes", "activation_bytes", "resident_bytes", "loss",
    /// "step_seconds"}.
    #[arg(long, conflicts_with = "resume")]
    dry_run: bool,
}

impl Train {
    pub(super) fn run(self, typed: &ArgMatches) -> Result<ExitCode, CliError> {
        let saved = self.out.as_ref().filter(|_| self.resume).map(|out| Run::at(out).config());
        if let (Some(saved), Some(Launched { ranks: 2.., .. })) =
            (saved.as_ref().filter(|saved| !saved.exists()), Launched::here())
        {
            let hint = "all ranks read it, so RUN has to be on a file system that all machines share";
            return Err(CliError::Input(format!("{}: not found; {hint}", saved.display())));
        }
        let files: Vec<_> = self.config.iter().chain(&saved).map(PathBuf::as_path).collect();
        if self.resume && self.out.is_none() && files.is_empty() && self.options.arch.is_empty() {
            return Err(ConfigError::Missing { what: "--resume needs --out RUN, the folder to go on with" }.into());
        }
        let (config, architecture) = prepare::decided(&self.options, typed, &files)?;
        let devices = match &config.device {
            Device::Cuda(numbers) => numbers.len(),
            Device::Cpu => 1,
        };
        if self.dry_run {
            return dry(config, architecture, devices).map(|()| ExitCode::SUCCESS);
        }
        if devices > 1 && Launched::here().is_none() {
            return launch(devices).map_err(CliError::input);
        }
        let ranks = Ranks::join().map_err(CliError::input)?;
        let result = self.train(config, architecture, &ranks);
        if let (Err(error), false) = (&result, ranks.is_alone()) {
            // The others would wait for this one for ever.
            note(format!("{ranks}: error: {error}"));
            ranks.abort(error.code());
        }
        result.map(|()| ExitCode::SUCCESS)
    }

    /// The training, as one of `ranks`.
    fn train(self, config: Config, architecture: &Architecture, ranks: &Ranks) -> Result<(), CliError> {
        let run = Run::at(&self.out.unwrap_or_else(|| PathBuf::from("runs").join(architecture.name)));
        if !self.resume && run.has_checkpoint() {
            return Err(TrainError::Occupied(run.folder().to_path_buf()).into());
        }
        let (config, source) = prepare::open(config, architecture, Some((&run, self.resume)), ranks)?;
        let mut progress = Progress::new(config.epochs);
        let mut interrupt = Interrupt::listen(ranks)?;
        let mut training = Training::new(&config, &source, &run).resume(self.resume).ranks(ranks.clone());
        if ranks.is_first() {
            training = training.callback(&mut progress);
        }
        let result = training.callback(&mut interrupt).run();
        progress.finish();
        let summary = serde_json::to_string(&result?).map_err(CliError::failed)?;
        if ranks.is_first()
            && let Err(error) = line(summary)
        {
            // The product is the RUN folder, and that is whole.
            note(error);
        }
        Ok(())
    }
}

/// `--dry-run`: what one rank would do, of as many as there are `devices`.
fn dry(mut config: Config, architecture: &Architecture, devices: usize) -> Result<(), CliError> {
    if let Device::Cuda(numbers) = &mut config.device {
        numbers.truncate(1);
    }
    let ranks = Launched::here().map_or(devices, |launched| launched.ranks).max(1);
    // The largest part there is.
    config.batch_size = Part { rank: ranks - 1, ranks }.of(config.batch_size).len();
    let (config, source) = prepare::open(config, architecture, None, &Ranks::alone())?;
    let (graph, report) = dry_run(&config, &source)?;
    let mib = |bytes: usize| bytes as f64 / f64::from(1 << 20);
    line(layers(&graph))?;
    line(format!(
        "batch of {}, {} steps an epoch, {:.0} ms a step, loss {:.4}",
        report.batch_size,
        report.steps_per_epoch,
        1e3 * report.step_seconds,
        report.loss
    ))?;
    let [parameters, optimiser, activations] =
        [report.parameter_bytes, report.optimiser_bytes, report.activation_bytes].map(mib);
    line(format!(
        "memory, MiB: parameters and gradients 2 x {parameters:.1}, optimiser {optimiser:.1}, activations and gradients 2 x {activations:.1}"
    ))?;
    if let Some(resident) = report.resident_bytes {
        line(format!("largest resident so far, pictures and buffers included: {:.1} MiB", mib(resident as usize)))?;
    }
    Ok(line(serde_json::to_string(&report).map_err(CliError::failed)?)?)
}
