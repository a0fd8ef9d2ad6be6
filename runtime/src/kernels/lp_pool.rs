//! Norm of a window: the sum of the magnitudes of its taps, or the root of the sum of their squares. Taps outside the picture are 0.
//!
//! f32: `clamp(sum)` and `clamp(sqrt(sum))`. int8, with `d = q - zero_point` and `multiplier` = input scale / output scale:
//! - [`Norm::Sum`]: `requantize(sum of |d|, multiplier)`;
//! - [`Norm::Root`]: `clamp(round_half_even(sqrt(f32(sum of d * d)) * multiplier) + zero_point)`, the sum read as unsigned.
//!
//! Sums wrap at 32 bits, which takes more than 66,000 taps. The root is IEEE 754's: rounded to nearest, the same on every target.

use super::average_pool::{PoolQuant, pool};
use crate::op::{AveragePool, LpPool, Norm};
use crate::quant::{clamp_f32, requantize, round_onto};
use crate::view::{Block, Rows, RowsMut};

/// The same window for [`pool`], whose divisor is not looked at.
fn window(attrs: &LpPool) -> AveragePool {
    AveragePool { window: attrs.window, counted: [0; 4] }
}

/// Rows x channels in f32, clamped to `range`.
pub fn lp_pool_f32(attrs: &LpPool, x: &Rows<f32>, y: &mut RowsMut<f32>, block: Block, [lo, hi]: [f32; 2]) {
    match attrs.norm {
        Norm::Sum => pool(&window(attrs), x, y, block, |sum: f32, v: f32| sum + v.abs(), |sum, _| clamp_f32(sum, lo, hi)),
        Norm::Root => {
            pool(&window(attrs), x, y, block, |sum: f32, v| sum + v * v, |sum, _| clamp_f32(libm::sqrtf(sum), lo, hi));
        }
    }
}

/// Rows x channels in int8.
pub fn lp_pool_i8(attrs: &LpPool, x: &Rows<i8>, y: &mut RowsMut<i8>, block: Block, quant: PoolQuant) {
    let ([zero_x, zero_y], [lo, hi]) = (quant.zeros, quant.range);
    let distance = |q: i8| q as i32 - zero_x as i32;
    match attrs.norm {
        Norm::Sum => {
            let add = |sum: i32, q| sum.wrapping_add(distance(q).abs());
            pool(&window(attrs), x, y, block, add, |sum, _| requantize(sum, quant.multiplier, zero_y, lo, hi));
        }
        Norm::Root => {
            let add = |sum: u32, q| sum.wrapping_add((distance(q) * distance(q)) as u32);
            let finish = |sum: u32, _| round_onto(libm::sqrtf(sum as f32) * quant.multiplier, zero_y, lo, hi);
            pool(&window(attrs), x, y, block, add, finish);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::Window;

    /// 2 x 3, one channel; 2 x 2 windows at stride 1 with one pixel of padding on the left.
    const WINDOW: Window = Window { kernel: [2, 2], stride: [1, 1], dilation: [1, 1], pads: [0, 1, 0, 0] };
    const BLOCK: Block = Block { r0: 0, r1: 1, c0: 0, c1: 1 };

    #[test]
    fn sums_of_magnitudes_and_roots_of_squares() {
        let x = [3.0, -2.0, 6.0, -4.0, 4.0, 5.0];
        let x = Rows::new(&x, 2, 2, 3, 1);
        let run = |norm, range| {
            let mut y = [0.0; 3];
            lp_pool_f32(&LpPool { window: WINDOW, norm }, &x, &mut RowsMut::new(&mut y, 1, 3, 1), BLOCK, range);
            y
        };
        assert_eq!(run(Norm::Sum, [f32::NEG_INFINITY, 15.0]), [7.0, 13.0, 15.0]);
        assert_eq!(run(Norm::Root, [5.5, f32::INFINITY]), [5.5, 45f32.sqrt(), 9.0]);
    }

    #[test]
    fn int8_sums_exactly_and_rounds_once() {
        // 3, -2, 6, -4, 4, 5 around 10.
        let x = [13i8, 8, 16, 6, 14, 15];
        let x = Rows::new(&x, 2, 2, 3, 1);
        let run = |norm, multiplier| {
            let mut y = [0; 3];
            let quant = PoolQuant { multiplier, zeros: [10, -1], range: [-128, 20] };
            lp_pool_i8(&LpPool { window: WINDOW, norm }, &x, &mut RowsMut::new(&mut y, 1, 3, 1), BLOCK, quant);
            y
        };
        // 3.5 to 4, 6.5 to 6, 8.5 to 8; 2.5 to 2, 3.35 to 3, 4.5 to 4; each minus 1.
        assert_eq!(run(Norm::Sum, 0.5), [3, 5, 7]);
        assert_eq!(run(Norm::Root, 0.5), [1, 2, 3]);
        assert_eq!(run(Norm::Root, 100.0), [20; 3]);
        assert_eq!(run(Norm::Sum, f32::NAN), [-128; 3]);
    }
}
