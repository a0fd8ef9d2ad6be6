//! The loader against a plain loop over the samples, for any number of threads.

use std::path::Path;

use staticnet::preprocess::Fit;
use staticnet_data::Split;

use super::*;
use crate::targets::Target;

const WIDTH: usize = 8;
const HEIGHT: usize = 16;

/// A picture whose every byte is different from its neighbours' and from the same byte of the next picture.
fn picture(index: usize) -> Vec<u8> {
    (0..WIDTH * HEIGHT * 3).map(|at| (at * 31 + index * 57 + at / 7) as u8).collect()
}

fn write_png(path: &Path, pixels: &[u8]) {
    let (width, height) = (WIDTH as u32, HEIGHT as u32);
    image::save_buffer_with_format(path, pixels, width, height, image::ExtendedColorType::Rgb8, image::ImageFormat::Png)
        .unwrap();
}

/// `train/a` and `train/b` with half of the pictures each.
fn folder(count: usize) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for i in 0..count {
        let class = root.path().join("train").join(if i < count / 2 { "a" } else { "b" });
        std::fs::create_dir_all(&class).unwrap();
        write_png(&class.join(format!("{i:04}.png")), &picture(i));
    }
    root
}

fn open(root: &Path) -> Arc<DataSet> {
    Arc::new(DataSet::open(&root.join("train"), Split::Train).unwrap())
}

fn preprocess() -> Preprocess {
    let (width, height) = (WIDTH as u16, HEIGHT as u16);
    Preprocess { width, height, channels: 3, fit: Fit::Stretch, mean: [0.5, 0.4, 0.3], std: [0.2, 0.3, 0.4] }
}

fn options() -> LoaderOptions {
    LoaderOptions {
        batch_size: 4,
        seed: 11,
        epoch: 0,
        from: 0,
        augment: Augment::None,
        order: Order::Listed,
        drop_last: false,
        at_most: None,
        threads: 1,
        part: Part::WHOLE,
    }
}

fn load(data: &Arc<DataSet>, options: LoaderOptions) -> Vec<Batch> {
    Loader::new(data.clone(), preprocess(), options).map(Result::unwrap).collect()
}

#[test]
fn parts_of_batches_are_the_batches() {
    let root = folder(10);
    let data = open(root.path());
    let options = LoaderOptions { order: Order::Shuffled, augment: Augment::CropFlip, threads: 2, ..options() };
    let whole = load(&data, options);
    for ranks in 1..4 {
        let parts: Vec<_> =
            (0..ranks).map(|rank| load(&data, LoaderOptions { part: Part { rank, ranks }, ..options })).collect();
        for (i, batch) in whole.iter().enumerate() {
            let images: Vec<f32> = parts.iter().flat_map(|part| part[i].images.clone()).collect();
            let indices: Vec<u32> = parts.iter().flat_map(|part| part[i].indices.clone()).collect();
            assert_eq!((&images, &indices), (&batch.images, &batch.indices), "batch {i} in {ranks} parts");
            for (rank, part) in parts.iter().enumerate() {
                // A source that does not know of parts has its batches cut.
                assert_eq!(batch.clone().part(Part { rank, ranks }), part[i]);
            }
        }
    }
}

#[test]
fn batches_hold_normalised_planes_in_order() {
    let root = folder(10);
    let batches = load(&open(root.path()), options());
    assert_eq!(batches.iter().map(|batch| batch.targets.len()).collect::<Vec<_>>(), [4, 4, 2]);
    for (at, batch) in batches.iter().enumerate() {
        for (n, &index) in batch.indices.iter().enumerate() {
            assert_eq!(index as usize, at * 4 + n);
            assert_eq!(batch.targets.get(n), Target::Class((index >= 5) as usize));
            let pixels = picture(index as usize);
            for (c, y, x) in [(0, 0, 0), (1, 3, 5), (2, HEIGHT - 1, WIDTH - 1)] {
                let byte = pixels[(y * WIDTH + x) * 3 + c];
                let expected = (byte as f32 / 255.0 - [0.5, 0.4, 0.3][c]) / [0.2, 0.3, 0.4][c];
                assert_eq!(batch.images[((n * 3 + c) * HEIGHT + y) * WIDTH + x], expected);
            }
        }
    }
    let whole = load(&open(root.path()), LoaderOptions { drop_last: true, ..options() });
    assert_eq!(whole[..], batches[..2]);
}

