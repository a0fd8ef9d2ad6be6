//! Fully connected layer: one dot product a channel over the whole input, flattened in NHWC order (the exporter permutes the
//! weights where the host's order is NCHW). Sums and rounding as in [`conv`](super::conv).

use super::Element;
use crate::view::Block;

/// Channels `[c0, c1)` of the output.
///
/// `x` is the whole input; `weights` are those of the block's channels, `[channel][x.len()]`; `finish(i, sum)` makes the output of
/// the block's channel `i`; `y` is the whole output.
pub fn linear<E: Element>(x: &[E], y: &mut [E], block: Block, weights: &[E], finish: impl Fn(usize, E::Sum) -> E) {
    let y = &mut y[block.c0..block.c1];
    for (i, (y, row)) in y.iter_mut().zip(weights.chunks_exact(x.len())).enumerate() {
        *y = finish(i, E::dot(row, x));
    }
}
