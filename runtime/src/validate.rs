//! Whether an artifact is safe to run: the checks behind [`Artifact::new`].
//!
//! Sizes are computed in u64 from 32-bit fields whose dimensions are at most 65,535, so nothing here overflows.

use crate::artifact::{ALIGN, Artifact, Target};
use crate::error::{ArtifactError, ArtifactErrorKind as Kind};
use crate::op::Op;
use crate::record::{NONE16, NONE32, Slot, Step, TensorInfo};

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

mod layer;

use layer::{Typed, typed_layer};
pub(crate) use layer::{chunk_bytes, scratch_bytes};

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
        check!(layer::layer(&typed, a.layer_offset(i)));
        ops |= typed.layer.op.code().bit(typed.x.dtype);
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
    ensure!(t.rank <= 4 && (!t.channels_last || t.rank >= 2), Shape, at);
    let (mut host, mut axis) = (1u64, 0);
    while axis < t.rank as usize {
        host *= t.dims[axis] as u64;
        axis += 1;
    }
    ensure!(host == t.elements(), Shape, at);
    // Scales need not be finite for safety, but nothing good has another one.
    ensure!(t.scale > 0.0 && t.scale <= f32::MAX, Attribute, at);
    Ok(())
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

const fn step(a: &Artifact, i: usize) -> Result<(), ArtifactError> {
    let at = a.step_offset(i);
    let s = found!(a.step(i), Index, at);
    ensure!((s.layer as usize) < a.layer_count(), Index, at);
    let t = match typed_layer(a, s.layer as usize) {
        Ok(t) => t,
        Err(error) => return Err(error),
    };
    let output = found!(a.slot(s.output as usize), Index, at);
    ensure!(output.tensor == t.layer.output, Index, at);
    check!(output_block(&s, &t, &output, at));
    let (y0, y1) = span(&output, &t.y);
    let scratch = scratch_bytes(&t.layer.op, &t.x, (s.c1 - s.c0) as u64);
    let (s0, s1) = (s.scratch as u64, s.scratch as u64 + scratch);
    if scratch > 0 {
        ensure!((s.scratch as usize).is_multiple_of(ALIGN) && s1 <= a.ram_bytes() as u64, Ram, at);
        ensure!(s1 <= y0 || y1 <= s0, Overlap, at);
    }
    let mut i = 0;
    while i < 2 {
        let (slot, tensor, x) = if i == 0 { (s.input, t.layer.input, t.x) } else { (s.input2, t.layer.input2, t.x2) };
        let needed = if i == 0 { t.input_rows(s.r0 as u32, s.r1 as u32) } else { t.input2_rows(s.r0 as u32, s.r1 as u32) };
        i += 1;
        if tensor == NONE16 {
            ensure!(slot == NONE16, Index, at);
            continue;
        }
        let input = found!(a.slot(slot as usize), Index, at);
        ensure!(input.tensor == tensor, Index, at);
        ensure!(needed.1 - needed.0 <= input.rows, Range, at);
        // What a step writes overlaps nothing that it reads; its inputs may overlap each other.
        let (x0, x1) = span(&input, &x);
        ensure!((i == 1 && in_place(&t, &input, &output)) || x1 <= y0 || y1 <= x0, Overlap, at);
        ensure!(scratch == 0 || s1 <= x0 || x1 <= s0, Overlap, at);
    }
    let needed = chunk_bytes(&t.layer, &t.x, &t.y, (s.r1 - s.r0) as u64, (s.c1 - s.c0) as u64);
    if needed == 0 {
        ensure!(s.chunk == NONE32, Chunk, at);
    } else {
        let chunk = found!(a.chunk(s.chunk), Chunk, at);
        ensure!(chunk.len as u64 == needed, Chunk, at);
    }
    Ok(())
}

/// Rows and channels exist, lie in the part that a [`Op::Place`] writes, and fit the output's ring.
const fn output_block(s: &Step, t: &Typed, output: &Slot, at: usize) -> Result<(), ArtifactError> {
    let (r0, r1, c0, c1) = (s.r0 as u32, s.r1 as u32, s.c0 as u32, s.c1 as u32);
    ensure!(r0 < r1 && r1 <= t.y.height, Range, at);
    ensure!(c0 < c1 && c1 <= t.y.channels, Range, at);
    ensure!(r1 - r0 <= output.rows, Range, at);
    if let Op::Place(place) = &t.layer.op {
        let (top, front) = (place.offset[0] as u32, place.offset[2] as u32);
        ensure!(r0 >= top && r1 - top <= t.x.height, Range, at);
        ensure!(c0 >= front && c1 - front <= t.x.channels, Range, at);
    }
    Ok(())
}

/// Whether the output lies exactly where the input does, element for element, and the operator may do that.
const fn in_place(t: &Typed, input: &Slot, output: &Slot) -> bool {
    let same_rows = input.rows == output.rows && t.x.row_bytes() == t.y.row_bytes();
    let both_whole = input.rows == t.x.height && output.rows == t.y.height;
    t.layer.op.runs_in_place() && input.offset == output.offset && (same_rows || both_whole)
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
