//! What a layer's operator asks of its tensors, and of the steps that run it.

use super::{Artifact, ArtifactError, Kind};
use crate::kernels::{conv, lrn, pad, rearrange, resize, softmax};
use crate::op::{Op, OpCode, Rearrange, Window};
use crate::record::{DType, Layer, NONE16, TensorInfo};

/// A layer with its tensors. Where it has no first input its output stands in for it, and where it has no second the first does.
pub(crate) struct Typed {
    pub layer: Layer,
    pub x: TensorInfo,
    pub x2: TensorInfo,
    pub y: TensorInfo,
}

/// Number of inputs of an operator.
const fn inputs(op: &Op) -> usize {
    match op {
        Op::Constant => 0,
        Op::Binary(_) => 2,
        Op::Conv2d(_) | Op::Linear | Op::MaxPool(_) | Op::Lrn(_) | Op::Relu | Op::AveragePool(_) | Op::Unary(_) => 1,
        Op::PRelu | Op::Rearrange(_) | Op::Pad(_) | Op::Place(_) | Op::Resize | Op::Softmax => 1,
        Op::ArgMax { .. } | Op::Convert(_) => 1,
    }
}

/// A layer and its tensors, as many as its operator has.
pub(crate) const fn typed_layer(a: &Artifact, i: usize) -> Result<Typed, ArtifactError> {
    let at = a.layer_offset(i);
    let layer = found!(a.layer(i), Ops, at);
    let n = inputs(&layer.op);
    ensure!((layer.input == NONE16) == (n < 1) && (layer.input2 == NONE16) == (n < 2), Index, at);
    let y = found!(a.tensor(layer.output as usize), Index, at);
    let x = if n < 1 { y } else { found!(a.tensor(layer.input as usize), Index, at) };
    let x2 = if n < 2 { x } else { found!(a.tensor(layer.input2 as usize), Index, at) };
    Ok(Typed { layer, x, x2, y })
}

pub(super) const fn layer(t: &Typed, at: usize) -> Result<(), ArtifactError> {
    let (x, x2, y) = (&t.x, &t.x2, &t.y);
    ensure!(types_fit(&t.layer.op, x.dtype, x2.dtype, y.dtype), Type, at);
    let same_pixels = x.height == y.height && x.width == y.width;
    let same = same_pixels && x.channels == y.channels;
    match &t.layer.op {
        Op::Conv2d(conv) => {
            let groups = conv.groups as u32;
            ensure!(groups >= 1 && x.channels % groups == 0 && y.channels % groups == 0, Attribute, at);
            ensure!(window_fits(&conv.window, x, y), Shape, at);
        }
        Op::Linear => ensure!(y.height == 1 && y.width == 1, Shape, at),
        Op::MaxPool(pool) => ensure!(x.channels == y.channels && window_fits(&pool.window, x, y), Shape, at),
        Op::Lrn(lrn) => {
            ensure!(same, Shape, at);
            ensure!(lrn.size >= 1 && t.layer.table_shift <= 24, Attribute, at);
        }
        Op::AveragePool(pool) => {
            ensure!(x.channels == y.channels && window_fits(&pool.window, x, y), Shape, at);
            let (counted, pads) = (&pool.counted, &pool.window.pads);
            let vertical = counted[0] <= pads[0] && counted[2] <= pads[2];
            ensure!(vertical && counted[1] <= pads[1] && counted[3] <= pads[3], Attribute, at);
        }
        Op::Relu | Op::Unary(_) | Op::PRelu | Op::Softmax | Op::Convert(_) => ensure!(same, Shape, at),
        Op::Binary(_) => ensure!(repeats(x, y) && repeats(x2, y), Shape, at),
        Op::Constant => {}
        Op::Rearrange(attrs) => ensure!(walk_fits(attrs, x, y), Shape, at),
        Op::Pad(pad) => ensure!(part_fits(&pad.before, x, y), Shape, at),
        Op::Place(place) => {
            ensure!(part_fits(&place.offset, x, y), Shape, at);
            ensure!(!place.table || matches!(x.dtype, DType::I8), Attribute, at);
        }
        Op::Resize => ensure!(x.channels == y.channels, Shape, at),
        Op::ArgMax { .. } => ensure!(same_pixels && y.channels == 1, Shape, at),
    }
    Ok(())
}

