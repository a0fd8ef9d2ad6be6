//! Leaky ReLU with a slope for each channel.
//!
//! f32: `x < 0 ? slope[c] * x : x`. int8, `d = q - zero_point`: `requantize(d, d < 0 ? multiplier[c] : positive)`.

use super::elementwise::map_or_in_place;
use crate::quant::requantize;
use crate::view::{Block, Rows, RowsMut};

/// Rows x channels in f32; `slope` are those of the block's channels. In place where `x` is `None`.
pub fn prelu_f32(x: Option<&Rows<f32>>, y: &mut RowsMut<f32>, block: Block, slope: &[f32]) {
    map_or_in_place(x, y, block, |i, v| if v < 0.0 { slope[i] * v } else { v });
}

/// How an int8 PReLU gets from its input's grid to its output's.
#[derive(Clone, Copy, Debug)]
pub struct PReluQuant<'a> {
    /// Slope x input scale / output scale of each channel of the block.
    pub multiplier: &'a [f32],
    /// Input scale / output scale.
    pub positive: f32,
    /// Zero points of input and output.
    pub zeros: [i8; 2],
}

/// Rows x channels in int8. In place where `x` is `None`.
pub fn prelu_i8(x: Option<&Rows<i8>>, y: &mut RowsMut<i8>, block: Block, quant: PReluQuant) {
    let [zero_x, zero_y] = quant.zeros;
    map_or_in_place(x, y, block, |i, q| {
        let d = q as i32 - zero_x as i32;
        requantize(d, if d < 0 { quant.multiplier[i] } else { quant.positive }, zero_y, -128, 127)
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: Block = Block { r0: 0, r1: 2, c0: 1, c1: 3 };

    #[test]
    fn slopes_belong_to_channels() {
        let x = [-2.0, -2.0, -2.0, 3.0, 4.0, -4.0];
        let mut y = [9.0; 6];
        prelu_f32(Some(&Rows::new(&x, 2, 2, 1, 3)), &mut RowsMut::new(&mut y, 2, 1, 3), BLOCK, &[0.5, -1.0]);
        assert_eq!(y, [9.0, -1.0, 2.0, 9.0, 4.0, 4.0]);
    }

    #[test]
    fn int8_rounds_half_to_even_on_both_sides() {
        let x = [0i8, 5, 7, 0, 15, 13];
        let mut y = x;
        let quant = PReluQuant { multiplier: &[0.5, 0.25], positive: 0.5, zeros: [10, -1] };
        prelu_i8(None, &mut RowsMut::new(&mut y, 2, 1, 3), BLOCK, quant);
        // -5 * 0.5 = -2.5 to -2; -3 * 0.25 to -1; 5 * 0.5 = 2.5 to 2; 3 * 0.5 = 1.5 to 2; each minus 1.
        assert_eq!(y, [0, -3, -2, 0, 1, 1]);
    }
}
