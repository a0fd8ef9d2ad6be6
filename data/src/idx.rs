//! IDX files named as MNIST's are, plain or compressed with gzip.
//!
//! An IDX file is a big-endian magic number (0, 0, element type, rank), one 32-bit length per axis, and the elements.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;

use crate::memory::{Memory, Part};
use crate::{DataError, Split};

/// Bytes, rank 3: samples x rows x columns.
const IMAGES_MAGIC: u32 = 0x0803;
/// Bytes, rank 1.
const LABELS_MAGIC: u32 = 0x0801;
/// The pixels are kept in memory: more bytes than this are refused.
const MAX_BYTES: u64 = 4 << 30;
/// Longest side of a sample, in pixels.
const MAX_SIDE: u32 = 16384;

fn prefix(split: Split) -> &'static str {
    match split {
        Split::Train => "train",
        Split::Test => "t10k",
    }
}

/// The file of one part (`images-idx3` or `labels-idx1`), under any of the names it goes by.
fn find(folder: &Path, split: Split, what: &str, kind: &str) -> Option<PathBuf> {
    ["-", "."]
        .into_iter()
        .flat_map(|separator| ["", ".gz"].map(|end| format!("{}-{what}{separator}{kind}-ubyte{end}", prefix(split))))
        .map(|name| folder.join(name))
        .find(|path| path.is_file())
}

fn labels_file(folder: &Path, split: Split) -> Option<PathBuf> {
    find(folder, split, "labels", "idx1")
}

fn images_file(folder: &Path, split: Split) -> Option<PathBuf> {
    find(folder, split, "images", "idx3")
}

/// Whether any of MNIST's four files lies in the folder.
pub(super) fn is_here(folder: &Path) -> bool {
    [Split::Train, Split::Test].into_iter().any(|s| images_file(folder, s).is_some() || labels_file(folder, s).is_some())
}

/// The class labels `0`, `1`, .. up to the highest one in either split, and the samples of one split.
pub(super) fn open(folder: &Path, split: Split) -> Result<(Vec<String>, Memory), DataError> {
    let missing = |what: &str| DataError::Missing { path: folder.join(format!("{}-{what}-ubyte", prefix(split))) };
    let images = images_file(folder, split).ok_or_else(|| missing("images-idx3"))?;
    let labels_path = labels_file(folder, split).ok_or_else(|| missing("labels-idx1"))?;

    let (samples, pixels) = read(&images, IMAGES_MAGIC)?;
    let labels = read_labels(&labels_path)?;
    let [count, height, width] = samples;
    if labels.len() != count as usize {
        let found = format!("{} labels", labels.len());
        return Err(DataError::format(&labels_path, format!("{count} labels as {} has pictures", images.display()), found));
    }
    // Both splits must agree on the number of classes, whichever labels happen to occur in this one.
    let other = match split {
        Split::Train => Split::Test,
        Split::Test => Split::Train,
    };
    let others = labels_file(folder, other).map_or(Ok(Vec::new()), |path| read_labels(&path))?;
    let highest = labels.iter().chain(&others).max().copied().unwrap_or(0);
    let classes = (0..=highest).map(|label| label.to_string()).collect();
    let parts = vec![Part { path: images, first: 0 }];
    Ok((classes, Memory { pixels, labels, width, height, channels: 1, parts }))
}

fn read_labels(path: &Path) -> Result<Vec<u8>, DataError> {
    read::<1>(path, LABELS_MAGIC).map(|(_, labels)| labels)
}

