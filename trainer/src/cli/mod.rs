//! The command line.

mod archs;
mod check_gpu;
mod config;
mod data;
mod demo;
mod error;
mod eval;
mod export;
mod features;
mod interrupt;
mod lr_find;
mod on;
mod predict;
mod prepare;
mod progress;
mod summary;
mod train;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use error::CliError;
use staticnet_graph::console::note;
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
    Train(Box<train::Train>),
    Config(Box<config::Describe>),
    LrFind(Box<lr_find::LrFind>),
    Eval(eval::Eval),
    Predict(predict::Predict),
    Features(features::Features),
    Export(export::Export),
    Archs(archs::Archs),
    Summary(summary::Summary),
    Data(data::Data),
    CheckGpu(check_gpu::CheckGpu),
    Demo(demo::Demo),
}

/// Runs the command line of this process. Exit code 0: done; 1: it failed on the way; 2: wrong usage or input.
pub fn main() -> ExitCode {
    let matches = Cli::command().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let done = |result: Result<(), CliError>| result.map(|()| ExitCode::SUCCESS);
    // What was typed wins over files; what is a default does not.
    let typed = matches.subcommand().map_or(&matches, |(_, typed)| typed);
    let result = match cli.command {
        Command::Train(command) => command.run(typed),
        Command::Config(command) => done(command.run(typed)),
        Command::LrFind(command) => done(command.run(typed)),
        Command::Eval(command) => done(command.run()),
        Command::Predict(command) => done(command.run()),
        Command::Features(command) => done(command.run()),
        Command::Export(command) => done(command.run()),
        Command::Archs(command) => done(command.run()),
        Command::Summary(command) => done(command.run()),
        Command::Data(command) => done(command.run()),
        Command::CheckGpu(command) => done(command.run()),
        Command::Demo(command) => done(command.run()),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            note(format!("error: {error}"));
            error.exit_code()
        }
    }
}
