//! Counts guest instructions between the markers that a firmware executes, with a QEMU plugin (`tests/qemu-plugin/count.c`).

use super::OnTargetError;
use super::toolchain::{target_dir, workspace_root};
use staticnet_protocol::{MARK_BEGIN, MARK_END};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Name of the file that the plugin writes in the folder in which QEMU runs.
pub const MARKS_FILE: &str = "marks.txt";

/// A marker that was executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Its immediate: [`MARK_BEGIN`] or [`MARK_END`].
    pub marker: u16,
    /// Guest instructions executed before it.
    pub instructions: u64,
}

/// Compiles the plugin where its source is newer; needs a C compiler (`CC`, else `cc`).
///
/// # Errors
/// [`OnTargetError`] where there is none, or what it said.
pub fn build_plugin() -> Result<PathBuf, OnTargetError> {
    let source = workspace_root().join("tests/qemu-plugin/count.c");
    let folder = target_dir();
    let plugin = folder.join("libcount.so");
    let modified = |path: &Path| fs::metadata(path).and_then(|data| data.modified());
    let source_time = modified(&source).map_err(|e| OnTargetError::file(&source, e))?;
    if modified(&plugin).is_ok_and(|time| time > source_time) {
        return Ok(plugin);
    }
    fs::create_dir_all(&folder).map_err(|e| OnTargetError::file(&folder, e))?;
    // Compiled beside and renamed: tests run at the same time and share the file.
    let partial = tempfile::Builder::new().suffix(".so").tempfile_in(&folder).map_err(|e| OnTargetError::file(&folder, e))?;
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_string());
    let flags = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "-o"];
    let output = Command::new(&compiler).args(flags).arg(partial.path()).arg(&source).output();
    let output = output.map_err(|error| OnTargetError::Program { program: compiler, error })?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(OnTargetError::Build { what: source.display().to_string(), output: words });
    }
    partial.persist(&plugin).map_err(|e| OnTargetError::file(&plugin, e.error))?;
    Ok(plugin)
}

/// Reads the plugin's file: a line `<marker> <instructions>` for each executed marker.
///
/// # Errors
/// [`OnTargetError`] where it is missing or cannot be read.
pub fn read_marks(path: &Path) -> Result<Vec<Mark>, OnTargetError> {
    let text = fs::read_to_string(path).map_err(|e| OnTargetError::file(path, e))?;
    let mark = |line: &str| {
        let (marker, instructions) = line.split_once(' ')?;
        Some(Mark { marker: marker.parse().ok()?, instructions: instructions.parse().ok()? })
    };
    let marks = text.lines().map(|line| mark(line).ok_or_else(|| OnTargetError::content(path, format!("not a mark: {line}"))));
    marks.collect()
}

/// Instructions between each begin and the end that follows it, the marker itself not counted.
///
/// # Errors
/// [`OnTargetError::Malformed`] where begins and ends do not alternate.
pub fn between_marks(marks: &[Mark]) -> Result<Vec<u64>, OnTargetError> {
    let pair = |pair: &[Mark]| match pair {
        [begin, end] if begin.marker == MARK_BEGIN && end.marker == MARK_END => Ok(end.instructions - begin.instructions - 1),
        _ => Err(OnTargetError::Malformed("the counter's markers do not alternate".to_string())),
    };
    marks.chunks(2).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_subtracted() {
        let mark = |marker, instructions| Mark { marker, instructions };
        let marks = [mark(MARK_BEGIN, 100), mark(MARK_END, 101), mark(MARK_BEGIN, 150), mark(MARK_END, 250)];
        assert_eq!(between_marks(&marks).unwrap(), [0, 99]);
        assert!(between_marks(&marks[..3]).is_err());
        assert!(between_marks(&marks[1..3]).is_err());
    }
}
