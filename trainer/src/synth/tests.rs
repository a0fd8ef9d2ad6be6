//! The generated pictures: reproducible, readable, complete, and too hard for a linear classifier.

use std::sync::Arc;

use staticnet_data::{DataSet, Split};

use super::*;

#[test]
fn a_picture_depends_on_every_argument_and_on_nothing_else() {
    let picture = render(3, 1, 2, 16);
    assert_eq!((picture.width, picture.height, picture.channels, picture.pixels.len()), (16, 16, 3, 768));
    assert_eq!(render(3, 1, 2, 16), picture);
    assert_eq!(render(3 + CLASSES, 1, 2, 16), picture);
    for other in [render(4, 1, 2, 16), render(3, 2, 2, 16), render(3, 1, 3, 16), render(3, 1, FIRST_TEST_INDEX + 2, 16)] {
        assert_ne!(other, picture);
    }
}

#[test]
fn drawn_values_keep_to_their_documented_ranges() {
    let mut brighter = 0;
    for index in 0..2000 {
        let scene = Scene::draw(0, &mut KeyedRng::new(5, 0, index, stream::SYNTH));
        let Scene { radius, centre: (x, y), .. } = scene;
        assert!((0.25..=0.425).contains(&radius) && (0.0..=14.0).contains(&scene.noise));
        assert!(x >= radius && x <= 1.0 - radius && y >= radius && y <= 1.0 - radius);
        let (first, second) = scene.background;
        let apart = [first, second].map(|colour| brightness(scene.shape) - brightness(colour));
        assert!(apart.iter().all(|d| *d >= 64.0) || apart.iter().all(|d| *d <= -64.0), "{apart:?}");
        assert!(first.iter().zip(second).all(|(a, b)| (a - b).abs() <= 60.0));
        brighter += (apart[0] > 0.0) as usize;
    }
    assert!((900..1100).contains(&brighter), "{brighter} of 2000 shapes are brighter");
}

#[test]
fn generated_folders_are_a_data_set() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("deeper/shapes");
    let options = SynthOptions { seed: 9, size: 8, train_per_class: 3, test_per_class: 2 };
    let mut reports = Vec::new();
    generate(&out, &options, &mut |done, total| reports.push((done, total))).unwrap();
    assert!(reports.into_iter().eq((1..=50).map(|done| (done, 50))));
    for (split, per_class, first) in [(Split::Train, 3, 0), (Split::Test, 2, FIRST_TEST_INDEX)] {
        let data = Arc::new(DataSet::open(&out, split).unwrap());
        assert_eq!(data.labels, labels());
        assert_eq!(data.len(), CLASSES * per_class);
        for i in 0..data.len() {
            assert_eq!(data.label(i), i / per_class);
            assert_eq!(data.load(i).unwrap(), render(i / per_class, 9, first + (i % per_class) as u64, 8));
        }
    }
    let beside: Vec<_> = fs::read_dir(folder.path().join("deeper")).unwrap().collect();
    assert_eq!(beside.len(), 1, "no temporary folder is left");
}

#[test]
fn an_occupied_target_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let options = SynthOptions { size: 8, train_per_class: 1, test_per_class: 1, ..SynthOptions::default() };
    let run = |out: &Path, options: &SynthOptions| generate(out, options, &mut |_, _| ());
    let full = folder.path().join("full");
    fs::create_dir(&full).unwrap();
    fs::write(full.join("mine.txt"), "precious").unwrap();
    assert_eq!(run(&full, &options), Err(SynthError::Occupied { path: full.clone() }));
    let file = full.join("mine.txt");
    assert_eq!(run(&file, &options), Err(SynthError::Occupied { path: file.clone() }));
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");

    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    run(&empty, &options).unwrap();
    assert!(empty.join("test/triangle/0000.png").is_file());

    let out = folder.path().join("out");
    assert_eq!(run(&out, &SynthOptions { size: 7, ..options }), Err(SynthError::Size { size: 7 }));
    assert_eq!(run(&out, &SynthOptions { test_per_class: 0, ..options }), Err(SynthError::NoPictures));
    // A parent that is a file.
    let text = run(&file.join("out"), &options).unwrap_err().to_string();
    assert!(text.contains("mine.txt") && text.contains("cannot be written"), "{text}");
    assert!(!out.exists());
}