#[test]
fn any_number_of_threads_gives_the_same_batches() {
    let root = folder(23);
    let data = open(root.path());
    let options = LoaderOptions { augment: Augment::CropFlip, order: Order::Shuffled, batch_size: 3, ..options() };
    let one = load(&data, options);
    for threads in [0, 2, 4, 100] {
        assert_eq!(load(&data, LoaderOptions { threads, ..options }), one, "{threads} threads");
        assert_eq!(
            load(&data, LoaderOptions { threads, from: 2, ..options }),
            one[2..],
            "{threads} threads, from the third on"
        );
    }
    let mut seen: Vec<u32> = one.iter().flat_map(|batch| batch.indices.clone()).collect();
    assert_ne!(seen, (0..23).collect::<Vec<_>>());
    seen.sort_unstable();
    assert!(seen.into_iter().eq(0..23), "every sample once");

    let next = load(&data, LoaderOptions { epoch: 1, ..options });
    assert_ne!(next[0].indices, one[0].indices);
    let other_seed = load(&data, LoaderOptions { seed: 12, ..options });
    assert_ne!(other_seed[0].indices, one[0].indices);
}

#[test]
fn an_epoch_goes_on_anywhere_in_every_order() {
    // 8 of class a, 9 of class b: with the first five left out, 3 and 9.
    let root = folder(17);
    let data = Arc::new(DataSet::open(&root.path().join("train"), Split::Train).unwrap().without(&[0, 1, 2, 3, 4]));
    for order in [Order::Listed, Order::Shuffled, Order::Balanced] {
        for (epoch, at_most) in [(0, None), (3, None), (3, Some(2)), (3, Some(100))] {
            let options = LoaderOptions { order, epoch, at_most, augment: Augment::CropFlip, batch_size: 5, ..options() };
            let whole = load(&data, options);
            assert_eq!(whole.len(), if at_most == Some(2) { 2 } else { 3 });
            assert_eq!(whole.len(), options.batches(data.len()));
            for (from, threads) in [(0, 2), (1, 1), (1, 2), (2, 3), (3, 1), (9, 2)] {
                let rest = load(&data, LoaderOptions { from, threads, ..options });
                assert_eq!(rest, whole[from.min(whole.len())..], "{order:?}, epoch {epoch}, from {from}, {threads} threads");
            }
            let few = load(&data, LoaderOptions { drop_last: true, ..options });
            assert_eq!(few, whole[..2]);
        }
    }
}

#[test]
fn a_repeated_picture_is_varied_anew() {
    let root = folder(17);
    let data = Arc::new(DataSet::open(&root.path().join("train"), Split::Train).unwrap().without(&[0, 1, 2, 3, 4]));
    let options = LoaderOptions { order: Order::Balanced, augment: Augment::CropFlip, batch_size: 12, ..options() };
    let batch = load(&data, options).remove(0);
    let (elements, plain) = (3 * WIDTH * HEIGHT, load(&data, LoaderOptions { augment: Augment::None, ..options }).remove(0));
    assert_eq!(plain.indices, batch.indices, "the order does not depend on the variation");
    let image = |batch: &Batch, n: usize| batch.images[n * elements..][..elements].to_vec();
    let mut same_picture = 0;
    for a in 0..12 {
        for b in 0..a {
            if batch.indices[a] == batch.indices[b] {
                same_picture += 1;
                assert_eq!(image(&plain, a), image(&plain, b));
                assert_ne!(image(&batch, a), image(&batch, b), "sample {}", batch.indices[a]);
            }
        }
    }
    assert_eq!(same_picture, 3, "each of three pictures twice");
    let classes = batch.targets.iter().filter(|target| *target == Target::Class(0)).count();
    assert_eq!(classes, 6);
}

#[test]
fn a_resized_crop_is_the_fitted_region() {
    let root = folder(4);
    let options = LoaderOptions { augment: Augment::ResizedCrop, batch_size: 4, epoch: 2, ..options() };
    let batch = load(&open(root.path()), options).remove(0);
    for index in 0..4 {
        let mut rng = KeyedRng::new(11, 2, index as u64, stream::AUGMENT);
        let region = Augment::ResizedCrop.region(WIDTH as u32, HEIGHT as u32, &mut rng).unwrap();
        let flip = rng.below(2) == 1;
        let pixels = picture(index);
        let part: Vec<u8> = (region.top..region.top + region.height)
            .flat_map(|y| (region.left..region.left + region.width).map(move |x| (y as usize * WIDTH + x as usize) * 3))
            .flat_map(|at| pixels[at..at + 3].to_vec())
            .collect();
        let part = staticnet::preprocess::Picture { pixels: &part, width: region.width, height: region.height, channels: 3 };
        let mut expected = vec![0.0; 3 * WIDTH * HEIGHT];
        preprocess().to_f32(part, &mut expected).unwrap();
        for (at, value) in expected.into_iter().enumerate() {
            let (y, x, c) = (at / 3 / WIDTH, at / 3 % WIDTH, at % 3);
            let x = if flip { WIDTH - 1 - x } else { x };
            assert_eq!(batch.images[((index * 3 + c) * HEIGHT + y) * WIDTH + x], value, "{region:?}");
        }
    }
}

