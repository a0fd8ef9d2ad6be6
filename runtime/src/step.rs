//! What a step needs: rows of its inputs, scratch, weights. Validation, engine, planner and exporter all ask here.
//!
//! Each need is a function of its own, computed where it is asked for: the engine asks for rows and scratch, once a step. Generic
//! over the operator mask, what only operators outside `OPS` need is not compiled in.

use crate::kernels::{conv, lrn, pad, rearrange, resize, softmax};
use crate::op::{OpCode, RowsRead, Weights};
use crate::record::{DType, Layer, Slot, TensorInfo};

/// A layer with its tensors. Where it has no first input its output stands in for it, and where it has no second the first does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Typed {
    /// The layer.
    pub layer: Layer,
    /// First input.
    pub x: TensorInfo,
    /// Second input.
    pub x2: TensorInfo,
    /// Output.
    pub y: TensorInfo,
}

/// Whether an operator is compiled in, for either type of element.
const fn compiled<const OPS: u128>(code: OpCode) -> bool {
    OPS & (code.bit(DType::I8) | code.bit(DType::F32)) != 0
}

/// Bytes of a table with a byte for each of the 256 values.
const BYTE_TABLE: u64 = 256;

impl Typed {
    /// Rows `[first, end)` of the first input that output rows `[r0, r1)` read; none for an operator that is not in `OPS`.
    // Called from several places: a firmware has it once.
    #[inline(never)]
    pub const fn input_rows<const OPS: u128>(&self, rows: (u32, u32)) -> (u32, u32) {
        self.input_rows_by::<OPS>(self.layer.op.facts().rows, rows)
    }

    /// [`Typed::input_rows`] by the operator's fact, for who has it already: while compiling a firmware each asking costs.
    #[inline(always)]
    pub(crate) const fn input_rows_by<const OPS: u128>(&self, read: RowsRead<'_>, (r0, r1): (u32, u32)) -> (u32, u32) {
        let x = &self.x;
        match read {
            RowsRead::None => (0, 0),
            RowsRead::Same => (r0, r1),
            RowsRead::Window(window) => window.input_rows(r0, r1, x.height),
            RowsRead::Repeated => repeated_rows(x, r0, r1),
            RowsRead::All => (0, x.height),
            // Long divisions, which a firmware without these operators does without.
            RowsRead::Walk(_) if !compiled::<OPS>(OpCode::Rearrange) => (0, 0),
            RowsRead::Padded(_) if !compiled::<OPS>(OpCode::Pad) => (0, 0),
            RowsRead::Walk(walk) => rearrange::input_rows(walk, x.height, x.width as u64 * x.channels as u64, r0, r1),
            RowsRead::Padded(pad) => pad::input_rows(pad, x.height, r0, r1),
            RowsRead::Part(place) => (r0 - place.offset[0] as u32, r1 - place.offset[0] as u32),
        }
    }

    /// The same for the second input.
    pub const fn input2_rows(&self, (r0, r1): (u32, u32)) -> (u32, u32) {
        repeated_rows(&self.x2, r0, r1)
    }

    /// Rows and channels `[first, end)` of its output that the layer makes: all of them, or a concatenation's part.
    pub const fn made(&self) -> ((u32, u32), (u32, u32)) {
        self.made_by(self.layer.op.facts().part_from())
    }

    /// [`Typed::made`] by the operator's fact.
    #[inline(always)]
    pub(crate) const fn made_by(&self, part_from: Option<[u16; 3]>) -> ((u32, u32), (u32, u32)) {
        match part_from {
            Some([top, _, front]) => {
                let (top, front) = (top as u32, front as u32);
                ((top, top + self.x.height), (front, front + self.x.channels))
            }
            None => ((0, self.y.height), (0, self.y.channels)),
        }
    }

    /// Bytes of scratch that a step over so many output channels uses.
    pub const fn scratch_bytes<const OPS: u128>(&self, channels: u64) -> u64 {
        self.scratch_bytes_by::<OPS>(self.layer.op.facts().weights, channels)
    }

