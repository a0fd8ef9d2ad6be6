//! What to say where a network does not fit: what is over, by how much, and what would fit instead.

use crate::plan::Share;
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
    /// RAM that is too small: `needed` bytes are needed at least, `shares` of them at `layer`.
    pub fn ram(limit: u64, needed: u64, layer: String, shares: Vec<Share>) -> Self {
        OverBudget { memory: Memory::Ram, limit, needed, layer, shares, ways: vec![] }
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

    /// Adds ways out, of which those that need less are kept, the best first.
    #[must_use]
    pub fn or(mut self, ways: impl IntoIterator<Item = (String, u64)>) -> Self {
        let less = ways.into_iter().filter(|&(_, bytes)| bytes < self.needed);
        self.ways.extend(less.map(|(what, bytes)| Way { what, bytes, fits: bytes <= self.limit }));
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
