//! `cargo run -p staticnet-tests --bin stack -- FIRMWARE.elf`: prints the largest stack that a linked firmware can take, computed from
//! its instructions, with the calls that take it. `stack runner --board mps2-an386` builds a firmware example first.

use clap::Parser;
use staticnet_tests::on_target::firmware::Firmware;
use staticnet_tests::on_target::{Board, OnTargetError};
use staticnet_tests::stack::StackReport;
use std::path::PathBuf;
use std::process::ExitCode;

/// Prints the largest stack that a firmware of a Cortex-M can take, from its linked file.
#[derive(Parser)]
#[command(
    after_help = "Examples: stack target/thumbv7em-none-eabihf/release/firmware\n          stack runner --board mps2-an386\n\
                  Exit status: 1 if there is no bound, 2 if the file cannot be read or built."
)]
struct Arguments {
    /// ELF file of a firmware, not stripped; or the name of a binary of firmware-examples, which is built.
    firmware: PathBuf,
    /// Board for which a firmware example is built: mps2-an385, mps2-an386, mps2-an500 or mps3-an547.
    #[arg(long, default_value = "mps2-an500", value_parser = board)]
    board: &'static Board,
    /// Prints JSON, the last line.
    #[arg(long)]
    json: bool,
}

/// The binaries of firmware-examples; a file of such a name in the current folder is `./runner`.
const FIRMWARE: [&str; 3] = ["runner", "classify", "stream"];

fn board(name: &str) -> Result<&'static Board, String> {
    Board::named(name).ok_or_else(|| "no such board".to_string())
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(report) if report.stack_bytes.is_some() => ExitCode::SUCCESS,
        Ok(report) => {
            let obstacles = report.obstacles().join("; ");
            eprintln!("error: {}: no bound for the stack: {obstacles}", arguments.firmware.display());
            ExitCode::from(1)
        }
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<StackReport, OnTargetError> {
    let report = match arguments.firmware.to_str().filter(|name| FIRMWARE.contains(name)) {
        Some(name) => StackReport::new(&Firmware::build(name, arguments.board)?)?,
        None => StackReport::of_file(&arguments.firmware)?,
    };
    if arguments.json {
        let json = serde_json::to_string(&report).map_err(|e| OnTargetError::Malformed(e.to_string()))?;
        println!("{json}");
    } else {
        println!("{report}");
    }
    Ok(report)
}
