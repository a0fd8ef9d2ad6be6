//! Weights in a storage that is read and waited for.

use super::{Queue, StorageError, WeightSource, address};
use crate::record::Chunk;
use embedded_storage::ReadStorage;

/// Weights in a storage of any kind: a flash behind SPI, a partition, a card. Each chunk is read when it is
/// needed, and waited for.
///
/// ```
/// use embedded_storage::ReadStorage;
/// use staticnet::{WeightSource, record::Chunk, weights::Storage};
///
/// struct Flash([u8; 32]);
///
/// impl ReadStorage for Flash {
///     type Error = &'static str;
///
///     fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Self::Error> {
///         let from = self.0.get(offset as usize..).and_then(|rest| rest.get(..bytes.len()));
///         bytes.copy_from_slice(from.ok_or("behind the end")?);
///         Ok(())
///     }
///
///     fn capacity(&self) -> usize {
///         self.0.len()
///     }
/// }
///
/// let mut bytes = [0; 32];
/// bytes[24..27].copy_from_slice(&[1, 2, 3]);
/// let mut source = Storage::new(Flash(bytes), 8);
/// source.start(Chunk { offset: 16, len: 3, checksum: 0 });
/// assert_eq!(source.wait(&mut [0; 3]), Ok(&[1, 2, 3][..]));
/// ```
#[derive(Debug)]
pub struct Storage<R> {
    storage: R,
    base: u32,
    queue: Queue,
}

impl<R: ReadStorage> Storage<R> {
    /// Weights that lie in `storage` from byte `base` on, as an artifact has them behind its head or `--split` wrote them.
    pub fn new(storage: R, base: u32) -> Self {
        Storage { storage, base, queue: Queue::default() }
    }

    /// Gives the storage back.
    pub fn release(self) -> R {
        self.storage
    }
}

impl<R: ReadStorage> WeightSource for Storage<R> {
    type Error = StorageError<R::Error>;

    const VERIFY: bool = true;
    const MAPPED: bool = false;

    fn start(&mut self, chunk: Chunk) {
        self.queue.push(chunk);
    }

    fn wait<'a>(&'a mut self, place: &'a mut [u8]) -> Result<&'a [u8], Self::Error> {
        let chunk = self.queue.pop_for(place)?;
        self.storage.read(address(self.base, chunk, 0)?, place).map_err(StorageError::Storage)?;
        Ok(place)
    }

    fn cancel(&mut self) {
        self.queue = Queue::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// Byte `i` is `i`, modulo a prime; a read fails where told, counted from 1.
    struct Flash {
        reads: Vec<(u32, usize)>,
        failing: Option<usize>,
    }

    impl ReadStorage for Flash {
        type Error = &'static str;

        fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Self::Error> {
            self.reads.push((offset, bytes.len()));
            if self.failing == Some(self.reads.len()) {
                return Err("broken");
            }
            for (i, byte) in bytes.iter_mut().enumerate() {
                *byte = ((offset as usize + i) % 251) as u8;
            }
            Ok(())
        }

        fn capacity(&self) -> usize {
            1 << 20
        }
    }

    fn chunk(offset: u32, len: u32) -> Chunk {
        Chunk { offset, len, checksum: 0 }
    }

    fn source(failing: Option<usize>) -> Storage<Flash> {
        Storage::new(Flash { reads: Vec::new(), failing }, 100)
    }

    #[test]
    fn chunks_come_in_the_order_they_were_asked_for() {
        let mut source = source(None);
        source.start(chunk(16, 3));
        source.start(chunk(0, 2));
        assert_eq!(source.wait(&mut [0; 3]), Ok(&[116, 117, 118][..]));
        source.start(chunk(400, 1));
        assert_eq!(source.wait(&mut [0; 2]), Ok(&[100, 101][..]));
        assert_eq!(source.wait(&mut [0; 1]), Ok(&[(500 % 251) as u8][..]));
        assert_eq!(source.release().reads, [(116, 3), (100, 2), (500, 1)]);
    }

    #[test]
    fn what_is_wrong_is_an_error_and_nothing_is_read() {
        let mut source = source(None);
        assert_eq!(source.wait(&mut [0; 3]), Err(StorageError::NotAsked));
        source.start(chunk(16, 3));
        assert_eq!(source.wait(&mut [0; 4]), Err(StorageError::Place { chunk: 3, place: 4 }));
        source.start(chunk(u32::MAX - 99, 3));
        assert_eq!(source.wait(&mut [0; 3]), Err(StorageError::Address { offset: u32::MAX - 99 }));
        source.start(chunk(16, 3));
        source.start(chunk(16, 3));
        source.cancel();
        assert_eq!(source.wait(&mut [0; 3]), Err(StorageError::NotAsked));
        assert_eq!(source.release().reads, []);
    }

    #[test]
    fn a_source_goes_on_after_an_error() {
        let mut source = source(Some(2));
        source.start(chunk(0, 2));
        source.start(chunk(16, 2));
        assert_eq!(source.wait(&mut [0; 2]), Ok(&[100, 101][..]));
        assert_eq!(source.wait(&mut [0; 2]), Err(StorageError::Storage("broken")));
        source.cancel();
        source.start(chunk(16, 2));
        assert_eq!(source.wait(&mut [0; 2]), Ok(&[116, 117][..]));
    }
}
