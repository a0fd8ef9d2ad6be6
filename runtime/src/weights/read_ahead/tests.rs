use super::*;
use std::cell::RefCell;
use std::rc::Rc;
use std::vec;
use std::vec::Vec;

/// What was done with a transfer: offset and length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Done {
    Begun(u32, usize),
    Finished(u32),
    Aborted(u32),
}
use Done::*;

/// Byte `i` is `i`, modulo a prime. While a transfer runs the buffer holds 255; when it ends, 254 wherever nothing was read.
#[derive(Clone, Default)]
struct Dma {
    log: Rc<RefCell<Vec<Done>>>,
    /// Transfers that fail, counted from 1.
    failing: Rc<RefCell<Vec<usize>>>,
    begun: Rc<RefCell<usize>>,
}

struct Running<'b> {
    offset: u32,
    buffer: &'b mut [u8],
    len: usize,
    fails: bool,
}

impl<'b> Transfer<'b> for Dma {
    type Error = &'static str;
    type Running = Running<'b>;

    fn begin(&mut self, offset: u32, buffer: &'b mut [u8], len: usize) -> Running<'b> {
        assert!(len > 0 && len <= buffer.len());
        self.log.borrow_mut().push(Begun(offset, len));
        *self.begun.borrow_mut() += 1;
        buffer.fill(255);
        let fails = self.failing.borrow().contains(&self.begun.borrow());
        Running { offset, buffer, len, fails }
    }

    fn finish(&mut self, running: Running<'b>) -> (&'b mut [u8], Result<(), Self::Error>) {
        let Running { offset, buffer, len, fails } = running;
        self.log.borrow_mut().push(Finished(offset));
        buffer.fill(254);
        if fails {
            return (buffer, Err("broken"));
        }
        buffer[..len].copy_from_slice(&content(offset, len));
        (buffer, Ok(()))
    }

    fn abort(&mut self, running: Running<'b>) -> &'b mut [u8] {
        self.log.borrow_mut().push(Aborted(running.offset));
        running.buffer
    }
}

fn content(offset: u32, len: usize) -> Vec<u8> {
    (offset as usize..offset as usize + len).map(|i| (i % 251) as u8).collect()
}

fn chunk(offset: u32, len: u32) -> Chunk {
    Chunk { offset, len, checksum: 0 }
}

/// The steps of an engine: the next chunk is asked for, then the present one waited for.
fn pass(source: &mut ReadAhead<Dma>, chunks: &[(u32, usize)], base: u32) -> Result<(), StorageError<&'static str>> {
    let mut asked = 0;
    for (i, &(offset, len)) in chunks.iter().enumerate() {
        while asked < chunks.len().min(i + 2) {
            source.start(chunk(chunks[asked].0, chunks[asked].1 as u32));
            asked += 1;
        }
        let mut place = vec![253; len];
        match source.wait(&mut place) {
            Ok(bytes) => assert_eq!(bytes, content(base + offset, len)),
            Err(error) => {
                source.cancel();
                return Err(error);
            }
        }
    }
    Ok(())
}

#[test]
fn the_next_chunk_is_in_flight_while_one_is_used() {
    let (dma, mut buffer) = (Dma::default(), [0; 8]);
    let log = || core::mem::take(&mut *dma.log.borrow_mut());
    let mut source = ReadAhead::new(dma.clone(), 100, &mut buffer);
    source.start(chunk(0, 8));
    assert_eq!(log(), [Begun(100, 8)]);
    source.start(chunk(16, 5));
    assert_eq!(log(), []);
    let mut place = [0; 8];
    let first = source.wait(&mut place).unwrap();
    assert_eq!(first, content(100, 8));
    // The second chunk has begun, nobody has waited for it, and the first is untouched.
    assert_eq!(log(), [Finished(100), Begun(116, 5)]);
    source.start(chunk(32, 20));
    assert_eq!(log(), []);
    assert_eq!(source.wait(&mut [0; 5]).unwrap(), content(116, 5));
    assert_eq!(log(), [Finished(116), Begun(132, 8)]);
    // As much as fits was read ahead, the rest comes after.
    assert_eq!(source.wait(&mut [0; 20]).unwrap(), content(132, 20));
    assert_eq!(log(), [Finished(132), Begun(140, 8), Finished(140), Begun(148, 4), Finished(148)]);
    // A chunk asked for while the buffer is free begins at once.
    source.start(chunk(64, 1));
    assert_eq!(log(), [Begun(164, 1)]);
    source.start(chunk(80, 1));
    assert_eq!(source.wait(&mut [0; 1]).unwrap(), content(164, 1));
    assert_eq!(log(), [Finished(164), Begun(180, 1)]);
}

#[test]
fn chunks_come_whole_and_in_order_through_buffers_of_any_size() {
    let chunks = [(0, 40), (48, 1), (16, 16), (64, 33), (64, 33), (112, 0), (112, 17), (400, 31)];
    for size in 1..50 {
        let (dma, mut buffer) = (Dma::default(), vec![0; size]);
        let mut source = ReadAhead::new(dma.clone(), 7, &mut buffer);
        for _ in 0..2 {
            assert_eq!(pass(&mut source, &chunks, 7), Ok(()));
        }
        // Every byte is read once.
        let read = dma.log.borrow().iter().map(|done| if let Begun(_, len) = done { *len } else { 0 }).sum::<usize>();
        assert_eq!(read, 2 * chunks.iter().map(|chunk| chunk.1).sum::<usize>());
        assert_eq!(source.release().1.map(|buffer| buffer.len()), Some(size));
    }
}

#[test]
fn a_source_goes_on_after_an_error_anywhere() {
    let chunks = [(0, 20), (32, 3), (48, 25)];
    // Through 8 bytes these are 3, 1 and 4 transfers.
    for failing in 1..=8 {
        let (dma, mut buffer) = (Dma::default(), [0; 8]);
        dma.failing.borrow_mut().push(failing);
        let mut source = ReadAhead::new(dma.clone(), 0, &mut buffer);
        assert_eq!(pass(&mut source, &chunks, 0), Err(StorageError::Storage("broken")));
        assert_eq!(pass(&mut source, &chunks, 0), Ok(()), "after transfer {failing}");
    }
}

/// Even where nobody cancels, the chunk behind the failed one is whole.
#[test]
fn an_error_is_that_of_its_chunk_alone() {
    let (dma, mut buffer) = (Dma::default(), [0; 8]);
    *dma.failing.borrow_mut() = vec![1, 3];
    let mut source = ReadAhead::new(dma.clone(), 0, &mut buffer);
    source.start(chunk(0, 20));
    source.start(chunk(32, 4));
    assert_eq!(source.wait(&mut [0; 20]), Err(StorageError::Storage("broken")));
    source.start(chunk(48, 4));
    assert_eq!(source.wait(&mut [0; 4]).unwrap(), content(32, 4));
    assert_eq!(source.wait(&mut [0; 4]), Err(StorageError::Storage("broken")));
    assert_eq!(source.wait(&mut [0; 4]), Err(StorageError::NotAsked));
}

#[test]
fn cancelling_takes_the_buffer_back() {
    let (dma, mut buffer) = (Dma::default(), [0; 8]);
    let mut source = ReadAhead::new(dma.clone(), 0, &mut buffer);
    source.cancel();
    source.start(chunk(0, 20));
    source.start(chunk(32, 4));
    source.cancel();
    assert_eq!(*dma.log.borrow(), [Begun(0, 8), Aborted(0)]);
    assert_eq!(source.wait(&mut [0; 20]), Err(StorageError::NotAsked));
    assert_eq!(pass(&mut source, &[(16, 9), (0, 3)], 0), Ok(()));
    source.start(chunk(0, 4));
    let (_, buffer) = source.release();
    assert_eq!(buffer.map(|buffer| buffer.len()), Some(8));
    assert_eq!(dma.log.borrow().last(), Some(&Aborted(0)));
}

#[test]
fn what_is_wrong_is_an_error() {
    let (dma, mut buffer) = (Dma::default(), [0; 8]);
    let mut source = ReadAhead::new(dma.clone(), 100, &mut buffer);
    assert_eq!(source.wait(&mut []), Err(StorageError::NotAsked));
    for len in [0, 3, 5] {
        source.start(chunk(0, 4));
        source.start(chunk(16, 4));
        assert_eq!(source.wait(&mut vec![0; len]), Err(StorageError::Place { chunk: 4, place: len as u32 }));
        // The transfer of the chunk that was given up is not taken for the next one's.
        assert_eq!(source.wait(&mut [0; 4]).unwrap(), content(116, 4));
    }
    source.start(chunk(u32::MAX - 15, 4));
    assert_eq!(source.wait(&mut [0; 4]), Err(StorageError::Address { offset: u32::MAX - 15 }));
    // The front can be addressed, the rest cannot.
    let mut end = ReadAhead::new(dma.clone(), 15, source.release().1.unwrap());
    end.start(chunk(u32::MAX - 22, 9));
    assert_eq!(end.wait(&mut [0; 9]), Err(StorageError::Address { offset: u32::MAX - 22 }));
    assert_eq!(pass(&mut end, &[(0, 9)], 15), Ok(()));
    let mut none = ReadAhead::new(dma, 0, &mut []);
    none.start(chunk(0, 4));
    assert_eq!(none.wait(&mut [0; 4]), Err(StorageError::Buffer));
    none.start(chunk(0, 0));
    assert_eq!(none.wait(&mut []), Ok(&[][..]));
}
