//! Replays a plan: which row of which tensor does every byte of RAM hold, and does every step find what it reads?
//!
//! The checker knows the artifact's records and the definition of the operators, and shares no code with the planner or with the
//! validation of the runtime.

use super::definitions::{Weights, element_by_element, inputs, needs, scratch_bytes, weight_bytes};
use staticnet::Artifact;
use staticnet::op::Op;
use staticnet::record::{Layer, NONE16, NONE32, Slot, Step, TensorInfo};
use std::ops::Range;

/// What a byte of RAM holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Byte {
    /// Whatever was there before.
    Nothing,
    /// Byte `at` of a tensor.
    Of { tensor: u16, at: u32 },
    /// The remains of a step's scratch.
    Scratch,
}

/// Replays the plan of an artifact.
struct Replay<'a> {
    artifact: &'a Artifact<'a>,
    ram: Vec<Byte>,
}

/// Nothing, or what is wrong.
pub type Verdict = Result<(), String>;

macro_rules! ensure {
    ($condition:expr, $($message:tt)*) => {
        if !$condition {
            return Err(format!($($message)*));
        }
    };
}

/// Pixels and channels of a row.
#[derive(Clone, Debug)]
struct Across {
    pixels: Range<usize>,
    channels: Range<usize>,
}

impl Across {
    /// Some channels of all pixels.
    fn all_pixels(t: &TensorInfo, channels: &Range<usize>) -> Across {
        Across { pixels: 0..t.width as usize, channels: channels.clone() }
    }
}

