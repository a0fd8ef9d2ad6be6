//! Weights in a storage, as a source that copies them.

use staticnet::WeightSource;
use staticnet::record::Chunk;
use std::collections::VecDeque;

/// How a storage fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// With an error of its own, the chunk half read.
    Error,
    /// With a flipped bit.
    Damage,
}

/// The storage's own error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

/// Copies each chunk into its place, counts, fails once where it is told to, and holds the engine to the contract of
/// [`WeightSource`].
pub struct Storage<'a> {
    payload: &'a [u8],
    queue: VecDeque<Chunk>,
    /// The chunks that were waited for, in order.
    pub given: Vec<Chunk>,
    /// Which of the chunks waited for, counted from the first of all passes, fails, and how.
    pub fault: Option<(usize, Fault)>,
    /// After a failure the engine must cancel before it asks for anything.
    must_cancel: bool,
}

impl<'a> Storage<'a> {
    /// A storage that does not fail.
    pub fn new(payload: &'a [u8]) -> Self {
        Storage { payload, queue: VecDeque::new(), given: Vec::new(), fault: None, must_cancel: false }
    }

    /// Bytes read.
    pub fn bytes(&self) -> u64 {
        self.given.iter().map(|chunk| u64::from(chunk.len)).sum()
    }

    /// Whether everything that was asked for was waited for.
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }
}

impl WeightSource for &mut Storage<'_> {
    type Error = Broken;
    const VERIFY: bool = true;
    const MAPPED: bool = false;

    fn start(&mut self, chunk: Chunk) {
        assert!(!self.must_cancel, "asked for a chunk after a failure without cancelling");
        self.queue.push_back(chunk);
        assert!(self.queue.len() <= 2, "more than two chunks are asked for");
    }

    fn wait<'w>(&'w mut self, place: &'w mut [u8]) -> Result<&'w [u8], Broken> {
        let chunk = self.queue.pop_front().expect("waits for what was asked for");
        assert_eq!(place.len(), chunk.len as usize, "the place has another length than the chunk");
        assert!((place.as_ptr() as usize).is_multiple_of(16), "the place is not aligned");
        let fault = self.fault.filter(|&(at, _)| at == self.given.len()).map(|(_, fault)| fault);
        self.given.push(chunk);
        self.must_cancel = fault.is_some();
        let bytes = &self.payload[chunk.offset as usize..][..place.len()];
        match fault {
            None => place.copy_from_slice(bytes),
            Some(Fault::Error) => {
                let half = bytes.len() / 2;
                place[..half].copy_from_slice(&bytes[..half]);
                return Err(Broken);
            }
            Some(Fault::Damage) => {
                place.copy_from_slice(bytes);
                place[bytes.len() / 2] ^= 0x10;
            }
        }
        Ok(place)
    }

    fn cancel(&mut self) {
        self.queue.clear();
        self.must_cancel = false;
    }
}
