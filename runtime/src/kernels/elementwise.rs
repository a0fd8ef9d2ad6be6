//! The loop of operators that look at one element at a time.

use crate::view::{Block, Rows, RowsMut};
use core::ops::Range;

/// The block's channels within a pixel, where the first lies at `at`.
fn pixel(at: usize, block: Block) -> Range<usize> {
    at..at + (block.c1 - block.c0)
}

/// `y = f(channel, x)` over a block; channels count from the block's first.
pub(super) fn map<X: Copy, Y>(x: &Rows<X>, y: &mut RowsMut<Y>, block: Block, f: impl Fn(usize, X) -> Y) {
    let (of_x, of_y) = (pixel(x.at(0, block.c0), block), pixel(y.at(0, block.c0), block));
    let (step_x, step_y) = (x.held_channels(), y.held_channels());
    for r in block.r0..block.r1 {
        for (y, x) in y.row(r).chunks_exact_mut(step_y).zip(x.row(r).chunks_exact(step_x)) {
            for (i, (y, x)) in y[of_y.clone()].iter_mut().zip(&x[of_x.clone()]).enumerate() {
                *y = f(i, *x);
            }
        }
    }
}

/// The same, over the input itself where there is no other.
pub(super) fn map_or_in_place<E: Copy>(x: Option<&Rows<E>>, y: &mut RowsMut<E>, block: Block, f: impl Fn(usize, E) -> E) {
    let Some(x) = x else {
        let (of_y, step) = (pixel(y.at(0, block.c0), block), y.held_channels());
        for r in block.r0..block.r1 {
            for y in y.row(r).chunks_exact_mut(step) {
                for (i, v) in y[of_y.clone()].iter_mut().enumerate() {
                    *v = f(i, *v);
                }
            }
        }
        return;
    };
    map(x, y, block, f);
}
