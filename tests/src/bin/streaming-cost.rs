//! `cargo run --release -p staticnet-tests --bin streaming-cost -- --board mps3-an547 alexnet`: what streaming costs in instructions,
//! against layer by layer.

use clap::Parser;
use staticnet_exporter::compile::{Options, emit_network};
use staticnet_exporter::host::Model;
use staticnet_exporter::plan::{PlanOptions, Ram};
use staticnet_tests::on_target::{BOARDS, Board, RunOptions, run_with};
use staticnet_tests::seeded;
use std::error::Error;
use std::path::PathBuf;

/// Counts the instructions of networks by name (seeded weights, one input of noise), planned layer by layer and streamed.
#[derive(Parser)]
#[command(after_help = "Example: streaming-cost --board mps2-an500 lenet cifar-small alexnet-cifar")]
struct Arguments {
    /// The networks.
    #[arg(required = true)]
    networks: Vec<String>,
    /// Board: mps2-an385, mps2-an386, mps2-an500 or mps3-an547.
    #[arg(long, default_value = "mps2-an500", value_parser = board)]
    board: &'static Board,
    /// Where to write the artifacts, to look at.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// RAM for one more plan with weights in storage, in bytes.
    #[arg(long)]
    ram: Option<u64>,
}

fn board(name: &str) -> Result<&'static Board, String> {
    Board::named(name).ok_or_else(|| format!("the boards are {}", BOARDS.map(|board| board.name).join(", ")))
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    println!("| net, int8 | board | plan | RAM B | weights read | instructions | against layer by layer | stack B |");
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for name in &arguments.networks {
        let graph = seeded::graph(name, 10).ok_or_else(|| format!("{name}: no such network"))?;
        let network = seeded::quantized(&graph)?;
        let base = PlanOptions::default();
        let mut plans = vec![
            ("layer by layer", PlanOptions { layers: true, ..base }),
            ("streamed, mapped", base),
            ("streamed, storage", PlanOptions { storage: true, ..base }),
        ];
        if let Some(bytes) = arguments.ram {
            plans.push(("streamed, storage, limited", PlanOptions { storage: true, ram: Ram::Limit(bytes), ..base }));
        }
        let (mut first, mut outputs) = (None, None);
        for (what, plan) in plans {
            let emitted = emit_network(network.clone(), &Options { plan, ..Options::default() })?;
            let whole = emitted.joined();
            let model = Model::from_bytes(&whole).map_err(|error| format!("{name}: {error}"))?;
            let artifact = model.artifact();
            let input: Vec<u8> = (0..artifact.input_len_bytes(0)).map(|i| (i * 167 + i / 97) as u8).collect();
            if let Some(folder) = &arguments.keep {
                std::fs::write(folder.join(format!("{name}, {what}.snet")), &whole)?;
            }
            let options = RunOptions { count: true, ..RunOptions::default() };
            let run = run_with(arguments.board, &whole, &[&[input]], &options)?;
            let instructions = run.instructions().ok_or("nothing was counted")?;
            let against = *first.get_or_insert(instructions);
            if *outputs.get_or_insert_with(|| run.outputs.clone()) != run.outputs {
                return Err(format!("{name}: {what} gives other bytes").into());
            }
            let report = staticnet_exporter::report::report(&artifact);
            println!(
                "| {name} | {} | {what} | {} | {:.4}x | {instructions} | {:+.2} % | {} |",
                arguments.board.name,
                report.ram_bytes,
                report.weight_bytes_read as f64 / report.weight_bytes as f64,
                100.0 * (instructions as f64 / against as f64 - 1.0),
                run.stack_bytes,
            );
        }
    }
    Ok(())
}
