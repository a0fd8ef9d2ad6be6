//! Steps and places in RAM.
//!
//! A plan cuts the layers, in their order, into *segments*. A tensor that is read behind the segment that makes it is held whole
//! from there to its last reader; what a segment makes for itself alone is held only as far as it is needed. So segments meet
//! in whole tensors, whatever happens inside them, and may be judged one by one (`search.rs`).
//!
//! The moves inside a segment (`Mode` in `segment.rs`):
//!
//! - *blocks*: one layer, all rows of some channels at a time. Both tensors are held whole, each weight is read once, and with weights
//!   in storage only a block of them is in RAM. This is also how a fully connected layer is cut into slices.
//! - *bands*: the same in bands of rows; the weights are read once a band, but the output may grow over rows of the input that
//!   are dead by then.
//! - *rows*: several layers in step, row by row; tensors between them are rings of a few rows. A network's first input may come
//!   row by row as well. With weights in storage, those of the whole segment stay in RAM.
//! - *channels*: a convolution and the channelwise layers behind it, for some output channels at a time, row by row: rings of a
//!   few rows of a few channels, and each weight is read once.
//!
//! A layer that may run in place does so where its input dies; any other output that is made behind the rows that are still
//! read of a dying input overlaps it as far as these allow.
//!
//! | file | what |
//! | --- | --- |
//! | `terms.rs` | what is asked of a plan, and what one says |
//! | `problem.rs` | the network as the planner sees it: sizes, lifetimes, what a step reads and needs |
//! | `segment.rs` | one segment in one mode: its steps, its memory, its cost |
//! | `pipeline.rs` | the order of steps that make rows when they are asked for; how long rings must be |
//! | `search.rs` | which segments in which modes: a shortest path, and the bound that follows from it |
//! | `things.rs` | what of these needs a place, and when |
//! | `place.rs` | offsets |
//! | `build.rs` | segments with offsets become a plan |
//! | `layers.rs` | one step a layer, for calibration and comparison |
//!
//! Where nothing fits, the planner says what would be needed ([`TooLarge`]); what to do about it is found by whoever asked
//! ([`ways`](crate::ways)).

mod build;
mod layers;
mod pipeline;
mod place;
mod problem;
mod search;
mod segment;
mod terms;
mod things;

pub use layers::layer_by_layer;
pub use problem::Planned;
pub use terms::{Bound, ChunkPart, DEFAULT_STACK, Plan, PlanOptions, Ram, Share, TooLarge};

/// Plans a network.
///
/// # Errors
/// [`TooLarge`] where no plan fits the limit, or the format.
pub fn plan(planned: &Planned, options: &PlanOptions) -> Result<Plan, TooLarge> {
    if options.layers {
        return layer_by_layer(planned, options);
    }
    search::best(planned, options)
}
