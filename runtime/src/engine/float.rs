//! The one match over operators, for f32 inputs.

use super::call::{Call, Operands, Unfit, cast, cast_mut, compiled};
use crate::kernels::{
    argmax, average_pool, binary, constant, conv, convert, linear, lp_pool, lrn, max_pool, pad, place, prelu, rearrange, relu,
    resize, softmax, unary,
};
use crate::op::{Op, OpCode};
use crate::record::DType;

impl Call<'_> {
    /// Runs the kernel of an operator on f32. Arms whose operator is not in `OPS` vanish from the binary.
    pub fn run_f32<const OPS: u128>(&self, o: Operands) -> Result<(), Unfit> {
        let (layer, block) = (&self.typed.layer, self.block);
        let has = |code| compiled::<OPS>(code, DType::F32);
        match &layer.op {
            Op::Conv2d(attrs) => {
                has(OpCode::Conv2d)?;
                let (bias, weights) = self.bias_clamp(o.weights)?;
                let (x, mut y) = (self.rows(&o)?, self.rows_mut(o.y)?);
                let scratch = conv::Scratch::split(o.scratch, attrs, x.channels as u32, block.c1 - block.c0).ok_or(Unfit)?;
                let operands = conv::Operands { weights, pad: 0.0, scratch };
                conv::conv2d::<f32>(attrs, &x, &mut y, block, operands, |i, sums| bias.apply_all(i, sums));
            }
            Op::Linear => {
                has(OpCode::Linear)?;
                let (bias, weights) = self.bias_clamp(o.weights)?;
                linear::linear::<f32>(self.rows(&o)?.all(), cast_mut(o.y)?, block, weights, |i, sum| bias.apply(i, sum));
            }
            Op::MaxPool(attrs) => {
                has(OpCode::MaxPool)?;
                max_pool::max_pool::<f32>(attrs, &self.rows(&o)?, &mut self.rows_mut(o.y)?, block, f32::NEG_INFINITY);
            }
            Op::Lrn(attrs) => {
                has(OpCode::Lrn)?;
                lrn::lrn_f32(attrs, &self.rows(&o)?, &mut self.rows_mut(o.y)?, block);
            }
            Op::Relu => {
                has(OpCode::Relu)?;
                relu::relu::<f32>(self.rows_unless_in_place(&o)?.as_ref(), &mut self.rows_mut(o.y)?, block, 0.0);
            }
            Op::AveragePool(attrs) => {
                has(OpCode::AveragePool)?;
                average_pool::average_pool_f32(attrs, &self.rows(&o)?, &mut self.rows_mut(o.y)?, block, layer.range_f32);
            }
            Op::LpPool(attrs) => {
                has(OpCode::LpPool)?;
                lp_pool::lp_pool_f32(attrs, &self.rows(&o)?, &mut self.rows_mut(o.y)?, block, layer.range_f32);
            }
            Op::Unary(function) => {
                has(OpCode::Unary)?;
                unary::unary_f32::<OPS>(function, self.rows_unless_in_place(&o)?.as_ref(), &mut self.rows_mut(o.y)?, block);
            }
            Op::PRelu => {
                has(OpCode::PRelu)?;
                let (x, slope) = (self.rows_unless_in_place(&o)?, cast(o.weights)?);
                prelu::prelu_f32(x.as_ref(), &mut self.rows_mut(o.y)?, block, slope);
            }
            Op::Binary(op) => {
                has(OpCode::Binary)?;
                let [x, x2] = &self.both(&o)?;
                binary::binary_f32::<OPS>(*op, [x, x2], &mut self.rows_mut(o.y)?, block, layer.range_f32);
            }
            Op::Constant => {
                has(OpCode::Constant)?;
                constant::constant::<f32>(&mut self.rows_mut(o.y)?, block, cast(o.weights)?);
            }
            Op::Rearrange(attrs) => {
                has(OpCode::Rearrange)?;
                // In place nothing moves.
                if let Some(x) = self.rows_unless_in_place(&o)? {
                    rearrange::rearrange::<f32>(attrs, &x, &mut self.rows_mut(o.y)?, block);
                }
            }
            Op::Pad(attrs) => {
                has(OpCode::Pad)?;
                pad::pad::<f32>(attrs, &self.rows(&o)?, &mut self.rows_mut(o.y)?, block, attrs.value);
            }
            Op::Place(attrs) => {
                has(OpCode::Place)?;
                place::place::<f32>(attrs, &self.rows(&o)?, &mut self.rows_mut(o.y)?, block);
            }
            Op::Resize => {
                has(OpCode::Resize)?;
                resize::resize_f32(cast(o.weights)?, &self.rows(&o)?, &mut self.rows_mut(o.y)?, block);
            }
            Op::Softmax => {
                has(OpCode::Softmax)?;
                softmax::softmax_f32(&self.rows(&o)?, &mut self.rows_mut(o.y)?, block);
            }
            Op::ArgMax { last } => {
                has(OpCode::ArgMax)?;
                argmax::argmax::<f32>(*last, &self.rows(&o)?, &mut self.rows_mut(o.y)?, block);
            }
            Op::Convert(attrs) => {
                has(OpCode::Convert)?;
                let grid = self.grid(attrs, &self.typed.y, o.weights)?;
                convert::to_i8(&self.rows(&o)?, &mut self.rows_mut(o.y)?, block, grid);
            }
        }
        Ok(())
    }
}
