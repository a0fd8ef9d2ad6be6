//! One kernel call: views of a step's bytes. The matches over operators are in [`super::int8`] and [`super::float`].

use crate::kernels::convert::Grid;
use crate::kernels::{BiasClamp, Requantize};
use crate::op::{Convert, OpCode};
use crate::record::{DType, Layer, Slot, TensorInfo};
use crate::validate::scratch_bytes;
use crate::view::{Block, Rows, RowsMut};
use bytemuck::Pod;

/// Everything a kernel call needs besides its buffers.
pub(super) struct Call {
    pub layer: Layer,
    /// First input, which a constant does not have.
    pub input: Option<(TensorInfo, Slot)>,
    /// Second input.
    pub input2: Option<(TensorInfo, Slot)>,
    pub y: TensorInfo,
    pub output: Slot,
    pub block: Block,
}

/// The buffers of a kernel call.
pub(super) struct Operands<'b> {
    /// `None` for an operator in place, and for a constant.
    pub x: Option<&'b [u8]>,
    pub x2: Option<&'b [u8]>,
    pub y: &'b mut [u8],
    pub scratch: &'b mut [u8],
    pub weights: &'b [u8],
}

/// The views do not fit, or the operator is not compiled in: cannot happen with an accepted artifact and a faithful weight source.
pub(super) struct Unfit;

/// The first `n` elements of `bytes`, and the rest.
fn split<T: Pod>(bytes: &[u8], n: usize) -> Result<(&[T], &[u8]), Unfit> {
    let (front, rest) = bytes.split_at_checked(n * size_of::<T>()).ok_or(Unfit)?;
    Ok((cast(front)?, rest))
}

pub(super) fn cast<T: Pod>(bytes: &[u8]) -> Result<&[T], Unfit> {
    bytemuck::try_cast_slice(bytes).map_err(|_| Unfit)
}

pub(super) fn cast_mut<T: Pod>(bytes: &mut [u8]) -> Result<&mut [T], Unfit> {
    bytemuck::try_cast_slice_mut(bytes).map_err(|_| Unfit)
}

/// A table of exactly `N` entries.
pub(super) fn table<T: Pod, const N: usize>(bytes: &[u8]) -> Result<&[T; N], Unfit> {
    cast(bytes)?.first_chunk().ok_or(Unfit)
}

pub(super) fn rows<'b, E: Pod>(operand: &Option<(TensorInfo, Slot)>, bytes: Option<&'b [u8]>) -> Result<Rows<'b, E>, Unfit> {
    let ((t, slot), bytes) = operand.as_ref().zip(bytes).ok_or(Unfit)?;
    Ok(Rows::new(cast(bytes)?, slot.rows as usize, t.height as usize, t.width as usize, t.channels as usize))
}

/// `Err` where the operator is not compiled in. `OPS` and the arguments being constants, the rest of its arm then vanishes.
#[inline(always)]
pub(super) const fn compiled<const OPS: u64>(code: OpCode, dtype: DType) -> Result<(), Unfit> {
    if OPS & code.bit(dtype) == 0 { Err(Unfit) } else { Ok(()) }
}

impl Call {
    /// Bytes of scratch.
    pub fn scratch_bytes(&self) -> usize {
        self.input.map_or(0, |(x, _)| scratch_bytes(&self.layer.op, &x, self.channels() as u64) as usize)
    }

    /// Runs the kernel.
    #[inline]
    pub fn run<const OPS: u64>(&self, operands: Operands) -> Result<(), Unfit> {
        // A constant has the type of its output.
        match self.input.map_or(self.y.dtype, |(x, _)| x.dtype) {
            DType::I8 => self.run_i8::<OPS>(operands),
            DType::F32 => self.run_f32::<OPS>(operands),
            DType::I32 => Err(Unfit),
        }
    }

    pub fn rows<'b, E: Pod>(&self, o: &Operands<'b>) -> Result<Rows<'b, E>, Unfit> {
        rows(&self.input, o.x)
    }

    /// The input, or `None` where the operator runs in place.
    pub fn rows_unless_in_place<'b, E: Pod>(&self, o: &Operands<'b>) -> Result<Option<Rows<'b, E>>, Unfit> {
        o.x.map(|_| self.rows(o)).transpose()
    }

    pub fn rows_mut<'b, E: Pod>(&self, bytes: &'b mut [u8]) -> Result<RowsMut<'b, E>, Unfit> {
        let t = &self.y;
        Ok(RowsMut::new(cast_mut(bytes)?, self.output.rows as usize, t.width as usize, t.channels as usize))
    }

    /// Output channels of the step.
    fn channels(&self) -> usize {
        self.block.c1 - self.block.c0
    }

    /// Zero point of the first input, 0 where there is none.
    pub fn zero_x(&self) -> i8 {
        self.input.map_or(0, |(x, _)| x.zero_point)
    }

    /// Biases, multipliers and weights of an int8 layer with weights.
    pub fn requantize<'w>(&self, weights: &'w [u8]) -> Result<(Requantize<'w>, &'w [i8]), Unfit> {
        let (bias, rest) = split(weights, self.channels())?;
        let (multiplier, rest) = split(rest, self.channels())?;
        let [lo, hi] = self.layer.range_i8;
        Ok((Requantize { bias, multiplier, zero_point: self.y.zero_point, lo, hi }, cast(rest)?))
    }

    /// Biases and weights of an f32 layer with weights.
    pub fn bias_clamp<'w>(&self, weights: &'w [u8]) -> Result<(BiasClamp<'w>, &'w [f32]), Unfit> {
        let (bias, rest) = split(weights, self.channels())?;
        let [lo, hi] = self.layer.range_f32;
        Ok((BiasClamp { bias, lo, hi }, cast(rest)?))
    }

    /// The grid of a conversion, `tensor` being the int8 side.
    pub fn grid<'w>(&self, attrs: &Convert, tensor: &TensorInfo, weights: &'w [u8]) -> Result<Grid<'w>, Unfit> {
        if !attrs.per_channel {
            return Ok(Grid::Tensor(tensor.scale, tensor.zero_point));
        }
        let (scale, zeros) = split(weights, self.channels())?;
        Ok(Grid::Channels(scale, cast(zeros)?))
    }
}
