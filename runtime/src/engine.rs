//! Runs an artifact: one loop over steps, one exhaustive match over operators.
//!
//! # A pass
//! Either all of the inputs is set ([`Engine::set_input_f32`], [`Engine::set_picture`], [`Engine::input_bytes_mut`]) and
//! [`Engine::run`] makes the outputs, or input 0 comes row by row between [`Engine::begin`] and [`Engine::finish`], and every row
//! runs the steps that have their rows then. A network that is *streamed* ([`Artifact::is_streamed`]) never holds all rows of
//! input 0: where all of it is set, steps run meanwhile. Other inputs come first, input 0 last.
//!
//! # Weights of a step
//! A step of a convolution or a fully connected layer over `n` output channels finds in its chunk, in this order: `n` biases
//! (i32, or f32 in float networks), `n` f32 multipliers (int8 only), then `n` rows of weights. Tables, slopes, taps and constants
//! of other operators are described at [`Op`](crate::op::Op).

mod call;
mod float;
mod input;
mod int8;
mod memory;

use crate::artifact::Artifact;
use crate::checksum::checksum;
use crate::error::RunError;
use crate::preprocess::RowResizer;
use crate::record::{Chunk, Slot, Step, TensorInfo};
use crate::step::Typed;
use crate::top_k::{Score, top_k};
use crate::view::{Held, Rows};
use crate::weights::WeightSource;
use call::{Call, Operands};
use core::ops::Range;

/// What [`Engine::step`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct StepDone {
    /// Which step of the plan.
    pub step: usize,
    /// The layer it belongs to.
    pub layer: usize,
    /// Output rows `[first, end)` that it made.
    pub rows: (u32, u32),
    /// Output channels `[first, end)` that it made.
    pub channels: (u32, u32),
}

/// An artifact being run in a buffer, with the operators in the mask `OPS` compiled in.
///
/// `Engine<{ MODEL.ops() }, _>` carries just the kernels that the model needs; tools use [`ALL_OPS`](crate::op::ALL_OPS).
#[derive(Debug)]
pub struct Engine<'a, const OPS: u128, S> {
    artifact: Artifact<'a>,
    ram: &'a mut [u8],
    source: S,
    next: usize,
    /// Steps before this one have had their chunk asked for.
    asked: usize,
    /// Rows of input 0 that have come, where they come row by row.
    rows: Option<u32>,
    /// Makes them of a picture's rows.
    resizer: Option<RowResizer>,
}

impl<'a, const OPS: u128, S: WeightSource> Engine<'a, OPS, S> {
    /// An engine at the start of a pass. `ram` has at least [`Artifact::ram_bytes`] bytes and begins at a multiple of 16.
    ///
    /// # Errors
    /// [`RunError::Ram`], [`RunError::Misaligned`], [`RunError::MissingOp`] or [`RunError::WeightsNotMapped`].
    pub fn new(artifact: Artifact<'a>, ram: &'a mut [u8], source: S) -> Result<Self, RunError<S::Error>> {
        if ram.len() < artifact.ram_bytes() {
            return Err(RunError::Ram { needed: artifact.ram_bytes() as u32, given: ram.len() as u32 });
        }
        if ram.as_ptr().align_offset(16) != 0 {
            return Err(RunError::Misaligned);
        }
        let missing = artifact.ops() & !OPS;
        if missing != 0 {
            return Err(RunError::MissingOp { bit: missing.trailing_zeros() });
        }
        if !S::MAPPED && !artifact.weights_in_storage() {
            return Err(RunError::WeightsNotMapped);
        }
        Ok(Engine { artifact, ram, source, next: 0, asked: 0, rows: None, resizer: None })
    }

