//! `cargo run --release -p staticnet-tests --bin boards -- --write`: what the project's networks take on the simulated boards, as the
//! table of BENCHMARKS.md.

use clap::Parser;
use staticnet_exporter::compile::{Options, emit_network};
use staticnet_exporter::host::Model;
use staticnet_exporter::report::report;
use staticnet_graph::file::write_atomically;
use staticnet_graph::models::ARCHITECTURES;
use staticnet_tests::on_target::toolchain::{Toolchain, workspace_root};
use staticnet_tests::on_target::{BOARDS, Board, OnTargetError, RunOptions, run_with};
use staticnet_tests::{seeded, tables};
use std::error::Error;
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

/// Counts the instructions of networks by name (int8, seeded weights, one input of noise, the plan that `compile` makes by itself) on
/// the simulated boards, checks that their outputs are the host's, and prints a table in Markdown.
#[derive(Parser)]
#[command(after_help = "Example: boards --board mps2-an500 cifar-small")]
struct Arguments {
    /// The networks; all by name where none is given.
    networks: Vec<String>,
    /// Only this board: mps2-an385, mps2-an386, mps2-an500 or mps3-an547.
    #[arg(long, value_parser = board)]
    board: Option<&'static Board>,
    /// Put the table into BENCHMARKS.md, between its comments `boards`; takes every network and every board.
    #[arg(long, conflicts_with_all = ["networks", "board"])]
    write: bool,
}

fn board(name: &str) -> Result<&'static Board, String> {
    Board::named(name).ok_or_else(|| format!("the boards are {}", BOARDS.map(|board| board.name).join(", ")))
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let mut text = format!("{}\n\n{}", conditions()?, HEADER);
    println!("{text}");
    let all = || ARCHITECTURES.iter().map(|architecture| architecture.name.to_string()).collect();
    let networks = if arguments.networks.is_empty() { all() } else { arguments.networks };
    for name in &networks {
        let (artifact, input) = made(name)?;
        for board in BOARDS.iter().filter(|board| arguments.board.is_none_or(|only| only == *board)) {
            if let Some(row) = row(name, &artifact, &input, board)? {
                println!("{row}");
                write!(text, "\n{row}")?;
            }
        }
    }
    if arguments.write {
        let path = workspace_root().join("BENCHMARKS.md");
        let page = std::fs::read_to_string(&path)?;
        let page = tables::replace(&page, "boards", &text).ok_or("BENCHMARKS.md: the comments `boards` are missing")?;
        write_atomically(&path, page.as_bytes())?;
    }
    Ok(())
}

const HEADER: &str = "| net, int8 | MACs | board | core | instructions | per MAC | RAM B | stack B | code B |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |";

/// Versions, machine and date, as a sentence.
fn conditions() -> Result<String, Box<dyn Error>> {
    let rustc = match Toolchain::find(BOARDS[0].target)? {
        Toolchain::Installed { .. } => Path::new("rustc").to_path_buf(),
        Toolchain::FromSource { rustc, .. } => rustc,
    };
    let rustc = first_line(Command::new(rustc).arg("--version"))?;
    let qemu = first_line(Command::new("qemu-system-arm").arg("--version"))?;
    let version = |line: &str, word: usize| line.split_whitespace().nth(word).unwrap_or("of unknown version").to_string();
    let (rustc, qemu) = (version(&rustc, 1), version(&qemu, 3));
    Ok(format!("{}: rustc {rustc}, QEMU {qemu}, on {}.", tables::today(), tables::machine()))
}

fn first_line(command: &mut Command) -> Result<String, Box<dyn Error>> {
    let output = command.output()?;
    Ok(String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_string())
}

/// The network's artifact and an input for it, as the device takes it.
fn made(name: &str) -> Result<(Vec<u8>, Vec<u8>), Box<dyn Error>> {
    let classes = if name.starts_with("alexnet") && !name.contains("cifar") { 1000 } else { 10 };
    let graph = seeded::graph(name, classes).ok_or_else(|| format!("{name}: no such network"))?;
    let network = seeded::quantized(&graph)?;
    let artifact = emit_network(network, &Options::default())?.joined();
    let model = Model::from_bytes(&artifact).map_err(|error| format!("{name}: {error}"))?;
    let input = (0..model.artifact().input_len_bytes(0)).map(|i| (i * 167 + i / 97) as u8).collect();
    Ok((artifact, input))
}

/// A network's row for a board; `None` if it does not fit the board's external memory.
fn row(name: &str, artifact: &[u8], input: &[u8], board: &Board) -> Result<Option<String>, Box<dyn Error>> {
    let model = Model::from_bytes(artifact).map_err(|error| format!("{name}: {error}"))?;
    let inputs = [input.to_vec()];
    let run = match run_with(board, artifact, &[&inputs], &RunOptions { count: true, ..RunOptions::default() }) {
        Err(OnTargetError::JobTooLarge { .. }) => return Ok(None),
        run => run?,
    };
    if model.run_bytes(&[&inputs])? != run.outputs {
        return Err(format!("{name}: {} gives other bytes than the host", board.name).into());
    }
    let instructions = run.instructions().ok_or("nothing was counted")?;
    let macs = report(&model.artifact()).macs;
    Ok(Some(format!(
        "| {name} | {macs} | {} | {} | {instructions} | {:.3} | {} | {} | {} |",
        board.name,
        board.core,
        instructions as f64 / macs as f64,
        run.ram_bytes,
        run.stack_bytes,
        run.code_bytes,
    )))
}