    /// [`Typed::scratch_bytes`] by the operator's fact.
    #[inline(always)]
    pub(crate) const fn scratch_bytes_by<const OPS: u128>(&self, weights: Weights<'_>, channels: u64) -> u64 {
        match weights {
            Weights::Filters(_) if !compiled::<OPS>(OpCode::Conv2d) => 0,
            Weights::Filters(conv) => conv::scratch_len(conv, self.x.channels, channels, self.x.dtype.bytes()),
            Weights::None | Weights::Dense | Weights::Factors(_) | Weights::Table | Weights::Exponentials => 0,
            Weights::Slopes | Weights::Elements | Weights::Taps | Weights::Grids => 0,
        }
    }

    /// Bytes of weights that a step over so many output rows and channels needs, in the order that [`crate::engine`] and
    /// [`Op`](crate::op::Op) give.
    pub const fn chunk_bytes<const OPS: u128>(&self, rows: u64, channels: u64) -> u64 {
        self.chunk_bytes_by::<OPS>(self.layer.op.facts().weights, rows, channels)
    }

    /// [`Typed::chunk_bytes`] by the operator's fact.
    #[inline(always)]
    pub(crate) const fn chunk_bytes_by<const OPS: u128>(&self, weights: Weights<'_>, rows: u64, channels: u64) -> u64 {
        let (x, y) = (&self.x, &self.y);
        // A bias, and in int8 a multiplier.
        let ends = if x.dtype.is_i8() { 8 } else { 4 };
        match weights {
            Weights::None => 0,
            Weights::Filters(_) if !compiled::<OPS>(OpCode::Conv2d) => 0,
            Weights::Filters(_) | Weights::Dense => channels * (ends + self.taps() * x.dtype.bytes()),
            Weights::Factors(_) | Weights::Table | Weights::Exponentials if !x.dtype.is_i8() => 0,
            Weights::Factors(lrn) => 4 * lrn::table_len(lrn.size, x.channels, self.layer.table_shift as u32),
            Weights::Table => BYTE_TABLE,
            Weights::Exponentials => 4 * softmax::TABLE_LEN as u64,
            Weights::Slopes => 4 * channels,
            Weights::Elements => rows * y.width as u64 * channels * y.dtype.bytes(),
            Weights::Taps => resize::TAPS_LEN as u64 * (rows + y.width as u64),
            Weights::Grids => 8 * channels,
        }
    }

    /// Whether the output lies exactly where the first input does, element for element, and the operator may do that.
    pub(crate) const fn in_place(&self, input: &Slot, output: &Slot) -> bool {
        let (x, y) = (&self.x, &self.y);
        let same_rows = input.rows == output.rows && input.row_bytes(x) == output.row_bytes(y) && input.c0 == output.c0;
        let both_whole = input.has_all_rows(x) && output.has_all_rows(y);
        let all_channels = input.has_all_channels(x) && output.has_all_channels(y);
        self.layer.op.runs_in_place() && input.offset == output.offset && (same_rows || (both_whole && all_channels))
    }

    /// Products that are summed for an element of the output; 0 for an operator without weights for each of them.
    pub const fn taps(&self) -> u64 {
        match self.layer.op.facts().weights {
            Weights::Filters(conv) => conv::taps(conv, self.x.channels),
            Weights::Dense => self.x.elements(),
            Weights::None | Weights::Factors(_) | Weights::Table | Weights::Exponentials | Weights::Slopes => 0,
            Weights::Elements | Weights::Taps | Weights::Grids => 0,
        }
    }
}

/// Rows of an input that output rows `[r0, r1)` read where its only row is repeated.
const fn repeated_rows(x: &TensorInfo, r0: u32, r1: u32) -> (u32, u32) {
    if x.height == 1 { (0, 1) } else { (r0, r1) }
}
