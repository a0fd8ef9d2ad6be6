//! What a step asks of its slots, its scratch and its weights.

use super::{Artifact, ArtifactError, Kind};
use crate::artifact::ALIGN;
use crate::op::{ALL_OPS, ChannelsRead, Facts};
use crate::record::{NONE16, NONE32, Slot, Step, TensorInfo};
use crate::step::Typed;

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

/// Judges step `i`. `known` is the layer of the step before, and becomes this one's.
pub(super) const fn step(a: &Artifact, i: usize, known: &mut Option<(u16, Typed)>) -> Result<(), ArtifactError> {
    let at = a.step_offset(i);
    let s = found!(a.step(i), Index, at);
    ensure!((s.layer as usize) < a.layer_count(), Index, at);
    let t = match known {
        Some((layer, typed)) if *layer == s.layer => *typed,
        Some(_) | None => match a.typed_layer(s.layer as usize) {
            Ok(typed) => typed,
            Err(error) => return Err(error),
        },
    };
    *known = Some((s.layer, t));
    let output = found!(a.slot(s.output as usize), Index, at);
    ensure!(output.tensor == t.layer.output, Index, at);
    // Asked for once: it is what most of the time of a build goes to.
    let facts = t.layer.op.facts();
    check!(output_block(&s, &t, &facts, &output, at));
    let (rows, channels) = ((s.r0 as u32, s.r1 as u32), (s.c1 - s.c0) as u64);
    let written = output.span(&t.y, rows);
    let scratch = region!(a, s.scratch, t.scratch_bytes_by::<ALL_OPS>(facts.weights, channels), at);
    ensure!(apart(scratch, written), Overlap, at);
    let mut i = 0;
    while i < 2 {
        let (slot, tensor, x) = if i == 0 { (s.input, t.layer.input, &t.x) } else { (s.input2, t.layer.input2, &t.x2) };
        let needed = if i == 0 { t.input_rows_by::<ALL_OPS>(facts.rows, rows) } else { t.input2_rows(rows) };
        if tensor == NONE16 {
            ensure!(slot == NONE16, Index, at);
        } else {
            let input = found!(a.slot(slot as usize), Index, at);
            ensure!(input.tensor == tensor, Index, at);
            ensure!(needed.0 <= needed.1 && needed.1 <= x.height && needed.1 - needed.0 <= input.rows, Range, at);
            check!(input_channels(&s, facts.channels, x, &input, at));
            // What a step writes overlaps nothing that it reads; its inputs may overlap each other.
            let read = input.span(x, needed);
            ensure!(apart(read, written) || (i == 0 && t.in_place(&input, &output)), Overlap, at);
            ensure!(apart(read, scratch), Overlap, at);
        }
        i += 1;
    }
    weights(a, &s, t.chunk_bytes_by::<ALL_OPS>(facts.weights, (s.r1 - s.r0) as u64, channels), [written, scratch], at)
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

/// Rows and channels exist, lie in the part of the output that the layer makes, and fit the output's slot.
const fn output_block(s: &Step, t: &Typed, facts: &Facts, output: &Slot, at: usize) -> Result<(), ArtifactError> {
    let (r0, r1, c0, c1) = (s.r0 as u32, s.r1 as u32, s.c0 as u32, s.c1 as u32);
    let (rows, channels) = t.made_by(facts.part_from());
    ensure!(r0 < r1 && rows.0 <= r0 && r1 <= rows.1, Range, at);
    ensure!(c0 < c1 && channels.0 <= c0 && c1 <= channels.1, Range, at);
    ensure!(r1 - r0 <= output.rows, Range, at);
    ensure!(output.has_all_channels(&t.y) || facts.channels.into_window(), Range, at);
    ensure!(output.c0 as u32 <= c0 && c1 <= output.c0 as u32 + output.channels as u32, Range, at);
    Ok(())
}

/// The input's slot has the channels that the step's output channels need.
const fn input_channels(s: &Step, read: ChannelsRead, x: &TensorInfo, input: &Slot, at: usize) -> Result<(), ArtifactError> {
    if input.has_all_channels(x) {
        return Ok(());
    }
    ensure!(read.from_window(), Range, at);
    let (first, end) = read.read((s.c0 as u32, s.c1 as u32), x.channels);
    ensure!(input.c0 as u32 <= first && end <= input.c0 as u32 + input.channels as u32, Range, at);
    Ok(())
}
