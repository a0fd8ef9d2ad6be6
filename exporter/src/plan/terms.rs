//! What is asked of a plan, and what one says.

use staticnet::preprocess::Source;
use staticnet::record::{Slot, Step};
use std::fmt;

/// How much RAM a plan may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ram {
    /// The least with which each weight is read once, without many more instructions than layer by layer.
    #[default]
    Least,
    /// The least that any plan takes, whatever it costs.
    Min,
    /// At most so many bytes, the stated stack among them; then the fewest bytes of weights are read.
    Limit(u64),
}

/// What a plan is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanOptions {
    /// How much RAM.
    pub ram: Ram,
    /// Bytes of stack that the firmware takes; they count against a limit.
    pub stack: u64,
    /// Whether weights are in a storage that has to be read, instead of being mapped into memory.
    pub storage: bool,
    /// Pictures that the camera or file gives, where the input comes row by row.
    pub source: Option<Source>,
    /// Plan layer by layer, every tensor whole.
    pub layers: bool,
}

/// Stack that is stated where nobody says otherwise: twice what the runner firmware is seen to use.
pub const DEFAULT_STACK: u64 = 4096;

impl Default for PlanOptions {
    fn default() -> Self {
        PlanOptions { ram: Ram::Least, stack: DEFAULT_STACK, storage: false, source: None, layers: false }
    }
}

/// Weights of some output rows and channels of a layer: what one chunk holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChunkPart {
    /// The layer.
    pub layer: usize,
    /// First output row and the end; all rows where the weights do not depend on them.
    pub rows: (u32, u32),
    /// First output channel and the end.
    pub channels: (u32, u32),
}

/// What takes the RAM at the time when most is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// The tensor's name, or what else it is.
    pub name: String,
    /// Bytes.
    pub bytes: u64,
}

/// A plan: where everything lies and what runs when.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Places of tensors.
    pub slots: Vec<Slot>,
    /// Steps; their `chunk` is an index into `chunks`.
    pub steps: Vec<Step>,
    /// What each chunk of weights holds.
    pub chunks: Vec<ChunkPart>,
    /// Slots of the network's inputs.
    pub inputs: Vec<u16>,
    /// Slots of the network's outputs.
    pub outputs: Vec<u16>,
    /// RAM that holds activations at the time when most of it does.
    pub activation_bytes: u32,
    /// RAM in all: activations, scratch, weights of the time being, and the memory of the row-wise input.
    pub ram_bytes: u32,
    /// Stack that the plan counts on.
    pub stack_bytes: u32,
    /// Whether weights are in storage.
    pub storage: bool,
    /// Pictures that the input comes from, and where the memory for their rows begins.
    pub source: Option<(Source, u32)>,
    /// Bytes of weights that a pass reads.
    pub weight_bytes_read: u64,
    /// What no plan of these moves can be below.
    pub bound: Bound,
    /// What takes the RAM at its peak.
    pub peak: Vec<Share>,
}

/// What no plan of these moves can be below, for what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// RAM of these segments, were there no gaps between tensors; where the least RAM was asked for, of any segments.
    pub ram: u64,
    /// Bytes of weights read by any plan within the limit.
    pub reads: u64,
}

impl Plan {
    /// How far the plan is above its bound, as a fraction of it: 0 where there is proof that it cannot be better.
    pub fn gap(&self) -> f64 {
        let above = |value: u64, bound: u64| if bound == 0 { 0.0 } else { (value as f64 - bound as f64) / bound as f64 };
        above(self.ram_bytes as u64, self.bound.ram).max(above(self.weight_bytes_read, self.bound.reads)).max(0.0)
    }
}

/// No plan fits: not within the limit, or, without one, not within what 32-bit offsets reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge {
    /// RAM that any plan with these options takes at least, in bytes, the stated stack among them.
    pub needed: u64,
}

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no plan takes less than {} B of RAM, stack included", self.needed)
    }
}

impl std::error::Error for TooLarge {}
