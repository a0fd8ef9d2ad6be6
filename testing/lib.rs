//! What the tests of several crates need: random numbers, random windows, small networks and artifacts made without the exporter,
//! and, with the feature `graphs`, random networks as graphs and what the exporter makes of them.

pub mod chain;
pub mod every_op;
#[cfg(feature = "graphs")]
pub mod graphs;
pub mod net;
pub mod plan;
pub mod random;
pub mod run;
pub mod source;
pub mod surgery;

pub use random::{Case, Random, window};

/// Bytes that begin at a multiple of 16.
#[derive(Clone, Debug)]
pub struct AlignedBytes {
    words: Vec<u128>,
    len: usize,
}

impl AlignedBytes {
    /// So many zeros.
    pub fn zeroed(len: usize) -> Self {
        AlignedBytes { words: vec![0; len.div_ceil(16)], len }
    }

    /// The same bytes, aligned.
    pub fn copy_of(bytes: &[u8]) -> Self {
        let mut copy = Self::zeroed(bytes.len());
        copy.as_mut().copy_from_slice(bytes);
        copy
    }
}

impl AsRef<[u8]> for AlignedBytes {
    fn as_ref(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.words)[..self.len]
    }
}

impl AsMut<[u8]> for AlignedBytes {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.words)[..self.len]
    }
}
