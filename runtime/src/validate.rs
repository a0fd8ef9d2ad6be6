//! Whether an artifact is safe to run: the checks behind [`Artifact::new`].
//!
//! Sizes are computed in u64 from 32-bit fields whose dimensions are at most 65,535, so nothing here overflows.

use crate::artifact::{ALIGN, Artifact, Target};
use crate::error::{ArtifactError, ArtifactErrorKind as Kind};
use crate::kernels::{conv, lrn};
use crate::op::Op;
use crate::record::{DType, Layer, NONE16, NONE32, Slot, Step, TensorInfo};

macro_rules! ensure {
    ($condition:expr, $kind:ident, $at:expr) => {
        if !($condition) {
            return Err(ArtifactError { kind: Kind::$kind, offset: $at as u32 });
        }
    };
}

macro_rules! found {
    ($option:expr, $kind:ident, $at:expr) => {
        match $option {
            Some(value) => value,
            None => return Err(ArtifactError { kind: Kind::$kind, offset: $at as u32 }),
        }
    };
}

macro_rules! check {
    ($result:expr) => {
        if let Err(error) = $result {
            return Err(error);
        }
    };
}

/// A layer with its tensors.
struct Typed {
    layer: Layer,
    x: TensorInfo,
    y: TensorInfo,
}

pub(crate) const fn artifact(a: &Artifact) -> Result<(), ArtifactError> {
    ensure!(Target::from_code(a.target()).is_some(), Version, 20);
    ensure!(a.activation_bytes() <= a.ram_bytes(), Ram, 28);
    let mut i = 0;
    while i < a.tensor_count() {
        check!(tensor(a, i));
        i += 1;
    }
    let (mut ops, mut i) = (0, 0);
    while i < a.layer_count() {
        let typed = match typed_layer(a, i) {
            Ok(typed) => typed,
            Err(error) => return Err(error),
        };
        check!(layer(&typed, a.layer_offset(i)));
        ops |= typed.layer.op.code().bit(typed.y.dtype);
        i += 1;
    }
    ensure!(ops == a.ops(), Ops, 32);
    let mut i = 0;
    while i < a.slot_count() {
        check!(slot(a, i));
        i += 1;
    }
    let mut i = 0;
    while i < a.chunk_count() {
        let at = a.chunk_offset(i);
        let chunk = found!(a.chunk(i as u32), Chunk, at);
        ensure!((chunk.offset as usize).is_multiple_of(ALIGN), Chunk, at);
        ensure!(chunk.offset as u64 + chunk.len as u64 <= a.payload_len() as u64, Chunk, at);
        i += 1;
    }
    let mut i = 0;
    while i < a.step_count() {
        check!(step(a, i));
        i += 1;
    }
    inputs_and_outputs(a)
}

const fn tensor(a: &Artifact, i: usize) -> Result<(), ArtifactError> {
    let at = a.tensor_offset(i);
    let t = found!(a.tensor(i), Type, at);
    ensure!(t.height >= 1 && t.width >= 1 && t.channels >= 1, Shape, at);
    ensure!(t.height <= 65_535 && t.width <= 65_535 && t.channels <= 65_535, Shape, at);
    ensure!(t.rank == 4 || (t.rank == 2 && t.height == 1 && t.width == 1), Shape, at);
    // Scales need not be finite for safety, but nothing good has another one.
    ensure!(t.scale > 0.0 && t.scale <= f32::MAX, Attribute, at);
    Ok(())
}

const fn typed_layer(a: &Artifact, i: usize) -> Result<Typed, ArtifactError> {
    let at = a.layer_offset(i);
    let layer = found!(a.layer(i), Ops, at);
    ensure!(layer.input2 == NONE16, Index, at);
    let x = found!(a.tensor(layer.input as usize), Index, at);
    let y = found!(a.tensor(layer.output as usize), Index, at);
    Ok(Typed { layer, x, y })
}

const fn layer(t: &Typed, at: usize) -> Result<(), ArtifactError> {
    let (x, y) = (&t.x, &t.y);
    ensure!(x.dtype as u8 == y.dtype as u8, Type, at);
    let same = x.height == y.height && x.width == y.width && x.channels == y.channels;
    match &t.layer.op {
        Op::Conv2d(conv) => {
            let groups = conv.groups as u32;
            ensure!(groups >= 1 && x.channels % groups == 0 && y.channels % groups == 0, Attribute, at);
            ensure!(window_fits(&conv.window, x, y), Shape, at);
        }
        Op::Linear => ensure!(y.height == 1 && y.width == 1, Shape, at),
        Op::MaxPool(pool) => {
            ensure!(x.channels == y.channels && window_fits(&pool.window, x, y), Shape, at);
        }
        Op::Lrn(lrn) => {
            ensure!(same, Shape, at);
            ensure!(lrn.size >= 1 && t.layer.table_shift <= 24, Attribute, at);
        }
        Op::Relu => ensure!(same, Shape, at),
        _ => ensure!(false, Ops, at),
    }
    Ok(())
}

const fn window_fits(window: &crate::op::Window, x: &TensorInfo, y: &TensorInfo) -> bool {
    match (window.output_len(0, x.height), window.output_len(1, x.width)) {
        (Some(h), Some(w)) => h == y.height && w == y.width,
        _ => false,
    }
}

const fn slot(a: &Artifact, i: usize) -> Result<(), ArtifactError> {
    let at = a.slot_offset(i);
    let slot = found!(a.slot(i), Index, at);
    let tensor = found!(a.tensor(slot.tensor as usize), Index, at);
    ensure!((slot.offset as usize).is_multiple_of(ALIGN), Ram, at);
    ensure!(slot.rows >= 1 && slot.rows <= tensor.height, Range, at);
    let (_, end) = span(&slot, &tensor);
    ensure!(end <= a.ram_bytes() as u64, Ram, at);
    Ok(())
}

