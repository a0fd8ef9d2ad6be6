//! The fixed-size records of the head: tensors, layers, slots, steps, chunks. FORMAT.md has the same tables in words.
//!
//! `decode` is `const` and reads whatever is there; [`Artifact::new`](crate::artifact::Artifact::new) judges it. `encode` is its
//! inverse, used by the exporter.

mod layer;

pub use crate::dtype::DType;
pub use layer::Layer;

use crate::bytes::{f32_at, put, u16_at, u32_at, u64_at};

/// "No such index" in a 16-bit field.
pub const NONE16: u16 = u16::MAX;
/// "No such index" in a 32-bit field.
pub const NONE32: u32 = u32::MAX;

/// What the host's elements of a tensor are, as the model takes or gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum HostType {
    /// Real numbers; int8 tensors are quantized and dequantized by their own grid.
    Real = 0,
    /// The bytes of an int8 tensor themselves.
    I8 = 1,
    /// The bytes of an int8 tensor plus 128: a model of uint8.
    U8 = 2,
    /// Integers.
    I64 = 3,
}

impl HostType {
    const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(HostType::Real),
            1 => Some(HostType::I8),
            2 => Some(HostType::U8),
            3 => Some(HostType::I64),
            _ => None,
        }
    }
}

/// An activation: shape (NHWC, batch 1) and quantization, and how the host sees it.
///
/// The device knows rows, pixels and channels. The host's shape has up to four dimensions; where `channels_last` is set, the
/// second of them is the device's innermost (`[N, C, H, W]` lies as N x H rows of W pixels of C channels), otherwise both have
/// the same order in memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TensorInfo {
    /// Element type.
    pub dtype: DType,
    /// Dimensions on the host, 0 to 4.
    pub rank: u8,
    /// Whether the host's second dimension is innermost on the device.
    pub channels_last: bool,
    /// The host's elements.
    pub host: HostType,
    /// The host's dimensions; the first `rank` count.
    pub dims: [u16; 4],
    /// The int8 value that stands for 0; 0 in f32.
    pub zero_point: i8,
    /// Rows.
    pub height: u32,
    /// Pixels in a row.
    pub width: u32,
    /// Channels of a pixel.
    pub channels: u32,
    /// Real value of one int8 unit; 1 in f32.
    pub scale: f32,
}

impl TensorInfo {
    /// Bytes of a record.
    pub const SIZE: usize = 32;

    /// Elements of the whole tensor.
    pub const fn elements(&self) -> u64 {
        self.height as u64 * self.width as u64 * self.channels as u64
    }

    /// Bytes of one row.
    pub const fn row_bytes(&self) -> u64 {
        self.width as u64 * self.channels as u64 * self.dtype.bytes()
    }

    pub(crate) const fn decode(b: &[u8; Self::SIZE]) -> Option<Self> {
        let Some(dtype) = DType::from_code(b[0]) else { return None };
        let Some(host) = HostType::from_code(b[20]) else { return None };
        Some(TensorInfo {
            dtype,
            rank: b[1],
            channels_last: b[3] & 1 != 0,
            host,
            dims: [u16_at(b, 24), u16_at(b, 26), u16_at(b, 28), u16_at(b, 30)],
            zero_point: b[2] as i8,
            height: u32_at(b, 4),
            width: u32_at(b, 8),
            channels: u32_at(b, 12),
            scale: f32_at(b, 16),
        })
    }

    /// The record's bytes.
    pub fn encode(&self) -> [u8; Self::SIZE] {
        let mut b = [0; Self::SIZE];
        b[0] = self.dtype as u8;
        b[1] = self.rank;
        b[2] = self.zero_point as u8;
        put(&mut b, 4, &self.height.to_le_bytes());
        put(&mut b, 8, &self.width.to_le_bytes());
        put(&mut b, 12, &self.channels.to_le_bytes());
        put(&mut b, 16, &self.scale.to_le_bytes());
        b[3] = self.channels_last as u8;
        b[20] = self.host as u8;
        for (i, dim) in self.dims.into_iter().enumerate() {
            put(&mut b, 24 + 2 * i, &dim.to_le_bytes());
        }
        b
    }
}

/// A place in RAM where rows of a tensor are kept, as a ring, of all its channels or of some neighbouring ones (a window).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Which tensor.
    pub tensor: u16,
    /// First channel that is kept.
    pub c0: u16,
    /// Channels that are kept, from `c0` on; all of the tensor's where it is no window.
    pub channels: u16,
    /// First byte in RAM, a multiple of 16.
    pub offset: u32,
    /// Rows in the ring; the tensor's height where it is held whole.
    pub rows: u32,
}

impl Slot {
    /// Bytes of a record.
    pub const SIZE: usize = 16;

    /// Whether all rows are kept: row `r` lies at place `r`.
    pub const fn has_all_rows(&self, tensor: &TensorInfo) -> bool {
        self.rows == tensor.height
    }

    /// Whether all channels are kept: it is no window.
    pub const fn has_all_channels(&self, tensor: &TensorInfo) -> bool {
        self.c0 == 0 && self.channels as u32 == tensor.channels
    }

    /// Bytes of one row as it is kept.
    pub const fn row_bytes(&self, tensor: &TensorInfo) -> u64 {
        tensor.width as u64 * self.channels as u64 * tensor.dtype.bytes()
    }

    /// First and end of the bytes that a step touches which reads or writes rows `[first, end)`: these rows where all are kept,
    /// else the whole ring.
    pub const fn span(&self, tensor: &TensorInfo, (first, end): (u32, u32)) -> (u64, u64) {
        let (offset, row) = (self.offset as u64, self.row_bytes(tensor));
        let (first, end) = if self.has_all_rows(tensor) { (first, end) } else { (0, self.rows) };
        (offset + first as u64 * row, offset + end as u64 * row)
    }

