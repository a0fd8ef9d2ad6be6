//! `cargo run --release -p staticnet-tests --bin plans`: what memory the project's networks need, as a table.
//!
//! Weights do not matter for that, so they are zeros; further networks are given as ONNX files.

use clap::Parser;
use staticnet_exporter::calibrate::Range;
use staticnet_exporter::compile::{self, Options};
use staticnet_exporter::plan::{Plan, PlanOptions, Ram};
use staticnet_exporter::{emit, quantize};
use staticnet_graph::graph::Graph;
use staticnet_graph::models::ARCHITECTURES;
use staticnet_graph::onnx;
use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

/// Plans every network by name, and those in files, and prints what they need as a table in Markdown.
#[derive(Parser)]
#[command(after_help = "Example: plans person-detection.onnx")]
struct Arguments {
    /// Further networks.
    models: Vec<PathBuf>,
    /// Only networks whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// Stack to plan with, in bytes.
    #[arg(long, default_value_t = staticnet_exporter::plan::DEFAULT_STACK)]
    stack: u64,
}

/// Limits that are planned beside the least, by network.
const LIMITS: [(&str, u64); 4] =
    [("lenet", 8 << 10), ("cifar-small", 24 << 10), ("alexnet", 112 << 10), ("alexnet", 128 << 10)];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    println!(
        "| net, int8 | weights in | RAM asked for | activations B | RAM B | with stack B | weights B | read | gap | steps | head B | planning |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for architecture in ARCHITECTURES {
        if architecture.name.contains(&arguments.only) {
            let channels = if architecture.name == "lenet" { 1 } else { 3 };
            table(architecture.name, (architecture.build)(channels, classes(architecture.name))?, &arguments)?;
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
    let mut network = compile::network(graph)?;
    let ranges = vec![Range { lo: -1.0, hi: 1.0 }; network.tensors.len()];
    let quantized = quantize::quantize(&mut network, Some(&ranges)).map_err(|problems| format!("{name}: {problems:?}"))?;
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
    for (what, options) in asked {
        let start = Instant::now();
        let plan = compile::plan_network(&network, &quantized, &Options { plan: options, ..Options::default() });
        let seconds = start.elapsed().as_secs_f64();
        match plan {
            Ok(plan) => row(name, &what, &plan, seconds, total(&network, &quantized)),
            Err(staticnet_exporter::Error::OverBudget(over)) => {
                println!("| {name} | storage | {what} | does not fit: {} B with the stack | | | | | | | | |", over.needed);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn total(network: &staticnet_exporter::network::Network, quantized: &quantize::Quantized) -> u64 {
    network.layers.iter().zip(&quantized.layers).map(|(layer, q)| emit::payload_len(layer, q) as u64).sum()
}

fn row(name: &str, what: &str, plan: &Plan, seconds: f64, weights: u64) {
    let place = if plan.storage { "storage" } else { "mapped" };
    let head = 512 + 32 * plan.steps.len() + 16 * (plan.slots.len() + plan.chunks.len());
    println!(
        "| {name} | {place} | {what} | {} | {} | {} | {weights} | {:.4}x | {:.2} % | {} | {head} | {seconds:.1} s |",
        plan.activation_bytes,
        plan.ram_bytes,
        plan.ram_bytes + plan.stack_bytes,
        plan.weight_bytes_read as f64 / weights as f64,
        100.0 * plan.gap(),
        plan.steps.len(),
    );
}
