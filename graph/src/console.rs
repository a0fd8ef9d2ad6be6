//! What a program says to whoever started it. Text that cannot be said never ends the program.
//!
//! `println!` panics where its text cannot be written, and a training of hours would end with the `head` that watched it. Here a closed
//! pipe is no error: whoever read has seen enough, and what follows is dropped. Anything else that keeps standard output from taking
//! text (a full disk) is an error for the command whose product the text is.

use crate::file::FileError;
use std::fmt;
use std::io::{self, Write, stderr, stdout};
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether nobody reads standard output any more.
static CLOSED: AtomicBool = AtomicBool::new(false);

/// Prints text and the end of its line to standard output. Text for a closed pipe is dropped.
///
/// # Errors
/// [`FileError`] naming `stdout`, if it takes no text though somebody reads it.
pub fn line(text: impl fmt::Display) -> Result<(), FileError> {
    print(format!("{text}\n"))
}

/// Prints text as it is to standard output. Text for a closed pipe is dropped.
///
/// # Errors
/// [`FileError`] naming `stdout`, if it takes no text though somebody reads it.
pub fn print(text: impl AsRef<str>) -> Result<(), FileError> {
    put(&mut stdout().lock(), &CLOSED, text.as_ref().as_bytes()).map_err(|source| FileError {
        file: "stdout".into(),
        action: "write",
        source,
    })
}

/// Whether a pipe behind standard output turned out to be closed, so that there is no point in making more text for it.
pub fn is_closed() -> bool {
    CLOSED.load(Ordering::Relaxed)
}

/// Prints a line to standard error: a message or how far something is. If that is not possible there is nobody to tell.
pub fn note(text: impl fmt::Display) {
    // Formatted first, so that lines of several threads do not run into each other.
    let _ = stderr().lock().write_all(format!("{text}\n").as_bytes());
}

/// Writes text at once, unless the pipe is closed; remembers if it is.
fn put(to: &mut impl Write, closed: &AtomicBool, text: &[u8]) -> io::Result<()> {
    if closed.load(Ordering::Relaxed) {
        return Ok(());
    }
    let written = to.write_all(text).and_then(|()| to.flush());
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            closed.store(true, Ordering::Relaxed);
            Ok(())
        }
        written => written,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes a number of bytes; then fails.
    struct Narrow {
        taken: Vec<u8>,
        room: usize,
        kind: io::ErrorKind,
        asked: usize,
    }

    impl Write for Narrow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.asked += 1;
            let n = bytes.len().min(self.room - self.taken.len());
            self.taken.extend_from_slice(&bytes[..n]);
            if n == 0 { Err(self.kind.into()) } else { Ok(n) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn narrow(kind: io::ErrorKind) -> Narrow {
        Narrow { taken: Vec::new(), room: 4, kind, asked: 0 }
    }

    #[test]
    fn a_closed_pipe_is_no_error_and_is_not_tried_again() {
        let (mut to, closed) = (narrow(io::ErrorKind::BrokenPipe), AtomicBool::new(false));
        assert!(put(&mut to, &closed, b"one").is_ok() && !closed.load(Ordering::Relaxed));
        assert!(put(&mut to, &closed, b"two").is_ok() && closed.load(Ordering::Relaxed));
        let asked = to.asked;
        assert!(put(&mut to, &closed, b"three").is_ok());
        assert_eq!((to.asked, to.taken.as_slice()), (asked, &b"onet"[..]));
    }

    #[test]
    fn a_full_disk_is_an_error_each_time() {
        let (mut to, closed) = (narrow(io::ErrorKind::StorageFull), AtomicBool::new(false));
        assert!(put(&mut to, &closed, b"one").is_ok());
        for _ in 0..2 {
            assert_eq!(put(&mut to, &closed, b"two").unwrap_err().kind(), io::ErrorKind::StorageFull);
        }
        assert!(!closed.load(Ordering::Relaxed));
    }
}
