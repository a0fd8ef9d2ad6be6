//! Imports a model and prints how much memory that took at most: `cargo run --release --example peak_rss -- MODEL.onnx`.

use staticnet_graph::onnx;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(model) = std::env::args().nth(1) else {
        eprintln!("usage: peak_rss MODEL.onnx");
        return ExitCode::from(2);
    };
    let graph = match onnx::import(Path::new(&model)) {
        Ok(graph) => graph,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    println!("{} nodes, {} parameters of 4 bytes", graph.nodes.len(), graph.parameters());
    // Linux only; elsewhere there is nothing to print.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().filter(|line| line.starts_with("VmHWM")).for_each(|line| println!("{line}"));
    ExitCode::SUCCESS
}
