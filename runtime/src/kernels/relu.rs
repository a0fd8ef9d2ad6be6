//! `max(x, zero)` where it could not be fused into the operator before it: in place, or from one buffer to another.

use super::Element;
use crate::view::{Block, Rows, RowsMut};

/// Rows x channels, from one buffer to another. `zero` is the zero point, or 0 in f32.
pub fn relu<E: Element>(x: &Rows<E>, y: &mut RowsMut<E>, block: Block, zero: E) {
    let channels = y.channels;
    for r in block.r0..block.r1 {
        let source = x.row(r);
        for (y, x) in y.row(r).chunks_exact_mut(channels).zip(source.chunks_exact(channels)) {
            y[block.c0..block.c1].copy_from_slice(&x[block.c0..block.c1]);
            clip(&mut y[block.c0..block.c1], zero);
        }
    }
}

/// Rows x channels, in place.
pub fn relu_in_place<E: Element>(x: &mut RowsMut<E>, block: Block, zero: E) {
    let channels = x.channels;
    for r in block.r0..block.r1 {
        for pixel in x.row(r).chunks_exact_mut(channels) {
            clip(&mut pixel[block.c0..block.c1], zero);
        }
    }
}

fn clip<E: Element>(values: &mut [E], zero: E) {
    for v in values {
        // A NaN passes, as in `f32::max`'s ONNX counterpart it may; int8 has none.
        if *v < zero {
            *v = zero;
        }
    }
}
