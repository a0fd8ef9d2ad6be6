//! The artifact: a network ready to run. FORMAT.md has its bytes.
//!
//! [`Artifact::new`] is a `const fn` over the head (`validate.rs` has its judgement). What it accepts is memory safe to run for any payload: every index lies in
//! its table, every buffer in the declared RAM, nothing that a step writes overlaps what it reads, every kernel finds the rows,
//! weights and scratch that it will reach for. (Whether the plan is *right*, nothing being overwritten too early, is the
//! planner's duty and its checker's.)

use crate::bytes::{u16_at, u32_at, u64_at};
use crate::checksum::{checksum, checksum_skipping};
use crate::error::{ArtifactError, ArtifactErrorKind as Kind};
use crate::preprocess::{Preprocess, Source};
use crate::record::{Chunk, Layer, Slot, Step, TensorInfo};

macro_rules! fail {
    ($kind:ident, $at:expr) => {
        return Err(ArtifactError { kind: Kind::$kind, offset: $at as u32 })
    };
}

mod sections;
mod tables;

pub use sections::SectionId;
use sections::Table;

/// First bytes of every artifact.
pub const MAGIC: [u8; 4] = *b"SNET";
/// Version of the format that this crate reads and the exporter writes.
pub const FORMAT_VERSION: u16 = 4;
/// Bytes of the header, before the section table.
pub const HEADER_LEN: usize = 64;
/// Bytes of an entry of the section table.
pub const SECTION_LEN: usize = 32;
/// Everything in an artifact begins at a multiple of this.
pub const ALIGN: usize = 16;
/// Header flag: the payload is a file of its own.
pub const FLAG_SPLIT: u16 = 1;
/// Header flag: the plan is for weights in a storage that is read, not mapped: every chunk has a place in RAM.
pub const FLAG_STORAGE: u16 = 2;
/// Section flag: a reader that does not know the section must refuse the artifact.
pub const FLAG_REQUIRED: u32 = 1;

/// A validated artifact: the head, and the payload where it lies behind the head.
#[derive(Clone, Copy, Debug)]
pub struct Artifact<'a> {
    head: &'a [u8],
    payload: &'a [u8],
    tensors: Table,
    layers: Table,
    slots: Table,
    steps: Table,
    chunks: Table,
    io: Table,
    inputs: usize,
    outputs: usize,
    /// [`Artifact::ops`] in words, the lowest first, so that no padding lies beside them. Whoever judges the layers says it.
    pub(crate) ops: [u32; 4],
    preprocess: Option<Preprocess>,
    source: Option<(Source, u32)>,
    labels: Table,
    names: Table,
}

