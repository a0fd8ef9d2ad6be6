//! Nearest or bilinear scaling: two taps an axis, with a weight, made by the exporter.
//!
//! `(1 - wy) * ((1 - wx) * x00 + wx * x01) + wy * ((1 - wx) * x10 + wx * x11)` in f32 over raw values; int8 rounds the result half to
//! even and clamps it. A weight of exactly 0 does not read the second tap.

use crate::quant::round_onto;
use crate::view::{Block, Rows, RowsMut};

/// Bytes of a tap pair.
pub const TAPS_LEN: usize = 8;

/// Which two places of an axis an output place looks at.
#[derive(Clone, Copy)]
struct Taps {
    first: usize,
    second: usize,
    /// Of the second.
    weight: f32,
}

impl Taps {
    /// Pair `i` of `bytes`, clamped to an axis of `len`.
    fn read(bytes: &[[u8; TAPS_LEN]], i: usize, len: usize) -> Taps {
        let [a, b, c, d, w0, w1, w2, w3] = bytes[i];
        let tap = |lo, hi| (u16::from_le_bytes([lo, hi]) as usize).min(len - 1);
        Taps { first: tap(a, b), second: tap(c, d), weight: f32::from_le_bytes([w0, w1, w2, w3]) }
    }
}

fn mix(weight: f32, first: f32, second: impl FnOnce() -> f32) -> f32 {
    if weight == 0.0 { first } else { (1.0 - weight) * first + weight * second() }
}

/// Rows x channels. `taps` has a pair for each row of the block, then one for each pixel of a row.
fn resize<E: Copy>(
    taps: &[[u8; TAPS_LEN]],
    x: &Rows<E>,
    y: &mut RowsMut<E>,
    block: Block,
    real: impl Fn(E) -> f32,
    finish: impl Fn(f32) -> E,
) {
    let (vertical, horizontal) = taps.split_at(block.r1 - block.r0);
    let (width, channels) = (y.width, y.channels);
    for r in block.r0..block.r1 {
        let v = Taps::read(vertical, r - block.r0, x.height);
        let (top, bottom) = (x.row(v.first), x.row(v.second));
        for ox in 0..width {
            let h = Taps::read(horizontal, ox, x.width);
            let (left, right) = (h.first * channels, h.second * channels);
            let across = |row: &[E], c: usize| mix(h.weight, real(row[left + c]), || real(row[right + c]));
            let out = &mut y.row(r)[ox * channels..(ox + 1) * channels];
            for (c, y) in out.iter_mut().enumerate().take(block.c1).skip(block.c0) {
                *y = finish(mix(v.weight, across(top, c), || across(bottom, c)));
            }
        }
    }
}

/// Rows x channels in f32.
pub fn resize_f32(taps: &[[u8; TAPS_LEN]], x: &Rows<f32>, y: &mut RowsMut<f32>, block: Block) {
    resize(taps, x, y, block, |v| v, |v| v);
}

/// Rows x channels in int8.
pub fn resize_i8(taps: &[[u8; TAPS_LEN]], x: &Rows<i8>, y: &mut RowsMut<i8>, block: Block) {
    resize(taps, x, y, block, |q| q as f32, |v| round_onto(v, 0, -128, 127));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(first: u16, second: u16, weight: f32) -> [u8; TAPS_LEN] {
        let ([a, b], [c, d], [w0, w1, w2, w3]) = (first.to_le_bytes(), second.to_le_bytes(), weight.to_le_bytes());
        [a, b, c, d, w0, w1, w2, w3]
    }

    #[test]
    fn between_four_pixels() {
        // Output 1 x 3 out of 2 x 2; the last tap lies beyond the input.
        let taps = [pair(0, 1, 0.25), pair(0, 1, 0.0), pair(0, 1, 0.5), pair(900, 0, 0.0)];
        let block = Block { r0: 4, r1: 5, c0: 0, c1: 1 };
        let mut y = [0.0; 3];
        resize_f32(&taps, &Rows::new(&[0.0, 8.0, 16.0, 40.0], 2, 2, 2, 1), &mut RowsMut::new(&mut y, 1, 3, 1), block);
        assert_eq!(y, [4.0, 10.0, 16.0]);
        let mut y = [0; 3];
        resize_i8(&taps, &Rows::new(&[0, 5, -10, -128], 2, 2, 2, 1), &mut RowsMut::new(&mut y, 1, 3, 1), block);
        // -2.5 to -2; 0.75 * 2.5 - 0.25 * 69 = -15.375; 3.75 - 32 = -28.25.
        assert_eq!(y, [-2, -15, -28]);
    }

    #[test]
    fn a_weight_of_zero_does_not_read_and_noise_does_not_panic() {
        let x = Rows::new(&[1.0, f32::NAN], 1, 1, 2, 1);
        let block = Block { r0: 0, r1: 1, c0: 0, c1: 1 };
        let mut y = [0.0];
        resize_f32(&[pair(0, 9, -0.0), pair(0, 1, 0.0)], &x, &mut RowsMut::new(&mut y, 1, 1, 1), block);
        assert_eq!(y, [1.0]);
        let mut y = [0];
        let x = Rows::new(&[5, 7], 1, 1, 2, 1);
        resize_i8(&[[0xFF; 8], pair(1, 0, f32::INFINITY)], &x, &mut RowsMut::new(&mut y, 1, 1, 1), block);
        assert_eq!(y, [-128]);
    }
}
