//! Softmax over the channels of each pixel, the largest of them subtracted first. Sums run in the order of the channels.
//!
//! f32: `exp(x - max) / sum(exp(x - max))`. int8: `quantize(t[q - max + 255] / sum(t[q - max + 255]))` with the table
//! `t[i] = exp((i - 255) * input scale)`.

use crate::math::exp;
use crate::quant::quantize;
use crate::view::{Block, Rows, RowsMut};

/// Entries of the int8 table.
pub const TABLE_LEN: usize = 256;

/// Rows x channels in f32.
pub fn softmax_f32(x: &Rows<f32>, y: &mut RowsMut<f32>, block: Block) {
    let (channels, range) = (y.channels, block.c0..block.c1);
    for r in block.r0..block.r1 {
        for (y, x) in y.row(r).chunks_exact_mut(channels).zip(x.row(r).chunks_exact(channels)) {
            let max = x.iter().fold(f32::NEG_INFINITY, |max, &v| if v > max { v } else { max });
            let mut sum = 0.0;
            for (c, (y, v)) in y.iter_mut().zip(x).enumerate() {
                let e = exp(v - max);
                sum += e;
                if range.contains(&c) {
                    *y = e;
                }
            }
            y[range.clone()].iter_mut().for_each(|y| *y /= sum);
        }
    }
}

/// Rows x channels in int8; `scale` and `zero_point` are the output's.
pub fn softmax_i8(x: &Rows<i8>, y: &mut RowsMut<i8>, block: Block, table: &[f32; TABLE_LEN], (scale, zero_point): (f32, i8)) {
    let (channels, range) = (y.channels, block.c0..block.c1);
    for r in block.r0..block.r1 {
        for (y, x) in y.row(r).chunks_exact_mut(channels).zip(x.row(r).chunks_exact(channels)) {
            let max = x.iter().fold(i8::MIN, |max, &q| max.max(q)) as i32;
            // 0 to 255: no value exceeds the largest.
            let e = |q: i8| table[(q as i32 - max + 255) as usize];
            let sum = x.iter().fold(0.0, |sum, &q| sum + e(q));
            for (y, &q) in y[range.clone()].iter_mut().zip(&x[range.clone()]) {
                *y = quantize(e(q) / sum, scale, zero_point);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_of_every_pixel() {
        let x = [0.0, core::f32::consts::LN_2, 1000.0, 1000.0];
        let mut y = [0.0; 4];
        let block = Block { r0: 0, r1: 1, c0: 0, c1: 2 };
        softmax_f32(&Rows::new(&x, 1, 1, 2, 2), &mut RowsMut::new(&mut y, 1, 2, 2), block);
        let tolerance = if cfg!(feature = "micromath") { 3e-3 } else { 1e-6 };
        for (y, want) in y.iter().zip([1.0 / 3.0, 2.0 / 3.0, 0.5, 0.5f32]) {
            assert!((y - want).abs() < tolerance, "{y} {want}");
        }
    }

    #[test]
    fn int8_by_table() {
        // Halves for each step down.
        let mut table = [0.0; TABLE_LEN];
        for (i, t) in table.iter_mut().rev().enumerate().take(8) {
            *t = 1.0 / (1 << i) as f32;
        }
        let x = [-128i8, 125, 126, 127, 3, 3, 3, 3];
        let mut y = [9; 8];
        let block = Block { r0: 0, r1: 1, c0: 1, c1: 4 };
        softmax_i8(&Rows::new(&x, 1, 1, 2, 4), &mut RowsMut::new(&mut y, 1, 2, 4), block, &table, (1.0 / 256.0, -128));
        // 1/7, 2/7, 4/7 of 256: 36.57, 73.14, 146.29; a quarter: 64.
        assert_eq!(y, [9, -91, -55, 18, 9, -64, -64, -64]);
        // A table of noise has a defined result.
        softmax_i8(&Rows::new(&x, 1, 1, 2, 4), &mut RowsMut::new(&mut y, 1, 2, 4), block, &[f32::NAN; 256], (1.0, 0));
        assert_eq!(y, [9, -128, -128, -128, 9, -128, -128, -128]);
    }
}