impl<'a> Artifact<'a> {
    /// Finds the parts of an artifact: the head, with or without the payload behind it. What its records say is not judged yet.
    pub(crate) const fn read(bytes: &'a [u8]) -> Result<Self, ArtifactError> {
        if bytes.len() < HEADER_LEN {
            fail!(Truncated, bytes.len());
        }
        if bytes[0] != MAGIC[0] || bytes[1] != MAGIC[1] || bytes[2] != MAGIC[2] || bytes[3] != MAGIC[3] {
            fail!(Magic, 0);
        }
        if u16_at(bytes, 4) != FORMAT_VERSION {
            fail!(Version, 4);
        }
        // A flag of a later version may change what the bytes mean.
        if u16_at(bytes, 6) & !(FLAG_SPLIT | FLAG_STORAGE) != 0 {
            fail!(Version, 6);
        }
        let (head_len, payload_len) = (u32_at(bytes, 8) as usize, u32_at(bytes, 12) as usize);
        let sections = u32_at(bytes, 16) as usize;
        if sections > 256 || head_len % ALIGN != 0 || head_len < HEADER_LEN + sections * SECTION_LEN {
            fail!(Section, 8);
        }
        let split = u16_at(bytes, 6) & FLAG_SPLIT != 0;
        if bytes.len() < head_len || (!split && bytes.len() - head_len < payload_len) {
            fail!(Truncated, bytes.len());
        }
        let (head, rest) = bytes.split_at(head_len);
        let payload = if split { &[] } else { rest.split_at(payload_len).0 };
        let (table, _) = head.split_at(HEADER_LEN + sections * SECTION_LEN);
        if checksum_skipping(table, 40, 8) != u64_at(head, 40) {
            fail!(Checksum, 40);
        }
        let found = match sections::find_sections(head, sections) {
            Ok(found) => found,
            Err(error) => return Err(error),
        };
        let mut artifact = Artifact {
            head,
            payload,
            tensors: Table { at: 0, count: 0 },
            layers: Table { at: 0, count: 0 },
            slots: Table { at: 0, count: 0 },
            steps: Table { at: 0, count: 0 },
            chunks: Table { at: 0, count: 0 },
            io: Table { at: 0, count: 0 },
            inputs: 0,
            outputs: 0,
            ops: [0; 4],
            preprocess: None,
            source: None,
            labels: Table { at: 0, count: 0 },
            names: Table { at: 0, count: 0 },
        };
        macro_rules! table {
            ($id:ident, $size:expr) => {
                match sections::records(&found, SectionId::$id, $size) {
                    Ok(table) => table,
                    Err(error) => return Err(error),
                }
            };
        }
        macro_rules! part {
            ($read:ident($($id:expr)?)) => {
                match sections::$read(head, &found $(, $id)?) {
                    Ok(part) => part,
                    Err(error) => return Err(error),
                }
            };
        }
        artifact.tensors = table!(Tensors, TensorInfo::SIZE);
        artifact.layers = table!(Layers, Layer::SIZE);
        artifact.slots = table!(Slots, Slot::SIZE);
        artifact.steps = table!(Steps, Step::SIZE);
        artifact.chunks = table!(Chunks, Chunk::SIZE);
        artifact.io = table!(Io, 2);
        artifact.labels = part!(strings(SectionId::Labels));
        artifact.names = part!(strings(SectionId::Names));
        if artifact.names.count != artifact.layers.count && artifact.names.at != 0 {
            fail!(Text, artifact.names.at);
        }
        artifact.preprocess = part!(preprocess());
        artifact.source = part!(source());
        if let Err(error) = artifact.check_io() {
            return Err(error);
        }
        Ok(artifact)
    }

    const fn check_io(&mut self) -> Result<(), ArtifactError> {
        if self.io.count < 2 {
            fail!(Section, self.io.at);
        }
        self.inputs = u16_at(self.head, self.io.at) as usize;
        self.outputs = u16_at(self.head, self.io.at + 2) as usize;
        if self.outputs == 0 || 2 + self.inputs + self.outputs > self.io.count {
            fail!(Index, self.io.at);
        }
        Ok(())
    }

