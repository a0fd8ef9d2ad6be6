//! Replays a plan: which byte of which tensor, of weights or of scratch does every byte of RAM hold, and does every step find
//! what it reads? On the way it counts what the plan takes.
//!
//! The checker knows the artifact's records and the definition of the operators, and shares no code with the planner or with the
//! validation of the runtime.

use super::definitions::{
    channels_read, element_by_element, inputs, rows_given, rows_read, scratch_bytes, weight_bytes, weights_follow, windows,
};
use super::memory::{Byte, Memory, row_bytes};
use staticnet::Artifact;
use staticnet::op::Op;
use staticnet::record::{DType, Layer, NONE16, NONE32, Slot, Step, TensorInfo};
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

/// What a plan takes and reads, by the artifact alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Most bytes that hold, at one time, rows written and still to be read.
    pub needed: usize,
    /// Most bytes of slots in use at one time, each from its first write to its last use.
    pub in_slots: usize,
    /// Bytes of weights that a pass reads.
    pub weights_read: u64,
    /// End of the last byte of RAM that is written.
    pub ram: usize,
}

/// Nothing, or what is wrong.
type Verdict = Result<(), String>;

macro_rules! ensure {
    ($condition:expr, $($message:tt)*) => {
        if !$condition {
            return Err(format!($($message)*));
        }
    };
}

/// How input 0 comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Feed {
    /// As a whole, before the first step.
    Whole,
    /// Row by row: the next when a step waits for it, and the rest behind the last step. Where the artifact has a row memory,
    /// rows are made in it.
    Rows,
}

/// Pixels and channels of a row.
#[derive(Clone, Debug)]
struct Across {
    pixels: Range<usize>,
    channels: Range<usize>,
}

impl Across {
    /// Some channels of all pixels.
    fn all_pixels(t: &TensorInfo, channels: Range<usize>) -> Across {
        Across { pixels: 0..t.width as usize, channels }
    }
}

/// What uses a chunk: a layer, some channels and some rows where its weights differ by them.
type Part = (u16, Option<(u16, u16)>, Option<(u16, u16)>);

/// Replays the plan of an artifact.
struct Replay<'a> {
    artifact: &'a Artifact<'a>,
    memory: Memory,
    /// The part of a layer that each chunk has been used for.
    parts: HashMap<u32, Part>,
    weights_read: u64,
    /// Rows of input 0 that have come.
    given: usize,
}

impl<'a> Replay<'a> {
    fn new(artifact: &'a Artifact<'a>) -> Self {
        let memory = Memory::new(artifact.ram_bytes(), artifact.step_count());
        Replay { artifact, memory, parts: HashMap::new(), weights_read: 0, given: 0 }
    }

    fn tensor(&self, index: u16) -> Result<TensorInfo, String> {
        self.artifact.tensor(index as usize).ok_or(format!("there is no tensor {index}"))
    }

    fn slot(&self, index: u16) -> Result<Slot, String> {
        self.artifact.slot(index as usize).ok_or(format!("there is no slot {index}"))
    }

    /// A run of RAM, aligned and inside it.
    fn run(&self, what: &str, first: u32, bytes: usize) -> Result<Range<usize>, String> {
        let run = first as usize..first as usize + bytes;
        ensure!(run.end <= self.memory.len(), "{what} {run:?} is outside {} bytes of RAM", self.memory.len());
        ensure!(run.start.is_multiple_of(16), "{what} {run:?} is not aligned");
        Ok(run)
    }

    /// The RAM that a slot takes.
    fn place(&self, slot: Slot) -> Result<Range<usize>, String> {
        let t = self.tensor(slot.tensor)?;
        ensure!(slot.rows >= 1 && slot.rows <= t.height, "a ring of {} rows for a tensor of {}", slot.rows, t.height);
        let window = slot.c0 as u32..slot.c0 as u32 + slot.channels as u32;
        ensure!(!window.is_empty() && window.end <= t.channels, "a window {window:?} of {} channels", t.channels);
        self.run("slot", slot.offset, slot.rows as usize * row_bytes(slot, &t))
    }

    /// The RAM that a step touches which is given these rows of a slot.
    fn span(&self, slot: Slot, rows: &Range<usize>) -> Result<Range<usize>, String> {
        let (t, place) = (self.tensor(slot.tensor)?, self.place(slot)?);
        ensure!(rows.len() <= slot.rows as usize, "rows {rows:?} do not fit a ring of {}", slot.rows);
        if slot.rows < t.height {
            return Ok(place);
        }
        let row = row_bytes(slot, &t);
        Ok(place.start + rows.start * row..place.start + rows.end * row)
    }