    pub(crate) const fn decode(b: &[u8; Self::SIZE]) -> Self {
        Slot { tensor: u16_at(b, 0), c0: u16_at(b, 2), channels: u16_at(b, 12), offset: u32_at(b, 4), rows: u32_at(b, 8) }
    }

    /// The record's bytes.
    pub fn encode(&self) -> [u8; Self::SIZE] {
        let mut b = [0; Self::SIZE];
        put(&mut b, 0, &self.tensor.to_le_bytes());
        put(&mut b, 2, &self.c0.to_le_bytes());
        put(&mut b, 4, &self.offset.to_le_bytes());
        put(&mut b, 8, &self.rows.to_le_bytes());
        put(&mut b, 12, &self.channels.to_le_bytes());
        b
    }
}

/// One step of the plan: rows x channels of one layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Which layer.
    pub layer: u16,
    /// Slot of the first input.
    pub input: u16,
    /// Slot of the second input, or [`NONE16`].
    pub input2: u16,
    /// Slot of the output. It lies where the input's does where the step runs in place.
    pub output: u16,
    /// First output row.
    pub r0: u16,
    /// End of the output rows.
    pub r1: u16,
    /// First output channel.
    pub c0: u16,
    /// End of the output channels.
    pub c1: u16,
    /// Chunk of weights, or [`NONE32`].
    pub chunk: u32,
    /// First byte of the scratch in RAM, a multiple of 16 (its length follows from layer and channels).
    pub scratch: u32,
    /// First byte in RAM of the weights, a multiple of 16; [`NONE32`] where they are read where they are mapped.
    pub place: u32,
    /// Whether the chunk is read from the source before this step; else an earlier step has left it at `place`.
    pub load: bool,
}

impl Step {
    /// Bytes of a record.
    pub const SIZE: usize = 32;

    pub(crate) const fn decode(b: &[u8; Self::SIZE]) -> Self {
        Step {
            layer: u16_at(b, 0),
            input: u16_at(b, 2),
            input2: u16_at(b, 4),
            output: u16_at(b, 6),
            r0: u16_at(b, 8),
            r1: u16_at(b, 10),
            c0: u16_at(b, 12),
            c1: u16_at(b, 14),
            chunk: u32_at(b, 16),
            scratch: u32_at(b, 20),
            place: u32_at(b, 24),
            load: u16_at(b, 28) & 1 != 0,
        }
    }

    /// The record's bytes.
    pub fn encode(&self) -> [u8; Self::SIZE] {
        let mut b = [0; Self::SIZE];
        let words = [self.layer, self.input, self.input2, self.output, self.r0, self.r1, self.c0, self.c1];
        for (i, word) in words.into_iter().enumerate() {
            put(&mut b, 2 * i, &word.to_le_bytes());
        }
        put(&mut b, 16, &self.chunk.to_le_bytes());
        put(&mut b, 20, &self.scratch.to_le_bytes());
        put(&mut b, 24, &self.place.to_le_bytes());
        put(&mut b, 28, &(self.load as u16).to_le_bytes());
        b
    }
}

/// A run of weights that one step needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// First byte in the payload, a multiple of 16.
    pub offset: u32,
    /// Bytes.
    pub len: u32,
    /// [`checksum`](crate::checksum) of the bytes.
    pub checksum: u64,
}

impl Chunk {
    /// Bytes of a record.
    pub const SIZE: usize = 16;

    pub(crate) const fn decode(b: &[u8; Self::SIZE]) -> Self {
        Chunk { offset: u32_at(b, 0), len: u32_at(b, 4), checksum: u64_at(b, 8) }
    }

    /// The record's bytes.
    pub fn encode(&self) -> [u8; Self::SIZE] {
        let mut b = [0; Self::SIZE];
        put(&mut b, 0, &self.offset.to_le_bytes());
        put(&mut b, 4, &self.len.to_le_bytes());
        put(&mut b, 8, &self.checksum.to_le_bytes());
        b
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_survive_encoding() {
        let mut tensor = TensorInfo {
            dtype: DType::I8,
            rank: 4,
            channels_last: true,
            host: HostType::U8,
            dims: [1, 9, 3, 7],
            zero_point: -7,
            height: 3,
            width: 70_000,
            channels: 9,
            scale: 0.1,
        };
        for (dtype, host) in [(DType::I8, HostType::U8), (DType::F32, HostType::Real), (DType::I32, HostType::I64)] {
            (tensor.dtype, tensor.host, tensor.channels_last) = (dtype, host, host == HostType::U8);
            assert_eq!(TensorInfo::decode(&tensor.encode()), Some(tensor));
        }
        let slot = Slot { tensor: 5, c0: 3, channels: 9, offset: 64, rows: 7 };
        assert_eq!(Slot::decode(&slot.encode()), slot);
        let mut step = Step {
            layer: 1,
            input: 2,
            input2: 3,
            output: 4,
            r0: 5,
            r1: 6,
            c0: 7,
            c1: 8,
            chunk: 9,
            scratch: 16,
            place: 32,
            load: true,
        };
        assert_eq!(Step::decode(&step.encode()), step);
        step.load = false;
        assert_eq!(Step::decode(&step.encode()), step);
        let chunk = Chunk { offset: 16, len: 5, checksum: u64::MAX - 1 };
        assert_eq!(Chunk::decode(&chunk.encode()), chunk);
    }
}
