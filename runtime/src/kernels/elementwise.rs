//! The loop of operators that look at one element at a time.

use crate::view::{Block, Rows, RowsMut};

/// `y = f(channel, x)` over a block; channels count from the block's first.
pub(super) fn map<X: Copy, Y>(x: &Rows<X>, y: &mut RowsMut<Y>, block: Block, f: impl Fn(usize, X) -> Y) {
    let (channels, range) = (y.channels, block.c0..block.c1);
    for r in block.r0..block.r1 {
        let source = x.row(r);
        for (y, x) in y.row(r).chunks_exact_mut(channels).zip(source.chunks_exact(channels)) {
            for (i, (y, x)) in y[range.clone()].iter_mut().zip(&x[range.clone()]).enumerate() {
                *y = f(i, *x);
            }
        }
    }
}

/// The same, over the input itself where there is no other.
pub(super) fn map_or_in_place<E: Copy>(x: Option<&Rows<E>>, y: &mut RowsMut<E>, block: Block, f: impl Fn(usize, E) -> E) {
    let Some(x) = x else {
        let channels = y.channels;
        for r in block.r0..block.r1 {
            for pixel in y.row(r).chunks_exact_mut(channels) {
                for (i, v) in pixel[block.c0..block.c1].iter_mut().enumerate() {
                    *v = f(i, *v);
                }
            }
        }
        return;
    };
    map(x, y, block, f);
}
