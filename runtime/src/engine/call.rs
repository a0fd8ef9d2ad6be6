//! One kernel call: views of a step's bytes. The matches over operators are in [`super::int8`] and [`super::float`].

use crate::artifact::Artifact;
use crate::kernels::convert::Grid;
use crate::kernels::{BiasClamp, Requantize};
use crate::op::{Convert, OpCode};
use crate::record::{DType, NONE16, Slot, Step, TensorInfo};
use crate::step::Typed;
use crate::view::{Block, Held, Rows, RowsMut};
use bytemuck::Pod;
use core::ops::Range;

/// Where a step finds an operand.
#[derive(Clone, Debug)]
pub(super) struct Operand {
    pub held: Held,
    /// In RAM.
    pub bytes: Range<usize>,
}

impl Operand {
    /// Rows `[first, end)` of a slot.
    pub fn new(tensor: &TensorInfo, slot: Slot, rows: (u32, u32)) -> Self {
        let span = slot.span(tensor, rows);
        let (first, end) = if slot.has_all_rows(tensor) { rows } else { (0, slot.rows) };
        let (first_row, rows) = (first as usize, (end - first) as usize);
        let held = Held { first_row, rows, c0: slot.c0 as usize, channels: slot.channels as usize };
        Operand { held, bytes: span.0 as usize..span.1 as usize }
    }
}

/// Everything a kernel call needs besides its buffers.
pub(super) struct Call<'t> {
    /// Not its own: moved, it would lie on the stack twice.
    pub typed: &'t Typed,
    /// First input, which a constant and an operator in place do not have.
    pub x: Option<Operand>,
    /// Second input.
    pub x2: Option<Operand>,
    pub y: Operand,
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

/// The views do not fit, or the operator is not compiled in: cannot happen with an accepted artifact and a faithful weight
/// source.
pub(super) struct Unfit;

/// The first `n` elements of `bytes`, and the rest.
fn split<T: Pod>(bytes: &[u8], n: usize) -> Result<(&[T], &[u8]), Unfit> {
    let (front, rest) = bytes.split_at_checked(n * size_of::<T>()).ok_or(Unfit)?;
    Ok((cast(front)?, rest))
}

pub(super) fn cast<T: Pod>(bytes: &[u8]) -> Result<&[T], Unfit> {
    // Nothing may lie anywhere.
    if bytes.is_empty() {
        return Ok(&[]);
    }
    bytemuck::try_cast_slice(bytes).map_err(|_| Unfit)
}

pub(super) fn cast_mut<T: Pod>(bytes: &mut [u8]) -> Result<&mut [T], Unfit> {
    bytemuck::try_cast_slice_mut(bytes).map_err(|_| Unfit)
}

/// A table of exactly `N` entries.
pub(super) fn table<T: Pod, const N: usize>(bytes: &[u8]) -> Result<&[T; N], Unfit> {
    cast(bytes)?.first_chunk().ok_or(Unfit)
}

fn rows<'b, E: Pod>(t: &TensorInfo, operand: &Option<Operand>, bytes: Option<&'b [u8]>) -> Result<Rows<'b, E>, Unfit> {
    let (operand, bytes) = operand.as_ref().zip(bytes).ok_or(Unfit)?;
    Ok(Rows::part(cast(bytes)?, operand.held, [t.height as usize, t.width as usize, t.channels as usize]))
}

/// `Err` where the operator is not compiled in. `OPS` and the arguments being constants, the rest of its arm then vanishes.
#[inline(always)]
pub(super) const fn compiled<const OPS: u128>(code: OpCode, dtype: DType) -> Result<(), Unfit> {
    if OPS & code.bit(dtype) == 0 { Err(Unfit) } else { Ok(()) }
}

impl<'t> Call<'t> {
    /// A step's slots, looked up. `None` where they do not belong to its layer.
    pub fn new<const OPS: u128>(a: &Artifact, typed: &'t Typed, step: Step) -> Option<Self> {
        let rows = (step.r0 as u32, step.r1 as u32);
        let output = a.slot(step.output as usize)?;
        let x = match typed.layer.input {
            NONE16 => None,
            _ => Some(a.slot(step.input as usize)?).filter(|input| !typed.in_place(input, &output)),
        };
        let x2 = match typed.layer.input2 {
            NONE16 => None,
            _ => Some(a.slot(step.input2 as usize)?),
        };
        Some(Call {
            typed,
            x: x.map(|slot| Operand::new(&typed.x, slot, typed.input_rows::<OPS>(rows))),
            x2: x2.map(|slot| Operand::new(&typed.x2, slot, typed.input2_rows(rows))),
            y: Operand::new(&typed.y, output, rows),
            block: Block { r0: step.r0 as usize, r1: step.r1 as usize, c0: step.c0 as usize, c1: step.c1 as usize },
        })
    }

    /// Bytes of scratch.
    pub fn scratch_bytes<const OPS: u128>(&self) -> usize {
        self.typed.scratch_bytes::<OPS>(self.channels() as u64) as usize
    }

    /// Runs the kernel.
    #[inline]
    pub fn run<const OPS: u128>(&self, operands: Operands) -> Result<(), Unfit> {
        match self.typed.x.dtype {
            DType::I8 => self.run_i8::<OPS>(operands),
            DType::F32 => self.run_f32::<OPS>(operands),
            DType::I32 => Err(Unfit),
        }
    }

    pub fn rows<'b, E: Pod>(&self, o: &Operands<'b>) -> Result<Rows<'b, E>, Unfit> {
        rows(&self.typed.x, &self.x, o.x)
    }

    /// Both inputs.
    pub fn both<'b, E: Pod>(&self, o: &Operands<'b>) -> Result<[Rows<'b, E>; 2], Unfit> {
        Ok([self.rows(o)?, rows(&self.typed.x2, &self.x2, o.x2)?])
    }

    /// The input, or `None` where the operator runs in place.
    pub fn rows_unless_in_place<'b, E: Pod>(&self, o: &Operands<'b>) -> Result<Option<Rows<'b, E>>, Unfit> {
        o.x.map(|_| self.rows(o)).transpose()
    }

    pub fn rows_mut<'b, E: Pod>(&self, bytes: &'b mut [u8]) -> Result<RowsMut<'b, E>, Unfit> {
        let t = &self.typed.y;
        Ok(RowsMut::part(cast_mut(bytes)?, self.y.held, [t.width as usize, t.channels as usize]))
    }

    /// Output channels of the step.
    fn channels(&self) -> usize {
        self.block.c1 - self.block.c0
    }

    /// Biases, multipliers and weights of an int8 layer with weights.
    pub fn requantize<'w>(&self, weights: &'w [u8]) -> Result<(Requantize<'w>, &'w [i8]), Unfit> {
        let (bias, rest) = split(weights, self.channels())?;
        let (multiplier, rest) = split(rest, self.channels())?;
        let [lo, hi] = self.typed.layer.range_i8;
        Ok((Requantize { bias, multiplier, zero_point: self.typed.y.zero_point, lo, hi }, cast(rest)?))
    }

    /// Biases and weights of an f32 layer with weights.
    pub fn bias_clamp<'w>(&self, weights: &'w [u8]) -> Result<(BiasClamp<'w>, &'w [f32]), Unfit> {
        let (bias, rest) = split(weights, self.channels())?;
        let [lo, hi] = self.typed.layer.range_f32;
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
