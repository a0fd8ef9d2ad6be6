//! Where weights come from.
//!
//! The engine reads weights in chunks, each used by one step or by several. It names the chunk that comes next before it waits
//! for the present one, so that a source with a buffer of its own can load while the kernel runs.
//!
//! | source | weights lie in | RAM beside the plan's | while a kernel runs |
//! | --- | --- | --- | --- |
//! | [`Mapped`] | addressable memory | none | |
//! | `Storage` (feature `embedded-storage`) | any `embedded_storage::ReadStorage` | none | nothing is read |
//! | [`ReadAhead`] | whatever a [`Transfer`] can read | a buffer of any size | the next chunk, as much as fits the buffer |

mod read_ahead;
#[cfg(feature = "embedded-storage")]
mod storage;

pub use read_ahead::{ReadAhead, Transfer};
#[cfg(feature = "embedded-storage")]
pub use storage::Storage;

use crate::artifact::Artifact;
use crate::record::Chunk;
use core::convert::Infallible;
use core::fmt;

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

/// Why a source that copies could not deliver a chunk. `E` is the error of what it reads from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum StorageError<E> {
    /// What it reads from failed.
    Storage(E),
    /// The place for the chunk has another length than the chunk.
    Place {
        /// Bytes of the chunk.
        chunk: u32,
        /// Bytes of the place.
        place: u32,
    },
    /// No chunk has been asked for.
    NotAsked,
    /// The chunk lies beyond what 32 bits can address.
    Address {
        /// The chunk's first byte in the payload.
        offset: u32,
    },
    /// A read-ahead was given a buffer of no bytes, or a transfer returned a shorter one.
    Buffer,
}

impl<E: fmt::Debug> fmt::Display for StorageError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StorageError::Storage(error) => write!(f, "the storage failed: {error:?}"),
            StorageError::Place { chunk, place } => write!(f, "a chunk of {chunk} bytes was to go into {place}"),
            StorageError::NotAsked => f.write_str("no chunk was asked for"),
            StorageError::Address { offset } => write!(f, "the chunk at {offset} lies beyond what 32 bits can address"),
            StorageError::Buffer => f.write_str("the buffer to read ahead into is too short"),
        }
    }
}

impl<E: fmt::Debug> core::error::Error for StorageError<E> {}

/// The chunks asked for and not yet waited for.
#[derive(Clone, Copy, Debug, Default)]
struct Queue([Option<Chunk>; 2]);

impl Queue {
    fn push(&mut self, chunk: Chunk) {
        let slot = if self.0[0].is_none() { 0 } else { 1 };
        self.0[slot] = Some(chunk);
    }

    fn oldest(&self) -> Option<Chunk> {
        self.0[0]
    }

    fn pop(&mut self) -> Option<Chunk> {
        let chunk = self.0[0].take();
        self.0.swap(0, 1);
        chunk
    }

    /// The oldest chunk, which must be as long as its place.
    fn pop_for<E>(&mut self, place: &[u8]) -> Result<Chunk, StorageError<E>> {
        let chunk = self.pop().ok_or(StorageError::NotAsked)?;
        if chunk.len as usize != place.len() {
            return Err(StorageError::Place { chunk: chunk.len, place: place.len() as u32 });
        }
        Ok(chunk)
    }
}

/// Where a chunk's byte `done` lies in a storage whose weights begin at `base`.
fn address<E>(base: u32, chunk: Chunk, done: usize) -> Result<u32, StorageError<E>> {
    let address = base as u64 + chunk.offset as u64 + done as u64;
    u32::try_from(address).map_err(|_| StorageError::Address { offset: chunk.offset })
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
    queue: Queue,
}

impl<'a> Mapped<'a> {
    /// The weights of an artifact that carries them. Where they live elsewhere (`--split`) use [`Mapped::at`].
    pub const fn new(artifact: &Artifact<'a>) -> Self {
        Mapped::at(artifact.payload())
    }

    /// Weights in a memory of their own, such as a memory-mapped flash, as `--split` wrote them.
    pub const fn at(payload: &'a [u8]) -> Self {
        Mapped { payload, queue: Queue([None; 2]) }
    }
}

impl WeightSource for Mapped<'_> {
    type Error = Infallible;

    const VERIFY: bool = false;
    const MAPPED: bool = true;

    fn start(&mut self, chunk: Chunk) {
        self.queue.push(chunk);
    }

    fn wait<'a>(&'a mut self, _: &'a mut [u8]) -> Result<&'a [u8], Infallible> {
        let chunk = self.queue.pop();
        // The artifact's chunks lie inside the payload it declares; a shorter memory is noticed by the engine.
        let range = chunk.map_or(0..0, |c| c.offset as usize..c.offset as usize + c.len as usize);
        Ok(self.payload.get(range).unwrap_or(&[]))
    }

    fn cancel(&mut self) {
        self.queue = Queue::default();
    }
}
