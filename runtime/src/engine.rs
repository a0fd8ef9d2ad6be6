//! Runs an artifact: one loop over steps, one exhaustive match over operators.
//!
//! # Weights of a step
//! A step of a convolution or a fully connected layer over `n` output channels finds in its chunk, in this order: `n` biases
//! (i32, or f32 in float networks), `n` f32 multipliers (int8 only), then `n` rows of weights. Tables, slopes, taps and constants of
//! other operators are described at [`Op`](crate::op::Op).

mod call;
mod float;
mod int8;
mod memory;

use crate::artifact::Artifact;
use crate::error::RunError;
use crate::preprocess::Picture;
use crate::quant;
use crate::record::{Chunk, DType, NONE16, Slot, Step, TensorInfo};
use crate::top_k::{Score, top_k};
use crate::view::Block;
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
}

/// An artifact being run in a buffer, with the operators in the mask `OPS` compiled in.
///
/// `Engine<{ MODEL.ops() }, _>` carries just the kernels that the model needs; tools use [`ALL_OPS`](crate::ALL_OPS).
#[derive(Debug)]
pub struct Engine<'a, const OPS: u64, S> {
    artifact: Artifact<'a>,
    ram: &'a mut [u8],
    source: S,
    next: usize,
    /// Steps before this one have had their chunk asked for.
    asked: usize,
}

impl<'a, const OPS: u64, S: WeightSource> Engine<'a, OPS, S> {
    /// An engine at the start of a pass. `ram` has at least [`Artifact::ram_bytes`] bytes and begins at a multiple of 16.
    ///
    /// # Errors
    /// [`RunError::Ram`], [`RunError::Misaligned`] or [`RunError::MissingOp`].
    pub fn new(artifact: Artifact<'a>, ram: &'a mut [u8], source: S) -> Result<Self, RunError<S::Error>> {
        if ram.len() < artifact.ram_bytes() {
            return Err(RunError::Ram { needed: artifact.ram_bytes() as u32, given: ram.len() as u32 });
        }
        if ram.as_ptr().align_offset(16) != 0 {
            return Err(RunError::Misaligned);
        }
        if artifact.ops() & !OPS != 0 {
            return Err(RunError::MissingOp { ops: artifact.ops() & !OPS });
        }
        Ok(Engine { artifact, ram, source, next: 0, asked: 0 })
    }

