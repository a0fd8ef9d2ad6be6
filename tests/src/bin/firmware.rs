//! `cargo run -p staticnet-tests --bin firmware -- classify`: builds a firmware example, runs it on a simulated board and
//! prints what it says over defmt. `stream` is built with a model of the caller's choice.

use clap::Parser;
use staticnet_exporter::host::Model;
use staticnet_tests::on_target::firmware::Firmware;
use staticnet_tests::on_target::qemu::Qemu;
use staticnet_tests::on_target::stream::{StreamOptions, stream};
use staticnet_tests::on_target::{Board, OnTargetError, RunOptions, pictures};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Builds a firmware example, runs it on a simulated board and prints what it says.
#[derive(Parser)]
#[command(after_help = "Examples: firmware classify --board mps2-an500
          firmware stream --board mps3-an547 --model alexnet.snet --ram 131072 --pictures photographs --count")]
struct Arguments {
    /// Binary of firmware-examples.
    name: String,
    /// Board: mps2-an385, mps2-an386, mps2-an500 or mps3-an547.
    #[arg(long, default_value = "mps2-an500", value_parser = board)]
    board: &'static Board,
    /// For `stream`: artifact whose weights are in storage (`--weights-in storage --split`); its weights lie beside it.
    #[arg(long, requires = "pictures")]
    model: Option<PathBuf>,
    /// For `stream`: a folder of JPEG or PNG pictures.
    #[arg(long, requires = "model")]
    pictures: Option<PathBuf>,
    /// For `stream`: the bytes of RAM that it gets, stack included. All of the board's without it.
    #[arg(long, requires = "model")]
    ram: Option<u32>,
    /// For `stream`: the most pictures to take.
    #[arg(long, requires = "model", default_value_t = 4)]
    take: usize,
    /// For `stream`: weights and pictures in files of the host instead of in external memory.
    #[arg(long, requires = "model")]
    files: bool,
    /// For `stream`: count the instructions of each picture.
    #[arg(long, requires = "model")]
    count: bool,
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

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    if let (Some(model), Some(pictures)) = (&arguments.model, &arguments.pictures) {
        return run_stream(arguments, model, pictures);
    }
    if arguments.name == "stream" {
        return Err("stream has no weights of its own: give --model and --pictures".into());
    }
    let qemu = Qemu::find()?;
    let firmware = Firmware::build(&arguments.name, arguments.board)?;
    let folder = tempfile::tempdir().map_err(|e| OnTargetError::file("the folder for temporary files", e))?;
    for line in qemu.run(&firmware, folder.path(), false, None, Duration::from_secs(arguments.timeout))? {
        println!("{line}");
    }
    Ok(())
}

fn run_stream(arguments: &Arguments, model: &Path, folder: &Path) -> Result<(), Box<dyn Error>> {
    if arguments.name != "stream" {
        return Err(format!("{} has its own model: --model is for stream", arguments.name).into());
    }
    let loaded = Model::load(model)?;
    let artifact = loaded.artifact();
    let suited = artifact.is_split() && artifact.weights_in_storage();
    let Some(source) = artifact.source().filter(|_| suited) else {
        let hint = "compile a model that has preprocessing with --split --weights-in storage";
        return Err(format!("{}: {hint}", model.display()).into());
    };
    let (names, pictures): (Vec<_>, Vec<_>) = pictures::from_folder(folder, source, arguments.take)?.into_iter().unzip();
    let run = RunOptions { count: arguments.count, timeout: Duration::from_secs(arguments.timeout) };
    let options = StreamOptions { ram: arguments.ram, files: arguments.files, run };
    let run = stream(arguments.board, (artifact.head(), loaded.payload()), &pictures, &options)?;

    for (number, name) in names.iter().enumerate() {
        println!("picture {number} is {name}");
    }
    for line in &run.log {
        println!("{line}");
    }
    println!(
        "statics {} B ({} B of them the network's), then the stack: {} B",
        run.static_bytes, run.network_bytes, run.stack_space
    );
    println!("code and constants {} B", run.code_bytes);
    for (number, instructions) in run.instructions.iter().flatten().enumerate() {
        println!("picture {number}: {instructions} instructions");
    }
    Ok(())
}