    /// The runs of RAM that hold a part of row `r`, and the first byte of each.
    fn runs(&self, slot: Slot, r: usize, across: &Across) -> Result<Vec<(Range<usize>, Byte)>, String> {
        let (t, place) = (self.tensor(slot.tensor)?, self.place(slot)?);
        let (element, all, held) = (t.dtype.bytes() as usize, t.channels as usize, slot.channels as usize);
        let window = slot.c0 as usize..slot.c0 as usize + held;
        let Across { pixels, channels } = across;
        ensure!(
            channels.start >= window.start && channels.end <= window.end,
            "channels {channels:?} are not in the window {window:?}"
        );
        let row = place.start + r % slot.rows as usize * row_bytes(slot, &t);
        let run = |pixels: Range<usize>, channels: &Range<usize>| {
            let first = row + (pixels.start * held + channels.start - window.start) * element;
            let bytes = ((pixels.len() - 1) * all + channels.len()) * element;
            let at = ((r * t.width as usize + pixels.start) * all + channels.start) * element;
            (first..first + bytes, Byte::Of { tensor: slot.tensor, at: at as u32 })
        };
        if pixels.is_empty() || channels.is_empty() {
            return Ok(vec![]);
        }
        if held == all && channels.len() == all {
            return Ok(vec![run(pixels.clone(), channels)]);
        }
        Ok(pixels.clone().map(|x| run(x..x + 1, channels)).collect())
    }

    fn reads(&mut self, slot: Slot, r: usize, across: &Across) -> Verdict {
        for (place, first) in self.runs(slot, r, across)? {
            let wrong = |(at, expected, held)| format!("row {r} reads byte {at} as {expected:?}, it holds {held:?}");
            self.memory.read(place, first).map_err(wrong)?;
        }
        self.uses(slot)
    }

    fn uses(&mut self, slot: Slot) -> Verdict {
        let bytes = self.place(slot)?.len();
        self.memory.uses(slot, bytes);
        Ok(())
    }

    fn writes(&mut self, slot: Slot, r: usize, across: &Across) -> Verdict {
        for (place, first) in self.runs(slot, r, across)? {
            self.memory.put(place, first);
        }
        self.uses(slot)
    }

    fn step(&mut self, step: Step) -> Verdict {
        let layer = self.artifact.layer(step.layer as usize).ok_or("there is no such layer")?;
        let (op, output, y) = (&layer.op, self.slot(step.output)?, self.tensor(layer.output)?);
        ensure!(output.tensor == layer.output, "the output's slot is of another tensor than the layer's");
        let (rows, channels) = (step.r0 as usize..step.r1 as usize, step.c0 as usize..step.c1 as usize);
        ensure!(!rows.is_empty() && rows.end <= y.height as usize, "rows {rows:?} of {}", y.height);
        ensure!(!channels.is_empty() && channels.end <= y.channels as usize, "channels {channels:?} of {}", y.channels);
        ensure!(windows(op).1 || output.channels as u32 == y.channels, "{} writes into a window", op.name());

        let first = if layer.input == NONE16 { y } else { self.tensor(layer.input)? };
        let written = self.span(output, &rows)?;
        let scratch = match scratch_bytes(op, &first, channels.len()) {
            0 => 0..0,
            bytes => self.run("scratch", step.scratch, bytes)?,
        };
        ensure!(disjoint(&scratch, &written), "scratch {scratch:?} within {written:?}, which it writes");
        let weights = self.weights(&step, &layer, &first, &y)?;
        ensure!(disjoint(&weights, &written), "weights {weights:?} within {written:?}, which it writes");
        ensure!(disjoint(&weights, &scratch), "weights {weights:?} within the scratch {scratch:?}");

        for (i, (slot, tensor)) in [(step.input, layer.input), (step.input2, layer.input2)].into_iter().enumerate() {
            ensure!((tensor != NONE16) == (i < inputs(op)), "{} has another number of inputs", op.name());
            ensure!((slot == NONE16) == (tensor == NONE16), "input {i} has a slot and no tensor, or the reverse");
            if tensor == NONE16 {
                continue;
            }
            let (input, x) = (self.slot(slot)?, self.tensor(tensor)?);
            ensure!(input.tensor == tensor, "input {i}'s slot is of another tensor than the layer's");
            ensure!(windows(op).0 || input.channels as u32 == x.channels, "{} reads from a window", op.name());
            let given = rows_given(op, &x, &rows);
            let read = self.span(input, &given)?;
            let in_place = i == 0 && element_by_element(op) && same_bytes(input, &x, output, &y);
            ensure!(in_place || disjoint(&read, &written), "reads {read:?} and writes {written:?}");
            ensure!(disjoint(&read, &scratch), "scratch {scratch:?} within {read:?}, which it reads");
            // A window may lie outside the picture: then it is given rows and reads none.
            self.uses(input)?;
            let across = Across::all_pixels(&x, channels_read(op, &x, &y, &channels));
            for row in rows.clone().flat_map(|r| rows_read(op, &x, r)).collect::<BTreeSet<usize>>() {
                ensure!(given.contains(&row), "row {row} is read and not among the rows {given:?}");
                self.reads(input, row, &across)?;
            }
        }
        self.memory.put(scratch, Byte::Scratch);
        let mut across = Across::all_pixels(&y, channels.clone());
        if let Op::Place(place) = op {
            let [top, left, front] = place.offset.map(usize::from);
            ensure!(rows.start >= top && rows.end <= top + first.height as usize, "rows {rows:?} are not all of its part");
            ensure!(
                channels.start >= front && channels.end <= front + first.channels as usize,
                "nor are channels {channels:?}"
            );
            across.pixels = left..left + first.width as usize;
        }
        rows.clone().try_for_each(|r| self.writes(output, r, &across))
    }

