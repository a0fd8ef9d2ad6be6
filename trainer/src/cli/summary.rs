//! `trainer summary`.

use super::CliError;
use crate::models;
use crate::run::Run;
use clap::Args;
use staticnet_graph::console::print;
use staticnet_graph::graph::Graph;
use std::path::Path;

/// Shows a network layer by layer: output shape, parameters, multiply-accumulates.
#[derive(Args)]
#[command(after_help = "Example:\n  trainer summary alexnet --classes 1000\n  trainer summary runs/first")]
pub(super) struct Summary {
    /// Name of an architecture, or RUN folder of a training.
    #[arg(value_name = "ARCH|RUN")]
    what: String,
    /// Classes, for an architecture [default: 10].
    #[arg(long, default_value_t = 10, value_name = "N")]
    classes: usize,
    /// Input channels, for an architecture [default: 3].
    #[arg(long, default_value_t = 3, value_name = "N")]
    channels: usize,
}

/// `1234567` as `1,234,567`.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().filter_map(|g| std::str::from_utf8(g).ok()).collect();
    groups.join(",")
}

/// The layers as a table: output shape, parameters, multiply-accumulates.
pub(super) fn layers(graph: &Graph) -> String {
    let mut text = format!("{:16} {:8} {:18} {:>12} {:>14}\n", "layer", "op", "output", "parameters", "MACs");
    let mut macs = 0;
    for node in &graph.nodes {
        let parameters: usize = node.params.iter().filter_map(|p| graph.params.get(p)).map(|t| t.data.len()).sum();
        let shape: Vec<String> = graph.shape(node.output)[1..].iter().map(usize::to_string).collect();
        let (op, shape) = (node.op.name(), shape.join("x"));
        let (own, parameters) = (graph.macs(node), grouped(parameters as u64));
        macs += own;
        text += &format!("{:16} {op:8} {shape:18} {parameters:>12} {:>14}\n", node.name, grouped(own));
    }
    let (parameters, macs) = (grouped(graph.parameters() as u64), grouped(macs));
    text + &format!("{:44} {parameters:>12} {macs:>14}\n", graph.name)
}

impl Summary {
    pub(super) fn run(self) -> Result<(), CliError> {
        let graph = match models::by_name(&self.what) {
            Some(architecture) => (architecture.build)(self.channels, self.classes).map_err(CliError::input)?,
            None if Path::new(&self.what).exists() => Run::at(Path::new(&self.what)).network()?,
            None => return Err(crate::train::TrainError::UnknownArchitecture(self.what).into()),
        };
        Ok(print(layers(&graph))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1000, 61_100_840].map(grouped), ["0", "999", "1,000", "61,100,840"]);
    }
}
