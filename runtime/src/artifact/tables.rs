//! The records of an artifact, by their numbers.

use super::Artifact;
use super::sections::Table;
use crate::bytes::u16_at;
use crate::error::{ArtifactError, ArtifactErrorKind as Kind};
use crate::record::{Chunk, DType, Layer, NONE16, NONE32, Slot, Step, TensorInfo};
use crate::step::Typed;

impl Artifact<'_> {
    /// Record `i` of a table, all of which have `SIZE` bytes; `None` past the end. Its length being known, its fields are read
    /// without a check for each byte.
    const fn record<const SIZE: usize>(&self, table: Table, i: usize) -> Option<&[u8; SIZE]> {
        if i >= table.count {
            return None;
        }
        match self.head.split_at_checked(table.at + i * SIZE) {
            Some((_, rest)) => rest.first_chunk(),
            None => None,
        }
    }

    /// Number of tensors.
    pub const fn tensor_count(&self) -> usize {
        self.tensors.count
    }

    /// A tensor; `None` past the end.
    pub const fn tensor(&self, i: usize) -> Option<TensorInfo> {
        match self.record(self.tensors, i) {
            Some(bytes) => TensorInfo::decode(bytes),
            None => None,
        }
    }

    /// Number of layers.
    pub const fn layer_count(&self) -> usize {
        self.layers.count
    }

    /// A layer; `None` past the end.
    pub const fn layer(&self, i: usize) -> Option<Layer> {
        match self.record(self.layers, i) {
            Some(bytes) => Layer::decode(bytes),
            None => None,
        }
    }

    /// A layer and its tensors, as many as its operator has.
    ///
    /// # Errors
    /// [`Kind::Ops`] past the end, [`Kind::Index`] where it has other tensors: not for the layers of an artifact that was accepted.
    pub const fn typed_layer(&self, i: usize) -> Result<Typed, ArtifactError> {
        let at = self.layer_offset(i);
        let Some(layer) = self.layer(i) else { fail!(Ops, at) };
        let n = layer.op.inputs();
        let as_many = (layer.input == NONE16) == (n < 1) && (layer.input2 == NONE16) == (n < 2);
        if !as_many {
            fail!(Index, at);
        }
        macro_rules! tensor {
            ($i:expr) => {
                match self.tensor($i as usize) {
                    Some(tensor) => tensor,
                    None => fail!(Index, at),
                }
            };
        }
        let y = tensor!(layer.output);
        let x = if n < 1 { y } else { tensor!(layer.input) };
        let x2 = if n < 2 { x } else { tensor!(layer.input2) };
        Ok(Typed { layer, x, x2, y })
    }

    /// Number of slots.
    pub const fn slot_count(&self) -> usize {
        self.slots.count
    }

    /// A slot; `None` past the end.
    pub const fn slot(&self, i: usize) -> Option<Slot> {
        match self.record(self.slots, i) {
            Some(bytes) => Some(Slot::decode(bytes)),
            None => None,
        }
    }

    /// Number of steps.
    pub const fn step_count(&self) -> usize {
        self.steps.count
    }

    /// A step; `None` past the end.
    pub const fn step(&self, i: usize) -> Option<Step> {
        match self.record(self.steps, i) {
            Some(bytes) => Some(Step::decode(bytes)),
            None => None,
        }
    }

    /// Number of weight chunks.
    pub const fn chunk_count(&self) -> usize {
        self.chunks.count
    }

    /// A chunk; `None` past the end (also for [`NONE32`]).
    pub const fn chunk(&self, i: u32) -> Option<Chunk> {
        if i == NONE32 {
            return None;
        }
        match self.record(self.chunks, i as usize) {
            Some(bytes) => Some(Chunk::decode(bytes)),
            None => None,
        }
    }

    /// Number of network inputs.
    pub const fn input_count(&self) -> usize {
        self.inputs
    }

    /// Number of network outputs.
    pub const fn output_count(&self) -> usize {
        self.outputs
    }

    /// The slot of input `i`.
    pub const fn input_slot(&self, i: usize) -> Option<Slot> {
        if i >= self.inputs {
            return None;
        }
        self.slot(u16_at(self.head, self.io.at + 4 + 2 * i) as usize)
    }

    /// The slot of output `i`.
    pub const fn output_slot(&self, i: usize) -> Option<Slot> {
        if i >= self.outputs {
            return None;
        }
        self.slot(u16_at(self.head, self.io.at + 4 + 2 * (self.inputs + i)) as usize)
    }

    /// Bytes of the whole input `i` as the device takes it (NHWC, i8 or f32); 0 where there is no such input.
    pub const fn input_len_bytes(&self, i: usize) -> usize {
        match self.input_slot(i) {
            Some(slot) => self.tensor_bytes(slot),
            None => 0,
        }
    }

    /// Bytes of output `i` as the device holds it; 0 where there is no such output.
    pub const fn output_len_bytes(&self, i: usize) -> usize {
        match self.output_slot(i) {
            Some(slot) => self.tensor_bytes(slot),
            None => 0,
        }
    }

    const fn tensor_bytes(&self, slot: Slot) -> usize {
        match self.tensor(slot.tensor as usize) {
            Some(tensor) => (tensor.height as u64 * tensor.row_bytes()) as usize,
            None => 0,
        }
    }

    /// The element type that a layer computes in.
    pub const fn layer_dtype(&self, layer: &Layer) -> DType {
        match self.tensor(layer.output as usize) {
            Some(tensor) => tensor.dtype,
            None => DType::I8,
        }
    }

    /// Where in the head a layer's record is, for error messages.
    pub(crate) const fn layer_offset(&self, i: usize) -> usize {
        self.layers.at + i * Layer::SIZE
    }

    /// Where in the head a tensor's record is.
    pub(crate) const fn tensor_offset(&self, i: usize) -> usize {
        self.tensors.at + i * TensorInfo::SIZE
    }

    /// Where in the head a slot's record is.
    pub(crate) const fn slot_offset(&self, i: usize) -> usize {
        self.slots.at + i * Slot::SIZE
    }

    /// Where in the head a step's record is.
    pub(crate) const fn step_offset(&self, i: usize) -> usize {
        self.steps.at + i * Step::SIZE
    }

    /// Where in the head a chunk's record is.
    pub(crate) const fn chunk_offset(&self, i: usize) -> usize {
        self.chunks.at + i * Chunk::SIZE
    }

    /// Where in the head the list of inputs and outputs is.
    pub(crate) const fn io_offset(&self) -> usize {
        self.io.at
    }
}
