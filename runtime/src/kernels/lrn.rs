//! Local response normalisation across channels.
//!
//! f32: `y = x * (k + alpha / size * sum)^-beta`, `sum` the sum of squares over the window.
//!
//! int8: with `d = q - zero_point`, `S = sum(d^2)` is an exact integer. The factor `f(S) = (k + alpha / size * s_x^2 * S)^-beta` comes
//! from a table of `round(f / f(0) * 2^FACTOR_BITS)` at multiples of `2^shift`, interpolated linearly in fixed point:
//! `F = t[i] + ((t[i + 1] - t[i]) * frac + 2^(shift - 1)) >> shift` with `i = S >> shift`. Then
//! `y = requantize(d * F, s_x * f(0) / (2^FACTOR_BITS * s_y), zero_point_y)`. The exporter chooses `shift` so that the table's error
//! stays below 0.1 of the output's unit for every reachable `S`, which it checks one by one.

use crate::math::powf;
use crate::op::Lrn;
use crate::quant::requantize;
use crate::view::{Block, Rows, RowsMut};
use core::ops::Range;

/// Fraction bits of the factor table: |d * F| <= 255 * 2^22 < 2^30.
pub const FACTOR_BITS: u32 = 22;

/// Largest sum of squares over a window of `size` channels, of which `channels` exist.
pub const fn max_sum(size: u16, channels: u32) -> u64 {
    let n = if (size as u32) < channels { size as u32 } else { channels };
    n as u64 * (255 * 255)
}

/// Entries of the factor table: one more than the last interval needs, for interpolation.
pub const fn table_len(size: u16, channels: u32, shift: u32) -> u64 {
    (max_sum(size, channels) >> shift) + 2
}

/// Channels that the output of channel `c` looks at.
fn window(attrs: &Lrn, c: usize, channels: usize) -> Range<usize> {
    let (before, after) = ((attrs.size as usize - 1) / 2, attrs.size as usize / 2);
    c.saturating_sub(before)..(c + after + 1).min(channels)
}

/// Channels that a block's outputs look at.
fn reach(attrs: &Lrn, block: Block, channels: usize) -> Range<usize> {
    window(attrs, block.c0, channels).start..window(attrs, block.c1 - 1, channels).end
}

/// Rows x channels in f32.
pub fn lrn_f32(attrs: &Lrn, x: &Rows<f32>, y: &mut RowsMut<f32>, block: Block) {
    let (width, channels) = (x.width, x.channels);
    let scale = attrs.alpha / attrs.size as f32;
    // Channels below count from the first that is looked at.
    let Range { start: first, end } = reach(attrs, block, channels);
    for r in block.r0..block.r1 {
        for p in 0..width {
            let x = &x.row(r)[x.at(p, first)..x.at(p, end)];
            let at = y.at(p, block.c0);
            for (c, y) in (block.c0..block.c1).zip(&mut y.row(r)[at..]) {
                let Range { start, end } = window(attrs, c, channels);
                let sum: f32 = x[start - first..end - first].iter().map(|v| v * v).sum();
                *y = x[c - first] * powf(attrs.k + scale * sum, -attrs.beta);
            }
        }
    }
}

/// The factor at `sum`, interpolated between the table's entries.
pub fn interpolate(table: &[i32], shift: u32, sum: u32) -> i32 {
    let i = (sum >> shift) as usize;
    // The table's length was checked against the largest sum; `get` keeps the kernel total all the same.
    let (Some(&a), Some(&b)) = (table.get(i), table.get(i + 1)) else {
        return 0;
    };
    let frac = (sum & ((1 << shift) - 1)) as i32;
    let half = (1i32 << shift) >> 1;
    a.wrapping_add(b.wrapping_sub(a).wrapping_mul(frac).wrapping_add(half) >> shift)
}

/// How int8 LRN leaves the integer domain.
#[derive(Clone, Copy, Debug)]
pub struct LrnQuant<'a> {
    /// The factor table.
    pub table: &'a [i32],
    /// Log2 of the distance between two entries.
    pub shift: u32,
    /// `s_x * f(0) / (2^FACTOR_BITS * s_y)`.
    pub multiplier: f32,
    /// Zero point of the input.
    pub zero_x: i8,
    /// Zero point of the output.
    pub zero_y: i8,
}

/// Rows x channels in int8.
pub fn lrn_i8(attrs: &Lrn, x: &Rows<i8>, y: &mut RowsMut<i8>, block: Block, quant: LrnQuant) {
    let (width, channels) = (x.width, x.channels);
    let Range { start: first, end } = reach(attrs, block, channels);
    let zero = quant.zero_x as i32;
    let square = |q: i8| ((q as i32 - zero) * (q as i32 - zero)) as u32;
    for r in block.r0..block.r1 {
        for p in 0..width {
            let x = &x.row(r)[x.at(p, first)..x.at(p, end)];
            let at = y.at(p, block.c0);
            // The window slides: one square enters, one leaves.
            let mut inside = window(attrs, block.c0, channels);
            let mut sum: u32 = x[..inside.end - first].iter().map(|&q| square(q)).sum();
            for (c, y) in (block.c0..block.c1).zip(&mut y.row(r)[at..]) {
                let now = window(attrs, c, channels);
                if now.end > inside.end {
                    sum += square(x[inside.end - first]);
                }
                if now.start > inside.start {
                    sum -= square(x[inside.start - first]);
                }
                inside = now;
                let factor = interpolate(quant.table, quant.shift, sum);
                let product = (x[c - first] as i32 - zero).wrapping_mul(factor);
                *y = requantize(product, quant.multiplier, quant.zero_y, -128, 127);
            }
        }
    }
}