#[test]
fn a_varied_picture_is_the_moved_and_mirrored_original() {
    let root = folder(8);
    let data = open(root.path());
    let plain = load(&data, LoaderOptions { batch_size: 8, ..options() }).remove(0);
    let varied = load(&data, LoaderOptions { batch_size: 8, augment: Augment::CropFlip, ..options() }).remove(0);
    let plane = WIDTH * HEIGHT;
    for index in 0..8u64 {
        let drawn = Augment::CropFlip.draw(WIDTH, HEIGHT, &mut KeyedRng::new(11, 0, index, stream::AUGMENT));
        for c in 0..3 {
            let at = (index as usize * 3 + c) * plane;
            let (before, after) = (&plain.images[at..at + plane], &varied.images[at..at + plane]);
            for y in 0..HEIGHT as isize {
                for x in 0..WIDTH as isize {
                    let (from_y, from_x) = (y + drawn.down, if drawn.flip { WIDTH as isize - 1 - x } else { x } + drawn.right);
                    let inside = (0..HEIGHT as isize).contains(&from_y) && (0..WIDTH as isize).contains(&from_x);
                    let expected = match inside {
                        true => before[(from_y * WIDTH as isize + from_x) as usize],
                        false => preprocess().normalise(0, c),
                    };
                    assert_eq!(after[(y * WIDTH as isize + x) as usize], expected);
                }
            }
        }
    }
}

#[test]
fn an_unreadable_picture_ends_the_epoch_with_its_name() {
    let root = folder(12);
    std::fs::write(root.path().join("train/a/0005.png"), b"not a picture").unwrap();
    for threads in [1, 3] {
        let loader = Loader::new(open(root.path()), preprocess(), LoaderOptions { threads, batch_size: 2, ..options() });
        assert_eq!(loader.batches(), 6);
        let results: Vec<_> = loader.collect();
        assert_eq!(results.len(), 3, "{threads} threads");
        let text = results[2].as_ref().unwrap_err().to_string();
        assert!(text.contains("0005.png"), "{text}");
    }
}

#[test]
fn a_picture_that_vanishes_ends_the_epoch_with_its_name() {
    let root = folder(12);
    let path = root.path().join("train");
    let data = Arc::new(DataSet::open(&path, Split::Train).unwrap().with_cache(0));
    assert_eq!(check(&data, None, &mut |_, _| ()), Ok(vec![]));
    let mut loader = Loader::new(data, preprocess(), LoaderOptions { batch_size: 2, ..options() });
    assert!(loader.next().unwrap().is_ok());
    // The worker is at most two batches ahead.
    std::fs::remove_file(path.join("b/0010.png")).unwrap();
    let results: Vec<_> = loader.collect();
    assert_eq!(results.len(), 5);
    let error = results[4].as_ref().unwrap_err();
    assert!(matches!(error, DataError::Missing { path } if path.ends_with("b/0010.png")), "{error}");
}

#[test]
fn a_loader_can_be_dropped_early() {
    let root = folder(20);
    let data = open(root.path());
    let mut loader = Loader::new(data.clone(), preprocess(), LoaderOptions { threads: 2, batch_size: 1, ..options() });
    assert!(loader.next().unwrap().is_ok());
    drop(loader);
    assert_eq!(Arc::strong_count(&data), 1, "all workers have ended");
}

#[test]
fn statistics_are_the_mean_and_deviation_of_all_pixels() {
    let root = folder(6);
    let filled = statistics(&open(root.path()), preprocess()).unwrap();
    for c in 0..3 {
        let all: Vec<f64> =
            (0..6).flat_map(|i| picture(i).into_iter().skip(c).step_by(3).map(|byte| byte as f64 / 255.0)).collect();
        let mean = all.iter().sum::<f64>() / all.len() as f64;
        let std = (all.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / all.len() as f64).sqrt();
        assert!((filled.mean[c] as f64 - mean).abs() < 1e-6 && (filled.std[c] as f64 - std).abs() < 1e-6);
    }
    assert_eq!((filled.width, filled.height, filled.fit), (WIDTH as u16, HEIGHT as u16, Fit::Stretch));
}

#[test]
fn pictures_without_contrast_get_the_smallest_deviation() {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(root.path().join("train/a")).unwrap();
    let path = root.path().join("train/a/flat.png");
    write_png(&path, &[51; WIDTH * HEIGHT * 3]);
    let base = Preprocess { channels: 1, mean: [9.0; 3], std: [7.0; 3], ..preprocess() };
    let filled = statistics(&open(root.path()), base).unwrap();
    assert!((filled.mean[0] - 0.2).abs() < 1e-6);
    assert_eq!(filled.std, [1.0 / 255.0, 7.0, 7.0]);

    std::fs::write(&path, b"").unwrap();
    let text = statistics(&open(root.path()), base).unwrap_err().to_string();
    assert!(text.contains("flat.png"), "{text}");
}
