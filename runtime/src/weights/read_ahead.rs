//! Weights that are read while a kernel runs.

use super::{Queue, StorageError, WeightSource, address};
use crate::record::Chunk;

/// Something that fills a buffer by itself while the core does other work, such as a DMA channel behind a flash.
///
/// The buffer is handed over and comes back when the transfer has ended, so nobody else can reach it meanwhile. Hardware that
/// writes to memory by itself is to implement `Transfer<'static>` alone: a buffer that is never freed does no harm even if it is
/// forgotten while a transfer runs. Where there is a data cache, the transfer sees to it.
pub trait Transfer<'b> {
    /// What can go wrong while reading.
    type Error;

    /// A transfer that has begun; it holds the buffer.
    type Running;

    /// Begins to read `len` bytes (at least one, at most the buffer's) from byte `offset` of the storage into the front of
    /// `buffer`, and returns at once. What goes wrong is reported at the end.
    fn begin(&mut self, offset: u32, buffer: &'b mut [u8], len: usize) -> Self::Running;

    /// Waits for the end and returns the buffer, and whether it was filled. After an error the next transfer can begin.
    fn finish(&mut self, running: Self::Running) -> (&'b mut [u8], Result<(), Self::Error>);

    /// Stops a transfer, or waits for its end, and returns the buffer; what it holds does not matter.
    fn abort(&mut self, running: Self::Running) -> &'b mut [u8] {
        self.finish(running).0
    }
}

/// Weights that are read ahead: while a kernel runs, the next chunk is on its way into a buffer of its own.
///
/// The buffer may have any size. Of a chunk that is longer, as much as fits is read ahead and the rest, a buffer at a time, when
/// it is waited for. Chunks begin at multiples of 16 from the base; so do all reads where the buffer's length is such a multiple.
///
/// ```
/// use staticnet::{WeightSource, record::Chunk, weights::{ReadAhead, Transfer}};
///
/// /// "Transfers" from memory, for the host. On a device `begin` sets up a DMA channel and `finish` waits for its flag.
/// struct Memory(&'static [u8]);
///
/// impl<'b> Transfer<'b> for Memory {
///     type Error = &'static str;
///     type Running = (u32, &'b mut [u8], usize);
///
///     fn begin(&mut self, offset: u32, buffer: &'b mut [u8], len: usize) -> Self::Running {
///         (offset, buffer, len)
///     }
///
///     fn finish(&mut self, (offset, buffer, len): Self::Running) -> (&'b mut [u8], Result<(), Self::Error>) {
///         match self.0.get(offset as usize..offset as usize + len) {
///             Some(bytes) => {
///                 buffer[..len].copy_from_slice(bytes);
///                 (buffer, Ok(()))
///             }
///             None => (buffer, Err("behind the end")),
///         }
///     }
/// }
///
/// let mut buffer = [0; 4];
/// let mut source = ReadAhead::new(Memory(b"....the weights"), 4, &mut buffer);
/// source.start(Chunk { offset: 0, len: 3, checksum: 0 });
/// source.start(Chunk { offset: 4, len: 7, checksum: 0 });
/// assert_eq!(source.wait(&mut [0; 3]), Ok(&b"the"[..]));
/// // `weig` is on its way now.
/// assert_eq!(source.wait(&mut [0; 7]), Ok(&b"weights"[..]));
/// ```
#[derive(Debug)]
pub struct ReadAhead<'b, T: Transfer<'b>> {
    transfer: T,
    base: u32,
    queue: Queue,
    /// The buffer, unless a transfer has it.
    buffer: Option<&'b mut [u8]>,
    /// The transfer that has it, and how much it reads: always the front of the oldest chunk asked for.
    running: Option<(T::Running, usize)>,
}

impl<'b, T: Transfer<'b>> ReadAhead<'b, T> {
    /// Weights that lie in what `transfer` reads from byte `base` on, as an artifact has them behind its head or `--split` wrote
    /// them.
    pub fn new(transfer: T, base: u32, buffer: &'b mut [u8]) -> Self {
        ReadAhead { transfer, base, queue: Queue::default(), buffer: Some(buffer), running: None }
    }

    /// Stops what is running and gives the transfer and the buffer back.
    pub fn release(mut self) -> (T, Option<&'b mut [u8]>) {
        self.stop();
        (self.transfer, self.buffer)
    }

    /// Begins to read a chunk from its byte `done` on, as much as fits, unless the buffer is on its way already.
    fn begin(&mut self, chunk: Chunk, done: usize) -> Result<(), StorageError<T::Error>> {
        let offset = address(self.base, chunk, done)?;
        if let Some(buffer) = self.buffer.take_if(|buffer| !buffer.is_empty()) {
            let len = buffer.len().min(chunk.len as usize - done);
            self.running = Some((self.transfer.begin(offset, buffer, len), len));
        }
        Ok(())
    }

    /// Begins to read the oldest chunk asked for. Where that is impossible it fails when it is waited for.
    fn begin_oldest(&mut self) {
        if let Some(chunk) = self.queue.oldest().filter(|chunk| chunk.len != 0) {
            let _ = self.begin(chunk, 0);
        }
    }

    /// Waits for the transfer and puts what it read at the front of `place`; returns how much that is.
    fn collect(&mut self, place: &mut [u8]) -> Result<usize, StorageError<T::Error>> {
        let (running, len) = self.running.take().ok_or(StorageError::Buffer)?;
        let (buffer, result) = self.transfer.finish(running);
        let buffer = &*self.buffer.insert(buffer);
        result.map_err(StorageError::Storage)?;
        match (place.get_mut(..len), buffer.get(..len)) {
            (Some(into), Some(from)) => into.copy_from_slice(from),
            _ => return Err(StorageError::Buffer),
        }
        Ok(len)
    }

    fn stop(&mut self) {
        if let Some((running, _)) = self.running.take() {
            self.buffer = Some(self.transfer.abort(running));
        }
    }
}

impl<'b, T: Transfer<'b>> WeightSource for ReadAhead<'b, T> {
    type Error = StorageError<T::Error>;

    const VERIFY: bool = true;
    const MAPPED: bool = false;

    fn start(&mut self, chunk: Chunk) {
        self.queue.push(chunk);
        self.begin_oldest();
    }

    fn wait<'a>(&'a mut self, place: &'a mut [u8]) -> Result<&'a [u8], Self::Error> {
        let chunk = match self.queue.pop_for(place) {
            Ok(chunk) => chunk,
            Err(error) => {
                // What is running belongs to the chunk that is given up.
                self.stop();
                return Err(error);
            }
        };
        let mut done = 0;
        while done < place.len() {
            if self.running.is_none() {
                self.begin(chunk, done)?;
            }
            done += self.collect(&mut place[done..])?;
        }
        // The next one is on its way while this one is used.
        self.begin_oldest();
        Ok(place)
    }

    fn cancel(&mut self) {
        self.queue = Queue::default();
        self.stop();
    }
}

#[cfg(test)]
mod tests;
