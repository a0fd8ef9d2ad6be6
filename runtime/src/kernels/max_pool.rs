//! Maximum over a window. Padded taps are ignored, so int8 needs no zero point; scale and zero point pass through.

use super::Element;
use crate::op::MaxPool;
use crate::view::{Block, Rows, RowsMut};

/// Rows x channels of a max-pool. A window without any input pixel (only a damaged artifact has one) gives the padding's
/// neighbour-free value `floor`.
pub fn max_pool<E: Element>(attrs: &MaxPool, x: &Rows<E>, y: &mut RowsMut<E>, block: Block, floor: E) {
    let window = &attrs.window;
    let channels = y.channels;
    for r in block.r0..block.r1 {
        for ox in 0..y.width {
            let best = &mut y.row(r)[ox * channels + block.c0..ox * channels + block.c1];
            best.fill(floor);
            for iy in taps(window, 0, r, x.height) {
                let row = x.row(iy);
                for ix in taps(window, 1, ox, x.width) {
                    let at = ix * x.channels;
                    E::max_row(best, &row[at + block.c0..at + block.c1]);
                }
            }
        }
    }
}

/// Input positions along `axis` that output `out` looks at and that exist.
fn taps(window: &crate::op::Window, axis: usize, out: usize, len: usize) -> impl Iterator<Item = usize> {
    let (dilation, pad) = (window.dilation[axis] as usize, window.pads[axis] as usize);
    let start = out * window.stride[axis] as usize;
    // Taps before the picture are skipped by arithmetic, those after it by the end: a huge kernel costs nothing.
    let first = pad.saturating_sub(start).div_ceil(dilation);
    let end = (len + pad).saturating_sub(start).div_ceil(dilation).min(window.kernel[axis] as usize);
    (first..end.max(first)).map(move |k| start + k * dilation - pad)
}
