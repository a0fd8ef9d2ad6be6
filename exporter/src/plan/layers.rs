//! One step a layer, every tensor held whole while it is needed: for calibration, which looks at whole tensors, and to compare with.

use super::build::build;
use super::problem::Planned;
use super::segment::{Mode, Setting, segment};
use super::terms::{Bound, Plan, PlanOptions, Ram, TooLarge};

/// Plans a network layer by layer. A layer that may run in place does where nobody reads its input later.
///
/// # Errors
/// [`TooLarge`] where that takes more RAM than there is, or than 32-bit offsets reach.
pub fn layer_by_layer(planned: &Planned, options: &PlanOptions) -> Result<Plan, TooLarge> {
    let setting = Setting { storage: options.storage, source: options.source.is_some() };
    let whole = Mode::Blocks { channels: u32::MAX, bands: 1 };
    let layers = 0..planned.network.layers.len();
    let segments: Vec<_> = layers.filter_map(|l| Some((l..l + 1, segment(planned, l..l + 1, whole, setting)?))).collect();
    let ram = segments.iter().map(|(_, s)| s.cost.ram).max().unwrap_or(0);
    let reads = segments.iter().map(|(_, s)| s.cost.reads).sum();
    let plan = build(planned, options, &segments, Bound { ram, reads });
    let hard = match options.ram {
        Ram::Limit(bytes) => bytes.saturating_sub(options.stack),
        Ram::Least | Ram::Min => u32::MAX as u64 - 1,
    };
    if plan.ram_bytes as u64 > hard || ram > hard {
        return Err(TooLarge { needed: ram.max(plan.ram_bytes as u64) + options.stack });
    }
    Ok(plan)
}