/// Indices come out of ArgMax alone and go nowhere; a conversion changes the type; all others keep it.
const fn types_fit(op: &Op, x: DType, x2: DType, y: DType) -> bool {
    match op {
        Op::ArgMax { .. } => !matches!(x, DType::I32) && matches!(y, DType::I32),
        Op::Convert(_) => matches!((x, y), (DType::I8, DType::F32) | (DType::F32, DType::I8)),
        Op::Conv2d(_)
        | Op::Linear
        | Op::MaxPool(_)
        | Op::Lrn(_)
        | Op::Relu
        | Op::AveragePool(_)
        | Op::Unary(_)
        | Op::PRelu
        | Op::Binary(_)
        | Op::Constant
        | Op::Rearrange(_)
        | Op::Pad(_)
        | Op::Place(_)
        | Op::Resize
        | Op::Softmax => {
            matches!((x, x2, y), (DType::I8, DType::I8, DType::I8) | (DType::F32, DType::F32, DType::F32))
        }
    }
}

const fn window_fits(window: &Window, x: &TensorInfo, y: &TensorInfo) -> bool {
    match (window.output_len(0, x.height), window.output_len(1, x.width)) {
        (Some(h), Some(w)) => h == y.height && w == y.width,
        _ => false,
    }
}

/// Each dimension of `x` is that of `y`, or 1.
const fn repeats(x: &TensorInfo, y: &TensorInfo) -> bool {
    let (height, width) = (x.height == y.height || x.height == 1, x.width == y.width || x.width == 1);
    height && width && (x.channels == y.channels || x.channels == 1)
}

/// `x` lies in `y` behind so many rows, pixels and channels.
const fn part_fits(before: &[u16; 3], x: &TensorInfo, y: &TensorInfo) -> bool {
    let (rows, pixels) = (before[0] as u32 + x.height <= y.height, before[1] as u32 + x.width <= y.width);
    rows && pixels && before[2] as u32 + x.channels <= y.channels
}

/// Every row of the output is cut as a whole, and every element of every row comes from inside the input.
const fn walk_fits(attrs: &Rearrange, x: &TensorInfo, y: &TensorInfo) -> bool {
    let size = &attrs.size;
    let product = size[0] as u64 * size[1] as u64 * size[2] as u64 * size[3] as u64;
    // Equal to a row's length, so no size is 0.
    if product != y.width as u64 * y.channels as u64 {
        return false;
    }
    let (low, high) = rearrange::span(attrs);
    let last_row = (y.height as i64 - 1) * attrs.row as i64;
    let (low, high) = if last_row < 0 { (low + last_row, high) } else { (low, high + last_row) };
    low >= 0 && (high as u64) < x.elements()
}

impl Typed {
    /// Rows `[first, end)` of the first input that output rows `[r0, r1)` read; none for an operator that is not in `OPS`.
    pub const fn input_rows<const OPS: u64>(&self, (r0, r1): (u32, u32)) -> (u32, u32) {
        let x = &self.x;
        match &self.layer.op {
            Op::Conv2d(conv) => conv.window.input_rows(r0, r1, x.height),
            Op::MaxPool(pool) => pool.window.input_rows(r0, r1, x.height),
            Op::AveragePool(pool) => pool.window.input_rows(r0, r1, x.height),
            // A fully connected layer reads its input as one run of elements, a resize wherever its taps say.
            Op::Linear | Op::Resize => (0, x.height),
            // Long divisions, which a firmware without these operators does without.
            Op::Rearrange(_) if !compiled::<OPS>(OpCode::Rearrange) => (0, 0),
            Op::Pad(_) if !compiled::<OPS>(OpCode::Pad) => (0, 0),
            Op::Rearrange(attrs) => rearrange::input_rows(attrs, x.height, x.width as u64 * x.channels as u64, r0, r1),
            Op::Pad(attrs) => pad::input_rows(attrs, x.height, r0, r1),
            Op::Place(attrs) => (r0 - attrs.offset[0] as u32, r1 - attrs.offset[0] as u32),
            Op::Binary(_) => repeated_rows(x, r0, r1),
            Op::Lrn(_) | Op::Relu | Op::Unary(_) | Op::PRelu | Op::Softmax | Op::ArgMax { .. } | Op::Convert(_) => (r0, r1),
            Op::Constant => (0, 0),
        }
    }

