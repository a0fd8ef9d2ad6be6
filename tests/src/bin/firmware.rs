//! `cargo run -p staticnet-tests --bin firmware -- classify`: builds a firmware example, runs it on a simulated board and
//! prints what it says over defmt.

use clap::Parser;
use staticnet_tests::on_target::firmware::Firmware;
use staticnet_tests::on_target::qemu::Qemu;
use staticnet_tests::on_target::{Board, OnTargetError};
use std::process::ExitCode;
use std::time::Duration;

/// Builds a firmware example, runs it on a simulated board and prints what it says.
#[derive(Parser)]
#[command(after_help = "Example: firmware classify --board mps2-an500")]
struct Arguments {
    /// Binary of firmware-examples.
    name: String,
    /// Board: mps2-an385, mps2-an386, mps2-an500 or mps3-an547.
    #[arg(long, default_value = "mps2-an500", value_parser = board)]
    board: &'static Board,
    /// Seconds after which the run is given up.
    #[arg(long, default_value_t = 600)]
    timeout: u64,
}

fn board(name: &str) -> Result<&'static Board, String> {
    Board::named(name).ok_or_else(|| "no such board".to_string())
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), OnTargetError> {
    let qemu = Qemu::find()?;
    let firmware = Firmware::build(&arguments.name, arguments.board)?;
    let folder = tempfile::tempdir().map_err(|e| OnTargetError::file("the folder for temporary files", e))?;
    for line in qemu.run(&firmware, folder.path(), false, None, Duration::from_secs(arguments.timeout))? {
        println!("{line}");
    }
    Ok(())
}
