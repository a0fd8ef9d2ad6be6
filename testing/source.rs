//! A weight source that copies, counts and fails.

use staticnet::WeightSource;
use staticnet::record::Chunk;
use std::cell::RefCell;
use std::collections::VecDeque;

/// What a source did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Was asked for the chunk at this offset.
    Start(u32),
    /// Was waited for.
    Wait(u32),
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The storage reports an error.
    Error,
    /// A bit of the chunk is another.
    Damage,
    /// Fewer bytes come.
    Short,
}

/// The storage failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

/// Copies chunks out of a payload. `VERIFY`: whether the engine is to look at checksums.
#[derive(Debug)]
pub struct Copying<'a, const VERIFY: bool> {
    payload: &'a [u8],
    asked: VecDeque<Chunk>,
    waits: usize,
    /// What goes wrong, and at which wait; only once.
    pub fault: Option<(usize, Fault)>,
    /// What was done so far.
    pub log: &'a RefCell<Vec<Event>>,
}

impl<'a, const VERIFY: bool> Copying<'a, VERIFY> {
    /// A source that does not fail.
    pub fn new(payload: &'a [u8], log: &'a RefCell<Vec<Event>>) -> Self {
        Copying { payload, asked: VecDeque::new(), waits: 0, fault: None, log }
    }
}

impl<const VERIFY: bool> WeightSource for Copying<'_, VERIFY> {
    type Error = Broken;

    const VERIFY: bool = VERIFY;
    const MAPPED: bool = false;

    fn start(&mut self, chunk: Chunk) {
        self.log.borrow_mut().push(Event::Start(chunk.offset));
        self.asked.push_back(chunk);
        assert!(self.asked.len() <= 2, "more than two chunks are asked for");
    }

    fn wait<'a>(&'a mut self, place: &'a mut [u8]) -> Result<&'a [u8], Broken> {
        let chunk = self.asked.pop_front().expect("a chunk that was asked for");
        self.log.borrow_mut().push(Event::Wait(chunk.offset));
        let fault = self.fault.take_if(|(at, _)| *at == self.waits).map(|(_, fault)| fault);
        self.waits += 1;
        place.copy_from_slice(&self.payload[chunk.offset as usize..][..chunk.len as usize]);
        match fault {
            Some(Fault::Error) => return Err(Broken),
            Some(Fault::Damage) => place[chunk.len as usize / 2] ^= 0x10,
            Some(Fault::Short) => return Ok(&place[1..]),
            None => {}
        }
        Ok(place)
    }

    fn cancel(&mut self) {
        self.asked.clear();
    }
}
