//! placeholder
pub mod augment;
pub mod dataset;
pub mod rng;
pub mod synth;
