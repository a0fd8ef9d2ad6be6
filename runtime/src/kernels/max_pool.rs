//! Maximum over a window. Padded taps are ignored, so int8 needs no zero point; scale and zero point pass through.

use super::Element;
use super::window::taps;
use crate::op::MaxPool;
use crate::view::{Block, Rows, RowsMut};

/// Rows x channels of a max-pool. A window without any input pixel (only a damaged artifact has one) gives the padding's
/// neighbour-free value `floor`.
pub fn max_pool<E: Element>(attrs: &MaxPool, x: &Rows<E>, y: &mut RowsMut<E>, block: Block, floor: E) {
    let window = &attrs.window;
    let n = block.c1 - block.c0;
    for r in block.r0..block.r1 {
        for ox in 0..y.width {
            let at = y.at(ox, block.c0);
            let best = &mut y.row(r)[at..at + n];
            best.fill(floor);
            for iy in taps(window, 0, r, x.height) {
                let row = x.row(iy);
                for ix in taps(window, 1, ox, x.width) {
                    let at = x.at(ix, block.c0);
                    E::max_row(best, &row[at..at + n]);
                }
            }
        }
    }
}
