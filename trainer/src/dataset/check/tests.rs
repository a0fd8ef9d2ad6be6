//! Files that are no pictures, and what is remembered of them.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use image::{ExtendedColorType, ImageFormat};
use staticnet_data::Split;

use super::*;

fn encoded(format: ImageFormat) -> Vec<u8> {
    let pixels: Vec<u8> = (0..16 * 16 * 3).map(|i| (i * 7 % 256) as u8).collect();
    let mut bytes = std::io::Cursor::new(Vec::new());
    image::write_buffer_with_format(&mut bytes, &pixels, 16, 16, ExtendedColorType::Rgb8, format).unwrap();
    bytes.into_inner()
}

/// `train/a` with good pictures 0 and 5 and bad ones between.
fn folder() -> (tempfile::TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let class = root.path().join("train/a");
    std::fs::create_dir_all(&class).unwrap();
    let (jpeg, mut png) = (encoded(ImageFormat::Jpeg), encoded(ImageFormat::Png));
    let write = |name: &str, bytes: &[u8]| std::fs::write(class.join(name), bytes).unwrap();
    write("0.png", &png);
    write("1-truncated.jpg", &jpeg[..jpeg.len() * 2 / 3]);
    write("2-empty.jpg", b"");
    write("3-text.jpg", b"Lorem ipsum dolor sit amet");
    write("5.jpg", &jpeg);
    // The checksum is the four bytes before the last chunk, which has twelve.
    let checksum = png.len() - 13;
    png[checksum] ^= 1;
    write("4-checksum.png", &png);
    (root, class)
}

fn open(class: &Path) -> DataSet {
    DataSet::open(class.parent().unwrap(), Split::Train).unwrap()
}

/// The result, and how many pictures were decoded for it.
fn checked(class: &Path, known: Option<&Path>) -> (Vec<Bad>, usize) {
    let mut seen = Vec::new();
    let bad = check(&open(class), known, &mut |done, of| seen.push((done, of))).unwrap();
    assert!(seen.iter().enumerate().all(|(i, &told)| told == (i + 1, seen.len())), "{seen:?}");
    (bad, seen.len())
}

#[test]
fn every_bad_picture_is_named_with_its_reason() {
    let (_root, class) = folder();
    let (bad, decoded) = checked(&class, None);
    assert_eq!(decoded, 6);
    let expected = [
        (1, "1-truncated.jpg", "cut off"),
        (2, "2-empty.jpg", "empty"),
        (3, "3-text.jpg", "neither JPEG nor PNG"),
        (4, "4-checksum.png", "CRC"),
    ];
    assert_eq!(bad.len(), expected.len(), "{bad:?}");
    for (bad, (index, name, reason)) in bad.iter().zip(expected) {
        let text = bad.error.to_string();
        assert!(bad.index == index && text.contains(name) && text.contains(reason), "{bad:?}");
    }
}

#[test]
fn what_is_known_is_not_decoded_again() {
    let (root, class) = folder();
    let known = root.path().join("run/pictures.json");
    let first = checked(&class, Some(&known));
    assert_eq!(first.1, 6);
    assert_eq!(checked(&class, Some(&known)), (first.0.clone(), 0));

    // Another length, and the same length at another time.
    std::fs::write(class.join("2-empty.jpg"), encoded(ImageFormat::Jpeg)).unwrap();
    let file = std::fs::File::options().write(true).open(class.join("0.png")).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(3600)).unwrap();
    let (bad, decoded) = checked(&class, Some(&known));
    assert_eq!((bad.iter().map(|bad| bad.index).collect::<Vec<_>>(), decoded), (vec![1, 3, 4], 2));
    assert_eq!(checked(&class, Some(&known)), (bad, 0));

    // A damaged file knows nothing, and is replaced.
    std::fs::write(&known, b"{\"pictures\": {").unwrap();
    assert_eq!(checked(&class, Some(&known)).1, 6);
    assert_eq!(checked(&class, Some(&known)).1, 0);
}

#[test]
fn a_file_that_cannot_be_read_now_is_not_given_up() {
    let (root, class) = folder();
    let known = root.path().join("pictures.json");
    let data = open(&class);
    let (path, aside) = (class.join("5.jpg"), root.path().join("aside.jpg"));
    std::fs::rename(&path, &aside).unwrap();
    let bad = check(&data, Some(&known), &mut |_, _| ()).unwrap();
    assert_eq!(bad[4], Bad { index: 5, error: DataError::Missing { path: path.clone() } });
    std::fs::rename(&aside, &path).unwrap();
    let (bad, decoded) = checked(&class, Some(&known));
    assert_eq!((bad.len(), decoded), (4, 1));
}

#[test]
fn what_is_known_must_be_writable() {
    let (root, class) = folder();
    let file = root.path().join("file");
    std::fs::write(&file, b"").unwrap();
    let error = check(&open(&class), Some(&file.join("pictures.json")), &mut |_, _| ()).unwrap_err();
    assert!(matches!(&error, DataError::Write { path, .. } if *path == file), "{error}");
}

#[test]
fn what_was_checked_stays_in_the_cache() {
    let (_root, class) = folder();
    let data = open(&class);
    check(&data, None, &mut |_, _| ()).unwrap();
    std::fs::remove_file(class.join("5.jpg")).unwrap();
    assert_eq!(data.with_picture(5, |picture| picture.width), Ok(16));
}
