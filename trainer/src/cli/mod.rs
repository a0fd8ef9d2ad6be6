//! The command line.

mod archs;
mod data;
#[cfg(feature = "demo")]
mod demo;
mod error;
mod eval;
mod export;
mod predict;
mod progress;
mod summary;
mod train;

use clap::{Parser, Subcommand};
use error::CliError;
use std::process::ExitCode;

/// Trains convolutional networks on pictures.
#[derive(Parser)]
#[command(name = "trainer", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Train(train::Train),
    Eval(eval::Eval),
    Predict(predict::Predict),
    Export(export::Export),
    Archs(archs::Archs),
    Summary(summary::Summary),
    Data(data::Data),
    #[cfg(feature = "demo")]
    Demo(demo::Demo),
}

/// Runs the command line of this process. Exit code 0: done; 1: it failed on the way; 2: wrong usage or input.
pub fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Train(command) => command.run(),
        Command::Eval(command) => command.run(),
        Command::Predict(command) => command.run(),
        Command::Export(command) => command.run(),
        Command::Archs(command) => command.run(),
        Command::Summary(command) => command.run(),
        Command::Data(command) => command.run(),
        #[cfg(feature = "demo")]
        Command::Demo(command) => command.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            error.exit_code()
        }
    }
}
