//! `cargo run -p staticnet-tests --bin stack -- runner --board mps2-an386`: builds a firmware example and prints the largest
//! stack that it can take, computed from the linked file, with the calls that take it.

use clap::Parser;
use staticnet_tests::on_target::firmware::Firmware;
use staticnet_tests::on_target::{Board, OnTargetError};
use staticnet_tests::stack::StackReport;
use std::process::ExitCode;

/// Builds a firmware example and prints the largest stack that it can take, from its linked file.
#[derive(Parser)]
#[command(
    after_help = "Example: stack runner --board mps2-an386\nExit status: 1 where there is no bound, 2 where it cannot be built."
)]
struct Arguments {
    /// Binary of firmware-examples.
    name: String,
    /// Board: mps2-an385, mps2-an386, mps2-an500 or mps3-an547.
    #[arg(long, default_value = "mps2-an500", value_parser = board)]
    board: &'static Board,
    /// Prints JSON, the last line.
    #[arg(long)]
    json: bool,
}

fn board(name: &str) -> Result<&'static Board, String> {
    Board::named(name).ok_or_else(|| "no such board".to_string())
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(report) if report.stack_bytes.is_some() => ExitCode::SUCCESS,
        Ok(_) => {
            eprintln!("error: {} has no bound for its stack: see recursion and unknown functions above", arguments.name);
            ExitCode::from(1)
        }
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<StackReport, OnTargetError> {
    let report = StackReport::new(&Firmware::build(&arguments.name, arguments.board)?)?;
    if arguments.json {
        let json = serde_json::to_string(&report).map_err(|e| OnTargetError::Malformed(e.to_string()))?;
        println!("{json}");
    } else {
        println!("{report}");
    }
    Ok(report)
}
