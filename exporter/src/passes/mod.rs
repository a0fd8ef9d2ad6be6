//! Rewriting a [`Network`](crate::network::Network). Each pass keeps what the network computes.

pub mod fuse_relu;

use crate::network::Network;

/// All passes, in order.
pub fn run(network: &mut Network) {
    fuse_relu::run(network);
}
