//! The command line of `exporter`.
#![warn(clippy::print_stdout, clippy::print_stderr)] // They panic on a closed pipe; `console` does not.

mod budget;
mod commands;
mod progress;

use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand};
use staticnet_graph::console::note;
use staticnet_graph::models::ARCHITECTURES;
use std::path::PathBuf;
use std::process::ExitCode;

/// Compiles ONNX networks for microcontrollers, and proves the result.
#[derive(Debug, Parser)]
#[command(
    name = "exporter",
    version,
    after_help = "Example: exporter compile model.onnx --calibrate pictures/train -o model.snet"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List everything in a model that the runtime does not support.
    #[command(after_help = "Example: exporter check model.onnx --json\nExit 0: supported, 1: not, 2: unreadable.")]
    Check(CheckArgs),
    /// Compile a model to an artifact.
    #[command(after_help = "Examples:\n  exporter compile model.onnx --calibrate pictures/train -o model.snet\n  \
                            exporter compile model.onnx --float -o model-f32.snet\n  \
                            exporter compile model.onnx --calibrate pictures/train -o model.snet --ram 128K --split \\\n      \
                            --weights-in storage --source 320x240:rgb565\n\
                            Exit 0: done, 1: over --ram or --flash, 2: unreadable or unsupported.")]
    Compile(CompileArgs),
    /// Run an artifact on a picture or on numbers, with the device's own code.
    #[command(after_help = "Example: exporter run model.snet picture.jpg --top-k 3")]
    Run(RunArgs),
    /// Measure an artifact's accuracy on a data set.
    #[command(after_help = "Example: exporter eval model.snet pictures/test")]
    Eval(EvalArgs),
    /// Hold an artifact against tract, layer by layer and as a whole.
    #[command(after_help = "Example: exporter verify model.onnx model.snet --data pictures/test\n\
                            Exit 0: within all bounds, 1: outside one, 2: unreadable.")]
    Verify(VerifyArgs),
    /// Show what an artifact contains and needs.
    #[command(after_help = "Example: exporter inspect model.snet --plan --svg memory.svg")]
    Inspect(InspectArgs),
}

/// What a model leaves open.
#[derive(Debug, Args)]
struct ImportArgs {
    /// The network whose parameters a .safetensors file holds, under PyTorch's names. It brings no preprocessing.
    #[arg(long, value_name = "NAME", value_parser = architectures(), conflicts_with_all = ["sizes", "bind"])]
    arch: Option<String>,
    /// Give a symbolic dimension a size.
    #[arg(long = "size", value_name = "SYMBOL=N", value_parser = named_size)]
    sizes: Vec<(String, usize)>,
    /// Make an input a constant.
    #[arg(long, value_name = "INPUT=FILE.npy", value_parser = named_file)]
    bind: Vec<(String, PathBuf)>,
}

fn architectures() -> PossibleValuesParser {
    PossibleValuesParser::new(ARCHITECTURES.map(|a| a.name))
}

fn named(text: &str) -> Result<(&str, &str), String> {
    text.rsplit_once('=').filter(|(name, value)| !name.is_empty() && !value.is_empty()).ok_or("is not NAME=VALUE".into())
}

fn named_size(text: &str) -> Result<(String, usize), String> {
    let (name, size) = named(text)?;
    let size = size.parse().ok().filter(|n| (1..=65_535).contains(n)).ok_or(format!("{size} is not from 1 to 65535"))?;
    Ok((name.to_string(), size))
}

fn named_file(text: &str) -> Result<(String, PathBuf), String> {
    let (name, file) = named(text)?;
    Ok((name.to_string(), file.into()))
}

#[derive(Debug, Args)]
struct CheckArgs {
    /// The ONNX model, or a .safetensors file with --arch.
    model: PathBuf,
    #[command(flatten)]
    import: ImportArgs,
    /// Print only JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct CompileArgs {
    /// The ONNX model, or a .safetensors file with --arch.
    model: PathBuf,
    #[command(flatten)]
    import: ImportArgs,
    /// The artifact to write.
    #[arg(short, long)]
    output: PathBuf,
    /// Keep f32 instead of quantizing to int8. A model that is quantized already needs neither this nor --calibrate.
    #[arg(long)]
    float: bool,
    /// Samples to quantize with: a data set (through the model's preprocessing), or a .npy of [N, C, H, W].
    #[arg(long, value_name = "DIR|FILE.npy", conflicts_with = "float")]
    calibrate: Option<PathBuf>,
    /// How many samples to take from it, spread evenly.
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..))]
    calibrate_samples: u32,
    /// Write the quantized network as an ONNX model, too: operators on codes, which onnxruntime runs with the artifact's bytes.
    #[arg(long, value_name = "FILE.onnx")]
    qoperator: Option<PathBuf>,
    /// The same with real operators between QuantizeLinear and DequantizeLinear.
    #[arg(long, value_name = "FILE.onnx")]
    qdq: Option<PathBuf>,
    /// Write the weights to a file of their own (ending in .weights) beside the artifact.
    #[arg(long)]
    split: bool,
    #[command(flatten)]
    budget: budget::BudgetArgs,
}

#[derive(Debug, Args)]
struct RunArgs {
    /// The artifact.
    artifact: PathBuf,
    /// A picture (JPEG, PNG), or a .npy of [N, C, H, W] as the ONNX model takes it; one .npy for each input.
    #[arg(value_name = "INPUT.npy|IMAGE")]
    inputs: Vec<PathBuf>,
    /// Write the output as .npy, [N, ..]; once for each output of the model.
    #[arg(long, value_name = "OUT.npy")]
    output: Vec<PathBuf>,
    /// How many classes to show.
    #[arg(long, value_name = "N", default_value_t = 5)]
    top_k: usize,
}

#[derive(Debug, Args)]
struct EvalArgs {
    /// The artifact.
    artifact: PathBuf,
    /// The data set; its test part where it is split.
    data: PathBuf,
    /// Print only JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct VerifyArgs {
    /// The ONNX model, or a .safetensors file with --arch.
    model: PathBuf,
    #[command(flatten)]
    import: ImportArgs,
    /// The artifact compiled from it.
    artifact: PathBuf,
    /// Samples: a data set, or a .npy of [N, C, H, W]. Seeded noise where absent.
    #[arg(long, value_name = "DIR|FILE.npy")]
    data: Option<PathBuf>,
    /// How many samples to take from it, spread evenly.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    samples: u32,
    /// Print only JSON.
    #[arg(long)]
    json: bool,
    /// Write the comparison as JUnit XML, one test case a layer.
    #[arg(long, value_name = "FILE.xml")]
    junit: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct InspectArgs {
    /// The artifact.
    artifact: PathBuf,
    /// Print only JSON.
    #[arg(long)]
    json: bool,
    /// Show what lies where in RAM while the steps run, and what takes most.
    #[arg(long)]
    plan: bool,
    /// Draw that as a picture.
    #[arg(long, value_name = "FILE.svg", requires = "plan")]
    svg: Option<PathBuf>,
}

/// Runs the program: 0 where all is well, 1 where a check failed, 2 for bad usage or input.
pub fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Check(args) => commands::check(&args),
        Command::Compile(args) => commands::compile(&args),
        Command::Run(args) => commands::run(&args),
        Command::Eval(args) => commands::eval(&args),
        Command::Verify(args) => commands::verify(&args),
        Command::Inspect(args) => commands::inspect(&args),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            note(format!("exporter: {error}"));
            ExitCode::from(2)
        }
    }
}
