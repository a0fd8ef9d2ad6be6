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
/// `finish(i, sums)` makes the sums of the block's channels from `i` on, of [`PIXELS`] pixels each, their outputs.
pub fn conv2d<E: Element>(
    attrs: &Conv2d,
    x: &Rows<E>,
    y: &mut RowsMut<E>,
    block: Block,
    operands: Operands<E>,
    finish: impl Fn(usize, &mut [[E::Sum; PIXELS]]),
) {
    if E::ANY_ORDER && HOST_TAPS > K_BLOCK && taps(attrs, x.channels as u32) > K_BLOCK as u64 {
        let mut panel = [operands.pad; PIXELS * HOST_TAPS];
        let scratch = Scratch { panel: &mut panel, ..operands.scratch };
        return blocked(attrs, x, y, block, (HOST_TAPS, false), Operands { scratch, ..operands }, finish);
    }
    blocked(attrs, x, y, block, (K_BLOCK, HOST_TAPS == 0), operands, finish);
}

/// Taps side by side from which on it pays to multiply them where they lie, instead of gathering them first.
const LONG_RUN: usize = 64;

/// [`conv2d`], at most so many taps at once; whether taps that lie side by side may be multiplied where they are.
fn blocked<E: Element>(
    attrs: &Conv2d,
    x: &Rows<E>,
    y: &mut RowsMut<E>,
    block: Block,
    (at_once, where_they_are): (usize, bool),
    operands: Operands<E>,
    finish: impl Fn(usize, &mut [[E::Sum; PIXELS]]),
) {
    let Operands { weights, pad, scratch: Scratch { sums, panel } } = operands;
    let groups = attrs.groups as usize;
    let (in_group, out_group) = (x.channels / groups, y.channels / groups);
    let k = taps(attrs, x.channels as u32) as usize;
    let (width, step) = (y.width, y.held_channels());
    // Sums that need not wait for another block of taps need no scratch.
    let mut few = [[E::Sum::default(); PIXELS]; ROWS];
    let tile = if k <= at_once { &mut few[..] } else { sums };
    let most = tile.len().max(1);
    let source = |g: usize| Source { attrs, x, pad, channels: g * in_group..(g + 1) * in_group };
    let in_runs = where_they_are && E::ANY_ORDER && k > at_once && source(0).runs().1 >= LONG_RUN;
    if in_runs {
        // Nothing is gathered: the panel's place is for what lies outside the picture.
        panel.fill(pad);
    }
    for r in block.r0..block.r1 {
        for ox in (0..width).step_by(PIXELS) {
            let pixels = PIXELS.min(width - ox);
            for g in block.c0 / out_group..block.c1.div_ceil(out_group) {
                let source = source(g);
                let (first, end) = (block.c0.max(g * out_group), block.c1.min((g + 1) * out_group));
                for c in (first..end).step_by(most) {
                    let i = c - block.c0;
                    let sums = &mut tile[..most.min(end - c)];
                    sums.fill([E::Sum::default(); PIXELS]);
                    if in_runs {
                        source.add_runs((r, ox), pixels, &weights[i * k..], panel, sums);
                    }
                    for from in (0..if in_runs { 0 } else { k }).step_by(at_once) {
                        let taps = from..k.min(from + at_once);
                        let panel = &mut panel[..PIXELS * taps.len()];
                        // All taps at once serve all channels of the group.
                        if k > at_once || c == first {
                            source.gather((r, ox), pixels, taps, panel);
                        }
                        E::add_dots(&weights[i * k + from..], k, panel, sums);
                    }
                    finish(i, sums);
                    let at = y.at(ox, c);
                    for (p, out) in y.row(r)[at..].chunks_mut(step).take(pixels).enumerate() {
                        for (y, sums) in out.iter_mut().zip(&*sums) {
                            *y = E::of(sums[p]);
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
    /// The taps of a line of the kernel that lie side by side: how many runs of them there are, and how long each is.
    fn runs(&self) -> (usize, usize) {
        let (window, n) = (&self.attrs.window, self.channels.len());
        let kernel = window.kernel[1] as usize;
        if n == self.x.channels && window.dilation[1] == 1 { (1, kernel * n) } else { (kernel, n) }
    }

    /// Adds the dot products of rows of weights with output pixels `ox..ox + pixels` of row `oy`, run by run of taps, where they lie:
    /// the padded ones in `pads`. In place of a pixel that is missing the last one is taken. Sums come in another order than from
    /// a panel. Not inlined, so that the stack is not that of both ways together.
    #[inline(never)]
    fn add_runs(&self, (oy, ox): (usize, usize), pixels: usize, weights: &[E], pads: &[E], sums: &mut [[E::Sum; PIXELS]]) {
        let (window, x, n) = (&self.attrs.window, self.x, self.channels.len());
        let ([lines, kernel], (runs, len)) = (window.kernel.map(usize::from), self.runs());
        let (pad, row_len, k) = (window.pads[1] as usize, x.width * x.channels, lines * runs * len);
        let top = (oy * window.stride[0] as usize).wrapping_sub(window.pads[0] as usize);
        for run in 0..runs {
            // Taps before the picture, and where the others begin in a row.
            let starts = [0, 1, 2, 3].map(|p| {
                let left = (ox + p.min(pixels - 1)) * window.stride[1] as usize + run * window.dilation[1] as usize;
                let inside = left.saturating_sub(pad).min(x.width) * x.channels + self.channels.start;
                (pad.saturating_sub(left).min(kernel) * n, inside)
            });
            let mut from = 0;
            while from < len {
                // As far as each pixel's taps lie side by side, in the picture or outside; it is the same in every line.
                let mut part = len - from;
                let places = starts.map(|(outside, inside)| {
                    let place = from.checked_sub(outside).map(|skip| inside + skip).filter(|&place| place < row_len);
                    part = part.min(match place {
                        Some(place) => row_len - place,
                        None if from < outside => pads.len().min(outside - from),
                        None => pads.len(),
                    });
                    place
                });
                let (mut iy, mut weights) = (top, &weights[run * len + from..]);
                for _ in 0..lines {
                    if iy < x.height {
                        let row = x.row(iy);
                        let taps = |place: Option<usize>| match place {
                            Some(place) => &row[place..place + part],
                            None => &pads[..part],
                        };
                        E::add_dots_apart(weights, k, places.map(taps), sums);
                    } else {
                        for done in (0..part).step_by(pads.len()) {
                            let pads = &pads[..pads.len().min(part - done)];
                            E::add_dots_apart(&weights[done..], k, [pads; PIXELS], sums);
                        }
                    }
                    iy = iy.wrapping_add(window.dilation[0] as usize);
                    weights = weights.get(runs * len..).unwrap_or_default();
                }
                from += part;
            }
        }
    }

    /// Gathers the given taps, in the order `[kernel_h][kernel_w][channel]`, of output pixels `ox..ox + pixels` of row `oy` into the
    /// rows of `panel`. Not inlined, as [`Source::add_runs`].
    #[inline(never)]
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

    fn numbers(n: usize, seed: usize) -> Vec<i8> {
        (0..n).map(|i| ((i * i * 31 + i * seed) >> 3) as i8).collect()
    }

    /// Where a host takes all taps at once, a device does not, and multiplies long lines where they lie.
    #[test]
    fn blocks_of_taps_lines_and_all_at_once_agree() {
        let conv = |kernel, stride, pad, groups| Conv2d { window: Window::square(kernel, stride, pad), groups };
        let cases = [
            (conv(3, 1, 1, 2), [5, 5, 58, 90]),
            (conv(3, 1, 1, 1), [6, 11, 48, 37]),
            (conv(5, 2, 2, 1), [7, 19, 16, 33]),
            (conv(3, 2, 0, 1), [9, 13, 80, 5]),
            (conv(1, 1, 0, 1), [3, 9, 200, 66]),
            (conv(3, 1, 1, 1), [4, 3, 64, 8]),
            // Each tap's channels are a run of their own.
            (conv(3, 1, 1, 2), [4, 6, 140, 6]),
            (Conv2d { window: Window { dilation: [2, 3], ..Window::square(3, 1, 2) }, groups: 1 }, [5, 9, 66, 3]),
            // More padding side by side than there is room for.
            (conv(3, 1, 2, 1), [2, 3, 600, 3]),
        ];
        for (attrs, [height, width, channels, outputs]) in cases {
            let taps = taps(&attrs, channels as u32) as usize;
            let (x, weights) = (numbers(height * width * channels, 57), numbers(outputs * taps, 91));
            let size = |axis, n: usize| attrs.window.output_len(axis, n as u32).unwrap() as usize;
            let (h, w) = (size(0, height), size(1, width));
            let whole = Block { r0: 0, r1: h, c0: 0, c1: outputs };
            let run = |how: Option<(usize, bool)>| {
                let len = scratch_len(&attrs, channels as u32, outputs as u64, 1) as usize;
                let mut bytes = std::vec![0u32; len.div_ceil(4)];
                let scratch = &mut bytemuck::cast_slice_mut(&mut bytes)[..len];
                let scratch = Scratch::split(scratch, &attrs, channels as u32, outputs).unwrap();
                let operands = Operands { weights: &weights, pad: -3, scratch };
                let mut out = std::vec![0i8; h * w * outputs];
                let (x, mut y) = (Rows::new(&x, height, height, width, channels), RowsMut::new(&mut out, h, w, outputs));
                // Some of every bit of a sum, so that none can be wrong.
                let of = |i: usize, sum: i32| (sum >> 13) ^ (sum >> 6) ^ sum ^ i as i32;
                let finish = |i: usize, sums: &mut [[i32; PIXELS]]| {
                    sums.iter_mut().enumerate().for_each(|(j, sums)| *sums = sums.map(|sum| of(i + j, sum)));
                };
                match how {
                    Some(how) => blocked(&attrs, &x, &mut y, whole, how, operands, finish),
                    None => conv2d(&attrs, &x, &mut y, whole, operands, finish),
                }
                out
            };
            let want = run(None);
            for how in [(K_BLOCK, false), (K_BLOCK, true), (7, false)] {
                assert!(run(Some(how)) == want, "{attrs:?} {how:?}");
            }
        }
    }
}
