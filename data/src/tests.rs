//! Class folders: layouts, the held-out rule, and everything that can be wrong with them.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;

/// A grey PNG of 2 x 2 pixels of one value.
fn write_png(path: &Path, value: u8) {
    image::save_buffer_with_format(path, &[value; 4], 2, 2, image::ExtendedColorType::L8, image::ImageFormat::Png).unwrap();
}

/// A folder with `count` pictures in each of the class folders; picture `i` has the value `i`.
fn class_folders(classes: &[(&str, usize)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (class, count) in classes {
        let folder = root.path().join(class);
        fs::create_dir_all(&folder).unwrap();
        for i in 0..*count {
            write_png(&folder.join(format!("{i:04}.png")), i as u8);
        }
    }
    root
}

/// `(class, value)` of every sample.
fn samples(data: &DataSet) -> Vec<(usize, u8)> {
    (0..data.len()).map(|i| (data.label(i), data.load(i).unwrap().pixels[0])).collect()
}

fn refusal(path: &Path, split: Split) -> DataError {
    let error = DataSet::open(path, split).unwrap_err();
    assert!(!error.to_string().is_empty());
    error
}

#[test]
fn every_tenth_picture_of_a_class_is_held_out() {
    let root = class_folders(&[("dog", 21), ("cat", 10)]);
    fs::write(root.path().join(".hidden"), "").unwrap();
    fs::create_dir(root.path().join(".cache")).unwrap();
    fs::write(root.path().join("cat/.hidden"), "").unwrap();
    fs::write(root.path().join("cat/Thumbs.db"), "").unwrap();
    let train = DataSet::open(root.path(), Split::Train).unwrap();
    let test = DataSet::open(root.path(), Split::Test).unwrap();
    assert_eq!(train.labels, ["cat", "dog"]);
    assert_eq!(test.labels, train.labels);
    assert_eq!(samples(&test), [(0, 9), (1, 9), (1, 19)]);
    let mut expected: Vec<(usize, u8)> = (0..9).map(|i| (0, i)).collect();
    expected.extend((0..9).chain(10..19).chain([20]).map(|i| (1, i)));
    assert_eq!(samples(&train), expected);
    assert_eq!(train.name(0), root.path().join("cat/0000.png").display().to_string());
    assert_eq!(train.channels(), Ok(1));
    // With a train folder alone, its pictures are the ones held out from.
    let parent = class_folders(&[("train/cat", 10), ("train/dog", 10)]);
    assert_eq!(samples(&DataSet::open(parent.path(), Split::Test).unwrap()), [(0, 9), (1, 9)]);
    assert_eq!(DataSet::open(parent.path(), Split::Train).unwrap().len(), 18);
}

#[test]
fn split_folders_are_used_whole() {
    for test in ["test", "val"] {
        let root = class_folders(&[("train/a", 11), ("train/b", 1), (&format!("{test}/b"), 2)]);
        let data = DataSet::open(root.path(), Split::Train).unwrap();
        assert_eq!((data.len(), data.labels.len()), (12, 2));
        let data = DataSet::open(root.path(), Split::Test).unwrap();
        assert_eq!(data.labels, ["a", "b"], "the classes of the training samples");
        assert_eq!(samples(&data), [(1, 0), (1, 1)]);
        for split in [Split::Train, Split::Test] {
            assert_eq!(DataSet::open(&root.path().join("train"), split).unwrap().len(), 12);
            let data = DataSet::open(&root.path().join(test), split).unwrap();
            assert_eq!((data.len(), &data.labels[..]), (2, &["b".to_string()][..]));
        }
    }
}

#[test]
fn a_class_may_be_called_train() {
    let root = class_folders(&[("bus", 10), ("train", 10)]);
    let data = DataSet::open(root.path(), Split::Train).unwrap();
    assert_eq!((&data.labels[..], data.len()), (&["bus".to_string(), "train".to_string()][..], 18));
}

#[test]
fn wrong_folders_are_named() {
    let root = class_folders(&[("a", 10), ("empty", 0)]);
    let join = |name: &str| root.path().join(name);
    assert_eq!(refusal(root.path(), Split::Train), DataError::EmptyClass { path: join("empty") });
    assert_eq!(refusal(&join("absent"), Split::Train), DataError::Missing { path: join("absent") });
    assert_eq!(refusal(&join("a/0000.png"), Split::Train), DataError::NotAFolder { path: join("a/0000.png") });
    assert_eq!(refusal(&join("a"), Split::Test), DataError::NoClasses { path: join("a") });
    assert_eq!(refusal(&join("empty"), Split::Test), DataError::NoClasses { path: join("empty") });

    fs::create_dir(join("empty/inner")).unwrap();
    assert_eq!(refusal(root.path(), Split::Train), DataError::NestedFolder { path: join("empty/inner") });

    let few = class_folders(&[("a", 9), ("b", 2)]);
    assert_eq!(refusal(few.path(), Split::Test), DataError::NothingHeldOut { path: few.path().into() });
    assert_eq!(DataSet::open(few.path(), Split::Train).unwrap().len(), 11);

    let split = class_folders(&[("train/a", 1), ("test/b", 1)]);
    let [train, path]: [PathBuf; 2] = ["train", "test/b"].map(|name| split.path().join(name));
    assert_eq!(refusal(split.path(), Split::Test), DataError::UnknownClass { path, train });

    let test_only = class_folders(&[("test/b", 1)]);
    assert_eq!(refusal(test_only.path(), Split::Train), DataError::Missing { path: test_only.path().join("train") });
    assert_eq!(DataSet::open(test_only.path(), Split::Test).unwrap().len(), 1);
}

#[test]
fn an_unreadable_picture_is_named_and_the_others_still_load() {
    let root = class_folders(&[("train/a", 3)]);
    let bad = root.path().join("train/a/0001.png");
    let whole = fs::read(&bad).unwrap();
    fs::write(&bad, &whole[..whole.len() / 2]).unwrap();
    let data = DataSet::open(&root.path().join("train"), Split::Train).unwrap();
    assert!(matches!(data.load(1), Err(DataError::Picture { path, .. }) if path == bad));
    assert!(matches!(data.with_picture(1, |_| ()), Err(DataError::Picture { path, .. }) if path == bad));
    assert_eq!(data.load(2).unwrap().pixels, [2; 4]);
}

#[test]
fn kept_pictures_are_not_decoded_again() {
    let root = class_folders(&[("train/a", 2)]);
    let data = DataSet::open(&root.path().join("train"), Split::Train).unwrap();
    let value = |i| data.with_picture(i, |picture| picture.pixels[0]);
    assert_eq!(value(1), Ok(1));
    fs::remove_file(root.path().join("train/a/0001.png")).unwrap();
    assert_eq!(value(1), Ok(1));
    assert!(matches!(data.load(1), Err(DataError::Missing { .. })));
    assert_eq!(value(0), Ok(0));
}

#[test]
fn samples_that_are_left_out_are_as_if_they_were_not_there() {
    let root = class_folders(&[("train/a", 3), ("train/b", 1), ("train/c", 3)]);
    let open = || DataSet::open(&root.path().join("train"), Split::Train).unwrap();
    let all = samples(&open());
    let data = open().without(&[5, 0, 3, 99]);
    assert_eq!(samples(&data), [all[1], all[2], all[4], all[6]]);
    assert_eq!(data.labels, ["a", "b", "c"], "a class may be left without samples");
    assert_eq!(data.name(2), root.path().join("train/c/0000.png").display().to_string());
    assert_eq!(data.file(2), Some(root.path().join("train/c/0000.png")));
    assert_eq!(data.with_picture(3, |picture| picture.pixels[0]), Ok(2));
    // Once more: indices are those of what was left.
    assert_eq!(samples(&data.without(&[1])), [all[1], all[4], all[6]]);
    let none = open().without(&(0..7).collect::<Vec<_>>());
    assert!(none.is_empty());
}

#[test]
fn the_cache_holds_all_pictures_or_none() {
    // Pictures of 4 bytes.
    let root = class_folders(&[("train/a", 3)]);
    for (limit, kept) in [(12, true), (11, false), (0, false)] {
        let root = root.path().join("train");
        let data = DataSet::open(&root, Split::Train).unwrap().with_cache(limit);
        let value = |i| data.with_picture(i, |picture| picture.pixels[0]);
        assert_eq!([value(0), value(1), value(2)], [Ok(0), Ok(1), Ok(2)]);
        let (path, aside) = (root.join("a/0001.png"), root.join("../aside.png"));
        fs::rename(&path, &aside).unwrap();
        assert_eq!(value(1).is_ok(), kept, "a limit of {limit} bytes");
        fs::rename(&aside, &path).unwrap();
    }
}

#[test]
fn the_channels_are_those_of_the_first_picture_that_can_be_read() {
    let root = class_folders(&[("train/a", 2)]);
    let path = root.path().join("train");
    fs::write(path.join("a/0000.png"), b"").unwrap();
    assert_eq!(DataSet::open(&path, Split::Train).unwrap().channels(), Ok(1));
    fs::write(path.join("a/0001.png"), b"").unwrap();
    let error = DataSet::open(&path, Split::Train).unwrap().channels().unwrap_err();
    assert!(matches!(error, DataError::Picture { path, .. } if path.ends_with("a/0000.png")));
}
