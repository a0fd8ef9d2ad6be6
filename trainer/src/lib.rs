//! Trains the networks of [`staticnet_graph::graph::Graph`] on pictures.
//!
//! The library comes first: a [`train::Training`] takes a [`config::Config`], a [`source::BatchSource`], and callbacks that are told
//! what happens; the binary `trainer` is [`cli`] and nothing else.

pub mod augment;
pub mod backend;
pub(crate) mod bits;
pub mod check;
pub mod checkpoint;
pub mod cli;
pub mod config;
pub mod dataset;
#[cfg(feature = "demo")]
pub mod demo;
mod exact;
pub mod forward;
pub mod init;
pub mod lines;
pub mod log;
pub mod loss;
pub mod lr_find;
pub mod metrics;
pub use staticnet_graph::models;
pub mod monitor;
pub mod nearest;
pub mod network;
pub mod ops;
pub mod optim;
pub mod option;
pub mod plan;
pub mod plot;
pub mod ranks;
pub mod rng;
pub mod run;
pub mod schedule;
pub mod source;
pub mod synth;
pub mod targets;
pub mod text;
pub mod train;
