//! Weights and pictures in files of the host, read over semihosting: what a card in a slot would be.

use embedded_storage::ReadStorage;
use semihosting::fs::File;
use semihosting::io::{Read, Seek, SeekFrom};
use staticnet_protocol::report::{PICTURES_FILE, WEIGHTS_FILE};

/// Why the weights could not be read.
#[derive(defmt::Format)]
pub enum FlashError {
    /// The file ends before.
    OutOfRange,
    /// The host could not read it.
    File,
}

/// Why there are no pictures.
#[derive(defmt::Format)]
pub enum CameraError {
    /// The host could not open or read a file.
    File,
    /// The file's length is not that of some whole pictures.
    PictureLength { needed: usize, given: usize },
}

/// The weights.
pub struct Flash {
    file: File,
    len: usize,
}

impl ReadStorage for Flash {
    type Error = FlashError;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        if self.len.checked_sub(offset as usize).is_none_or(|left| left < bytes.len()) {
            return Err(FlashError::OutOfRange);
        }
        self.file.seek(SeekFrom::Start(offset.into())).map_err(|_| FlashError::File)?;
        self.file.read_exact(bytes).map_err(|_| FlashError::File)
    }

    fn capacity(&self) -> usize {
        self.len
    }
}

/// Gives pictures row by row.
pub struct Camera {
    file: File,
    /// Pictures not yet begun.
    left: usize,
}

impl Camera {
    /// The weights, and pictures of so many rows.
    pub fn open(row_bytes: usize, rows: usize) -> Result<(Flash, Self), CameraError> {
        let open = |name| {
            let file = File::open(name).map_err(|_| CameraError::File)?;
            let len = file.metadata().map_err(|_| CameraError::File)?.len() as usize;
            Ok((file, len))
        };
        let ((weights, len), (file, given)) = (open(WEIGHTS_FILE)?, open(PICTURES_FILE)?);
        let needed = row_bytes * rows;
        if !given.is_multiple_of(needed) {
            return Err(CameraError::PictureLength { needed, given });
        }
        Ok((Flash { file: weights, len }, Camera { file, left: given / needed }))
    }

    /// Turns to the next picture, where there is one.
    pub fn next_picture(&mut self) -> bool {
        let left = self.left.checked_sub(1);
        self.left = left.unwrap_or(0);
        left.is_some()
    }

    /// Reads the picture's next row.
    pub fn read_row(&mut self, row: &mut [u8]) -> Result<(), CameraError> {
        self.file.read_exact(row).map_err(|_| CameraError::File)
    }
}
