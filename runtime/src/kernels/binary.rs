//! Two tensors, element by element. A dimension of 1 in either input is repeated along the output's.
//!
//! f32: `clamp(a op b)`. int8, with zero points `za` and `zb`:
//! - Add, Sub: `clamp(round_half_even(f32(a - za) * ma +- f32(b - zb) * mb) + zero_point)`, `ma` and `mb` the input scales / output
//!   scale, one rounding.
//! - Mul: `requantize((a - za) * (b - zb), m)`, `m` = product of the input scales / output scale.
//! - Div: `clamp(round_half_even(real(a) / real(b) / scale) + zero_point)`, where `real(a) = f32(a - za) * ma`, `ma` and `mb` are the
//!   input scales and `scale` is the output's: what ONNX computes between conversions. A divisor of 0 gives the largest output for a
//!   positive dividend and the smallest for a negative one and for 0.

use crate::op::BinaryOp;
use crate::quant::{clamp_f32, requantize, round_onto};
use crate::view::{Block, Rows, RowsMut};

/// Row `r` of an operand.
fn row<'a, E>(x: &Rows<'a, E>, r: usize) -> &'a [E] {
    x.row(if x.height == 1 { 0 } else { r })
}

/// The block's channels of pixel `ox`, or the one channel that stands for all.
fn pixel<'a, E>(x: &Rows<E>, row: &'a [E], ox: usize, block: Block) -> &'a [E] {
    let at = if x.width == 1 { 0 } else { ox * x.channels };
    if x.channels == 1 { &row[at..at + 1] } else { &row[at + block.c0..at + block.c1] }
}

/// Rows x channels of `f(a, b)`.
fn zip<E: Copy>([a, b]: [&Rows<E>; 2], y: &mut RowsMut<E>, block: Block, f: impl Fn(E, E) -> E) {
    let (width, channels) = (y.width, y.channels);
    for r in block.r0..block.r1 {
        let (row_a, row_b) = (row(a, r), row(b, r));
        for ox in 0..width {
            let out = &mut y.row(r)[ox * channels + block.c0..ox * channels + block.c1];
            match (pixel(a, row_a, ox, block), pixel(b, row_b, ox, block)) {
                ([a], [b]) => out.fill(f(*a, *b)),
                ([a], b) => out.iter_mut().zip(b).for_each(|(y, b)| *y = f(*a, *b)),
                (a, [b]) => out.iter_mut().zip(a).for_each(|(y, a)| *y = f(*a, *b)),
                (a, b) => out.iter_mut().zip(a.iter().zip(b)).for_each(|(y, (a, b))| *y = f(*a, *b)),
            }
        }
    }
}

/// Rows x channels in f32, clamped to the range, of an operation in `OPS`.
pub fn binary_f32<const OPS: u128>(op: BinaryOp, x: [&Rows<f32>; 2], y: &mut RowsMut<f32>, block: Block, range: [f32; 2]) {
    let has = |op: BinaryOp| OPS & op.bit() != 0;
    match op {
        BinaryOp::Add if has(BinaryOp::Add) => add_f32(x, y, block, range),
        BinaryOp::Sub if has(BinaryOp::Sub) => sub_f32(x, y, block, range),
        BinaryOp::Mul if has(BinaryOp::Mul) => mul_f32(x, y, block, range),
        BinaryOp::Div if has(BinaryOp::Div) => div_f32(x, y, block, range),
        // Not compiled in.
        BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul | BinaryOp::Div => {}
    }
}

fn add_f32(x: [&Rows<f32>; 2], y: &mut RowsMut<f32>, block: Block, [lo, hi]: [f32; 2]) {
    zip(x, y, block, |a, b| clamp_f32(a + b, lo, hi));
}

fn sub_f32(x: [&Rows<f32>; 2], y: &mut RowsMut<f32>, block: Block, [lo, hi]: [f32; 2]) {
    zip(x, y, block, |a, b| clamp_f32(a - b, lo, hi));
}

fn mul_f32(x: [&Rows<f32>; 2], y: &mut RowsMut<f32>, block: Block, [lo, hi]: [f32; 2]) {
    zip(x, y, block, |a, b| clamp_f32(a * b, lo, hi));
}

