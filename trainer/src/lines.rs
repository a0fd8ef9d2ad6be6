//! Files of lines that grow while a training runs.
//!
//! Every write is whole lines, handed to the operating system at once: a killed process loses nothing, and a machine that loses
//! power leaves at most a part of a line at the end. A training that goes on at an earlier step cuts the lines beyond it first.

use staticnet_graph::file::{FileError, write_atomically};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A file to which lines are added.
#[derive(Debug)]
pub struct Lines {
    path: PathBuf,
    file: File,
}

impl Lines {
    /// Opens the file, making it and its folder where there is none, and keeps those of its whole lines for which `keep` holds.
    ///
    /// # Errors
    /// [`FileError`] naming the file.
    pub fn open(path: &Path, keep: impl Fn(&str) -> bool) -> Result<Self, FileError> {
        let fail = |action| move |source| FileError { file: path.to_path_buf(), action, source };
        fs::create_dir_all(path.parent().unwrap_or(path)).map_err(fail("write"))?;
        match fs::read(path) {
            Ok(bytes) => {
                let kept = kept(&bytes, keep);
                if kept != bytes {
                    write_atomically(path, &kept)?;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(fail("read")(error)),
        }
        let file = OpenOptions::new().append(true).create(true).open(path).map_err(fail("write"))?;
        Ok(Lines { path: path.to_path_buf(), file })
    }

    /// Whether nothing was written yet.
    ///
    /// # Errors
    /// [`FileError`] naming the file.
    pub fn is_empty(&self) -> Result<bool, FileError> {
        let metadata = self.file.metadata();
        Ok(metadata.map_err(|source| FileError { file: self.path.clone(), action: "read", source })?.len() == 0)
    }

    /// Adds lines, each with its end.
    ///
    /// # Errors
    /// [`FileError`] naming the file.
    pub fn add(&mut self, lines: &str) -> Result<(), FileError> {
        let written = self.file.write_all(lines.as_bytes());
        written.map_err(|source| FileError { file: self.path.clone(), action: "write", source })
    }
}

/// The lines that are whole, are text, and are wanted.
fn kept(bytes: &[u8], keep: impl Fn(&str) -> bool) -> Vec<u8> {
    let whole = |line: &&[u8]| line.ends_with(b"\n");
    let wanted = |line: &&[u8]| std::str::from_utf8(line).is_ok_and(|line| keep(line.trim_end_matches(['\r', '\n'])));
    bytes.split_inclusive(|byte| *byte == b'\n').filter(whole).filter(wanted).collect::<Vec<_>>().concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_wanted_lines_stay() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("made").join("log");
        let mut lines = Lines::open(&path, |_| true).unwrap();
        assert!(lines.is_empty().unwrap());
        lines.add("1\n2\n").unwrap();
        lines.add("3\n").unwrap();
        // The process is killed within a line.
        fs::write(&path, [fs::read(&path).unwrap().as_slice(), b"2"].concat()).unwrap();
        let mut lines = Lines::open(&path, |line| line != "3").unwrap();
        assert!(!lines.is_empty().unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "1\n2\n");
        lines.add("4\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "1\n2\n4\n");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no temporary file stays");
    }

    #[test]
    fn what_is_no_text_goes() {
        assert_eq!(kept(b"a\n\xff\0\nb\n", |_| true), b"a\nb\n");
    }
}
