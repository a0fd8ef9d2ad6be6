//! What every byte of RAM holds while a plan is replayed, and how much of it is needed when.

use staticnet::record::{Slot, TensorInfo};
use std::collections::BTreeMap;
use std::ops::Range;

/// What a byte of RAM holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Byte {
    /// Whatever was there before.
    Nothing,
    /// Byte `at` of a tensor.
    Of { tensor: u16, at: u32 },
    /// The remains of a step's scratch.
    Scratch,
    /// Byte `at` of a chunk of weights.
    Weights { chunk: u32, at: u32 },
    /// The line and the tables that rows of pictures go through.
    Rows,
}

impl Byte {
    /// What lies behind it where `n` bytes of the same kind follow each other.
    fn behind(self, n: u32) -> Byte {
        match self {
            Byte::Of { tensor, at } => Byte::Of { tensor, at: at + n },
            Byte::Weights { chunk, at } => Byte::Weights { chunk, at: at + n },
            Byte::Nothing | Byte::Scratch | Byte::Rows => self,
        }
    }
}

/// A byte of RAM, and the times at which that was written and last read.
#[derive(Clone, Copy, Debug)]
struct Cell {
    byte: Byte,
    written: u32,
    read: Option<u32>,
}

/// The RAM of a run. Time is counted in steps.
pub struct Memory {
    cells: Vec<Cell>,
    /// The step that runs.
    pub now: u32,
    /// By time, how many bytes begin to be needed, less how many were needed until just before.
    needed: Vec<i64>,
    /// First write and last use of each slot.
    uses: BTreeMap<(usize, usize, u16), (u32, u32)>,
    /// End of the last byte written.
    pub touched: usize,
}

impl Memory {
    /// RAM of so many bytes, for a plan of so many steps.
    pub fn new(bytes: usize, steps: usize) -> Self {
        let cell = Cell { byte: Byte::Nothing, written: 0, read: None };
        Memory { cells: vec![cell; bytes], now: 0, needed: vec![0; steps + 2], uses: BTreeMap::new(), touched: 0 }
    }

    /// Its bytes.
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// Writes a run of bytes, of which `first` is the first.
    pub fn put(&mut self, place: Range<usize>, first: Byte) {
        self.touched = self.touched.max(place.end);
        for (i, at) in place.enumerate() {
            self.forget(at, self.now.checked_sub(1));
            self.cells[at] = Cell { byte: first.behind(i as u32), written: self.now, read: None };
        }
    }

    /// Reads a run of bytes. The first that is not what it should be: its address, and what it should have been and is.
    pub fn read(&mut self, place: Range<usize>, first: Byte) -> Result<(), (usize, Byte, Byte)> {
        let (start, now) = (place.start, self.now);
        for (i, cell) in self.cells[place].iter_mut().enumerate() {
            let expected = first.behind(i as u32);
            if cell.byte != expected {
                return Err((start + i, expected, cell.byte));
            }
            cell.read = Some(now);
        }
        Ok(())
    }

    /// Ends the life of what a byte holds, which was needed until it was last read, at most until `end`.
    fn forget(&mut self, at: usize, end: Option<u32>) {
        let Cell { byte: Byte::Of { .. }, written, read: Some(read) } = self.cells[at] else { return };
        let Some(last) = end.map(|end| read.min(end)).filter(|&last| last >= written) else { return };
        self.needed[written as usize] += 1;
        self.needed[last as usize + 1] -= 1;
    }

    /// Notes that a slot is written or read.
    pub fn uses(&mut self, slot: Slot, bytes: usize) {
        let key = (slot.offset as usize, bytes, slot.tensor);
        let now = self.now;
        self.uses.entry(key).and_modify(|(_, last)| *last = now).or_insert((now, now));
    }

    /// Most bytes that held, at one time, rows written and still to be read.
    pub fn most_needed(&mut self) -> usize {
        (0..self.cells.len()).for_each(|at| self.forget(at, Some(self.now)));
        let levels = self.needed.iter().scan(0, |level, change| {
            *level += change;
            Some(*level)
        });
        levels.max().unwrap_or(0) as usize
    }

    /// Most bytes of slots that were in use at one time, from their first write to their last use; where they overlap, once.
    pub fn most_in_slots(&self) -> usize {
        let at = |time: u32| {
            let (mut bytes, mut end) = (0, 0);
            // By their beginnings.
            for (&(offset, len, _), _) in self.uses.iter().filter(|(_, (first, last))| *first <= time && time <= *last) {
                // The next one begins at a multiple of 16.
                let slot_end = (offset + len).next_multiple_of(16);
                bytes += slot_end.saturating_sub(offset.max(end));
                end = end.max(slot_end);
            }
            bytes
        };
        // The most is there when one of them begins.
        let mut times: Vec<u32> = self.uses.values().map(|(first, _)| *first).collect();
        times.sort_unstable();
        times.dedup();
        times.into_iter().map(at).max().unwrap_or(0)
    }
}

/// Bytes of a row as a slot keeps it.
pub fn row_bytes(slot: Slot, t: &TensorInfo) -> usize {
    t.width as usize * slot.channels as usize * t.dtype.bytes() as usize
}
