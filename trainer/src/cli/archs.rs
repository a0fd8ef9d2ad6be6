//! `trainer archs`.

use super::CliError;
use crate::models::ARCHITECTURES;
use clap::Args;
use staticnet_graph::console::line;

/// Lists the networks that can be trained.
#[derive(Args)]
#[command(after_help = "Example:\n  trainer archs")]
pub(super) struct Archs {}

impl Archs {
    pub(super) fn run(self) -> Result<(), CliError> {
        for a in ARCHITECTURES {
            let graph = (a.build)(3, 10).map_err(CliError::failed)?;
            let macs: u64 = graph.nodes.iter().map(|n| graph.macs(n)).sum();
            let (params, macs) = (graph.parameters() as f64 / 1e6, macs as f64 / 1e6);
            let (name, size, about) = (a.name, a.size, a.about);
            line(format!("{name:18} {size:3}x{size:<3} {params:6.2} M parameters, {macs:6.1} M MAC  {about}"))?;
        }
        Ok(line("(counted for 3 channels and 10 classes; both follow the data)")?)
    }
}