    /// A step names as many weights as it uses, and finds them in their place where they have one. That place.
    fn weights(&mut self, step: &Step, layer: &Layer, x: &TensorInfo, y: &TensorInfo) -> Result<Range<usize>, String> {
        let (rows, channels) = ((step.r1 - step.r0) as usize, (step.c1 - step.c0) as usize);
        let Some(expected) = weight_bytes(layer, x, y, rows, channels) else {
            ensure!(step.chunk == NONE32 && step.place == NONE32 && !step.load, "{} has no weights", layer.op.name());
            return Ok(0..0);
        };
        let chunk = self.artifact.chunk(step.chunk).ok_or(format!("there is no chunk {}", step.chunk))?;
        let bytes = chunk.len as usize;
        ensure!(bytes == expected, "{bytes} bytes of weights instead of {expected}");
        ensure!((chunk.offset + chunk.len) as usize <= self.artifact.payload_len(), "weights outside the payload");
        let (by_channels, by_rows) = weights_follow(&layer.op);
        let part = (step.layer, by_channels.then_some((step.c0, step.c1)), by_rows.then_some((step.r0, step.r1)));
        let before = self.parts.insert(step.chunk, part);
        ensure!(before.is_none_or(|before| before == part), "chunk {} is for {before:?} and {part:?}", step.chunk);
        self.weights_read += if step.load { u64::from(chunk.len) } else { 0 };
        let in_storage = self.artifact.weights_in_storage();
        ensure!((step.place == NONE32) != in_storage, "weights in storage {in_storage}, place {}", step.place);
        if !in_storage {
            ensure!(step.load || before.is_some(), "a chunk that is never counted as read");
            return Ok(0..0);
        }
        let place = self.run("weights", step.place, bytes)?;
        let first = Byte::Weights { chunk: step.chunk, at: 0 };
        if step.load {
            self.memory.put(place.clone(), first);
        }
        let wrong = |(at, expected, held)| format!("weights at {at} should be {expected:?}, there is {held:?}");
        self.memory.read(place.clone(), first).map_err(wrong)?;
        Ok(place)
    }

    /// Writes all of an input.
    fn put_input(&mut self, i: usize) -> Verdict {
        let slot = self.artifact.input_slot(i).ok_or("an input has no slot")?;
        let t = self.tensor(slot.tensor)?;
        ensure!(slot.rows == t.height, "a ring of {} rows for input {i}, which comes whole", slot.rows);
        let across = Across::all_pixels(&t, 0..t.channels as usize);
        (0..t.height as usize).try_for_each(|r| self.writes(slot, r, &across))
    }

    /// The line and the tables that rows of pictures go through; nothing where there are none.
    fn row_memory(&self) -> Result<[Range<usize>; 2], String> {
        let Some((first, slot)) = self.artifact.row_memory().zip(self.artifact.input_slot(0)) else { return Ok([0..0, 0..0]) };
        let t = self.tensor(slot.tensor)?;
        let line = (2 * t.width as usize * t.channels as usize).next_multiple_of(16);
        let tables = if t.dtype == DType::I8 { 256 * t.channels as usize } else { 0 };
        let memory = self.run("row memory", first, line + tables)?;
        Ok([memory.start..memory.start + line, memory.start + line..memory.end])
    }