impl Replay<'_> {
    fn tensor(&self, index: u16) -> Result<TensorInfo, String> {
        self.artifact.tensor(index as usize).ok_or(format!("there is no tensor {index}"))
    }

    fn slot(&self, index: u16) -> Result<Slot, String> {
        self.artifact.slot(index as usize).ok_or(format!("there is no slot {index}"))
    }

    /// The RAM that a slot takes.
    fn place(&self, slot: Slot) -> Result<Range<usize>, String> {
        let t = self.tensor(slot.tensor)?;
        ensure!(slot.rows >= 1 && slot.rows <= t.height, "a ring of {} rows for a tensor of {}", slot.rows, t.height);
        let bytes = slot.rows as usize * t.width as usize * t.channels as usize * t.dtype.bytes() as usize;
        let place = slot.offset as usize..slot.offset as usize + bytes;
        ensure!(place.end <= self.ram.len(), "{place:?} is outside {} bytes of RAM", self.ram.len());
        ensure!(place.start.is_multiple_of(16), "{place:?} is not aligned");
        Ok(place)
    }

    /// Visits a part of row `r` of what a slot holds: RAM address, and which byte of the tensor belongs there.
    fn each_byte(&self, slot: Slot, r: usize, across: &Across, mut visit: impl FnMut(usize, Byte)) -> Verdict {
        let (t, place) = (self.tensor(slot.tensor)?, self.place(slot)?);
        let element = t.dtype.bytes() as usize;
        let row = t.width as usize * t.channels as usize * element;
        for x in across.pixels.clone() {
            let pixel = x * t.channels as usize * element;
            for b in pixel + across.channels.start * element..pixel + across.channels.end * element {
                let at = (r * row + b) as u32;
                visit(place.start + r % slot.rows as usize * row + b, Byte::Of { tensor: slot.tensor, at });
            }
        }
        Ok(())
    }

    fn reads(&self, slot: Slot, r: usize, across: &Across) -> Verdict {
        let mut wrong = None;
        self.each_byte(slot, r, across, |at, expected| {
            if self.ram[at] != expected && wrong.is_none() {
                wrong = Some(format!("row {r} reads byte {at} as {expected:?}, it holds {:?}", self.ram[at]));
            }
        })?;
        wrong.map_or(Ok(()), Err)
    }

    fn writes(&mut self, slot: Slot, r: usize, across: &Across) -> Verdict {
        let mut writes = Vec::new();
        self.each_byte(slot, r, across, |at, byte| writes.push((at, byte)))?;
        writes.into_iter().for_each(|(at, byte)| self.ram[at] = byte);
        Ok(())
    }

    fn step(&mut self, step: Step) -> Verdict {
        let layer = self.artifact.layer(step.layer as usize).ok_or("there is no such layer")?;
        let (output, y) = (self.slot(step.output)?, self.tensor(layer.output)?);
        ensure!(output.tensor == layer.output, "the output's slot is of another tensor than the layer's");
        let (rows, channels) = (step.r0 as usize..step.r1 as usize, step.c0 as usize..step.c1 as usize);
        ensure!(!rows.is_empty() && rows.end <= y.height as usize, "rows {rows:?} of {}", y.height);
        ensure!(!channels.is_empty() && channels.end <= y.channels as usize, "channels {channels:?} of {}", y.channels);

        let to = self.place(output)?;
        let mut first = None;
        for (i, (slot, tensor)) in [(step.input, layer.input), (step.input2, layer.input2)].into_iter().enumerate() {
            ensure!((tensor != NONE16) == (i < inputs(&layer.op)), "{} has another number of inputs", layer.op.name());
            ensure!((slot == NONE16) == (tensor == NONE16), "input {i} has a slot and no tensor, or the reverse");
            if tensor == NONE16 {
                continue;
            }
            let (input, x) = (self.slot(slot)?, self.tensor(tensor)?);
            ensure!(input.tensor == tensor, "input {i}'s slot is of another tensor than the layer's");
            let from = self.place(input)?;
            let in_place = i == 0 && from == to && element_by_element(&layer.op);
            ensure!(in_place || disjoint(&from, &to), "reads {from:?} and writes {to:?}");
            let scratch = self.scratch(&step, &layer.op, &x);
            ensure!(disjoint(&scratch, &from) && disjoint(&scratch, &to), "scratch {scratch:?} within {from:?} or {to:?}");
            for r in rows.clone() {
                for (row, read) in needs(&layer.op, &x, &y, r, &channels) {
                    self.reads(input, row, &Across::all_pixels(&x, &read))?;
                }
            }
            first.get_or_insert(x);
        }
        let scratch = first.as_ref().map_or(0..0, |x| self.scratch(&step, &layer.op, x));
        ensure!(scratch.end <= self.ram.len(), "scratch {scratch:?} is outside {} bytes of RAM", self.ram.len());
        self.ram[scratch].fill(Byte::Scratch);
        let mut across = Across::all_pixels(&y, &channels);
        if let (Op::Place(place), Some(x)) = (&layer.op, &first) {
            let [top, left, front] = place.offset.map(usize::from);
            ensure!(rows.start >= top && rows.end <= top + x.height as usize, "rows {rows:?} are not all of its part");
            ensure!(channels.start >= front && channels.end <= front + x.channels as usize, "nor are channels {channels:?}");
            across.pixels = left..left + x.width as usize;
        }
        for r in rows.clone() {
            self.writes(output, r, &across)?;
        }
        self.weights(&step, &layer, &first.unwrap_or(y), &y)
    }

    fn scratch(&self, step: &Step, op: &Op, x: &TensorInfo) -> Range<usize> {
        let bytes = scratch_bytes(op, x);
        if bytes == 0 { 0..0 } else { step.scratch as usize..step.scratch as usize + bytes }
    }

    /// A step names as many weights as it uses, inside the payload.
    fn weights(&self, step: &Step, layer: &Layer, x: &TensorInfo, y: &TensorInfo) -> Verdict {
        let (rows, channels) = ((step.r1 - step.r0) as usize, (step.c1 - step.c0) as usize);
        let expected = weight_bytes(layer, x, y, rows, channels);
        let Some(chunk) = self.artifact.chunk(step.chunk) else {
            ensure!(step.chunk == NONE32, "there is no chunk {}", step.chunk);
            ensure!(expected == Weights::None, "a layer with weights names none");
            return Ok(());
        };
        ensure!((chunk.offset + chunk.len) as usize <= self.artifact.payload_len(), "weights outside the payload");
        match expected {
            Weights::None => Err(format!("{} has no weights", layer.op.name())),
            Weights::Table => Ok(()),
            Weights::Bytes(n) if n == chunk.len as usize => Ok(()),
            Weights::Bytes(n) => Err(format!("{} bytes of weights instead of {n}", chunk.len)),
        }
    }
}

fn disjoint(a: &Range<usize>, b: &Range<usize>) -> bool {
    a.end <= b.start || b.end <= a.start
}

/// Replays a plan from its inputs to its outputs.
pub fn check(artifact: &Artifact) -> Verdict {
    let mut replay = Replay { artifact, ram: vec![Byte::Nothing; artifact.ram_bytes()] };
    let everything = |replay: &Replay, slot: Slot| {
        let t = replay.tensor(slot.tensor)?;
        if slot.rows != t.height {
            return Err("inputs and outputs are held whole".to_string());
        }
        Ok((0..t.height as usize, Across::all_pixels(&t, &(0..t.channels as usize))))
    };
    for i in 0..artifact.input_count() {
        let slot = artifact.input_slot(i).ok_or("an input has no slot")?;
        let (rows, across) = everything(&replay, slot)?;
        for r in rows {
            replay.writes(slot, r, &across)?;
        }
    }
    for i in 0..artifact.step_count() {
        let step = artifact.step(i).ok_or("a step is missing")?;
        replay.step(step).map_err(|e| format!("step {i} ({:?}): {e}", artifact.layer_name(step.layer as usize)))?;
    }
    for i in 0..artifact.output_count() {
        let slot = artifact.output_slot(i).ok_or("an output has no slot")?;
        let (rows, across) = everything(&replay, slot)?;
        for r in rows {
            replay.reads(slot, r, &across).map_err(|e| format!("output {i}: {e}"))?;
        }
    }
    Ok(())
}
