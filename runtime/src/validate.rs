//! Whether an artifact is safe to run: the checks behind [`Artifact::new`].
//!
//! Sizes are computed in u64 from 32-bit fields whose dimensions are at most 65,535, so nothing here overflows.

use crate::artifact::{ALIGN, Artifact, Target};
use crate::error::{ArtifactError, ArtifactErrorKind as Kind};
use crate::preprocess::row_memory_bytes;
use crate::record::{Slot, TensorInfo};

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
mod step;

impl<'a> Artifact<'a> {
    /// Reads and judges an artifact: the head, with or without the payload behind it.
    ///
    /// # Errors
    /// [`ArtifactError`] for anything that is not an artifact of this version, is damaged, or would not be safe to run.
    pub const fn new(bytes: &'a [u8]) -> Result<Self, ArtifactError> {
        let mut artifact = match Artifact::read(bytes) {
            Ok(artifact) => artifact,
            Err(error) => return Err(error),
        };
        let ops = match judged(&artifact) {
            Ok(ops) => ops,
            Err(error) => return Err(error),
        };
        artifact.ops = [ops as u32, (ops >> 32) as u32, (ops >> 64) as u32, (ops >> 96) as u32];
        Ok(artifact)
    }
}

/// Judges an artifact and returns its operator mask.
const fn judged(a: &Artifact) -> Result<u128, ArtifactError> {
    ensure!(Target::from_code(a.target()).is_some(), Version, 20);
    ensure!(a.activation_bytes() <= a.ram_bytes(), Ram, 28);
    let mut i = 0;
    while i < a.tensor_count() {
        check!(tensor(a, i));
        i += 1;
    }
    let (mut ops, mut head_ops, mut i) = (0, 0, 0);
    while i < a.layer_count() {
        let typed = match a.typed_layer(i) {
            Ok(typed) => typed,
            Err(error) => return Err(error),
        };
        check!(layer::layer(&typed, a.layer_offset(i)));
        ops |= typed.layer.op.bits(typed.x.dtype);
        head_ops |= typed.layer.op.code().head_bit(typed.x.dtype);
        i += 1;
    }
    ensure!(head_ops == a.head_ops(), Ops, 32);
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
    // Steps of a layer mostly follow each other: it is looked up once for all of them.
    let mut known = None;
    while i < a.step_count() {
        check!(step::step(a, i, &mut known));
        i += 1;
    }
    check!(inputs_and_outputs(a));
    Ok(ops)
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
    ensure!(slot.channels >= 1 && slot.c0 as u32 + slot.channels as u32 <= tensor.channels, Range, at);
    ensure!(slot.span(&tensor, (0, slot.rows)).1 <= a.ram_bytes() as u64, Ram, at);
    Ok(())
}

/// Inputs and outputs are held with all channels and, but for the first input, all rows.
const fn inputs_and_outputs(a: &Artifact) -> Result<(), ArtifactError> {
    let at = a.io_offset();
    // Pictures have to go somewhere.
    ensure!(a.input_count() > 0 || a.preprocess().is_none(), Index, at);
    let mut i = 0;
    while i < a.input_count() + a.output_count() {
        let slot = if i < a.input_count() { a.input_slot(i) } else { a.output_slot(i - a.input_count()) };
        let slot = found!(slot, Index, at);
        let tensor = found!(a.tensor(slot.tensor as usize), Index, at);
        // A network of constants has no input; then the first is an output.
        let first_input = i == 0 && a.input_count() > 0;
        ensure!(slot.has_all_channels(&tensor) && (first_input || slot.has_all_rows(&tensor)), Range, at);
        if first_input {
            check!(pictures(a, &slot, &tensor, at));
        }
        i += 1;
    }
    Ok(())
}

/// The preprocessing makes the first input, and has its row memory beside it.
const fn pictures(a: &Artifact, slot: &Slot, tensor: &TensorInfo, at: usize) -> Result<(), ArtifactError> {
    let Some(p) = a.preprocess() else { return Ok(()) };
    let fits = p.width as u32 == tensor.width && p.height as u32 == tensor.height;
    ensure!(fits && p.channels as u32 == tensor.channels, Shape, at);
    ensure!(!tensor.dtype.is_i32(), Type, at);
    let Some(first) = a.row_memory() else { return Ok(()) };
    ensure!((first as usize).is_multiple_of(ALIGN), Ram, at);
    let end = first as u64 + row_memory_bytes(tensor.width, tensor.channels, tensor.dtype.is_i8());
    ensure!(end <= a.ram_bytes() as u64, Ram, at);
    let (slot_first, slot_end) = slot.span(tensor, (0, slot.rows));
    ensure!(end <= slot_first || slot_end <= first as u64, Overlap, at);
    Ok(())
}