    /// The artifact being run.
    pub fn artifact(&self) -> &Artifact<'a> {
        &self.artifact
    }

    /// Begins a new pass: forgets the steps done so far. Inputs must be set again, their memory may have been reused.
    pub fn reset(&mut self) {
        self.source.cancel();
        self.next = 0;
        self.asked = 0;
    }

    fn slot_range(&self, slot: Slot, tensor: &TensorInfo) -> Range<usize> {
        let first = slot.offset as usize;
        first..first + slot.rows as usize * tensor.row_bytes() as usize
    }

    fn input(&self, i: usize) -> Result<(TensorInfo, Range<usize>), RunError<S::Error>> {
        let slot = self.artifact.input_slot(i).ok_or(RunError::NoSuchTensor)?;
        let tensor = self.artifact.tensor(slot.tensor as usize).ok_or(RunError::NoSuchTensor)?;
        Ok((tensor, self.slot_range(slot, &tensor)))
    }

    /// The bytes of input `i` as the device holds them: NHWC, i8 or little-endian f32. For data that is quantized already.
    pub fn input_bytes_mut(&mut self, i: usize) -> Option<&mut [u8]> {
        let (_, range) = self.input(i).ok()?;
        self.ram.get_mut(range)
    }

    /// Sets input `i` from real values in NHWC order, quantizing where the network is int8. Begins a new pass.
    ///
    /// # Errors
    /// [`RunError::NoSuchTensor`], [`RunError::InputLength`].
    pub fn set_input_f32(&mut self, i: usize, values: &[f32]) -> Result<(), RunError<S::Error>> {
        let (tensor, range) = self.input(i)?;
        if values.len() as u64 != tensor.elements() {
            return Err(RunError::InputLength { needed: tensor.elements() as u32, given: values.len() as u32 });
        }
        let bytes = self.ram.get_mut(range).ok_or(RunError::NoSuchTensor)?;
        match tensor.dtype {
            DType::I8 => {
                for (byte, value) in bytes.iter_mut().zip(values) {
                    *byte = quant::quantize(*value, tensor.scale, tensor.zero_point) as u8;
                }
            }
            DType::F32 => {
                let into = bytemuck::try_cast_slice_mut::<u8, f32>(bytes).map_err(|_| RunError::Misaligned)?;
                into.copy_from_slice(values);
            }
            DType::I32 => return Err(RunError::NoSuchTensor),
        }
        self.reset();
        Ok(())
    }

    /// Sets input 0 from a picture of any size, through the preprocessing stored in the artifact. Begins a new pass.
    ///
    /// # Errors
    /// [`RunError::NoPreprocess`], [`RunError::Picture`].
    pub fn set_picture(&mut self, picture: Picture) -> Result<(), RunError<S::Error>> {
        let preprocess = self.artifact.preprocess().ok_or(RunError::NoPreprocess)?;
        let (tensor, range) = self.input(0)?;
        let bytes = self.ram.get_mut(range).ok_or(RunError::NoSuchTensor)?;
        match tensor.dtype {
            DType::I8 => {
                // Byte values repeat, divisions are slow: one table a channel.
                let mut table = [[0u8; 256]; 3];
                for (c, table) in table.iter_mut().enumerate().take(preprocess.channels as usize) {
                    for (byte, q) in table.iter_mut().enumerate() {
                        let value = preprocess.normalise(byte as u8, c);
                        *q = quant::quantize(value, tensor.scale, tensor.zero_point) as u8;
                    }
                }
                let put = |i: usize, c: usize, byte: u8| bytes[i] = table[c][byte as usize];
                preprocess.resize(picture, put).map_err(RunError::Picture)?;
            }
            DType::F32 => {
                let into = bytemuck::try_cast_slice_mut::<u8, f32>(bytes).map_err(|_| RunError::Misaligned)?;
                preprocess.to_f32(picture, into).map_err(RunError::Picture)?;
            }
            DType::I32 => return Err(RunError::NoSuchTensor),
        }
        self.reset();
        Ok(())
    }

    /// Runs one step and returns what it did, or `None` when the pass is complete. For watchdogs and schedulers: the time between
    /// two calls is bounded by the largest step.
    ///
    /// # Errors
    /// [`RunError::Weights`] and [`RunError::Chunk`] from the weight source. The engine then stands at the start of a new pass.
    pub fn step(&mut self) -> Result<Option<StepDone>, RunError<S::Error>> {
        let index = self.next;
        let Some(step) = self.artifact.step(index) else { return Ok(None) };
        match self.run_step(index, step) {
            Ok(()) => {
                self.next = index + 1;
                Ok(Some(StepDone { step: index, layer: step.layer as usize, rows: (step.r0 as u32, step.r1 as u32) }))
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

    /// Runs the pass to its end and shows every step's output slot to `tap`: the step, its layer's output tensor, and the bytes of
    /// the slot (a ring of rows; the whole tensor where it is held whole).
    ///
    /// # Errors
    /// As [`Engine::step`].
    pub fn run_tapped(&mut self, mut tap: impl FnMut(StepDone, &TensorInfo, &[u8])) -> Result<(), RunError<S::Error>> {
        while let Some(done) = self.step()? {
            let output = self.artifact.step(done.step).and_then(|step| self.call(step));
            let shown = output.and_then(|call| {
                tap(done, &call.y, self.ram.get(self.slot_range(call.output, &call.y))?);
                Some(())
            });
            shown.ok_or(RunError::Step { step: done.step as u32 })?;
        }
        Ok(())
    }

    /// The bytes of output `i`: NHWC, i8 or little-endian f32.
    pub fn output_bytes(&self, i: usize) -> Option<&[u8]> {
        let slot = self.artifact.output_slot(i)?;
        let tensor = self.artifact.tensor(slot.tensor as usize)?;
        self.ram.get(self.slot_range(slot, &tensor))
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

    /// Asks the source for the chunks of the steps before `end`.
    fn ask_until(&mut self, end: usize) {
        while self.asked < end {
            if let Some(chunk) = self.artifact.step(self.asked).and_then(|step| self.artifact.chunk(step.chunk)) {
                self.source.start(chunk);
            }
            self.asked += 1;
        }
    }

    /// A step's records, looked up.
    fn call(&self, step: Step) -> Option<Call> {
        let a = &self.artifact;
        let layer = a.layer(step.layer as usize)?;
        let block = Block { r0: step.r0 as usize, r1: step.r1 as usize, c0: step.c0 as usize, c1: step.c1 as usize };
        let operand = |tensor: u16, slot: u16| match tensor {
            NONE16 => Some(None),
            tensor => Some(Some((a.tensor(tensor as usize)?, a.slot(slot as usize)?))),
        };
        Some(Call {
            input: operand(layer.input, step.input)?,
            input2: operand(layer.input2, step.input2)?,
            y: a.tensor(layer.output as usize)?,
            output: a.slot(step.output as usize)?,
            layer,
            block,
        })
    }

    fn run_step(&mut self, index: usize, step: Step) -> Result<(), RunError<S::Error>> {
        let broken = || RunError::Step { step: index as u32 };
        let call = self.call(step).ok_or_else(broken)?;
        // The chunk after this one is asked for before this one is waited for: a source with two buffers loads meanwhile.
        self.ask_until(index + 1);
        // Where more has been asked for than this step, the next chunk is among it.
        if self.asked == index + 1 {
            self.ask_until(self.next_chunk_after(index));
        }
        let range_of = |operand: Option<(TensorInfo, Slot)>| operand.map(|(tensor, slot)| self.slot_range(slot, &tensor));
        let (x, x2, y) = (range_of(call.input), range_of(call.input2), self.slot_range(call.output, &call.y));
        let scratch = match call.scratch_bytes() {
            0 => 0..0,
            len => step.scratch as usize..step.scratch as usize + len,
        };
        let weights = match self.artifact.chunk(step.chunk) {
            Some(chunk) => wait_for(&mut self.source, chunk, step.chunk)?,
            None => &[],
        };
        // Only operators that may do so have their output where their input is: validation saw to it.
        let x = x.filter(|x| x.start != y.start);
        let run = || {
            let parts = memory::carve(self.ram, y, scratch)?;
            let find = |range: Option<Range<usize>>| match range {
                Some(range) => parts.shared(range).map(Some),
                None => Some(None),
            };
            let (x, x2) = (find(x)?, find(x2)?);
            call.run::<OPS>(Operands { x, x2, y: parts.output, scratch: parts.scratch, weights }).ok()
        };
        run().ok_or_else(broken)
    }

    /// One past the next step behind `index` that needs a chunk, or the number of steps where none does.
    fn next_chunk_after(&self, index: usize) -> usize {
        let needs = |&i: &usize| self.artifact.step(i).is_some_and(|step| self.artifact.chunk(step.chunk).is_some());
        let steps = self.artifact.step_count();
        (index + 1..steps).find(needs).map_or(steps, |i| i + 1)
    }
}

fn wait_for<S: WeightSource>(source: &mut S, chunk: Chunk, index: u32) -> Result<&[u8], RunError<S::Error>> {
    let bytes = source.wait(&mut []).map_err(RunError::Weights)?;
    if bytes.len() != chunk.len as usize || (S::VERIFY && crate::checksum(bytes) != chunk.checksum) {
        return Err(RunError::Chunk { chunk: index });
    }
    Ok(bytes)
}
