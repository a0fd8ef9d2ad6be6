//! Trains the networks of [`staticnet_graph::graph::Graph`] on pictures.
pub mod backend;
pub mod forward;
pub mod init;
pub mod models;
pub mod network;
pub mod ops;
pub mod rng;
