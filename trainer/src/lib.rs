//! Trains the networks of [`staticnet_graph::graph::Graph`] on pictures.
//!
//! The library comes first: [`train::train`] takes a [`config::Config`], a [`source::BatchSource`] and a closure that is told
//! what happens; the binary `trainer` is [`cli`] and nothing else.
pub mod augment;
pub mod backend;
pub(crate) mod bits;
pub mod checkpoint;
pub mod cli;
pub mod config;
pub mod dataset;
#[cfg(feature = "demo")]
pub mod demo;
pub mod forward;
pub mod init;
pub mod metrics;
pub use staticnet_graph::models;
pub mod nearest;
pub mod network;
pub mod ops;
pub mod optim;
pub mod option;
pub mod plan;
pub mod plot;
pub mod rng;
pub mod run;
pub mod schedule;
pub mod source;
pub mod synth;
pub mod targets;
pub mod train;
