//! Where a command that does not train runs.

use crate::backend::{Device, Precision, Target};
use clap::Args;

/// A device, and how it is used.
#[derive(Args)]
pub(super) struct On {
    /// Where the kernels run: cpu, or cuda:0 for the first GPU.
    #[arg(long, default_value_t = Device::Cpu)]
    device: Device,
    /// Numbers that a GPU multiplies.
    #[arg(long, value_enum, default_value_t = Precision::F32)]
    precision: Precision,
    /// Worker threads; 0 for all cores.
    #[arg(long, default_value_t = 0, value_name = "N")]
    threads: usize,
}

impl On {
    pub(super) fn target(&self) -> Target {
        Target { device: self.device.clone(), threads: self.threads, precision: self.precision }
    }
}