    /// The artifact being run.
    pub fn artifact(&self) -> &Artifact<'a> {
        &self.artifact
    }

    /// Begins a new pass: forgets the steps done so far. Inputs must be set again, their memory may have been reused.
    pub fn reset(&mut self) {
        self.source.cancel();
        (self.next, self.asked) = (0, 0);
        (self.rows, self.resizer) = (None, None);
    }

    /// Runs one step and returns what it did, or `None` when the pass is complete. For watchdogs and schedulers: the time between
    /// two calls is bounded by the largest step.
    ///
    /// # Errors
    /// [`RunError::RowsMissing`] where the step waits for rows of input 0: nothing is lost. [`RunError::Weights`] and
    /// [`RunError::Chunk`] from the weight source: the engine then stands at the start of a new pass.
    // Called from several places, and large: a firmware has it once.
    #[inline(never)]
    pub fn step(&mut self) -> Result<Option<StepDone>, RunError<S::Error>> {
        let index = self.next;
        let Some(step) = self.artifact.step(index) else { return Ok(None) };
        let typed = &self.artifact.typed_layer(step.layer as usize);
        if let (Some(given), Ok(typed)) = (self.rows_given(), typed) {
            let needed = self.input_rows(typed, step).1;
            if needed > given {
                return Err(RunError::RowsMissing { needed, given });
            }
        }
        let broken = Err(RunError::Step { step: index as u32 });
        match typed.as_ref().map_or(broken, |typed| self.run_step(index, step, typed)) {
            Ok(()) => {
                self.next = index + 1;
                let (rows, channels) = ((step.r0 as u32, step.r1 as u32), (step.c0 as u32, step.c1 as u32));
                Ok(Some(StepDone { step: index, layer: step.layer as usize, rows, channels }))
            }
            Err(error) => {
                self.reset();
                Err(error)
            }
        }
    }

    /// Runs the pass to its end.
    ///
    /// # Errors
    /// As [`Engine::step`].
    pub fn run(&mut self) -> Result<(), RunError<S::Error>> {
        while self.step()?.is_some() {}
        Ok(())
    }

    /// Runs a whole pass on all inputs as the device takes them: NHWC, i8 or little-endian f32, streamed or not.
    ///
    /// # Errors
    /// [`RunError::NoSuchTensor`], [`RunError::InputLength`] where inputs do not fit, and as [`Engine::step`].
    pub fn run_on(&mut self, inputs: &[&[u8]]) -> Result<(), RunError<S::Error>> {
        self.run_and(inputs, &mut |_, _| Ok(()))
    }

    /// As [`Engine::run_on`], and tells `watch` after every step which it was. For counters and watchdogs.
    ///
    /// # Errors
    /// As [`Engine::run_on`].
    pub fn run_on_watched(&mut self, inputs: &[&[u8]], mut watch: impl FnMut(StepDone)) -> Result<(), RunError<S::Error>> {
        self.run_and(inputs, &mut |_, done| {
            watch(done);
            Ok(())
        })
    }

    /// As [`Engine::run_on`], and shows what every step made to `tap`: the step, its layer's output tensor, and a view of the
    /// rows that it made, with bytes for elements (so that its channels are the tensor's times the bytes of an element).
    ///
    /// # Errors
    /// As [`Engine::run_on`].
    pub fn run_on_tapped(
        &mut self,
        inputs: &[&[u8]],
        mut tap: impl FnMut(StepDone, &TensorInfo, &Rows<u8>),
    ) -> Result<(), RunError<S::Error>> {
        self.run_and(inputs, &mut |engine, done| {
            let layer = engine.artifact.step(done.step).zip(engine.artifact.typed_layer(done.layer).ok());
            let shown = layer.and_then(|(step, typed)| {
                let Call { y, .. } = Call::new::<OPS>(&engine.artifact, &typed, step)?;
                let (element, info) = (typed.y.dtype.bytes() as usize, typed.y);
                let held = Held { c0: y.held.c0 * element, channels: y.held.channels * element, ..y.held };
                let shape = [info.height as usize, info.width as usize, info.channels as usize * element];
                tap(done, &info, &Rows::part(engine.ram.get(y.bytes)?, held, shape));
                Some(())
            });
            shown.ok_or(RunError::Step { step: done.step as u32 })
        })
    }

    /// The bytes of output `i`: NHWC, i8 or little-endian f32.
    pub fn output_bytes(&self, i: usize) -> Option<&[u8]> {
        let slot = self.artifact.output_slot(i)?;
        let tensor = self.artifact.tensor(slot.tensor as usize)?;
        self.ram.get(all_of(slot, &tensor))
    }

    /// The quantization and shape of output `i`.
    pub fn output_info(&self, i: usize) -> Option<TensorInfo> {
        self.artifact.tensor(self.artifact.output_slot(i)?.tensor as usize)
    }

    /// The `K` largest scores of output 0, largest first; of equal scores the lower class first.
    pub fn top_k<const K: usize>(&self) -> heapless::Vec<Score, K> {
        match (self.output_info(0), self.output_bytes(0)) {
            (Some(tensor), Some(bytes)) => top_k(&tensor, bytes),
            _ => heapless::Vec::new(),
        }
    }

    /// Rows of input 0 that are there, or were; `None` where all of it is.
    fn rows_given(&self) -> Option<u32> {
        self.rows.or_else(|| self.artifact.is_streamed().then_some(0))
    }

    /// Rows of input 0 that a step reads.
    fn input_rows(&self, typed: &Typed, step: Step) -> (u32, u32) {
        let (rows, input) = ((step.r0 as u32, step.r1 as u32), self.artifact.input_slot(0).map(|slot| slot.tensor));
        if input == Some(typed.layer.input) {
            typed.input_rows::<OPS>(rows)
        } else if input == Some(typed.layer.input2) {
            typed.input2_rows(rows)
        } else {
            (0, 0)
        }
    }

    /// The chunk that is asked of the source for a step.
    fn asks(&self, step: usize) -> Option<Chunk> {
        let step = self.artifact.step(step)?;
        self.artifact.chunk(step.chunk).filter(|_| S::MAPPED || step.load)
    }

    /// Asks the source for the chunks of the steps before `end`.
    fn ask_until(&mut self, end: usize) {
        while self.asked < end {
            if let Some(chunk) = self.asks(self.asked) {
                self.source.start(chunk);
            }
            self.asked += 1;
        }
    }

    /// One past the next step behind `index` that asks for a chunk, or the number of steps where none does.
    fn next_asking_after(&self, index: usize) -> usize {
        let steps = self.artifact.step_count();
        (index + 1..steps).find(|&i| self.asks(i).is_some()).map_or(steps, |i| i + 1)
    }

    /// Not inlined: what looking up the layer took of the stack is given back before the kernel runs.
    #[inline(never)]
    fn run_step(&mut self, index: usize, step: Step, typed: &Typed) -> Result<(), RunError<S::Error>> {
        let broken = || RunError::Step { step: index as u32 };
        // The chunk after this one is asked for before this one is waited for: a source with a buffer of its own loads meanwhile.
        self.ask_until(index + 1);
        // Where more has been asked for than this step, the next chunk is among it.
        if self.asked == index + 1 {
            self.ask_until(self.next_asking_after(index));
        }
        let chunk = self.artifact.chunk(step.chunk);
        let place = match chunk {
            Some(chunk) if !S::MAPPED => step.place as usize..step.place as usize + chunk.len as usize,
            _ => 0..0,
        };
        let mut mapped: &[u8] = &[];
        if let Some(chunk) = chunk.filter(|_| S::MAPPED || step.load) {
            if S::MAPPED {
                mapped = wait_for(&mut self.source, &mut [], chunk, step.chunk)?;
            } else {
                let place = self.ram.get_mut(place.clone()).ok_or_else(broken)?;
                wait_for(&mut self.source, place, chunk, step.chunk)?;
            }
        }
        let call = &Call::new::<OPS>(&self.artifact, typed, step);
        let call = call.as_ref().ok_or_else(broken)?;
        let scratch = step.scratch as usize..step.scratch as usize + call.scratch_bytes::<OPS>();
        let run = || {
            let parts = memory::carve(self.ram, call.y.bytes.clone(), scratch)?;
            let find = |operand: &Option<call::Operand>| match operand {
                Some(operand) => parts.rest.shared(operand.bytes.clone()).map(Some),
                None => Some(None),
            };
            let (x, x2) = (find(&call.x)?, find(&call.x2)?);
            let weights = if S::MAPPED { mapped } else { parts.rest.shared(place)? };
            call.run::<OPS>(Operands { x, x2, y: parts.output, scratch: parts.scratch, weights }).ok()
        };
        run().ok_or_else(broken)
    }
}

fn wait_for<'w, S: WeightSource>(
    source: &'w mut S,
    place: &'w mut [u8],
    chunk: Chunk,
    index: u32,
) -> Result<&'w [u8], RunError<S::Error>> {
    let bytes = source.wait(place).map_err(RunError::Weights)?;
    if bytes.len() != chunk.len as usize || (S::VERIFY && checksum(bytes) != chunk.checksum) {
        return Err(RunError::Chunk { chunk: index });
    }
    Ok(bytes)
}

/// All the bytes of a slot.
fn all_of(slot: Slot, tensor: &TensorInfo) -> Range<usize> {
    let (first, end) = slot.span(tensor, (0, slot.rows));
    first as usize..end as usize
}
