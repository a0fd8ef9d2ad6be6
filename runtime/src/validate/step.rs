//! What a step asks of its slots, its scratch and its weights.

use super::{Artifact, ArtifactError, Kind, Typed, chunk_bytes, scratch_bytes, typed_layer};
use crate::ALL_OPS;
use crate::artifact::ALIGN;
use crate::op::Op;
use crate::record::{NONE16, NONE32, Slot, Step, TensorInfo};

/// Bytes of RAM: the first and the end.
type Span = (u64, u64);

/// Whether no byte is in both.
const fn apart(a: Span, b: Span) -> bool {
    a.0 >= a.1 || b.0 >= b.1 || a.1 <= b.0 || b.1 <= a.0
}

/// `len` bytes from `first` on: none, or an aligned run inside the RAM.
const fn region(a: &Artifact, first: u32, len: u64, at: usize) -> Result<Span, ArtifactError> {
    let end = first as u64 + len;
    ensure!(len == 0 || ((first as usize).is_multiple_of(ALIGN) && end <= a.ram_bytes() as u64), Ram, at);
    Ok((first as u64, end))
}

macro_rules! region {
    ($a:expr, $first:expr, $len:expr, $at:expr) => {
        match region($a, $first, $len, $at) {
            Ok(span) => span,
            Err(error) => return Err(error),
        }
    };
}

pub(super) const fn step(a: &Artifact, i: usize) -> Result<(), ArtifactError> {
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
    let (rows, channels) = ((s.r0 as u32, s.r1 as u32), (s.c1 - s.c0) as u64);
    let written = output.span(&t.y, rows);
    let scratch = region!(a, s.scratch, scratch_bytes(&t.layer.op, &t.x, channels), at);
    ensure!(apart(scratch, written), Overlap, at);
    let mut i = 0;
    while i < 2 {
        let (slot, tensor, x) = if i == 0 { (s.input, t.layer.input, &t.x) } else { (s.input2, t.layer.input2, &t.x2) };
        let needed = if i == 0 { t.input_rows::<ALL_OPS>(rows) } else { t.input2_rows(rows) };
        if tensor == NONE16 {
            ensure!(slot == NONE16, Index, at);
        } else {
            let input = found!(a.slot(slot as usize), Index, at);
            ensure!(input.tensor == tensor, Index, at);
            ensure!(needed.0 <= needed.1 && needed.1 <= x.height && needed.1 - needed.0 <= input.rows, Range, at);
            check!(input_channels(&s, &t.layer.op, x, &input, at));
            // What a step writes overlaps nothing that it reads; its inputs may overlap each other.
            let read = input.span(x, needed);
            ensure!(apart(read, written) || (i == 0 && in_place(&t, &input, &output)), Overlap, at);
            ensure!(apart(read, scratch), Overlap, at);
        }
        i += 1;
    }
    weights(a, &s, chunk_bytes(&t.layer, &t.x, &t.y, (s.r1 - s.r0) as u64, channels), [written, scratch], at)
}

/// The chunk has the bytes that the step needs; its place is there where the plan is for a storage, beside what the step writes.
/// (Where it overlaps an input, the input is wrong, and safe to read.)
const fn weights(a: &Artifact, s: &Step, needed: u64, written: [Span; 2], at: usize) -> Result<(), ArtifactError> {
    if needed == 0 {
        ensure!(s.chunk == NONE32 && s.place == NONE32 && !s.load, Chunk, at);
        return Ok(());
    }
    let chunk = found!(a.chunk(s.chunk), Chunk, at);
    ensure!(chunk.len as u64 == needed, Chunk, at);
    ensure!((s.place != NONE32) == a.weights_in_storage(), Chunk, at);
    if s.place != NONE32 {
        let place = region!(a, s.place, needed, at);
        ensure!(apart(place, written[0]) && apart(place, written[1]), Overlap, at);
    }
    Ok(())
}

/// Rows and channels exist, lie in the part that a [`Op::Place`] writes, and fit the output's slot.
const fn output_block(s: &Step, t: &Typed, output: &Slot, at: usize) -> Result<(), ArtifactError> {
    let (r0, r1, c0, c1) = (s.r0 as u32, s.r1 as u32, s.c0 as u32, s.c1 as u32);
    ensure!(r0 < r1 && r1 <= t.y.height, Range, at);
    ensure!(c0 < c1 && c1 <= t.y.channels, Range, at);
    ensure!(r1 - r0 <= output.rows, Range, at);
    ensure!(output.has_all_channels(&t.y) || windows(&t.layer.op).1, Range, at);
    ensure!(output.c0 as u32 <= c0 && c1 <= output.c0 as u32 + output.channels as u32, Range, at);
    if let Op::Place(place) = &t.layer.op {
        let (top, front) = (place.offset[0] as u32, place.offset[2] as u32);
        ensure!(r0 >= top && r1 - top <= t.x.height, Range, at);
        ensure!(c0 >= front && c1 - front <= t.x.channels, Range, at);
    }
    Ok(())
}

/// The input's slot has the channels that the step's output channels need.
const fn input_channels(s: &Step, op: &Op, x: &TensorInfo, input: &Slot, at: usize) -> Result<(), ArtifactError> {
    if input.has_all_channels(x) {
        return Ok(());
    }
    ensure!(windows(op).0, Range, at);
    let (before, after) = match op {
        Op::Lrn(lrn) => ((lrn.size as u32 - 1) / 2, lrn.size as u32 / 2),
        _ => (0, 0),
    };
    let (first, end) = ((s.c0 as u32).saturating_sub(before), s.c1 as u32 + after);
    let end = if end < x.channels { end } else { x.channels };
    ensure!(input.c0 as u32 <= first && end <= input.c0 as u32 + input.channels as u32, Range, at);
    Ok(())
}

/// Whether an operator's kernel reads its input from a window of channels, and writes its output into one.
const fn windows(op: &Op) -> (bool, bool) {
    match op {
        Op::MaxPool(_) | Op::AveragePool(_) | Op::Lrn(_) | Op::Relu | Op::Unary(_) | Op::PRelu => (true, true),
        Op::Conv2d(_) => (false, true),
        Op::Linear | Op::Binary(_) | Op::Constant | Op::Rearrange(_) | Op::Pad(_) | Op::Place(_) => (false, false),
        Op::Resize | Op::Softmax | Op::ArgMax { .. } | Op::Convert(_) => (false, false),
    }
}

/// Whether the output lies exactly where the input does, element for element, and the operator may do that.
pub(crate) const fn in_place(t: &Typed, input: &Slot, output: &Slot) -> bool {
    let same_rows = input.rows == output.rows && input.row_bytes(&t.x) == output.row_bytes(&t.y) && input.c0 == output.c0;
    let both_whole = input.has_all_rows(&t.x) && output.has_all_rows(&t.y);
    let all_channels = input.has_all_channels(&t.x) && output.has_all_channels(&t.y);
    t.layer.op.runs_in_place() && input.offset == output.offset && (same_rows || (both_whole && all_channels))
}