    /// The head's bytes.
    pub const fn head(&self) -> &'a [u8] {
        self.head
    }

    /// The weights, where they lie behind the head; empty where they are a file of their own.
    pub const fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// Whether the weights are a file of their own.
    pub const fn is_split(&self) -> bool {
        u16_at(self.head, 6) & FLAG_SPLIT != 0
    }

    /// Whether the plan is for weights in a storage that is read: every chunk has a place in RAM. Else they must be mapped.
    pub const fn weights_in_storage(&self) -> bool {
        u16_at(self.head, 6) & FLAG_STORAGE != 0
    }

    /// Bytes of weights, biases, multipliers and tables.
    pub const fn payload_len(&self) -> usize {
        u32_at(self.head, 12) as usize
    }

    /// The kernel set that weights are packed for (see [`Target`]).
    pub const fn target(&self) -> u32 {
        u32_at(self.head, 20)
    }

    /// Bytes of RAM that a run needs: activations, scratch, places of weights and row memory. The stack is not in it.
    pub const fn ram_bytes(&self) -> usize {
        u32_at(self.head, 24) as usize
    }

    /// Bytes of RAM that hold activations: [`Artifact::ram_bytes`] less what only the others use.
    pub const fn activation_bytes(&self) -> usize {
        u32_at(self.head, 28) as usize
    }

    /// Bytes of stack that the plan was made for, as it was stated; 0 where nothing was.
    pub const fn stack_bytes(&self) -> usize {
        u32_at(self.head, 56) as usize
    }

    /// The operators used, as a mask of [`Op::bits`](crate::op::Op::bits): the `OPS` of the engine that runs this artifact. Computed
    /// from the layers; the head's own field, which is narrower, is [`Artifact::head_ops`].
    pub const fn ops(&self) -> u128 {
        let [a, b, c, d] = self.ops;
        a as u128 | (b as u128) << 32 | (c as u128) << 64 | (d as u128) << 96
    }

    /// The operators used as the head states them, a mask of [`OpCode::head_bit`](crate::op::OpCode::head_bit).
    pub const fn head_ops(&self) -> u64 {
        u64_at(self.head, 32)
    }

    /// Compares the checksum of weights that are mapped into memory: a third of an instruction a byte, once after start-up.
    ///
    /// # Errors
    /// [`Kind::Checksum`] where a byte differs, [`Kind::Truncated`] where the length does.
    pub fn verify_weights(&self, payload: &[u8]) -> Result<(), ArtifactError> {
        if payload.len() != self.payload_len() {
            fail!(Truncated, 12);
        }
        if checksum(payload) != u64_at(self.head, 48) {
            fail!(Checksum, 48);
        }
        Ok(())
    }

    /// How a picture becomes the first input, where the artifact says.
    pub const fn preprocess(&self) -> Option<Preprocess> {
        self.preprocess
    }

    /// What rows of a picture [`Engine::push_row`](crate::Engine::push_row) takes, where the artifact says.
    pub const fn source(&self) -> Option<Source> {
        match self.source {
            Some((source, _)) => Some(source),
            None => None,
        }
    }

    /// First byte in RAM of the row memory of [`Artifact::source`].
    pub const fn row_memory(&self) -> Option<u32> {
        match self.source {
            Some((_, memory)) => Some(memory),
            None => None,
        }
    }

    /// Whether input 0 is given row by row: only some of its rows are held.
    pub const fn is_streamed(&self) -> bool {
        match self.input_slot(0) {
            Some(slot) => match self.tensor(slot.tensor as usize) {
                Some(tensor) => !slot.has_all_rows(&tensor),
                None => false,
            },
            None => false,
        }
    }

    /// Number of class labels.
    pub const fn label_count(&self) -> usize {
        self.labels.count
    }

    /// The label of a class.
    pub fn label(&self, class: usize) -> Option<&'a str> {
        self.text(self.labels, class)
    }

    /// The name of a layer, where the artifact carries names.
    pub fn layer_name(&self, layer: usize) -> Option<&'a str> {
        self.text(self.names, layer)
    }

    fn text(&self, table: Table, index: usize) -> Option<&'a str> {
        if index >= table.count {
            return None;
        }
        let mut at = table.at + 2;
        for _ in 0..index {
            at += 2 + u16_at(self.head, at) as usize;
        }
        let len = u16_at(self.head, at) as usize;
        core::str::from_utf8(self.head.get(at + 2..at + 2 + len)?).ok()
    }
}

/// Bytes of the preprocessing section.
pub const PREPROCESS_LEN: usize = 32;
/// Bytes of the source section.
pub const SOURCE_LEN: usize = 16;

/// Kernel sets that weights can be packed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Target {
    /// The order that every kernel set reads.
    Portable = 0,
}

impl Target {
    /// The target of this number.
    pub const fn from_code(code: u32) -> Option<Self> {
        match code {
            0 => Some(Target::Portable),
            _ => None,
        }
    }

    /// The target's name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Target::Portable => "portable",
        }
    }
}
