//! Convolution by im2col and tiles of dot products.
//!
//! For [`PIXELS`] neighbouring outputs of a row the taps are gathered into a panel (padding as the input's zero point, or 0 in
//! f32), then each pair of channels is one dot tile. int8: `sum_k(w[k] * x[k])` in wrapping i32 over the raw bytes; the exporter
//! folds `- zero_point * sum_k(w[k])` into the bias, which is exact because padded taps hold the zero point. Then
//! [`Requantize`](super::Requantize).

use super::Element;
use super::arch::PIXELS;
use crate::op::Conv2d;
use crate::view::{Block, Rows, RowsMut};
use core::ops::Range;

/// Elements of one panel row: the taps of an output within its group, `kernel_h * kernel_w * channels / groups`.
pub const fn taps(attrs: &Conv2d, in_channels: u32) -> u64 {
    let window = &attrs.window;
    window.kernel[0] as u64 * window.kernel[1] as u64 * (in_channels / attrs.groups as u32) as u64
}

/// Scratch in elements: a panel of [`PIXELS`] rows.
pub const fn scratch_len(attrs: &Conv2d, in_channels: u32) -> u64 {
    PIXELS as u64 * taps(attrs, in_channels)
}

/// What a convolution works with besides its activations.
#[derive(Debug)]
pub struct Operands<'a, E> {
    /// Weights of the block's channels, `[channel][kernel_h][kernel_w][channels / groups]`.
    pub weights: &'a [E],
    /// Value of a padded tap.
    pub pad: E,
    /// [`scratch_len`] elements.
    pub scratch: &'a mut [E],
}

/// Rows x channels of a convolution.
///
/// `finish(i, sum)` makes the output of the block's channel `i`.
pub fn conv2d<E: Element>(
    attrs: &Conv2d,
    x: &Rows<E>,
    y: &mut RowsMut<E>,
    block: Block,
    operands: Operands<E>,
    finish: impl Fn(usize, E::Sum) -> E,
) {
    let Operands { weights, pad, scratch } = operands;
    let groups = attrs.groups as usize;
    let (in_group, out_group) = (x.channels / groups, y.channels / groups);
    let k = taps(attrs, x.channels as u32) as usize;
    let (width, channels) = (y.width, y.channels);
    let panel = &mut scratch[..PIXELS * k];
    for r in block.r0..block.r1 {
        for ox in (0..width).step_by(PIXELS) {
            let pixels = PIXELS.min(width - ox);
            for g in block.c0 / out_group..block.c1.div_ceil(out_group) {
                for (p, row) in panel.chunks_exact_mut(k).take(pixels).enumerate() {
                    im2col(attrs, x, (r, ox + p), g * in_group..(g + 1) * in_group, pad, row);
                }
                let (first, end) = (block.c0.max(g * out_group), block.c1.min((g + 1) * out_group));
                let out = &mut y.row(r)[ox * channels..(ox + pixels) * channels];
                for c in (first..end).step_by(2) {
                    let rows = 2.min(end - c);
                    let i = c - block.c0;
                    let sums = E::dot_tile(&weights[i * k..(i + rows) * k], panel, k);
                    for (p, pixel) in out.chunks_exact_mut(channels).enumerate() {
                        for (j, sums) in sums[..rows].iter().enumerate() {
                            pixel[c + j] = finish(i + j, sums[p]);
                        }
                    }
                }
            }
        }
    }
}

/// Gathers the taps of output pixel `(oy, ox)` in the given input channels into `row`, `[kernel_h][kernel_w][channel]`.
fn im2col<E: Element>(attrs: &Conv2d, x: &Rows<E>, (oy, ox): (usize, usize), channels: Range<usize>, pad: E, row: &mut [E]) {
    let window = &attrs.window;
    let n = channels.len();
    let [dy, dx] = window.dilation.map(usize::from);
    let kernel_w = window.kernel[1] as usize;
    // Positions in padded coordinates; subtracting the pad wraps where the tap lies before the picture.
    let (top, left) = (oy * window.stride[0] as usize, ox * window.stride[1] as usize);
    for (ky, line) in row.chunks_exact_mut(kernel_w * n).enumerate() {
        let iy = (top + ky * dy).wrapping_sub(window.pads[0] as usize);
        if iy >= x.height {
            line.fill(pad);
            continue;
        }
        let source = x.row(iy);
        let ix = left.wrapping_sub(window.pads[1] as usize);
        // All taps of the line inside and side by side: one copy.
        if dx == 1 && n == x.channels && ix < x.width && ix + kernel_w <= x.width {
            line.copy_from_slice(&source[ix * n..(ix + kernel_w) * n]);
            continue;
        }
        for (kx, taps) in line.chunks_exact_mut(n).enumerate() {
            let ix = (left + kx * dx).wrapping_sub(window.pads[1] as usize);
            if ix < x.width {
                let at = ix * x.channels + channels.start;
                taps.copy_from_slice(&source[at..at + n]);
            } else {
                taps.fill(pad);
            }
        }
    }
}
