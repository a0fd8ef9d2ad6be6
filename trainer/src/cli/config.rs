//! `trainer config`.

use super::CliError;
use crate::config::Config;
use clap::{ArgMatches, Args};
use staticnet_graph::console::print;
use std::path::PathBuf;

/// Writes a description of a training as TOML, every option explained, for `trainer train --config`.
#[derive(Args)]
#[command(after_help = "Example:\n  trainer config --arch alexnet-cifar --epochs 15 > cifar.toml")]
pub(super) struct Describe {
    #[command(flatten)]
    options: Config,
    /// TOML file to begin with; the command line wins.
    #[arg(long, value_name = "FILE.toml")]
    config: Option<PathBuf>,
}

impl Describe {
    pub(super) fn run(self, typed: &ArgMatches) -> Result<(), CliError> {
        let files: Vec<_> = self.config.iter().map(PathBuf::as_path).collect();
        let config = self.options.over(typed, &files)?;
        config.check()?;
        Ok(print(config.to_toml()?)?)
    }
}
