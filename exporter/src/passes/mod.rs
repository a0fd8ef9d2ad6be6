//! Rewriting a [`Network`]. Each pass keeps what the network computes.
//!
//! Constants are folded, and dropouts, identities, flattens and transposes are gone, before there is a network
//! ([`lower`](crate::lower)). A pass is one file; adding one is a line here, and cases in `exporter/tests/passes/`, which run the
//! network before and after.

pub mod adopt_grids;
pub mod fold_affine;
pub mod fuse_activation;
pub mod merge_pad;
pub mod merge_rearranges;

use crate::network::Network;

/// A pass and its name.
pub type Pass = (&'static str, fn(&mut Network));

/// All passes, in order.
pub const ALL: [Pass; 5] = [
    ("merge_rearranges", merge_rearranges::run),
    ("fold_affine", fold_affine::run),
    ("fuse_activation", fuse_activation::run),
    ("adopt_grids", adopt_grids::run),
    ("merge_pad", merge_pad::run),
];

/// All passes, in order.
pub fn run(network: &mut Network) {
    ALL.iter().for_each(|(_, pass)| pass(network));
}
