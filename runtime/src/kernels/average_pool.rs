//! Mean over a window: the sum of the taps inside the picture, divided by the number of taps inside the picture and the padding
//! that counts (at least 1).
//!
//! f32: `clamp(sum / n)`. int8: `requantize(sum(q - zero_point), multiplier / n)` with `multiplier` = input scale / output scale and
//! the quotient in f32; the sum wraps.

use super::window::{inside, taps};
use crate::op::AveragePool;
use crate::quant::{clamp_f32, requantize};
use crate::view::{Block, Rows, RowsMut};

/// Channels that are summed at once: the sums stay in registers.
const TILE: usize = 16;

/// Rows x channels: `add` puts an element to a sum, `finish` makes an output of a sum and its divisor. Taps are added row by row.
pub(super) fn pool<E: Copy, S: Copy + Default>(
    attrs: &AveragePool,
    x: &Rows<E>,
    y: &mut RowsMut<E>,
    block: Block,
    add: impl Fn(S, E) -> S,
    finish: impl Fn(S, f32) -> E,
) {
    let window = &attrs.window;
    let [top, left, bottom, right] = attrs.counted.map(usize::from);
    for r in block.r0..block.r1 {
        let rows = inside(window, 0, r, x.height, [top, bottom]).len();
        for ox in 0..y.width {
            let divisor = (rows * inside(window, 1, ox, x.width, [left, right]).len()).max(1) as f32;
            for c in (block.c0..block.c1).step_by(TILE) {
                let n = TILE.min(block.c1 - c);
                let mut sums = [S::default(); TILE];
                for iy in taps(window, 0, r, x.height) {
                    let row = x.row(iy);
                    for ix in taps(window, 1, ox, x.width) {
                        let at = x.at(ix, c);
                        for (sum, v) in sums.iter_mut().zip(&row[at..at + n]) {
                            *sum = add(*sum, *v);
                        }
                    }
                }
                let at = y.at(ox, c);
                for (y, sum) in y.row(r)[at..at + n].iter_mut().zip(sums) {
                    *y = finish(sum, divisor);
                }
            }
        }
    }
}

/// Rows x channels in f32, clamped to `range`.
pub fn average_pool_f32(attrs: &AveragePool, x: &Rows<f32>, y: &mut RowsMut<f32>, block: Block, [lo, hi]: [f32; 2]) {
    pool(attrs, x, y, block, |sum: f32, v| sum + v, |sum, n| clamp_f32(sum / n, lo, hi));
}

/// How an int8 mean, or a norm, leaves the integer domain.
#[derive(Clone, Copy, Debug)]
pub struct PoolQuant {
    /// Input scale / output scale.
    pub multiplier: f32,
    /// Zero points of input and output.
    pub zeros: [i8; 2],
    /// Smallest and largest output.
    pub range: [i8; 2],
}

/// Rows x channels in int8.
pub fn average_pool_i8(attrs: &AveragePool, x: &Rows<i8>, y: &mut RowsMut<i8>, block: Block, quant: PoolQuant) {
    let ([zero_x, zero_y], [lo, hi]) = (quant.zeros, quant.range);
    let add = |sum: i32, q: i8| sum.wrapping_add(q as i32 - zero_x as i32);
    pool(attrs, x, y, block, add, |sum, n| requantize(sum, quant.multiplier / n, zero_y, lo, hi));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::Window;

    /// 2 x 3, one channel; 2 x 2 windows at stride 1 with one pixel of padding on the left and the right.
    const WINDOW: Window = Window { kernel: [2, 2], stride: [1, 1], dilation: [1, 1], pads: [0, 1, 0, 1] };
    const BLOCK: Block = Block { r0: 0, r1: 1, c0: 0, c1: 1 };

    #[test]
    fn the_divisor_counts_what_it_should() {
        let x = [1.0, 2.0, 3.0, 5.0, 6.0, 10.0];
        let x = Rows::new(&x, 2, 2, 3, 1);
        let all = [f32::NEG_INFINITY, f32::INFINITY];
        for (counted, want) in [([0; 4], [3.0, 3.5, 5.25, 6.5]), ([0, 1, 0, 1], [1.5, 3.5, 5.25, 3.25])] {
            let mut y = [0.0; 4];
            average_pool_f32(&AveragePool { window: WINDOW, counted }, &x, &mut RowsMut::new(&mut y, 1, 4, 1), BLOCK, all);
            assert_eq!(y, want);
        }
        let mut y = [0.0; 4];
        let attrs = AveragePool { window: WINDOW, counted: [0; 4] };
        average_pool_f32(&attrs, &x, &mut RowsMut::new(&mut y, 1, 4, 1), BLOCK, [3.25, 6.0]);
        assert_eq!(y, [3.25, 3.5, 5.25, 6.0]);
    }

    #[test]
    fn int8_rounds_once_and_half_to_even() {
        let x = [1i8, 2, 3, 5, 6, 10].map(|q| q - 10);
        let x = Rows::new(&x, 2, 2, 3, 1);
        let attrs = AveragePool { window: WINDOW, counted: [0; 4] };
        let mut y = [0; 4];
        let quant = PoolQuant { multiplier: 1.0, zeros: [-10, 4], range: [-128, 10] };
        average_pool_i8(&attrs, &x, &mut RowsMut::new(&mut y, 1, 4, 1), BLOCK, quant);
        // 3, 3.5 to 4, 5.25 to 5, 6.5 to 6; each plus 4.
        assert_eq!(y, [7, 8, 9, 10]);
        for multiplier in [f32::NAN, f32::INFINITY, 0.0] {
            let quant = PoolQuant { multiplier, zeros: [-128, 127], range: [7, 7] };
            average_pool_i8(&attrs, &x, &mut RowsMut::new(&mut y, 1, 4, 1), BLOCK, quant);
            assert_eq!(y, [7; 4]);
        }
    }

    #[test]
    fn a_window_without_taps_gives_zero() {
        let window = Window { kernel: [1, 1], stride: [1, 1], dilation: [1, 1], pads: [0, 2, 0, 0] };
        let attrs = AveragePool { window, counted: [0; 4] };
        let mut y = [9.0; 3];
        let all = [f32::NEG_INFINITY, f32::INFINITY];
        average_pool_f32(&attrs, &Rows::new(&[4.0], 1, 1, 1, 1), &mut RowsMut::new(&mut y, 1, 3, 1), BLOCK, all);
        assert_eq!(y, [0.0, 0.0, 4.0]);
    }
}
