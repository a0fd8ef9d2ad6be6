//! Where weights come from.
//!
//! The engine reads weights in chunks, each used by one step or by several in a row. It names the chunk that comes next before
//! it waits for the present one, so that a source with two buffers can load while the kernel runs.

use crate::artifact::Artifact;
use crate::record::Chunk;
use core::convert::Infallible;

/// A supplier of weight chunks.
pub trait WeightSource {
    /// What can go wrong while reading.
    type Error;

    /// Whether the engine must compare every chunk's checksum before it uses it. False for memory that is verified once, with
    /// [`Artifact::verify_weights`].
    const VERIFY: bool;

    /// Asks for a chunk. At most two are asked for and not yet waited for; they are delivered in this order.
    fn start(&mut self, chunk: Chunk);

    /// The oldest chunk asked for: exactly `chunk.len` bytes, beginning at a multiple of 4.
    ///
    /// # Errors
    /// Whatever the storage reports. The engine then calls [`WeightSource::cancel`] and can be run again.
    fn wait(&mut self) -> Result<&[u8], Self::Error>;

    /// Forgets everything asked for.
    fn cancel(&mut self);
}

/// Weights in addressable memory, right behind the head: no copy, no RAM.
#[derive(Clone, Copy, Debug)]
pub struct Mapped<'a> {
    payload: &'a [u8],
    queue: [Option<Chunk>; 2],
}

impl<'a> Mapped<'a> {
    /// The weights of an artifact that carries them. Where they live elsewhere (`--split`) use [`Mapped::at`].
    pub const fn new(artifact: &Artifact<'a>) -> Self {
        Mapped::at(artifact.payload())
    }

    /// Weights in a memory of their own, such as a memory-mapped flash, as `--split` wrote them.
    pub const fn at(payload: &'a [u8]) -> Self {
        Mapped { payload, queue: [None; 2] }
    }
}

impl WeightSource for Mapped<'_> {
    type Error = Infallible;

    const VERIFY: bool = false;

    fn start(&mut self, chunk: Chunk) {
        let slot = if self.queue[0].is_none() { 0 } else { 1 };
        self.queue[slot] = Some(chunk);
    }

    fn wait(&mut self) -> Result<&[u8], Infallible> {
        let chunk = self.queue[0].take();
        self.queue.swap(0, 1);
        // The artifact's chunks lie inside the payload it declares; a shorter memory is noticed by the engine.
        let range = chunk.map_or(0..0, |c| c.offset as usize..c.offset as usize + c.len as usize);
        Ok(self.payload.get(range).unwrap_or(&[]))
    }

    fn cancel(&mut self) {
        self.queue = [None; 2];
    }
}
