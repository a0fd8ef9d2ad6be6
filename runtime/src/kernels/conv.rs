//! Convolution by im2col and dot products of weight rows with [`PIXELS`] pixels at once.
//!
//! For [`PIXELS`] neighbouring outputs of a row the taps are gathered into a panel (padding as the input's zero point, or 0 in
//! f32), which every channel is multiplied with. More than [`K_BLOCK`] taps are summed in blocks of that many, in order, so that the
//! panel stays small: the sums of up to [`CHANNELS`] channels wait in scratch for the next block. int8: `sum_k(w[k] * x[k])` in
//! wrapping i32 over the raw bytes; the exporter folds `- zero_point * sum_k(w[k])` into the bias, which is exact because padded
//! taps hold the zero point. Then [`Requantize`](super::Requantize).

use super::Element;
use super::arch::{HOST_TAPS, PIXELS, ROWS};
use crate::op::Conv2d;
use crate::view::{Block, Rows, RowsMut};
use core::ops::Range;

/// Taps that are gathered at once.
pub const K_BLOCK: usize = 128;

/// Channels whose sums are made together where there are more taps than [`K_BLOCK`].
pub const CHANNELS: usize = 32;

/// Taps of an output within its group, `kernel_h * kernel_w * channels / groups`: the elements of a row of weights.
pub const fn taps(attrs: &Conv2d, in_channels: u32) -> u64 {
    let window = &attrs.window;
    window.kernel[0] as u64 * window.kernel[1] as u64 * (in_channels / attrs.groups as u32) as u64
}

/// Sums of [`PIXELS`] pixels that wait in scratch, and elements of the panel.
const fn parts(attrs: &Conv2d, in_channels: u32, channels: u64) -> (u64, u64) {
    let (k, pixels) = (taps(attrs, in_channels), PIXELS as u64);
    if k <= K_BLOCK as u64 {
        (0, pixels * k)
    } else {
        (if channels < CHANNELS as u64 { channels } else { CHANNELS as u64 }, pixels * K_BLOCK as u64)
    }
}

/// Bytes of scratch for a step over so many output channels, `element` being the bytes of an element: the sums (of 4 bytes each),
/// then the panel.
pub const fn scratch_len(attrs: &Conv2d, in_channels: u32, channels: u64, element: u64) -> u64 {
    let (sums, panel) = parts(attrs, in_channels, channels);
    sums * 4 * PIXELS as u64 + panel * element
}

/// The scratch of a convolution: what its outputs are made in.
#[derive(Debug)]
pub struct Scratch<'a, E: Element> {
    sums: &'a mut [[E::Sum; PIXELS]],
    panel: &'a mut [E],
}

impl<'a, E: Element> Scratch<'a, E> {
    /// The first [`scratch_len`] bytes, cut into sums and panel; `None` where there are fewer, or they are not aligned.
    pub fn split(bytes: &'a mut [u8], attrs: &Conv2d, in_channels: u32, channels: usize) -> Option<Self> {
        let (sums, panel) = parts(attrs, in_channels, channels as u64);
        let (sums, rest) = bytes.split_at_mut_checked(sums as usize * size_of::<[E::Sum; PIXELS]>())?;
        let panel = rest.get_mut(..panel as usize * size_of::<E>())?;
        Some(Scratch { sums: bytemuck::try_cast_slice_mut(sums).ok()?, panel: bytemuck::try_cast_slice_mut(panel).ok()? })
    }
}

/// What a convolution works with besides its activations.
#[derive(Debug)]
pub struct Operands<'a, E: Element> {
    /// Weights of the block's channels, `[channel][kernel_h][kernel_w][channels / groups]`.
    pub weights: &'a [E],
    /// Value of a padded tap.
    pub pad: E,
    /// As [`Scratch::split`] makes it for the block's channels.
    pub scratch: Scratch<'a, E>,
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
    if E::ANY_ORDER && HOST_TAPS > K_BLOCK && taps(attrs, x.channels as u32) > K_BLOCK as u64 {
        let mut panel = [operands.pad; PIXELS * HOST_TAPS];
        let scratch = Scratch { panel: &mut panel, ..operands.scratch };
        return blocked(attrs, x, y, block, HOST_TAPS, Operands { scratch, ..operands }, finish);
    }
    blocked(attrs, x, y, block, K_BLOCK, operands, finish);
}

/// [`conv2d`], at most so many taps at once.
fn blocked<E: Element>(
    attrs: &Conv2d,
    x: &Rows<E>,
    y: &mut RowsMut<E>,
    block: Block,
    at_once: usize,
    operands: Operands<E>,
    finish: impl Fn(usize, E::Sum) -> E,
) {
    let Operands { weights, pad, scratch: Scratch { sums, panel } } = operands;
    let groups = attrs.groups as usize;
    let (in_group, out_group) = (x.channels / groups, y.channels / groups);
    let k = taps(attrs, x.channels as u32) as usize;
    let (width, step) = (y.width, y.held_channels());
    // Sums that need not wait for another block of taps do not leave the registers.
    let mut few = [[E::Sum::default(); PIXELS]; ROWS];
    let tile = if k <= at_once { &mut few[..] } else { sums };
    let most = tile.len().max(1);
    for r in block.r0..block.r1 {
        for ox in (0..width).step_by(PIXELS) {
            let pixels = PIXELS.min(width - ox);
            for g in block.c0 / out_group..block.c1.div_ceil(out_group) {
                let source = Source { attrs, x, pad, channels: g * in_group..(g + 1) * in_group };
                let (first, end) = (block.c0.max(g * out_group), block.c1.min((g + 1) * out_group));
                for c in (first..end).step_by(most) {
                    let i = c - block.c0;
                    let sums = &mut tile[..most.min(end - c)];
                    sums.fill([E::Sum::default(); PIXELS]);
                    for from in (0..k).step_by(at_once) {
                        let taps = from..k.min(from + at_once);
                        let panel = &mut panel[..PIXELS * taps.len()];
                        // All taps at once serve all channels of the group.
                        if k > at_once || c == first {
                            source.gather((r, ox), pixels, taps, panel);
                        }
                        E::add_dots(&weights[i * k + from..], k, panel, sums);
                    }
                    let at = y.at(ox, c);
                    for (p, out) in y.row(r)[at..].chunks_mut(step).take(pixels).enumerate() {
                        for (j, (y, sums)) in out.iter_mut().zip(&*sums).enumerate() {
                            *y = finish(i + j, sums[p]);
                        }
                    }
                }
            }
        }
    }
}

