//! Trains the networks of [`staticnet_graph::graph::Graph`] on pictures.
pub mod augment;
pub mod backend;
pub mod dataset;
pub mod forward;
pub mod init;
pub mod models;
pub mod network;
pub mod ops;
pub mod rng;
pub mod synth;
