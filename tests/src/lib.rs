//! Cross-checks of the whole path, and the host side of running on a board.
//!
//! | module | what |
//! | --- | --- |
//! | [`on_target`] | builds firmware, runs it in QEMU and counts its instructions |
//! | [`stack`] | the largest stack of a linked firmware |
//! | [`seeded`] | networks by name with weights that depend on the name alone |
//! | [`tables`] | tables in BENCHMARKS.md that a command rewrites |
//!
//! The cross-checks themselves are in `tests/tests`; each file says at its top what it holds against what.

pub mod on_target;
pub mod seeded;
pub mod stack;
pub mod tables;