/// The lengths of the axes and the elements of a file with this magic number.
fn read<const RANK: usize>(path: &Path, magic: u32) -> Result<([u32; RANK], Vec<u8>), DataError> {
    let failed = |error: std::io::Error| DataError::read(path, &error);
    let file = std::io::BufReader::new(File::open(path).map_err(failed)?);
    let mut reader: Box<dyn Read> =
        if path.extension().is_some_and(|end| end == "gz") { Box::new(GzDecoder::new(file)) } else { Box::new(file) };

    let header_len = 4 * (RANK + 1);
    let mut header = Vec::new();
    reader.by_ref().take(header_len as u64).read_to_end(&mut header).map_err(failed)?;
    if header.len() < header_len {
        let found = format!("a file of {} bytes", header.len());
        return Err(DataError::format(path, format!("an IDX header of {header_len} bytes"), found));
    }
    let word = |i: usize| u32::from_be_bytes([header[4 * i], header[4 * i + 1], header[4 * i + 2], header[4 * i + 3]]);
    if word(0) != magic {
        return Err(DataError::format(path, format!("the IDX magic number {magic:#010x}"), format!("{:#010x}", word(0))));
    }
    let axes: [u32; RANK] = std::array::from_fn(|axis| word(axis + 1));
    let lengths = axes.map(|length| length.to_string()).join(" x ");
    if axes.contains(&0) || axes[1..].iter().any(|&side| side > MAX_SIDE) {
        return Err(DataError::format(path, format!("at least one sample with sides from 1 to {MAX_SIDE}"), lengths));
    }
    let expected = axes.iter().try_fold(1u64, |product, &length| product.checked_mul(length as u64));
    let Some(expected) = expected.filter(|&bytes| bytes <= MAX_BYTES) else {
        return Err(DataError::format(path, format!("at most {} GiB of samples", MAX_BYTES >> 30), lengths));
    };

    let mut elements = Vec::new();
    reader.take(expected + 1).read_to_end(&mut elements).map_err(failed)?;
    if elements.len() as u64 != expected {
        let found = if elements.len() as u64 > expected { "more".to_string() } else { format!("{} bytes", elements.len()) };
        return Err(DataError::format(path, format!("{expected} bytes ({lengths}) after the header"), found));
    }
    Ok((axes, elements))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::DataSet;

    fn idx(magic: u32, axes: &[u32], elements: &[u8]) -> Vec<u8> {
        let mut bytes = magic.to_be_bytes().to_vec();
        axes.iter().for_each(|length| bytes.extend(length.to_be_bytes()));
        bytes.extend(elements);
        bytes
    }

    fn folder(files: &[(&str, Vec<u8>)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            std::fs::write(folder.path().join(name), bytes).unwrap();
        }
        folder
    }

    fn images() -> Vec<u8> {
        idx(IMAGES_MAGIC, &[2, 2, 3], &[0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15])
    }

    /// The error of opening the training split of a folder with these two files.
    fn refusal(images: Vec<u8>, labels: Vec<u8>) -> String {
        let folder = folder(&[("train-images-idx3-ubyte", images), ("train-labels-idx1-ubyte", labels)]);
        DataSet::open(folder.path(), Split::Train).unwrap_err().to_string()
    }

    #[test]
    fn a_plain_and_a_compressed_file() {
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(&images()).unwrap();
        let folder = folder(&[
            ("t10k-images-idx3-ubyte.gz", gz.finish().unwrap()),
            ("t10k-labels-idx1-ubyte", idx(LABELS_MAGIC, &[2], &[1, 0])),
            ("train-labels.idx1-ubyte", idx(LABELS_MAGIC, &[1], &[4])),
        ]);
        let data = DataSet::open(folder.path(), Split::Test).unwrap();
        assert_eq!((data.len(), data.label(0), data.label(1), data.channels()), (2, 1, 0, Ok(1)));
        assert_eq!(data.labels, ["0", "1", "2", "3", "4"], "the classes of both splits");
        let image = data.load(1).unwrap();
        assert_eq!((image.width, image.height, image.pixels), (3, 2, vec![10, 11, 12, 13, 14, 15]));
        assert!(data.name(1).ends_with("t10k-images-idx3-ubyte.gz#1"), "{}", data.name(1));
        // The other split lacks its pictures.
        let text = DataSet::open(folder.path(), Split::Train).unwrap_err().to_string();
        assert!(text.contains("train-images-idx3-ubyte: no such file"), "{text}");
    }

    #[test]
    fn wrong_files_are_named_with_what_was_expected() {
        let labels = || idx(LABELS_MAGIC, &[2], &[1, 0]);
        for (images, labels, expected) in [
            (idx(0x0802, &[2, 2, 3], &[0; 12]), labels(), "images-idx3-ubyte: expected the IDX magic number 0x00000803"),
            (images(), idx(IMAGES_MAGIC, &[2], &[1, 0]), "labels-idx1-ubyte: expected the IDX magic number 0x00000801"),
            (images()[..20].to_vec(), labels(), "expected 12 bytes (2 x 2 x 3) after the header, found 4 bytes"),
            ([images(), vec![0]].concat(), labels(), "expected 12 bytes (2 x 2 x 3) after the header, found more"),
            (images()[..15].to_vec(), labels(), "expected an IDX header of 16 bytes, found a file of 15 bytes"),
            (Vec::new(), labels(), "found a file of 0 bytes"),
            (images(), idx(LABELS_MAGIC, &[3], &[1, 0, 2]), "labels-idx1-ubyte: expected 2 labels as "),
            (idx(IMAGES_MAGIC, &[0, 2, 3], &[]), labels(), "expected at least one sample"),
            (idx(IMAGES_MAGIC, &[1, 1, 20_000], &[]), labels(), "sides from 1 to 16384"),
            (idx(IMAGES_MAGIC, &[u32::MAX, 16384, 16384], &[]), labels(), "expected at most 4 GiB"),
        ] {
            let text = refusal(images, labels);
            assert!(text.contains(expected), "{text}, not {expected}");
        }
    }

    #[test]
    fn a_broken_gzip_file_is_named() {
        let folder = folder(&[
            ("train-images-idx3-ubyte.gz", b"\x1f\x8b\x08\x00garbage that is no deflate stream".to_vec()),
            ("train-labels-idx1-ubyte", idx(LABELS_MAGIC, &[2], &[1, 0])),
        ]);
        let text = DataSet::open(folder.path(), Split::Train).unwrap_err().to_string();
        assert!(text.contains("train-images-idx3-ubyte.gz: cannot be read"), "{text}");
    }
}
