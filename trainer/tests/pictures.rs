//! Pictures from folders, with bad ones among them, as a training takes them.

use staticnet::preprocess::{Fit, Preprocess};
use staticnet_data::DataError;
use staticnet_trainer::augment::Augment;
use staticnet_trainer::dataset::{Batch, DataOptions};
use staticnet_trainer::source::{BatchSource, Batching, Normalise, Pictures};
use staticnet_trainer::targets::Target;
use std::path::Path;

const SIDE: u32 = 4;

fn write(path: &Path, value: u8) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let pixels = [value; (SIDE * SIDE) as usize];
    image::save_buffer_with_format(path, &pixels, SIDE, SIDE, image::ExtendedColorType::L8, image::ImageFormat::Png).unwrap();
}

/// 12 pictures of class a, 4 of class b, 2 of each to test with; picture `i` of the training samples has the value `10 * i`.
fn folder() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for i in 0..16u8 {
        write(&root.path().join(if i < 12 { "train/a" } else { "train/b" }).join(format!("{i:02}.png")), 10 * i);
    }
    for class in ["test/a", "test/b"] {
        (0..2).for_each(|i| write(&root.path().join(class).join(format!("{i}.png")), 128));
    }
    root
}

const BASE: Preprocess = Preprocess { width: 4, height: 4, channels: 1, fit: Fit::Stretch, mean: [0.0; 3], std: [1.0; 3] };
const MEASURED: Normalise = Normalise::Measured(BASE);
const BATCHING: Batching = Batching { batch_size: 4, augment: Augment::CropFlip, seed: 5, threads: 2 };

fn open(root: &Path, options: DataOptions) -> Result<Pictures, DataError> {
    Pictures::open(root, MEASURED, BATCHING, &options, None, &mut |_, _| ())
}

fn epoch(pictures: &Pictures, epoch: u32, from: usize) -> Vec<Batch> {
    pictures.train(epoch, from).map(Result::unwrap).collect()
}

fn of_class(batches: &[Batch], class: usize) -> usize {
    batches.iter().flat_map(|batch| batch.targets.iter()).filter(|target| *target == Target::Class(class)).count()
}

#[test]
fn a_bad_picture_of_either_split_stops_the_run_before_it_begins() {
    let root = folder();
    std::fs::write(root.path().join("train/a/03.png"), b"").unwrap();
    std::fs::write(root.path().join("train/b/14.png"), b"not a picture").unwrap();
    std::fs::write(root.path().join("test/b/1.png"), b"GIF89a").unwrap();
    let error = open(root.path(), DataOptions::default()).unwrap_err();
    let DataError::Pictures { bad } = &error else { panic!("{error}") };
    let text = error.to_string();
    assert_eq!(bad.len(), 3);
    for name in ["train/a/03.png", "train/b/14.png", "test/b/1.png"] {
        assert!(text.contains(name), "{text}");
    }

    let skipping = DataOptions { skip_bad: true, ..DataOptions::default() };
    let pictures = open(root.path(), skipping.clone()).unwrap();
    assert_eq!(pictures.bad(), bad);
    assert_eq!((pictures.train_len(), pictures.test_len(), pictures.train_batches()), (14, 3, 3));
    // Mean and deviation are those of the pictures that are left.
    let values: Vec<f64> = (0..16).filter(|i| ![3, 14].contains(i)).map(|i| f64::from(10 * i) / 255.0).collect();
    let mean = values.iter().sum::<f64>() / 14.0;
    let std = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 14.0).sqrt();
    let found = pictures.preprocess();
    assert!((f64::from(found.mean[0]) - mean).abs() < 1e-6 && (f64::from(found.std[0]) - std).abs() < 1e-6);
    // So are order, classes and pixels.
    let plain = Batching { augment: Augment::None, ..BATCHING };
    let plain = Pictures::open(root.path(), MEASURED, plain, &skipping, None, &mut |_, _| ()).unwrap();
    for batch in epoch(&plain, 1, 0) {
        for (n, (index, target)) in batch.indices.iter().zip(batch.targets.iter()).enumerate() {
            let value = (0..16u8).filter(|i| ![3, 14].contains(i)).nth(*index as usize).unwrap();
            assert_eq!(target, Target::Class(usize::from(value >= 12)));
            assert_eq!(batch.images[n * 16], found.normalise(10 * value, 0));
        }
    }
    let balanced = open(root.path(), DataOptions { balance: true, ..skipping }).unwrap();
    assert_eq!((of_class(&epoch(&balanced, 0, 0), 0), of_class(&epoch(&balanced, 0, 0), 1)), (6, 6));
}

