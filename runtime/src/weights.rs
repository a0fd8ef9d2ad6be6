//! Where weights come from.
//!
//! The engine reads weights in chunks, each used by one step or by several. It names the chunk that comes next before it waits for
//! the present one, so that a source with a buffer of its own can load while the kernel runs.

use crate::artifact::Artifact;
use crate::record::Chunk;
use core::convert::Infallible;

/// A supplier of weight chunks.
///
/// ```
/// use staticnet::{WeightSource, record::Chunk};
/// use std::io::{self, Read, Seek, SeekFrom};
///
/// /// Weights in a file, read when they are waited for.
/// struct File<F> {
///     file: F,
///     asked: std::collections::VecDeque<Chunk>,
/// }
///
/// impl<F: Read + Seek> WeightSource for File<F> {
///     type Error = io::Error;
///     const VERIFY: bool = true;
///     const MAPPED: bool = false;
///
///     fn start(&mut self, chunk: Chunk) {
///         self.asked.push_back(chunk);
///     }
///
///     fn wait<'a>(&'a mut self, place: &'a mut [u8]) -> io::Result<&'a [u8]> {
///         let chunk = self.asked.pop_front().ok_or(io::ErrorKind::InvalidInput)?;
///         if chunk.len as usize != place.len() {
///             return Err(io::ErrorKind::InvalidInput.into());
///         }
///         self.file.seek(SeekFrom::Start(chunk.offset.into()))?;
///         self.file.read_exact(place)?;
///         Ok(place)
///     }
///
///     fn cancel(&mut self) {
///         self.asked.clear();
///     }
/// }
///
/// let mut source = File { file: io::Cursor::new([1, 2, 3, 4, 5]), asked: Default::default() };
/// source.start(Chunk { offset: 1, len: 3, checksum: 0 });
/// assert_eq!(source.wait(&mut [0; 3])?, [2, 3, 4]);
/// # Ok::<(), io::Error>(())
/// ```
pub trait WeightSource {
    /// What can go wrong while reading.
    type Error;

    /// Whether the engine must compare every chunk's checksum before it uses it. False for memory that is verified once, with
    /// [`Artifact::verify_weights`].
    const VERIFY: bool;

    /// Whether the weights are read where they lie. Such a source runs any artifact; one that copies needs an artifact whose plan
    /// has a place in RAM for every chunk.
    const MAPPED: bool;

    /// Asks for a chunk. At most two are asked for and not yet waited for; they are delivered in this order.
    fn start(&mut self, chunk: Chunk);

    /// The oldest chunk asked for: exactly `chunk.len` bytes, beginning at a multiple of 4.
    ///
    /// A source that copies puts them into `place`, which has that many bytes, and returns it. A mapped one ignores `place` and
    /// returns its own memory.
    ///
    /// # Errors
    /// Whatever the storage reports; an error of its own where `place` has another length than the chunk or nothing was asked
    /// for. The engine then calls [`WeightSource::cancel`] and can be run again.
    fn wait<'a>(&'a mut self, place: &'a mut [u8]) -> Result<&'a [u8], Self::Error>;

    /// Forgets everything asked for.
    fn cancel(&mut self);
}

/// Weights in addressable memory, right behind the head or anywhere else: no copy, no RAM.
///
/// ```
/// use staticnet::{Mapped, WeightSource, record::Chunk};
///
/// let mut source = Mapped::at(&[1, 2, 3, 4, 5]);
/// source.start(Chunk { offset: 1, len: 3, checksum: 0 });
/// assert_eq!(source.wait(&mut []), Ok(&[2, 3, 4][..]));
/// ```
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
    const MAPPED: bool = true;

    fn start(&mut self, chunk: Chunk) {
        let slot = if self.queue[0].is_none() { 0 } else { 1 };
        self.queue[slot] = Some(chunk);
    }

    fn wait<'a>(&'a mut self, _: &'a mut [u8]) -> Result<&'a [u8], Infallible> {
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
