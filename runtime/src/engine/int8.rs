//! The one match over operators, for int8 inputs.

use super::call::{Call, Operands, Unfit, cast, cast_mut, compiled, table};
use crate::kernels::{
    argmax, average_pool, binary, constant, conv, convert, linear, lp_pool, lrn, max_pool, pad, place, prelu, rearrange, relu,
    resize, softmax, unary,
};
use crate::op::{Op, OpCode};
use crate::record::DType;

impl Call<'_> {
    /// Runs the kernel of an operator on i8. Arms whose operator is not in `OPS` vanish from the binary.
    pub fn run_i8<const OPS: u128>(&self, o: Operands) -> Result<(), Unfit> {
        let (layer, block) = (&self.typed.layer, self.block);
        let (zero_x, zero_y) = (self.typed.x.zero_point, self.typed.y.zero_point);
        let has = |code| compiled::<OPS>(code, DType::I8);
        match &layer.op {
            Op::Conv2d(attrs) => {
                has(OpCode::Conv2d)?;
                let (quant, weights) = self.requantize(o.weights)?;
                let (x, mut y) = (self.rows(&o)?, self.rows_mut(o.y)?);
                let scratch = conv::Scratch::split(o.scratch, attrs, x.channels as u32, block.c1 - block.c0).ok_or(Unfit)?;
                let operands = conv::Operands { weights, pad: zero_x, scratch };
                conv::conv2d::<i8>(attrs, &x, &mut y, block, operands, |i, sums| quant.apply_all(i, sums));
            }
            Op::Linear => {
                has(OpCode::Linear)?;
                let (quant, weights) = self.requantize(o.weights)?;
                linear::linear::<i8>(self.rows(&o)?.all(), cast_mut(o.y)?, block, weights, |i, sum| quant.apply(i, sum));
            }
            Op::MaxPool(attrs) => {
                has(OpCode::MaxPool)?;
                max_pool::max_pool::<i8>(attrs, &self.rows(&o)?, &mut self.rows_mut(o.y)?, block, i8::MIN);
            }
            Op::Lrn(attrs) => {
                has(OpCode::Lrn)?;
                let (shift, multiplier) = (layer.table_shift as u32, layer.multiplier);
                let quant = lrn::LrnQuant { table: cast(o.weights)?, shift, multiplier, zero_x, zero_y };
                lrn::lrn_i8(attrs, &self.rows(&o)?, &mut self.rows_mut(o.y)?, block, quant);
            }
            Op::Relu => {
                has(OpCode::Relu)?;
                relu::relu::<i8>(self.rows_unless_in_place(&o)?.as_ref(), &mut self.rows_mut(o.y)?, block, zero_x);
            }
            Op::AveragePool(attrs) => {
                has(OpCode::AveragePool)?;
                let (multiplier, zeros, range) = (layer.multiplier, [zero_x, zero_y], layer.range_i8);
                let quant = average_pool::PoolQuant { multiplier, zeros, range };
                average_pool::average_pool_i8(attrs, &self.rows(&o)?, &mut self.rows_mut(o.y)?, block, quant);
            }
            Op::LpPool(attrs) => {
                has(OpCode::LpPool)?;
                let (multiplier, zeros, range) = (layer.multiplier, [zero_x, zero_y], layer.range_i8);
                let quant = average_pool::PoolQuant { multiplier, zeros, range };
                lp_pool::lp_pool_i8(attrs, &self.rows(&o)?, &mut self.rows_mut(o.y)?, block, quant);
            }
            Op::Unary(_) => {
                has(OpCode::Unary)?;
                let x = self.rows_unless_in_place(&o)?;
                unary::unary_i8(table(o.weights)?, x.as_ref(), &mut self.rows_mut(o.y)?, block);
            }
            Op::PRelu => {
                has(OpCode::PRelu)?;
                let (multiplier, positive, zeros) = (cast(o.weights)?, layer.multiplier, [zero_x, zero_y]);
                let quant = prelu::PReluQuant { multiplier, positive, zeros };
                prelu::prelu_i8(self.rows_unless_in_place(&o)?.as_ref(), &mut self.rows_mut(o.y)?, block, quant);
            }
            Op::Binary(op) => {
                has(OpCode::Binary)?;
                let zeros = [zero_x, self.typed.x2.zero_point, zero_y];
                let multipliers = [layer.multiplier, layer.multiplier2];
                let quant = binary::BinaryQuant { multipliers, scale: self.typed.y.scale, zeros, range: layer.range_i8 };
                let [x, x2] = &self.both(&o)?;
                binary::binary_i8::<OPS>(*op, [x, x2], &mut self.rows_mut(o.y)?, block, quant);
            }
            Op::Constant => {
                has(OpCode::Constant)?;
                constant::constant::<i8>(&mut self.rows_mut(o.y)?, block, cast(o.weights)?);
            }
            Op::Rearrange(attrs) => {
                has(OpCode::Rearrange)?;
                // In place nothing moves.
                if let Some(x) = self.rows_unless_in_place(&o)? {
                    rearrange::rearrange::<i8>(attrs, &x, &mut self.rows_mut(o.y)?, block);
                }
            }
            Op::Pad(attrs) => {
                has(OpCode::Pad)?;
                pad::pad::<i8>(attrs, &self.rows(&o)?, &mut self.rows_mut(o.y)?, block, attrs.value_i8);
            }
            Op::Place(attrs) => {
                has(OpCode::Place)?;
                let (x, mut y) = (self.rows(&o)?, self.rows_mut(o.y)?);
                if attrs.table {
                    place::place_table(attrs, &x, &mut y, block, table(o.weights)?);
                } else {
                    place::place::<i8>(attrs, &x, &mut y, block);
                }
            }
            Op::Resize => {
                has(OpCode::Resize)?;
                resize::resize_i8(cast(o.weights)?, &self.rows(&o)?, &mut self.rows_mut(o.y)?, block);
            }
            Op::Softmax => {
                has(OpCode::Softmax)?;
                let grid = (self.typed.y.scale, zero_y);
                softmax::softmax_i8(&self.rows(&o)?, &mut self.rows_mut(o.y)?, block, table(o.weights)?, grid);
            }
            Op::ArgMax { last } => {
                has(OpCode::ArgMax)?;
                argmax::argmax::<i8>(*last, &self.rows(&o)?, &mut self.rows_mut(o.y)?, block);
            }
            Op::Convert(attrs) => {
                has(OpCode::Convert)?;
                let grid = self.grid(attrs, &self.typed.x, o.weights)?;
                convert::to_f32(&self.rows(&o)?, &mut self.rows_mut(o.y)?, block, grid);
            }
        }
        Ok(())
    }
}