#[test]
fn the_contact_sheet_shows_every_class() {
    let sheet = contact_sheet(8);
    assert_eq!((sheet.width, sheet.height), (12 * 10 + 2, CLASSES as u32 * 10 + 2));
    let picture = render(CLASSES - 1, 0, 11, 8);
    let at = |y: usize, x: usize| (y * sheet.width as usize + x) * 3;
    let (top, left) = (2 + (CLASSES - 1) * 10, 2 + 11 * 10);
    assert_eq!(sheet.pixels[at(top, left)..at(top, left + 8)], picture.pixels[..24]);
    assert_eq!(sheet.pixels[at(top, left - 1)], 255);
}

/// Multinomial logistic regression on standardised pixels, by gradient descent with momentum on mini-batches.
struct Linear {
    /// Per class: one weight per pixel, then the bias.
    weights: Vec<Vec<f32>>,
}

impl Linear {
    fn probabilities(&self, pixels: &[f32]) -> Vec<f32> {
        let score = |weights: &Vec<f32>| {
            // Eight sums side by side, so that the compiler can use vector instructions.
            let mut sums = [0.0f32; 8];
            for (w, x) in weights.chunks_exact(8).zip(pixels.chunks_exact(8)) {
                (0..8).for_each(|lane| sums[lane] += w[lane] * x[lane]);
            }
            sums.iter().sum::<f32>() + weights[pixels.len()]
        };
        let scores: Vec<f32> = self.weights.iter().map(score).collect();
        let highest = scores.iter().copied().fold(f32::MIN, f32::max);
        let powers: Vec<f32> = scores.iter().map(|score| (score - highest).exp()).collect();
        let total: f32 = powers.iter().sum();
        powers.into_iter().map(|power| power / total).collect()
    }

    fn train(samples: &[(Vec<f32>, usize)], epochs: u32) -> Self {
        const BATCH: usize = 32;
        let pixels = samples[0].0.len();
        let mut linear = Linear { weights: vec![vec![0.0; pixels + 1]; CLASSES] };
        let mut velocity = linear.weights.clone();
        for epoch in 0..epochs {
            let rate = 0.003 * (1.0 - epoch as f32 / epochs as f32);
            let order = crate::rng::permutation(3, epoch, samples.len() as u32);
            for batch in order.chunks(BATCH) {
                velocity.iter_mut().flatten().for_each(|v| *v *= 0.9);
                for (sample, class) in batch.iter().map(|&i| &samples[i as usize]) {
                    for (k, probability) in linear.probabilities(sample).into_iter().enumerate() {
                        let slope = (probability - (k == *class) as u8 as f32) * rate / batch.len() as f32;
                        velocity[k].iter_mut().zip(sample).for_each(|(v, x)| *v -= slope * x);
                        velocity[k][pixels] -= slope;
                    }
                }
                for (w, v) in linear.weights.iter_mut().flatten().zip(velocity.iter().flatten()) {
                    *w += v;
                }
            }
        }
        linear
    }

    fn accuracy(&self, samples: &[(Vec<f32>, usize)]) -> f32 {
        let right = samples.iter().filter(|(sample, class)| {
            let probabilities = self.probabilities(sample);
            (0..CLASSES).max_by(|&a, &b| probabilities[a].total_cmp(&probabilities[b])) == Some(*class)
        });
        right.count() as f32 / samples.len() as f32
    }
}

/// Pictures of all classes in turn, as standardised pixels.
fn samples(range: std::ops::Range<u64>, size: u32) -> Vec<(Vec<f32>, usize)> {
    let standardise = |image: Image| image.pixels.into_iter().map(|byte| (byte as f32 - 127.5) / 73.0).collect();
    let picture = |index: u64| {
        let class = index as usize % CLASSES;
        (standardise(render(class, 77, index, size)), class)
    };
    range.map(picture).collect()
}

#[test]
fn a_linear_classifier_on_the_pixels_stays_under_60_percent() {
    let (train, test) = (samples(0..3000, 16), samples(3000..4000, 16));
    let linear = Linear::train(&train, 12);
    let (seen, held_out) = (linear.accuracy(&train), linear.accuracy(&test));
    println!("linear: {seen} on its training pictures, {held_out} on others");
    assert!(held_out < 0.6, "{held_out}");
    // The classifier does learn what it can: chance is 0.1.
    assert!(seen > 0.25, "{seen}");
}
