//! What the host and a board agree on.
//!
//! The host side (`on_target` in the crate `staticnet-tests`) and the firmware (`runner`) both take the boards, the layout of a
//! job in memory, the report and the counter's markers from here, so that neither can drift from the other.
#![no_std]

pub mod board;
pub mod job;
pub mod report;

pub use board::Board;
pub use job::{Job, JobError, Layout};
pub use report::Report;

/// Immediate of the marker instruction (`movw r12, #N`) in front of what is counted: an engine step and the inputs that it waits
/// for in `runner`, a whole picture in `stream`. The instruction does nothing but name its place: the counter of the host notes
/// how many instructions ran before it.
pub const MARK_BEGIN: u16 = 0x57E0;

/// Immediate of the marker instruction behind what is counted.
pub const MARK_END: u16 = 0x57E1;