fn div_f32(x: [&Rows<f32>; 2], y: &mut RowsMut<f32>, block: Block, [lo, hi]: [f32; 2]) {
    zip(x, y, block, |a, b| clamp_f32(a / b, lo, hi));
}

/// How two int8 inputs become one output.
#[derive(Clone, Copy, Debug)]
pub struct BinaryQuant {
    /// Add and Sub: input scale / output scale of either input. Mul has the first alone: product of the input scales / output scale.
    /// Div: the input scales.
    pub multipliers: [f32; 2],
    /// Output scale, which Div alone looks at.
    pub scale: f32,
    /// Zero points of the inputs and the output.
    pub zeros: [i8; 3],
    /// Smallest and largest output.
    pub range: [i8; 2],
}

impl BinaryQuant {
    /// Inputs less their zero points.
    fn apart(&self, a: i8, b: i8) -> (i32, i32) {
        let [za, zb, _] = self.zeros;
        (a as i32 - za as i32, b as i32 - zb as i32)
    }

    /// Inputs times their multipliers.
    fn scaled(&self, a: i8, b: i8) -> (f32, f32) {
        let ((a, b), [ma, mb]) = (self.apart(a, b), self.multipliers);
        (a as f32 * ma, b as f32 * mb)
    }

    fn round(&self, real: f32) -> i8 {
        let ([_, _, zero], [lo, hi]) = (self.zeros, self.range);
        round_onto(real, zero, lo, hi)
    }
}

/// Rows x channels in int8, of an operation in `OPS`.
pub fn binary_i8<const OPS: u128>(op: BinaryOp, x: [&Rows<i8>; 2], y: &mut RowsMut<i8>, block: Block, quant: BinaryQuant) {
    let has = |op: BinaryOp| OPS & op.bit() != 0;
    match op {
        BinaryOp::Add if has(BinaryOp::Add) => add_i8(x, y, block, quant),
        BinaryOp::Sub if has(BinaryOp::Sub) => sub_i8(x, y, block, quant),
        BinaryOp::Mul if has(BinaryOp::Mul) => mul_i8(x, y, block, quant),
        BinaryOp::Div if has(BinaryOp::Div) => div_i8(x, y, block, quant),
        // Not compiled in.
        BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul | BinaryOp::Div => {}
    }
}

fn add_i8(x: [&Rows<i8>; 2], y: &mut RowsMut<i8>, block: Block, quant: BinaryQuant) {
    zip(x, y, block, |a, b| {
        let (a, b) = quant.scaled(a, b);
        quant.round(a + b)
    });
}

fn sub_i8(x: [&Rows<i8>; 2], y: &mut RowsMut<i8>, block: Block, quant: BinaryQuant) {
    zip(x, y, block, |a, b| {
        let (a, b) = quant.scaled(a, b);
        quant.round(a - b)
    });
}

fn mul_i8(x: [&Rows<i8>; 2], y: &mut RowsMut<i8>, block: Block, quant: BinaryQuant) {
    let ([_, _, zero], [lo, hi]) = (quant.zeros, quant.range);
    zip(x, y, block, |a, b| {
        let (a, b) = quant.apart(a, b);
        requantize(a * b, quant.multipliers[0], zero, lo, hi)
    });
}

