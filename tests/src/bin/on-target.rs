//! `cargo on-target -- MODEL.snet --board B --input X.npy`: runs an artifact on a simulated board.

use clap::Parser;
use staticnet_exporter::host::{Model, decode_outputs, encode_inputs, output_type};
use staticnet_graph::npy;
use staticnet_tests::on_target::report::RunReport;
use staticnet_tests::on_target::{self, BOARDS, Board, OnTargetError, RunOptions};
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Runs an artifact on a simulated board and returns the network's output.
#[derive(Parser)]
#[command(
    name = "cargo on-target --",
    after_help = "Example: cargo on-target -- model.snet --board mps2-an500 --input x.npy --output y.npy --count"
)]
struct Arguments {
    /// Artifact, as `exporter compile` makes it; weights that are a file of their own lie beside it.
    model: PathBuf,
    /// Board: mps2-an385 (Cortex-M3), mps2-an386 (M4F), mps2-an500 (M7) or mps3-an547 (M55).
    #[arg(long, value_parser = board)]
    board: &'static Board,
    /// Inputs: f32, NCHW, any number of samples, as the ONNX model takes them.
    #[arg(long, value_name = "X.npy")]
    input: PathBuf,
    /// Where to write the outputs, f32 likewise.
    #[arg(long, value_name = "Y.npy")]
    output: Option<PathBuf>,
    /// Count the instructions of each layer.
    #[arg(long)]
    count: bool,
    /// Print one line of JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// Seconds after which the run is given up.
    #[arg(long, value_name = "SECONDS", default_value_t = 1800)]
    timeout: u64,
}

fn board(name: &str) -> Result<&'static Board, String> {
    Board::named(name).ok_or_else(|| format!("the boards are {}", BOARDS.map(|board| board.name).join(", ")))
}

/// The command line without the `--` that `cargo on-target -- MODEL` leaves in front.
fn arguments() -> impl Iterator<Item = std::ffi::OsString> {
    let mut arguments: Vec<_> = std::env::args_os().collect();
    if arguments.get(1).is_some_and(|first| first == "--") {
        arguments.remove(1);
    }
    arguments.into_iter()
}

fn main() -> ExitCode {
    match run(&Arguments::parse_from(arguments())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            let failed_run = matches!(
                error.downcast_ref(),
                Some(
                    OnTargetError::Failed { .. }
                        | OnTargetError::Timeout { .. }
                        | OnTargetError::Stack { .. }
                        | OnTargetError::Malformed(_)
                )
            );
            ExitCode::from(if failed_run { 1 } else { 2 })
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let model = Model::load(&arguments.model)?;
    let artifact = model.artifact();
    let inputs = encode_inputs(&artifact, &npy::read(&arguments.input)?)?;
    let options = RunOptions { count: arguments.count, timeout: Duration::from_secs(arguments.timeout) };
    let whole = [artifact.head(), model.payload()].concat();
    let run = on_target::run_with(arguments.board, &whole, &inputs, &options)?;
    if let Some(output) = &arguments.output {
        npy::write_as(output, &decode_outputs(&artifact, &run.outputs), output_type(&artifact, 0))?;
    }
    let report = RunReport::new(arguments.board, &artifact, &run);
    if arguments.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        println!("{report}");
    }
    Ok(())
}
