//! `trainer lr-find`.

use super::progress::Progress;
use super::{CliError, prepare};
use crate::config::{Config, ConfigError};
use crate::lr_find::suggest;
use crate::plot;
use crate::ranks::{Launched, Ranks};
use crate::train::{Range, range_test};
use clap::{ArgMatches, Args};
use serde_json::json;
use staticnet_graph::console::line;
use staticnet_graph::file::write_atomically;
use std::path::PathBuf;

/// Finds a learning rate: takes steps at growing rates, suggests one and draws the losses.
///
/// The suggestion is where the smoothed loss falls fastest; for one-cycle, whose rate is the largest one, up to three times as much is
/// worth a try. The last line on stdout is JSON: {"suggestion", "plot", "points": [{"lr", "loss", "smoothed"}]}.
#[derive(Args)]
#[command(after_help = "Example:\n  trainer lr-find pictures --arch alexnet-cifar --plot rates.svg")]
pub(super) struct LrFind {
    #[command(flatten)]
    options: Config,
    /// TOML file with the options of the training; the command line wins.
    #[arg(long, value_name = "FILE.toml", help_heading = "The test")]
    config: Option<PathBuf>,
    /// First rate.
    #[arg(long, value_name = "RATE", default_value_t = 1e-6, help_heading = "The test")]
    first: f64,
    /// Last rate, if the loss does not explode before.
    #[arg(long, value_name = "RATE", default_value_t = 1.0, help_heading = "The test")]
    last: f64,
    /// Steps from the first rate to the last.
    #[arg(long, value_name = "N", default_value_t = 120, help_heading = "The test")]
    steps: u64,
    /// Picture to draw.
    #[arg(long, value_name = "FILE.svg", default_value = "lr-find.svg", help_heading = "The test")]
    plot: PathBuf,
}

impl LrFind {
    pub(super) fn run(self, typed: &ArgMatches) -> Result<(), CliError> {
        let (first, last, steps) = (self.first, self.last, self.steps);
        if !(first > 0.0 && last > first && last.is_finite() && steps >= 2) {
            let reason = "rates above 0, the last one larger than the first, and at least 2 steps are needed".into();
            return Err(ConfigError::Value { name: "first, last, steps".into(), reason }.into());
        }
        let files: Vec<_> = self.config.iter().map(PathBuf::as_path).collect();
        let (config, architecture) = prepare::decided(&self.options, typed, &files)?;
        if let Some(Launched { ranks: 2.., by }) = Launched::here() {
            return Err(CliError::Input(format!("lr-find is one process, not several ({by})")));
        }
        let (config, source) = prepare::open(config, architecture, None, &Ranks::alone())?;
        let mut progress = Progress::new(0);
        let points = range_test(&config, &source, Range { first, last, steps }, &mut |step, point| {
            progress.rate(step, steps, point);
        });
        progress.finish();
        let points = points?;
        let suggestion = suggest(&points);
        write_atomically(&self.plot, plot::lr_find(&points, suggestion).as_bytes()).map_err(CliError::failed)?;
        match suggestion {
            Some(lr) => line(format!("--lr {lr:.2e}; see {}", self.plot.display()))?,
            None => line(format!("the loss did not fall at any rate; see {}", self.plot.display()))?,
        }
        Ok(line(json!({ "suggestion": suggestion, "plot": self.plot, "points": points }))?)
    }
}
