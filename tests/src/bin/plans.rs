//! `cargo run --release -p staticnet-tests --bin plans -- --stack-on mps2-an386`: what memory the project's networks need, as a table.
//!
//! Weights do not matter for that, so they are seeded noise; further networks are given as ONNX files.

use clap::Parser;
use staticnet_exporter::compile::{self, Options};
use staticnet_exporter::host::weights_path;
use staticnet_exporter::plan::{Plan, PlanOptions, Ram};
use staticnet_exporter::quantized::Quantized;
use staticnet_graph::file::write_atomically;
use staticnet_graph::graph::Graph;
use staticnet_graph::models::ARCHITECTURES;
use staticnet_graph::onnx;
use staticnet_tests::on_target::{BOARDS, Board, stream};
use staticnet_tests::seeded;
use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

/// Plans every network by name, and those in files, and prints what they need as a table in Markdown.
#[derive(Parser)]
#[command(after_help = "Examples: plans person-detection.onnx
          plans --only alexnet --keep target/plans && exporter inspect target/plans/alexnet-storage-128K.snet --plan --svg x.svg")]
struct Arguments {
    /// Further networks.
    models: Vec<PathBuf>,
    /// Only networks whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// Stack to plan with, in bytes.
    #[arg(long, default_value_t = staticnet_exporter::plan::DEFAULT_STACK)]
    stack: u64,
    /// Also build the firmware `stream` with each network whose weights are in storage, and compute the stack that it can take.
    #[arg(long, value_name = "BOARD", value_parser = board)]
    stack_on: Option<&'static Board>,
    /// Write every artifact into this folder, the weights in a file beside it: `NET-storage-128K.snet`.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

fn board(name: &str) -> Result<&'static Board, String> {
    Board::named(name).ok_or_else(|| format!("the boards are {}", BOARDS.map(|board| board.name).join(", ")))
}

/// Limits that are planned beside the least, by network.
const LIMITS: [(&str, u64); 4] =
    [("lenet", 8 << 10), ("cifar-small", 24 << 10), ("alexnet", 112 << 10), ("alexnet", 128 << 10)];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    if let Some(folder) = &arguments.keep {
        std::fs::create_dir_all(folder)?;
    }
    println!(
        "| net, int8 | weights in | RAM asked for | activations B | RAM B | with stack B | weights B | read | gap | steps | head B | stack, bound B | planning |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for architecture in ARCHITECTURES {
        if architecture.name.contains(&arguments.only) {
            let graph = seeded::graph(architecture.name, classes(architecture.name)).ok_or("a network by name")?;
            table(architecture.name, graph, &arguments)?;
        }
    }
    for path in &arguments.models {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        table(&name, onnx::import(path)?, &arguments)?;
    }
    Ok(())
}

fn classes(name: &str) -> usize {
    if name.starts_with("alexnet") && !name.contains("cifar") { 1000 } else { 10 }
}

/// Rows of one network: layer by layer, and what the planner makes of it.
fn table(name: &str, graph: Graph, arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let network = seeded::quantized(&graph)?;
    let base = PlanOptions { stack: arguments.stack, ..PlanOptions::default() };
    let limits = LIMITS
        .iter()
        .filter(|(net, _)| *net == name)
        .map(|&(_, bytes)| (format!("{} K", bytes >> 10), PlanOptions { ram: Ram::Limit(bytes), storage: true, ..base }));
    let mut asked = vec![("layer by layer".to_string(), PlanOptions { layers: true, ..base })];
    asked.push(("least".into(), base));
    asked.push(("least".into(), PlanOptions { storage: true, ..base }));
    asked.extend(limits);
    asked.push(("min".into(), PlanOptions { storage: true, ram: Ram::Min, ..base }));
    for (what, plan) in asked {
        let options = Options { plan, split: true, ..Options::default() };
        let start = Instant::now();
        let plan = compile::plan_network(&network, &options);
        let seconds = start.elapsed().as_secs_f64();
        match plan {
            Ok(plan) => row(name, &what, &network, (&plan, seconds), arguments, &options)?,
            Err(staticnet_exporter::Error::OverBudget(over)) => {
                println!("| {name} | storage | {what} | does not fit: {} B with the stack | | | | | | | | | |", over.needed);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn row(
    name: &str,
    what: &str,
    network: &Quantized,
    (plan, seconds): (&Plan, f64),
    arguments: &Arguments,
    options: &Options,
) -> Result<(), Box<dyn Error>> {
    let weights = network.weight_bytes();
    let emitted = compile::emit_plan(network.clone(), plan, options)?;
    let head = &emitted.head;
    let bound = match arguments.stack_on {
        Some(board) if plan.storage && plan.source.is_some() => stream::stack_bound(board, head)?,
        _ => None,
    };
    if let Some(folder) = &arguments.keep {
        let place = if plan.storage { "storage" } else { "mapped" };
        let artifact = folder.join(format!("{name}-{place}-{}.snet", what.replace(' ', "")));
        write_atomically(&artifact, head)?;
        write_atomically(&weights_path(&artifact), emitted.payload.as_ref())?;
    }
    println!(
        "| {name} | {} | {what} | {} | {} | {} | {weights} | {:.4}x | {:.2} % | {} | {} | {} | {seconds:.1} s |",
        if plan.storage { "storage" } else { "mapped" },
        plan.activation_bytes,
        plan.ram_bytes,
        plan.ram_bytes + plan.stack_bytes,
        plan.weight_bytes_read as f64 / weights as f64,
        100.0 * plan.gap(),
        plan.steps.len(),
        head.len(),
        bound.map_or("-".to_string(), |bytes| bytes.to_string()),
    );
    Ok(())
}