fn div_i8(x: [&Rows<i8>; 2], y: &mut RowsMut<i8>, block: Block, quant: BinaryQuant) {
    zip(x, y, block, |a, b| {
        let (a, b) = quant.scaled(a, b);
        quant.round(a / b / quant.scale)
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::ALL_OPS;

    const ALL: [f32; 2] = [f32::NEG_INFINITY, f32::INFINITY];

    #[test]
    fn every_dimension_is_repeated_on_either_side() {
        // 1 x 2 x 1 and 2 x 1 x 2 make 2 x 2 x 2.
        let (a, b) = ([1.0, 2.0], [10.0, 20.0, 30.0, 40.0]);
        let (a, b) = (Rows::new(&a, 1, 1, 2, 1), Rows::new(&b, 2, 2, 1, 2));
        let block = Block { r0: 0, r1: 2, c0: 0, c1: 2 };
        let mut y = [0.0; 8];
        binary_f32::<ALL_OPS>(BinaryOp::Add, [&a, &b], &mut RowsMut::new(&mut y, 2, 2, 2), block, ALL);
        assert_eq!(y, [11.0, 21.0, 12.0, 22.0, 31.0, 41.0, 32.0, 42.0]);
        binary_f32::<ALL_OPS>(BinaryOp::Sub, [&b, &a], &mut RowsMut::new(&mut y, 2, 2, 2), block, [10.0, 38.5]);
        assert_eq!(y, [10.0, 19.0, 10.0, 18.0, 29.0, 38.5, 28.0, 38.0]);
        binary_f32::<ALL_OPS>(
            BinaryOp::Mul,
            [&a, &a],
            &mut RowsMut::new(&mut y, 2, 2, 2),
            Block { r0: 1, r1: 2, c0: 1, c1: 2 },
            ALL,
        );
        assert_eq!(y, [10.0, 19.0, 10.0, 18.0, 29.0, 1.0, 28.0, 4.0]);
        binary_f32::<ALL_OPS>(BinaryOp::Div, [&b, &a], &mut RowsMut::new(&mut y, 2, 2, 2), block, [6.0, 35.0]);
        assert_eq!(y, [10.0, 20.0, 6.0, 10.0, 30.0, 35.0, 15.0, 20.0]);
    }

    #[test]
    fn int8_divides_real_numbers_and_rounds_once() {
        // Twice 3, -3, 0, 3, -3, 0 over half of 4, 4, 4, 0, 0, 0; units of 0.4.
        let (a, b) = ([13i8, 7, 10, 13, 7, 10], [-1i8, -1, -1, -5, -5, -5]);
        let (a, b) = (Rows::new(&a, 1, 1, 1, 6), Rows::new(&b, 1, 1, 1, 6));
        let block = Block { r0: 0, r1: 1, c0: 0, c1: 6 };
        let mut y = [0; 6];
        let quant = BinaryQuant { multipliers: [2.0, 0.5], scale: 0.4, zeros: [10, -5, 1], range: [-100, 90] };
        binary_i8::<ALL_OPS>(BinaryOp::Div, [&a, &b], &mut RowsMut::new(&mut y, 1, 1, 6), block, quant);
        // 7.5 to 8 and -7.5 to -8, each plus 1; over 0 the ends.
        assert_eq!(y, [9, -7, 1, 90, -100, -100]);
    }

    #[test]
    fn int8_sums_before_it_rounds() {
        let (a, b) = ([5i8, 10, 127], [1i8, 3, -128]);
        let (a, b) = (Rows::new(&a, 1, 1, 1, 3), Rows::new(&b, 1, 1, 1, 3));
        let block = Block { r0: 0, r1: 1, c0: 0, c1: 3 };
        let run = |op, multipliers, range| {
            let mut y = [0; 3];
            let quant = BinaryQuant { multipliers, scale: 0.5, zeros: [4, 0, -2], range };
            binary_i8::<ALL_OPS>(op, [&a, &b], &mut RowsMut::new(&mut y, 1, 1, 3), block, quant);
            y
        };
        // (1, 6, 123) * 0.25 + (1, 3, -128) * 0.25 = 0.5 to 0, 2.25 to 2, -1.25 to -1; minus 2.
        assert_eq!(run(BinaryOp::Add, [0.25, 0.25], [-128, 127]), [-2, 0, -3]);
        // 0, 0.75 to 1, 62.75 to 63; minus 2.
        assert_eq!(run(BinaryOp::Sub, [0.25, 0.25], [-128, 50]), [-2, -1, 50]);
        // (1, 18, -15744) * 0.25.
        assert_eq!(run(BinaryOp::Mul, [0.25, f32::NAN], [-128, 127]), [-2, 2, -128]);
        assert_eq!(run(BinaryOp::Add, [f32::INFINITY, f32::INFINITY], [3, 4]), [4, 4, 3]);
    }
}
