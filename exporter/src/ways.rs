//! Ways out where a plan does not fit: what else could be asked of the planner, and what that would need.

use crate::budget::OverBudget;
use crate::plan::{Plan, PlanOptions, Planned, Ram, TooLarge, plan};

/// What to say where no plan with these options takes `limit` bytes of RAM, stack included, or fewer.
pub fn over_ram(planned: &Planned, options: &PlanOptions, limit: u64, TooLarge { needed }: TooLarge) -> OverBudget {
    let smallest = PlanOptions { ram: Ram::Min, ..*options };
    let over = match plan(planned, &smallest) {
        Ok(least) => {
            let needed = needed.max(least.ram_bytes as u64 + options.stack);
            OverBudget::ram(limit, needed, peak_layer(&least, planned), least.peak)
        }
        // Even the least is beyond the format.
        Err(TooLarge { .. }) => OverBudget::ram(limit, needed, String::new(), vec![]),
    };
    let measured = (options.stack / 2).next_multiple_of(16);
    let others = [
        ("--plan stream: rows instead of whole tensors".to_string(), PlanOptions { layers: false, ..smallest }),
        (
            "--weights-in mapped: no weights in RAM, from a flash that is mapped into memory".to_string(),
            PlanOptions { storage: false, layers: false, ..smallest },
        ),
        ("no --source: rows of the input instead of pictures".to_string(), PlanOptions { source: None, ..smallest }),
        (
            format!("--stack {measured}, where the firmware takes no more (`stack` computes it)"),
            PlanOptions { stack: measured, ..smallest },
        ),
    ];
    let different = others.into_iter().filter(|(_, other)| *other != smallest);
    over.or(different.filter_map(|(what, other)| Some((what, plan(planned, &other).ok()?.ram_bytes as u64 + other.stack))))
}

/// The layer that runs when most RAM is taken.
fn peak_layer(plan: &Plan, planned: &Planned) -> String {
    // The weights or the ring at the peak belong to a layer; otherwise the maker of the largest tensor there does.
    let of_tensor = |name: &str| {
        let tensor = planned.network.tensors.iter().position(|t| name == t.name || name == format!("{} (ring)", t.name))?;
        planned.network.layers.iter().rev().find(|layer| layer.output() == tensor).map(|layer| layer.name.clone())
    };
    let weights = plan.peak.iter().find_map(|share| share.name.strip_prefix("weights of ").map(str::to_string));
    weights.or_else(|| plan.peak.iter().find_map(|share| of_tensor(&share.name))).unwrap_or_default()
}
