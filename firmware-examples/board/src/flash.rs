//! External memory as a storage: bytes are copied out of it, as the driver of a flash chip would.

use embedded_storage::ReadStorage;

/// Why nothing was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, defmt::Format)]
pub enum FlashError {
    /// The storage ends before.
    OutOfRange,
}

/// A part of the external memory.
#[derive(Clone, Copy, Debug)]
pub struct Flash(&'static [u8]);

impl Flash {
    /// A storage that holds `bytes`.
    pub const fn new(bytes: &'static [u8]) -> Self {
        Flash(bytes)
    }
}

impl ReadStorage for Flash {
    type Error = FlashError;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        let from = self.0.get(offset as usize..).and_then(|rest| rest.get(..bytes.len()));
        bytes.copy_from_slice(from.ok_or(FlashError::OutOfRange)?);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.0.len()
    }
}
