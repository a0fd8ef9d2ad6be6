//! CIFAR-10's binary batches: records of one label byte and 32 x 32 pixels, all red, then all green, then all blue.

use std::fs;
use std::path::{Path, PathBuf};

use crate::folder::entries;
use crate::memory::{Memory, Part};
use crate::{DataError, Split};

const SIDE: usize = 32;
const PLANE: usize = SIDE * SIDE;
const RECORD: usize = 1 + 3 * PLANE;
const CLASSES: usize = 10;
/// The batches are kept in memory: longer files are refused (a batch of CIFAR-10 has 30 MB).
const MAX_BYTES: u64 = 1 << 30;

fn is_batch(name: &str, split: Split) -> bool {
    match split {
        Split::Train => name.starts_with("data_batch_") && name.ends_with(".bin"),
        Split::Test => name == "test_batch.bin",
    }
}

fn batches(folder: &Path, split: Split) -> Result<Vec<PathBuf>, DataError> {
    let mut paths = entries(folder)?;
    paths.retain(|path| path.file_name().is_some_and(|name| is_batch(&name.to_string_lossy(), split)));
    Ok(paths)
}

/// Whether the folder holds any batch.
pub(super) fn is_here(folder: &Path) -> Result<bool, DataError> {
    Ok(!batches(folder, Split::Train)?.is_empty() || !batches(folder, Split::Test)?.is_empty())
}

/// The labels of `batches.meta.txt` (the digits where it is missing) and the samples of one split.
pub(super) fn open(folder: &Path, split: Split) -> Result<(Vec<String>, Memory), DataError> {
    let paths = batches(folder, split)?;
    if paths.is_empty() {
        let name = match split {
            Split::Train => "data_batch_1.bin",
            Split::Test => "test_batch.bin",
        };
        return Err(DataError::Missing { path: folder.join(name) });
    }
    let mut memory = Memory {
        pixels: Vec::new(),
        labels: Vec::new(),
        width: SIDE as u32,
        height: SIDE as u32,
        channels: 3,
        parts: Vec::new(),
    };
    for path in paths {
        append(&mut memory, path)?;
    }
    Ok((class_labels(folder)?, memory))
}

fn class_labels(folder: &Path) -> Result<Vec<String>, DataError> {
    let path = folder.join("batches.meta.txt");
    if !path.exists() {
        return Ok((0..CLASSES).map(|class| class.to_string()).collect());
    }
    let text = fs::read_to_string(&path).map_err(|error| DataError::read(&path, &error))?;
    let labels: Vec<String> = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_string).collect();
    if labels.len() != CLASSES {
        return Err(DataError::format(&path, format!("{CLASSES} lines of labels"), format!("{} lines", labels.len())));
    }
    Ok(labels)
}

fn append(memory: &mut Memory, path: PathBuf) -> Result<(), DataError> {
    let failed = |error: std::io::Error| DataError::read(&path, &error);
    let found = fs::metadata(&path).map_err(failed)?.len();
    if found == 0 || found > MAX_BYTES || found % RECORD as u64 != 0 {
        let expected = format!("a multiple of {RECORD} bytes (one label and 3 x 32 x 32 pixels), at most {MAX_BYTES}");
        return Err(DataError::format(&path, expected, format!("{found} bytes")));
    }
    let bytes = fs::read(&path).map_err(failed)?;
    let first = memory.labels.len();
    memory.pixels.reserve(bytes.len());
    for (i, record) in bytes.chunks_exact(RECORD).enumerate() {
        let (label, planes) = (record[0], &record[1..]);
        if label as usize >= CLASSES {
            let found = format!("{label} in record {i}");
            return Err(DataError::format(&path, format!("labels below {CLASSES}"), found));
        }
        memory.labels.push(label);
        for at in 0..PLANE {
            memory.pixels.extend([planes[at], planes[PLANE + at], planes[2 * PLANE + at]]);
        }
    }
    memory.parts.push(Part { path, first });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DataSet;

    /// A record whose planes are filled with `value`, `value + 1` and `value + 2`.
    fn record(label: u8, value: u8) -> Vec<u8> {
        let planes = [value, value + 1, value + 2].map(|byte| [byte; PLANE]).concat();
        [vec![label], planes].concat()
    }

    fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            fs::write(folder.path().join(name), bytes).unwrap();
        }
        folder
    }

    #[test]
    fn batches_follow_each_other_and_planes_become_pixels() {
        let mut second = record(9, 50);
        second[1 + 33] = 7; // red of row 1, column 1
        let folder = folder(&[
            ("data_batch_2.bin", &second),
            ("data_batch_1.bin", &[record(3, 10), record(0, 20)].concat()),
            ("test_batch.bin", &record(1, 90)),
            ("batches.meta.txt", b"airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n"),
        ]);
        let data = DataSet::open(folder.path(), Split::Train).unwrap();
        assert_eq!((data.len(), data.label(0), data.label(1), data.label(2)), (3, 3, 0, 9));
        assert_eq!(data.labels[9], "truck");
        let image = data.load(2).unwrap();
        assert_eq!((image.width, image.height, image.channels), (32, 32, 3));
        assert_eq!(image.pixels[..3], [50, 51, 52]);
        assert_eq!(image.pixels[33 * 3..34 * 3], [7, 51, 52]);
        assert!(data.name(1).ends_with("data_batch_1.bin#1") && data.name(2).ends_with("data_batch_2.bin#0"));
        let test = DataSet::open(folder.path(), Split::Test).unwrap();
        assert_eq!((test.len(), test.label(0)), (1, 1));
    }

    #[test]
    fn labels_without_a_list_are_digits() {
        let folder = folder(&[("test_batch.bin", &record(1, 90))]);
        assert_eq!(DataSet::open(folder.path(), Split::Test).unwrap().labels[9], "9");
        let text = DataSet::open(folder.path(), Split::Train).unwrap_err().to_string();
        assert!(text.contains("data_batch_1.bin: no such file"), "{text}");
    }

    #[test]
    fn wrong_files_are_named_with_what_was_expected() {
        let mut long = record(0, 0);
        long.push(0);
        for (files, expected) in [
            (vec![("data_batch_1.bin", &long[..])], "data_batch_1.bin: expected a multiple of 3073 bytes"),
            (vec![("data_batch_1.bin", &[][..])], "found 0 bytes"),
            (vec![("data_batch_1.bin", &record(10, 0)[..])], "expected labels below 10, found 10 in record 0"),
            (
                vec![("data_batch_1.bin", &record(0, 0)[..]), ("batches.meta.txt", b"a\nb\n")],
                "batches.meta.txt: expected 10 lines of labels, found 2",
            ),
        ] {
            let folder = folder(&files);
            let text = DataSet::open(folder.path(), Split::Train).unwrap_err().to_string();
            assert!(text.contains(expected), "{text}, not {expected}");
        }
    }
}
