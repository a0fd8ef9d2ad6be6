//! What to say where a plan does not fit: what is over, by how much, and what would fit instead.

use super::{PlanOptions, Planned, Ram, Share, plan};
use std::fmt;

/// Which memory is too small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// RAM of a run with the stack.
    Ram,
    /// Flash that holds the artifact.
    Flash,
}

/// Something else that could be done, and what it would need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// What to do, as options of `exporter compile`.
    pub what: String,
    /// Bytes of the memory that it then needs.
    pub bytes: u64,
    /// Whether that is within the limit.
    pub fits: bool,
}

/// A network that needs more memory than there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverBudget {
    /// Which memory.
    pub memory: Memory,
    /// Bytes that there are.
    pub limit: u64,
    /// Bytes that are needed at least.
    pub needed: u64,
    /// The layer that needs most.
    pub layer: String,
    /// What takes the memory there, largest first.
    pub shares: Vec<Share>,
    /// Up to three ways out, the best first.
    pub ways: Vec<Way>,
}

/// Ways that are shown.
const WAYS: usize = 3;

impl OverBudget {
    /// RAM that is too small: any plan with these options takes `needed` bytes or more.
    pub(super) fn ram(planned: &Planned, options: &PlanOptions, needed: u64) -> Self {
        let limit = match options.ram {
            Ram::Limit(bytes) => bytes,
            Ram::Least | Ram::Min => u32::MAX as u64,
        };
        let smallest = PlanOptions { ram: Ram::Min, ..*options };
        let mut over = OverBudget { memory: Memory::Ram, limit, needed, layer: String::new(), shares: vec![], ways: vec![] };
        // Where even the least is beyond the format there is nothing to look at.
        if matches!(options.ram, Ram::Limit(_)) {
            if let Ok(least) = plan(planned, &smallest) {
                over.layer = least.peak_layer(planned);
                over.shares = least.peak;
                over.needed = needed.max(least.ram_bytes as u64 + options.stack);
            }
            let mut consider = |what: &str, other: PlanOptions| {
                if other == smallest {
                    return;
                }
                if let Ok(plan) = plan(planned, &other) {
                    let bytes = plan.ram_bytes as u64 + other.stack;
                    if bytes < over.needed {
                        over.ways.push(Way { what: what.to_string(), bytes, fits: bytes <= limit });
                    }
                }
            };
            consider("--plan stream: rows instead of whole tensors", PlanOptions { layers: false, ..smallest });
            let mapped = PlanOptions { storage: false, layers: false, ..smallest };
            consider("--weights-in mapped: no weights in RAM, from a flash that is mapped into memory", mapped);
            consider("no --source: rows of the input instead of pictures", PlanOptions { source: None, ..smallest });
            let measured = (options.stack / 2).next_multiple_of(16);
            let way = format!("--stack {measured}, where the firmware takes no more (`stack` computes it)");
            consider(&way, PlanOptions { stack: measured, ..smallest });
        }
        over.ranked()
    }

    /// Flash that is too small for the head, and the weights where they lie behind it.
    pub fn flash(limit: u64, head: u64, weights: u64, largest: Vec<Share>) -> Self {
        let ways = vec![Way {
            what: "--split --weights-in storage: weights in a storage of their own, read in chunks".into(),
            bytes: head,
            fits: head <= limit,
        }];
        let layer = largest.first().map_or(String::new(), |share| share.name.clone());
        OverBudget { memory: Memory::Flash, limit, needed: head + weights, layer, shares: largest, ways }.ranked()
    }

    /// Adds a way out that somebody else has found.
    pub fn or(mut self, what: &str, bytes: u64) -> Self {
        if bytes < self.needed {
            self.ways.push(Way { what: what.into(), bytes, fits: bytes <= self.limit });
        }
        self.ranked()
    }

    fn ranked(mut self) -> Self {
        // What fits comes first; then what needs least.
        self.ways.sort_by_key(|way| (!way.fits, way.bytes));
        self.ways.dedup_by_key(|way| way.bytes);
        self.ways.truncate(WAYS);
        self
    }
}

impl super::Plan {
    /// The layer that runs when most RAM is taken.
    fn peak_layer(&self, planned: &Planned) -> String {
        // The weights or the ring at the peak belong to a layer; otherwise the maker of the largest tensor there does.
        let of_tensor = |name: &str| {
            let tensor = planned.network.tensors.iter().position(|t| name == t.name || name == format!("{} (ring)", t.name))?;
            planned.network.layers.iter().rev().find(|layer| layer.output == tensor).map(|layer| layer.name.clone())
        };
        let weights = self.peak.iter().find_map(|share| share.name.strip_prefix("weights of ").map(str::to_string));
        weights.or_else(|| self.peak.iter().find_map(|share| of_tensor(&share.name))).unwrap_or_default()
    }
}

impl fmt::Display for OverBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let memory = match self.memory {
            Memory::Ram => "RAM",
            Memory::Flash => "flash",
        };
        let over = self.needed.saturating_sub(self.limit);
        write!(f, "{memory}: {} B are needed, {} B are there: {over} B too many", self.needed, self.limit)?;
        if !self.layer.is_empty() {
            write!(f, ", at layer {}", self.layer)?;
        }
        for share in self.shares.iter().take(6) {
            write!(f, "\n  {:>12} B  {}", share.bytes, share.name)?;
        }
        for (i, way) in self.ways.iter().enumerate() {
            let verdict = if way.fits { "fits" } else { "still too many" };
            write!(
                f,
                "\n{} {}: {} B, {verdict}",
                if i == 0 { "ways out:\n  1." } else { &["", "  2.", "  3."][i.min(2)] },
                way.what,
                way.bytes
            )?;
        }
        Ok(())
    }
}

impl std::error::Error for OverBudget {}