    /// Takes the next row of input 0. A row that no step to come reads is not kept, but goes through the row memory like the
    /// others as long as there are `more` to come that are read.
    fn push(&mut self, is_read: bool, more: bool) -> Verdict {
        let slot = self.artifact.input_slot(0).ok_or("there is no input")?;
        let (t, [line, tables], r) = (self.tensor(slot.tensor)?, self.row_memory()?, self.given);
        self.given += 1;
        if r == 0 {
            self.memory.put(tables.clone(), Byte::Rows);
        } else if is_read {
            // What the row above left, written when that was through.
            let wrong = |(at, _, held)| format!("row {r} of the input finds {held:?} in the row memory at {at}");
            self.memory.read(line.clone(), Byte::Rows).map_err(wrong)?;
            self.memory.read(tables, Byte::Rows).map_err(wrong)?;
        }
        if is_read {
            self.writes(slot, r, &Across::all_pixels(&t, 0..t.channels as usize))?;
        }
        if more && self.given < t.height as usize {
            self.memory.put(line, Byte::Rows);
        }
        Ok(())
    }

    /// The rows of input 0 that a step is given, by all its inputs.
    fn input_rows(&self, step: Step) -> Result<Range<usize>, String> {
        let layer = self.artifact.layer(step.layer as usize).ok_or("there is no such layer")?;
        let input = self.artifact.input_slot(0).map_or(NONE16, |slot| slot.tensor);
        if input == NONE16 || (layer.input != input && layer.input2 != input) {
            return Ok(0..0);
        }
        Ok(rows_given(&layer.op, &self.tensor(input)?, &(step.r0 as usize..step.r1 as usize)))
    }
}

/// Whether each byte of the output lies where the byte of the input lies that it is made of.
fn same_bytes(input: Slot, x: &TensorInfo, output: Slot, y: &TensorInfo) -> bool {
    let whole = |slot: Slot, t: &TensorInfo| slot.rows == t.height && slot.channels as u32 == t.channels;
    let alike = input.rows == output.rows && input.c0 == output.c0 && row_bytes(input, x) == row_bytes(output, y);
    input.offset == output.offset && (alike || (whole(input, x) && whole(output, y)))
}

fn disjoint(a: &Range<usize>, b: &Range<usize>) -> bool {
    a.is_empty() || b.is_empty() || a.end <= b.start || b.end <= a.start
}

/// Replays a plan from its inputs to its outputs.
fn replay(artifact: &Artifact, feed: Feed) -> Result<Counted, String> {
    let mut replay = Replay::new(artifact);
    let steps: Vec<Step> = (0..artifact.step_count()).map(|i| artifact.step(i)).collect::<Option<_>>().ok_or("no such step")?;
    let waits: Vec<Range<usize>> = steps.iter().map(|&step| replay.input_rows(step)).collect::<Result<_, _>>()?;
    let height = artifact.input_slot(0).map_or(Ok(0), |slot| replay.tensor(slot.tensor).map(|t| t.height as usize))?;
    let height = if feed == Feed::Rows { height } else { 0 };
    (height.min(1)..artifact.input_count()).try_for_each(|i| replay.put_input(i))?;
    // Before the first step every row is kept.
    let is_read = |row: usize, next: usize| next == 0 || waits[next..].iter().any(|rows| rows.contains(&row));
    let more = |row: usize, next: usize| next == 0 || waits[next..].iter().any(|rows| rows.end > row + 1);
    for (i, &step) in steps.iter().enumerate() {
        replay.memory.now = i as u32;
        let named = |e| format!("step {i} ({:?}): {e}", artifact.layer_name(step.layer as usize));
        while replay.given < waits[i].end.min(height) {
            replay.push(is_read(replay.given, i), more(replay.given, i)).map_err(named)?;
        }
        replay.step(step).map_err(named)?;
    }
    replay.memory.now = steps.len() as u32;
    while replay.given < height {
        replay.push(is_read(replay.given, steps.len()), false)?;
    }
    for i in 0..artifact.output_count() {
        let slot = artifact.output_slot(i).ok_or("an output has no slot")?;
        let t = replay.tensor(slot.tensor)?;
        ensure!(slot.rows == t.height, "output {i} is not held whole");
        let across = Across::all_pixels(&t, 0..t.channels as usize);
        (0..t.height as usize).try_for_each(|r| replay.reads(slot, r, &across)).map_err(|e| format!("output {i}: {e}"))?;
    }
    Ok(Counted {
        needed: replay.memory.most_needed(),
        in_slots: replay.memory.most_in_slots(),
        weights_read: replay.weights_read,
        ram: replay.memory.touched,
    })
}

/// Replays a plan in every way in which its inputs may come, and counts.
pub fn check(artifact: &Artifact) -> Result<Counted, String> {
    let by_rows = replay(artifact, Feed::Rows).map_err(|e| format!("row by row: {e}"))?;
    if artifact.is_streamed() {
        return Ok(by_rows);
    }
    let whole = replay(artifact, Feed::Whole)?;
    Ok(Counted { ram: whole.ram.max(by_rows.ram), ..whole })
}