    /// The same for the second input.
    pub const fn input2_rows(&self, (r0, r1): (u32, u32)) -> (u32, u32) {
        repeated_rows(&self.x2, r0, r1)
    }
}

/// Rows of an input that output rows `[r0, r1)` read; either input of a layer with two.
pub(crate) const fn input_rows(layer: &Layer, input: &TensorInfo, rows: (u32, u32)) -> (u32, u32) {
    Typed { layer: *layer, x: *input, x2: *input, y: *input }.input_rows::<{ u64::MAX }>(rows)
}

const fn repeated_rows(x: &TensorInfo, r0: u32, r1: u32) -> (u32, u32) {
    if x.height == 1 { (0, 1) } else { (r0, r1) }
}

const fn compiled<const OPS: u64>(code: OpCode) -> bool {
    OPS & (code.bit(DType::I8) | code.bit(DType::F32)) != 0
}

/// Bytes of scratch that a step over so many output channels of this layer uses.
pub(crate) const fn scratch_bytes(op: &Op, x: &TensorInfo, channels: u64) -> u64 {
    match op {
        Op::Conv2d(conv) => conv::scratch_len(conv, x.channels, channels, x.dtype.bytes()),
        Op::Linear | Op::MaxPool(_) | Op::Lrn(_) | Op::Relu | Op::AveragePool(_) | Op::Unary(_) | Op::PRelu => 0,
        Op::Binary(_) | Op::Constant | Op::Rearrange(_) | Op::Pad(_) | Op::Place(_) | Op::Resize | Op::Softmax => 0,
        Op::ArgMax { .. } | Op::Convert(_) => 0,
    }
}

/// Bytes of a table with a byte for each of the 256 values.
const BYTE_TABLE: u64 = 256;

/// Bytes of weights that a step over `rows` output rows x `channels` output channels needs, in the order that [`crate::engine`]
/// and [`Op`] give.
pub(crate) const fn chunk_bytes(layer: &Layer, x: &TensorInfo, y: &TensorInfo, rows: u64, channels: u64) -> u64 {
    let quantized = matches!(x.dtype, DType::I8);
    // Bias, and in int8 the multiplier.
    let per_channel = if quantized { 8 } else { 4 };
    match &layer.op {
        Op::Conv2d(conv) => channels * (per_channel + conv::taps(conv, x.channels) * x.dtype.bytes()),
        Op::Linear => channels * (per_channel + x.elements() * x.dtype.bytes()),
        Op::Lrn(attrs) if quantized => 4 * lrn::table_len(attrs.size, x.channels, layer.table_shift as u32),
        Op::Unary(_) if quantized => BYTE_TABLE,
        Op::PRelu => 4 * channels,
        Op::Constant => rows * y.width as u64 * channels * y.dtype.bytes(),
        Op::Place(place) if place.table => BYTE_TABLE,
        Op::Resize => resize::TAPS_LEN as u64 * (rows + y.width as u64),
        Op::Softmax if quantized => 4 * softmax::TABLE_LEN as u64,
        Op::Convert(convert) if convert.per_channel => 8 * channels,
        Op::Lrn(_) | Op::Unary(_) | Op::Place(_) | Op::Softmax | Op::Convert(_) => 0,
        Op::MaxPool(_) | Op::Relu | Op::AveragePool(_) | Op::Binary(_) | Op::Rearrange(_) | Op::Pad(_) | Op::ArgMax { .. } => 0,
    }
}