/// Where the taps of a group come from.
struct Source<'a, E> {
    attrs: &'a Conv2d,
    x: &'a Rows<'a, E>,
    pad: E,
    /// Input channels of the group.
    channels: Range<usize>,
}

impl<E: Element> Source<'_, E> {
    /// Gathers the given taps, in the order `[kernel_h][kernel_w][channel]`, of output pixels `ox..ox + pixels` of row `oy` into the
    /// rows of `panel`.
    fn gather(&self, (oy, ox): (usize, usize), pixels: usize, taps: Range<usize>, panel: &mut [E]) {
        let window = &self.attrs.window;
        let line = window.kernel[1] as usize * self.channels.len();
        let (first, skip) = (taps.start / line, taps.start % line);
        for (p, mut row) in panel.chunks_exact_mut(taps.len()).take(pixels).enumerate() {
            // Positions in padded coordinates; subtracting the pad wraps where the tap lies before the picture.
            let left = (ox + p) * window.stride[1] as usize;
            let mut iy = oy * window.stride[0] as usize + first * window.dilation[0] as usize;
            let mut from = skip;
            while !row.is_empty() {
                let (part, rest) = row.split_at_mut(row.len().min(line - from));
                self.line(iy.wrapping_sub(window.pads[0] as usize), left, from, part);
                (row, from) = (rest, 0);
                iy += window.dilation[0] as usize;
            }
        }
    }

    /// Taps of one line of the kernel, from its tap `from` on, which lies in input row `iy`; the line begins at `left` of the
    /// padded picture.
    fn line(&self, iy: usize, left: usize, from: usize, mut out: &mut [E]) {
        let (x, n) = (self.x, self.channels.len());
        if iy >= x.height {
            out.fill(self.pad);
            return;
        }
        let source = x.row(iy);
        let (dx, pad) = (self.attrs.window.dilation[1] as usize, self.attrs.window.pads[1] as usize);
        if n == x.channels && dx == 1 {
            // The taps lie side by side: what is before the picture, one copy, what is behind it.
            let before = pad.saturating_sub(left).min(self.attrs.window.kernel[1] as usize) * n;
            let (outside, inside) = out.split_at_mut(before.saturating_sub(from).min(out.len()));
            outside.fill(self.pad);
            let at = left.saturating_sub(pad).min(x.width) * n + from.saturating_sub(before);
            let source = source.get(at..).unwrap_or_default();
            let (inside, outside) = inside.split_at_mut(inside.len().min(source.len()));
            inside.copy_from_slice(&source[..inside.len()]);
            outside.fill(self.pad);
            return;
        }
        let (mut kx, mut skip) = (from / n, from % n);
        while !out.is_empty() {
            let (part, rest) = out.split_at_mut(out.len().min(n - skip));
            let ix = (left + kx * dx).wrapping_sub(pad);
            if ix >= x.width {
                part.fill(self.pad);
            } else {
                let at = ix * x.channels + self.channels.start + skip;
                match part {
                    // Depthwise.
                    [tap] => *tap = source[at],
                    _ => part.copy_from_slice(&source[at..at + part.len()]),
                }
            }
            (out, skip) = (rest, 0);
            kx += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::Window;
    use std::vec::Vec;

    /// Where a host takes all taps at once, a device does not.
    #[test]
    fn blocks_of_taps_and_all_at_once_agree() {
        let attrs = Conv2d { window: Window::square(3, 1, 1), groups: 2 };
        let numbers = |n: usize, seed: usize| -> Vec<i8> { (0..n).map(|i| ((i * i * 31 + i * seed) >> 3) as i8).collect() };
        let (x, weights) = (numbers(25 * 58, 57), numbers(90 * 9 * 29, 91));
        let whole = Block { r0: 0, r1: 5, c0: 0, c1: 90 };
        let run = |at_once: Option<usize>| {
            let mut bytes = std::vec![0u32; scratch_len(&attrs, 58, 90, 1) as usize / 4];
            let scratch = Scratch::split(bytemuck::cast_slice_mut(&mut bytes), &attrs, 58, 90).unwrap();
            let operands = Operands { weights: &weights, pad: -3, scratch };
            let mut out = std::vec![0i8; 25 * 90];
            let (x, mut y) = (Rows::new(&x, 5, 5, 5, 58), RowsMut::new(&mut out, 5, 5, 90));
            match at_once {
                Some(n) => blocked(&attrs, &x, &mut y, whole, n, operands, |i, sum| (sum + i as i32) as i8),
                None => conv2d(&attrs, &x, &mut y, whole, operands, |i, sum| (sum + i as i32) as i8),
            }
            out
        };
        assert_eq!(run(Some(K_BLOCK)), run(None));
        assert_eq!(run(Some(7)), run(None));
    }
}
