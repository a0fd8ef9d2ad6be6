//! Weights and pictures that the host placed in the board's external memory.

pub use staticnet_board::{Flash, FlashError};

use staticnet_board as board;
use staticnet_protocol::{Job, JobError};

/// Why there are no pictures.
#[derive(defmt::Format)]
pub enum CameraError {
    /// There is no job in memory.
    Job(JobError),
    /// The pictures have another length than the model's.
    PictureLength { needed: usize, given: usize },
    /// A row behind the last one was asked for.
    NoRow,
}

/// Gives pictures row by row, as the line buffer of a camera would.
pub struct Camera {
    job: Job<'static>,
    pictures: usize,
    rows: &'static [u8],
}

impl Camera {
    /// The weights, and pictures of so many rows.
    pub fn open(row_bytes: usize, rows: usize) -> Result<(Flash, Self), CameraError> {
        let job = Job::find(board::job_memory()).map_err(CameraError::Job)?;
        let needed = row_bytes * rows;
        // All have the same length.
        if let Some(given) = job.inputs().map(<[u8]>::len).find(|&len| len != needed) {
            return Err(CameraError::PictureLength { needed, given });
        }
        Ok((Flash::new(job.artifact()), Camera { job, pictures: 0, rows: &[] }))
    }

    /// Turns to the next picture, where there is one.
    pub fn next_picture(&mut self) -> bool {
        let Some(picture) = self.job.inputs().nth(self.pictures) else { return false };
        (self.pictures, self.rows) = (self.pictures + 1, picture);
        true
    }

    /// Copies the picture's next row.
    pub fn read_row(&mut self, row: &mut [u8]) -> Result<(), CameraError> {
        let (pixels, rest) = self.rows.split_at_checked(row.len()).ok_or(CameraError::NoRow)?;
        row.copy_from_slice(pixels);
        self.rows = rest;
        Ok(())
    }
}
