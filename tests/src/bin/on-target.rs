//! `cargo on-target -- MODEL.snet --board B --input X.npy`: runs an artifact on a simulated board.

use clap::Parser;
use staticnet_exporter::host::{Model, decode_output, encode_input, output_type};
use staticnet_graph::npy;
use staticnet_tests::on_target::report::RunReport;
use staticnet_tests::on_target::{self, BOARDS, Board, OnTargetError, RunOptions};
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Runs an artifact on a simulated board and returns what the network makes of its inputs.
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
    /// An input: f32, NCHW, any number of samples, as the ONNX model takes it. Once for each input of the network, in order.
    #[arg(long, value_name = "X.npy", required = true)]
    input: Vec<PathBuf>,
    /// Where to write an output, f32 likewise: the first one given is output 0, the next one output 1.
    #[arg(long, value_name = "Y.npy")]
    output: Vec<PathBuf>,
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
    let (inputs, outputs) = (artifact.input_count(), artifact.output_count());
    if arguments.input.len() != inputs {
        return Err(OnTargetError::InputCount { expected: inputs, found: arguments.input.len() }.into());
    }
    if arguments.output.len() > outputs {
        return Err(OnTargetError::OutputCount { most: outputs, found: arguments.output.len() }.into());
    }
    let input = |(i, file): (usize, &PathBuf)| {
        let encoded = encode_input(&artifact, i, &npy::read(file)?);
        encoded.map_err(|error| OnTargetError::content(file, error).into())
    };
    let inputs = arguments.input.iter().enumerate().map(input).collect::<Result<Vec<_>, Box<dyn Error>>>()?;
    let inputs: Vec<&[Vec<u8>]> = inputs.iter().map(Vec::as_slice).collect();
    let options = RunOptions { count: arguments.count, timeout: Duration::from_secs(arguments.timeout) };
    let whole = [artifact.head(), model.payload()].concat();
    let run = on_target::run_with(arguments.board, &whole, &inputs, &options)?;
    for (i, (file, passes)) in arguments.output.iter().zip(&run.outputs).enumerate() {
        npy::write_as(file, &decode_output(&artifact, i, passes), output_type(&artifact, i))?;
    }
    let report = RunReport::new(arguments.board, &artifact, &run);
    if arguments.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        println!("{report}");
    }
    Ok(())
}