/// First and last byte of a slot.
const fn span(slot: &Slot, tensor: &TensorInfo) -> (u64, u64) {
    let first = slot.offset as u64;
    (first, first + slot.rows as u64 * tensor.row_bytes())
}

/// Bytes of scratch that a step of this layer uses.
pub(crate) const fn scratch_bytes(op: &Op, x: &TensorInfo) -> u64 {
    match op {
        Op::Conv2d(conv) => conv::scratch_len(conv, x.channels) * x.dtype.bytes(),
        _ => 0,
    }
}

/// Bytes of weights that a step over `channels` output channels needs, in the order of [`crate::engine`]: per channel a 4-byte
/// bias and (int8) a 4-byte multiplier, then the weights; for int8 LRN the factor table.
pub(crate) const fn chunk_bytes(layer: &Layer, x: &TensorInfo, channels: u64) -> u64 {
    let quantized = matches!(x.dtype, DType::I8);
    let per_channel = if quantized { 8 } else { 4 };
    match &layer.op {
        Op::Conv2d(conv) => channels * (per_channel + conv::taps(conv, x.channels) * x.dtype.bytes()),
        Op::Linear => channels * (per_channel + x.elements() * x.dtype.bytes()),
        Op::Lrn(attrs) if quantized => 4 * lrn::table_len(attrs.size, x.channels, layer.table_shift as u32),
        _ => 0,
    }
}

const fn step(a: &Artifact, i: usize) -> Result<(), ArtifactError> {
    let at = a.step_offset(i);
    let s = found!(a.step(i), Index, at);
    ensure!((s.layer as usize) < a.layer_count(), Index, at);
    let t = match typed_layer(a, s.layer as usize) {
        Ok(t) => t,
        Err(error) => return Err(error),
    };
    ensure!(s.input2 == NONE16, Index, at);
    let input = found!(a.slot(s.input as usize), Index, at);
    let output = found!(a.slot(s.output as usize), Index, at);
    check!(rows(&s, &t, &input, &output, at));
    check!(buffers(a, &s, &t, &input, &output, at));
    let needed = chunk_bytes(&t.layer, &t.x, (s.c1 - s.c0) as u64);
    if needed == 0 {
        ensure!(s.chunk == NONE32, Chunk, at);
    } else {
        let chunk = found!(a.chunk(s.chunk), Chunk, at);
        ensure!(chunk.len as u64 == needed, Chunk, at);
    }
    Ok(())
}

/// Rows and channels exist, and the rings hold what the step reads and writes.
const fn rows(s: &Step, t: &Typed, input: &Slot, output: &Slot, at: usize) -> Result<(), ArtifactError> {
    ensure!(s.r0 < s.r1 && s.r1 as u32 <= t.y.height, Range, at);
    ensure!(s.c0 < s.c1 && s.c1 as u32 <= t.y.channels, Range, at);
    ensure!((s.r1 - s.r0) as u32 <= output.rows, Range, at);
    let (first, end) = match &t.layer.op {
        Op::Conv2d(conv) => conv.window.input_rows(s.r0 as u32, s.r1 as u32, t.x.height),
        Op::MaxPool(pool) => pool.window.input_rows(s.r0 as u32, s.r1 as u32, t.x.height),
        // A fully connected layer reads its input as one run of elements: it must be held whole.
        Op::Linear => (0, t.x.height),
        _ => (s.r0 as u32, s.r1 as u32),
    };
    ensure!(end - first <= input.rows, Range, at);
    Ok(())
}

/// Buffers belong to the layer's tensors, lie in RAM and do not overlap.
const fn buffers(a: &Artifact, s: &Step, t: &Typed, input: &Slot, output: &Slot, at: usize) -> Result<(), ArtifactError> {
    ensure!(output.tensor == t.layer.output, Index, at);
    let in_place = matches!(t.layer.op, Op::Relu) && input.offset == output.offset && input.rows == output.rows;
    ensure!(input.tensor == t.layer.input, Index, at);
    let (x0, x1) = span(input, &t.x);
    let (y0, y1) = span(output, &t.y);
    ensure!(in_place || x1 <= y0 || y1 <= x0, Overlap, at);
    let scratch = scratch_bytes(&t.layer.op, &t.x);
    if scratch > 0 {
        let (s0, s1) = (s.scratch as u64, s.scratch as u64 + scratch);
        ensure!((s.scratch as usize).is_multiple_of(ALIGN) && s1 <= a.ram_bytes() as u64, Ram, at);
        ensure!((s1 <= x0 || x1 <= s0) && (s1 <= y0 || y1 <= s0), Overlap, at);
    }
    Ok(())
}

/// Inputs and outputs are held whole; the preprocessing makes the first input.
const fn inputs_and_outputs(a: &Artifact) -> Result<(), ArtifactError> {
    let at = a.io_offset();
    let mut i = 0;
    while i < a.input_count() + a.output_count() {
        let slot = if i < a.input_count() { a.input_slot(i) } else { a.output_slot(i - a.input_count()) };
        let slot = found!(slot, Index, at);
        let tensor = found!(a.tensor(slot.tensor as usize), Index, at);
        ensure!(slot.rows == tensor.height, Range, at);
        if i == 0
            && let Some(p) = a.preprocess()
        {
            let fits = p.width as u32 == tensor.width && p.height as u32 == tensor.height;
            ensure!(fits && p.channels as u32 == tensor.channels, Shape, at);
        }
        i += 1;
    }
    Ok(())
}
