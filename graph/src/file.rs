//! Files read and written whole, with errors that name them.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// A file that cannot be read or written.
#[derive(Debug)]
pub struct FileError {
    /// The file.
    pub file: PathBuf,
    /// What was tried: `read` or `write`.
    pub action: &'static str,
    /// Why it failed.
    pub source: io::Error,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: cannot {} the file: {}", self.file.display(), self.action, self.source)
    }
}

impl std::error::Error for FileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// Reads a file of at most `limit` bytes; a longer one (or an endless device) is refused without reading on.
///
/// # Errors
/// [`FileError`] naming the file.
pub fn read_at_most(path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    let read = || {
        let mut bytes = Vec::new();
        File::open(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit {
            return Err(io::Error::other(format!("it is larger than {limit} bytes")));
        }
        Ok(bytes)
    };
    read().map_err(|source| FileError { file: path.to_path_buf(), action: "read", source })
}

/// As [`read_at_most`], into memory that the caller makes for the file's length.
///
/// # Errors
/// [`FileError`] naming the file.
pub fn read_into<B: AsMut<[u8]>>(path: &Path, limit: u64, make: impl FnOnce(usize) -> B) -> Result<B, FileError> {
    let read = || {
        let mut file = File::open(path)?;
        let len = file.metadata()?.len();
        if len > limit {
            return Err(io::Error::other(format!("it is larger than {limit} bytes")));
        }
        let mut bytes = make(len as usize);
        file.read_exact(bytes.as_mut())?;
        Ok(bytes)
    };
    read().map_err(|source| FileError { file: path.to_path_buf(), action: "read", source })
}

/// Writes a file by way of a temporary one in the same folder, so that a failure leaves the old file, or none.
///
/// # Errors
/// [`FileError`] naming `path`.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    write_parts_atomically(path, &[bytes])
}

/// As [`write_atomically`], of parts behind each other.
///
/// # Errors
/// [`FileError`] naming `path`.
pub fn write_parts_atomically(path: &Path, parts: &[&[u8]]) -> Result<(), FileError> {
    let fail = |source| FileError { file: path.to_path_buf(), action: "write", source };
    let temporary = temporary_beside(path).map_err(fail)?;
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&temporary)
        // A full disk may show only when the data is forced out.
        .and_then(|mut file| parts.iter().try_for_each(|part| file.write_all(part)).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&temporary, path));
    written.map_err(|source| {
        // Nothing more can be done if this fails too; the first error is the one to tell.
        let _ = fs::remove_file(&temporary);
        fail(source)
    })
}

/// A name beside `path` that no other writer of this process or another uses.
fn temporary_beside(path: &Path) -> io::Result<PathBuf> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"))?;
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    let temporary = format!(".{}.{}-{count}.tmp", name.to_string_lossy(), std::process::id());
    Ok(path.with_file_name(temporary))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_the_whole_file_and_leaves_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.onnx");
        write_atomically(&path, b"first, and longer").unwrap();
        write_atomically(&path, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_write_names_the_file_and_leaves_no_temporary() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("taken");
        fs::create_dir_all(target.join("inside")).unwrap();
        let error = write_atomically(&target, b"x").unwrap_err();
        assert!(error.to_string().contains("taken"), "{error}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        let error = write_atomically(&dir.path().join("no/such/m.onnx"), b"x").unwrap_err();
        assert!(error.to_string().contains("m.onnx"), "{error}");
    }

    #[test]
    fn refuses_what_is_longer_than_the_limit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("long");
        fs::write(&path, [7; 10]).unwrap();
        assert_eq!(read_at_most(&path, 10).unwrap(), [7; 10]);
        assert!(read_at_most(&path, 9).unwrap_err().to_string().contains("larger than 9 bytes"));
    }
}
