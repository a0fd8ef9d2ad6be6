//! A job: an artifact and the inputs to run through it, as they lie in the board's external memory.
//!
//! `runner` takes the artifact whole (head, then weights, even where they are a file of their own); an input of the job is what one
//! pass takes: all inputs of the network, one behind the other, as the engine holds them. `stream` has the head compiled in: its
//! artifact is the weights alone, its inputs are pictures.
//!
//! ```text
//! offset  bytes
//!      0      8  magic "SNETJOB1"
//!      8      4  artifact length, little endian, as all numbers
//!     12      4  length of one input
//!     16      4  number of inputs
//!     20     44  zero
//!     64         the artifact
//!                the inputs, each at the next multiple of 16
//!                8 bytes: the magic reversed, at the next multiple of 16
//! ```
//!
//! Everything else follows from the three lengths ([`Layout`]). The mark at the end shows that the whole job is there: memory
//! that a board does not have reads as zeros without a fault.

/// Length of the header; the artifact follows it.
pub const HEADER_BYTES: usize = 64;
/// Alignment of the artifact and of each input, the runtime's.
pub const ALIGN: usize = 16;

const MAGIC: [u8; 8] = *b"SNETJOB1";
const END: [u8; 8] = *b"1BOJTENS";

/// Why memory holds no job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum JobError {
    /// The magic is not there: nothing was loaded, or elsewhere.
    NotLoaded,
    /// The lengths lead out of the memory.
    TooLarge,
    /// The mark at the end is not there: only a part was loaded.
    Truncated,
}

/// Where the parts of a job lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Bytes of the artifact.
    pub artifact_len: u32,
    /// Bytes of one input.
    pub input_len: u32,
    /// Number of inputs.
    pub input_count: u32,
}

impl Layout {
    /// Offset of input `index`; `None` past `u32`, the address space of a board. `index == input_count` is the end mark's.
    pub fn input_offset(&self, index: u32) -> Option<usize> {
        let artifact = round_up(self.artifact_len as u64);
        let input = round_up(self.input_len as u64);
        let offset = (HEADER_BYTES as u64 + artifact).checked_add(input.checked_mul(index as u64)?)?;
        u32::try_from(offset).ok().map(|offset| offset as usize)
    }

    /// Bytes of the whole job; `None` past `u32`.
    pub fn total_len(&self) -> Option<usize> {
        self.input_offset(self.input_count)?.checked_add(END.len())
    }

    /// The header that describes this layout.
    pub fn header(&self) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        header[..8].copy_from_slice(&MAGIC);
        header[8..12].copy_from_slice(&self.artifact_len.to_le_bytes());
        header[12..16].copy_from_slice(&self.input_len.to_le_bytes());
        header[16..20].copy_from_slice(&self.input_count.to_le_bytes());
        header
    }

    /// The mark that ends a job.
    pub const fn end_mark() -> [u8; 8] {
        END
    }
}

/// A job found in memory.
#[derive(Clone, Copy, Debug)]
pub struct Job<'a> {
    memory: &'a [u8],
    layout: Layout,
}

impl<'a> Job<'a> {
    /// The job at the beginning of `memory`.
    ///
    /// # Errors
    /// [`JobError`] where there is none, or not all of it.
    pub fn find(memory: &'a [u8]) -> Result<Self, JobError> {
        let header = memory.get(..HEADER_BYTES).ok_or(JobError::TooLarge)?;
        if header[..8] != MAGIC {
            return Err(JobError::NotLoaded);
        }
        let number = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let layout = Layout { artifact_len: number(8), input_len: number(12), input_count: number(16) };
        let end = layout.input_offset(layout.input_count).ok_or(JobError::TooLarge)?;
        let mark = memory.get(end..).and_then(|rest| rest.get(..END.len())).ok_or(JobError::TooLarge)?;
        if mark != END { Err(JobError::Truncated) } else { Ok(Job { memory, layout }) }
    }

    /// The artifact's bytes, 16-byte aligned where `memory` is.
    pub fn artifact(&self) -> &'a [u8] {
        &self.memory[HEADER_BYTES..][..self.layout.artifact_len as usize]
    }

    /// The inputs, in order.
    pub fn inputs(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let Job { memory, layout } = *self;
        (0..layout.input_count)
            .map_while(move |index| memory.get(layout.input_offset(index)?..)?.get(..layout.input_len as usize))
    }
}

const fn round_up(len: u64) -> u64 {
    len.next_multiple_of(ALIGN as u64)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    fn job(artifact: &[u8], inputs: &[&[u8]]) -> Vec<u8> {
        let layout = Layout {
            artifact_len: artifact.len() as u32,
            input_len: inputs.first().map_or(0, |i| i.len()) as u32,
            input_count: inputs.len() as u32,
        };
        let mut bytes = layout.header().to_vec();
        bytes.extend(artifact);
        for (i, input) in inputs.iter().enumerate() {
            bytes.resize(layout.input_offset(i as u32).unwrap(), 0);
            bytes.extend(*input);
        }
        bytes.resize(layout.input_offset(layout.input_count).unwrap(), 0);
        bytes.extend(Layout::end_mark());
        assert_eq!(bytes.len(), layout.total_len().unwrap());
        bytes
    }

    #[test]
    fn parts_come_back() {
        let bytes = job(b"artifact of 22 bytes..", &[b"one", b"two"]);
        let job = Job::find(&bytes).unwrap();
        assert_eq!(job.artifact(), b"artifact of 22 bytes..");
        assert_eq!(job.inputs().collect::<Vec<_>>(), [b"one", b"two"]);
    }

    #[test]
    fn a_part_of_a_job_is_refused() {
        let whole = job(&[7; 100], &[&[1; 5], &[2; 5]]);
        for len in 0..whole.len() {
            assert!(Job::find(&whole[..len]).is_err(), "accepted {len} of {} bytes", whole.len());
            let mut zeros_behind = whole[..len].to_vec();
            zeros_behind.resize(whole.len() + 64, 0);
            assert!(Job::find(&zeros_behind).is_err(), "accepted {len} of {} bytes, then zeros", whole.len());
        }
    }

    #[test]
    fn lengths_past_the_memory_are_refused() {
        let mut bytes = job(b"a", &[b"i"]);
        for at in [8, 12, 16] {
            let mut bad = bytes.clone();
            bad[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
            assert_eq!(Job::find(&bad).unwrap_err(), JobError::TooLarge);
        }
        bytes[0] ^= 1;
        assert_eq!(Job::find(&bytes).unwrap_err(), JobError::NotLoaded);
    }
}
