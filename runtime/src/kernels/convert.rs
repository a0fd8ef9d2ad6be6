//! Between i8 and f32: `(q - zero_point) * scale`, and `quantize(v)` back (see [`quant`](crate::quant)).

use super::elementwise::map;
use crate::quant::{dequantize, quantize};
use crate::view::{Block, Rows, RowsMut};

/// The grid of the i8 tensor.
#[derive(Clone, Copy, Debug)]
pub enum Grid<'a> {
    /// Scale and zero point of the whole tensor.
    Tensor(f32, i8),
    /// Scales and zero points of the block's channels.
    Channels(&'a [f32], &'a [i32]),
}

/// Rows x channels from i8 to f32.
pub fn to_f32(x: &Rows<i8>, y: &mut RowsMut<f32>, block: Block, grid: Grid) {
    match grid {
        Grid::Tensor(scale, zero) => map(x, y, block, |_, q| dequantize(q, scale, zero)),
        Grid::Channels(scale, zero) => map(x, y, block, |i, q| dequantize(q, scale[i], zero[i])),
    }
}

/// Rows x channels from f32 to i8.
pub fn to_i8(x: &Rows<f32>, y: &mut RowsMut<i8>, block: Block, grid: Grid) {
    match grid {
        Grid::Tensor(scale, zero) => map(x, y, block, |_, v| quantize(v, scale, zero)),
        Grid::Channels(scale, zero) => map(x, y, block, |i, v| quantize(v, scale[i], zero[i])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_with_both_grids() {
        let x = [-128i8, 0, 5, 127];
        let rows = Rows::new(&x, 2, 2, 1, 2);
        let block = Block { r0: 0, r1: 2, c0: 0, c1: 2 };
        let mut y = [0.0; 4];
        to_f32(&rows, &mut RowsMut::new(&mut y, 2, 1, 2), block, Grid::Tensor(0.5, -128));
        assert_eq!(y, [0.0, 64.0, 66.5, 127.5]);
        let right = Block { c0: 1, ..block };
        to_f32(&rows, &mut RowsMut::new(&mut y, 2, 1, 2), right, Grid::Channels(&[2.0], &[7]));
        assert_eq!(y, [0.0, -14.0, 66.5, 240.0]);

        let v = [0.25, -1e9, f32::NAN, 0.75];
        let rows = Rows::new(&v, 2, 2, 1, 2);
        let mut y = [0; 4];
        to_i8(&rows, &mut RowsMut::new(&mut y, 2, 1, 2), block, Grid::Tensor(0.5, 3));
        // 0.5 to 0 and 1.5 to 2, each plus 3.
        assert_eq!(y, [3, -128, -128, 5]);
        to_i8(&rows, &mut RowsMut::new(&mut y, 2, 1, 2), block, Grid::Channels(&[0.25, f32::NAN], &[i32::MAX, 0]));
        assert_eq!(y, [127, -128, 127, -128]);
    }
}