#[test]
fn a_given_normalisation_is_not_measured() {
    let root = folder();
    let given = Preprocess { mean: [0.25; 3], std: [0.5; 3], ..BASE };
    let options = DataOptions::default();
    let open = |normalise| Pictures::open(root.path(), normalise, BATCHING, &options, None, &mut |_, _| ()).unwrap();
    assert_eq!(open(Normalise::Given(given)).preprocess(), given);
    let measured = [given, BASE].map(|base| open(Normalise::Measured(base)).preprocess());
    assert_eq!((measured[0].mean[0], measured[0].std[0]), (measured[1].mean[0], measured[1].std[0]));
    assert_ne!(measured[0].mean[0], given.mean[0]);
}

#[test]
fn a_split_without_a_good_picture_is_refused() {
    let root = folder();
    for name in ["test/a/0.png", "test/a/1.png", "test/b/0.png", "test/b/1.png"] {
        std::fs::write(root.path().join(name), b"").unwrap();
    }
    let error = open(root.path(), DataOptions { skip_bad: true, ..DataOptions::default() }).unwrap_err();
    assert!(matches!(&error, DataError::NoneUsable { pictures: 4, .. }), "{error}");
    assert!(error.to_string().contains("test/a/0.png"), "{error}");
}

#[test]
fn one_file_knows_the_pictures_of_both_splits() {
    let root = folder();
    let known = root.path().join("run/pictures.json");
    let decoded = || {
        let mut told = 0;
        let options = DataOptions::default();
        Pictures::open(root.path(), MEASURED, BATCHING, &options, Some(&known), &mut |_, _| told += 1).unwrap();
        told
    };
    assert_eq!((decoded(), decoded()), (20, 0));
    write(&root.path().join("test/a/2.png"), 7);
    assert_eq!((decoded(), decoded()), (1, 0));
}

#[test]
fn a_folder_used_for_both_splits_names_a_bad_picture_once() {
    let root = folder();
    std::fs::write(root.path().join("train/a/03.png"), b"").unwrap();
    let error = open(&root.path().join("train"), DataOptions::default()).unwrap_err();
    assert!(matches!(&error, DataError::Pictures { bad } if bad.len() == 1), "{error}");
}

#[test]
fn overfitting_repeats_the_same_unvaried_batches() {
    let root = folder();
    for balance in [false, true] {
        let options = DataOptions { balance, overfit_batches: 2, workers: 3, ..DataOptions::default() };
        let pictures = open(root.path(), options).unwrap();
        assert_eq!(pictures.train_batches(), 2);
        let first = epoch(&pictures, 0, 0);
        assert_eq!(first.len(), 2);
        for number in 0..4 {
            assert_eq!(epoch(&pictures, number, 0), first);
            assert_eq!(epoch(&pictures, number, 1), first[1..]);
        }
        // The first batches of the first epoch of a training of everything.
        let unvaried = Batching { augment: Augment::None, ..BATCHING };
        let all = DataOptions { balance, ..DataOptions::default() };
        let all = Pictures::open(root.path(), MEASURED, unvaried, &all, None, &mut |_, _| ()).unwrap();
        assert_eq!(first, epoch(&all, 0, 0)[..2]);
        let many = DataOptions { balance, overfit_batches: 99, ..DataOptions::default() };
        assert_eq!(open(root.path(), many).unwrap().train_batches(), 4, "there are no more");
    }
}

#[test]
fn any_epoch_goes_on_anywhere() {
    let root = folder();
    for balance in [false, true] {
        let pictures = open(root.path(), DataOptions { balance, ..DataOptions::default() }).unwrap();
        let epochs: Vec<Vec<Batch>> = (0..3).map(|number| epoch(&pictures, number, 0)).collect();
        assert_ne!(epochs[0], epochs[1]);
        for (number, whole) in (0..).zip(&epochs) {
            assert_eq!(whole.len(), pictures.train_batches());
            for from in 0..=whole.len() {
                assert_eq!(epoch(&pictures, number, from), whole[from..]);
            }
        }
        assert_eq!(of_class(&epochs[0], 1), if balance { 8 } else { 4 });
    }
}

#[test]
fn the_memory_for_pictures_changes_no_batch() {
    let root = folder();
    let with = |cache_mb| epoch(&open(root.path(), DataOptions { cache_mb, ..DataOptions::default() }).unwrap(), 1, 0);
    assert_eq!(with(0), with(512));
}
