//! Training on data of one's own, with a loss, a metric and a callback of one's own: `cargo run --release --example own_data`.
//!
//! The network, LeNet, learns to say where in a picture a bright spot is: two numbers, not a class. `tests/own_data.rs` runs this.

use staticnet::preprocess::{Fit, Preprocess};
use staticnet_trainer::config::Config;
use staticnet_trainer::dataset::Batch;
use staticnet_trainer::loss::{Loss, Misfit};
use staticnet_trainer::metrics::{Better, Metric, MetricOptions};
use staticnet_trainer::rng::{KeyedRng, permutation};
use staticnet_trainer::run::Run;
use staticnet_trainer::source::{BatchSource, Batches};
use staticnet_trainer::targets::{Target, Targets};
use staticnet_trainer::train::{Control, Event, Summary, TrainError, Training};
use std::path::Path;

const SIDE: usize = 28;
const BATCH: usize = 16;
const SAMPLES: u32 = 512;

/// Pictures of noise with a bright spot.
struct Spots {
    /// What the outputs are called.
    labels: Vec<String>,
}

impl Spots {
    /// Picture `index`, and where its spot is: 0 to 1 from left to right, and from top to bottom.
    fn sample(index: u32) -> (Vec<f32>, [f32; 2]) {
        // The same picture whenever it is asked for: trainings can then be repeated and resumed to the bit.
        let mut rng = KeyedRng::new(1, 0, index.into(), 1000);
        let spot = [rng.uniform(), rng.uniform()];
        let near = |y: usize, x: usize| {
            let distance = (x as f32 / SIDE as f32 - spot[0]).powi(2) + (y as f32 / SIDE as f32 - spot[1]).powi(2);
            3.0 * (-100.0 * distance).exp()
        };
        let pixels = (0..SIDE * SIDE).map(|i| near(i / SIDE, i % SIDE) + 0.3 * rng.normal()).collect();
        (pixels, spot)
    }

    fn batches(order: &[u32]) -> Batches<'static> {
        let batches: Vec<Vec<u32>> = order.chunks(BATCH).map(<[u32]>::to_vec).collect();
        Box::new(batches.into_iter().map(|indices| {
            let (mut images, mut data) = (Vec::new(), Vec::new());
            for (pixels, spot) in indices.iter().map(|i| Spots::sample(*i)) {
                images.extend(pixels);
                data.extend(spot);
            }
            Ok(Batch { images, targets: Targets::Values { data, outputs: 2 }, indices })
        }))
    }
}

impl BatchSource for Spots {
    fn labels(&self) -> &[String] {
        &self.labels
    }

    fn preprocess(&self) -> Preprocess {
        let (width, height) = (SIDE as u16, SIDE as u16);
        Preprocess { width, height, channels: 1, fit: Fit::Stretch, mean: [0.5; 3], std: [0.25; 3] }
    }

    fn train_batches(&self) -> usize {
        SAMPLES as usize / BATCH
    }

    fn train(&self, epoch: u32, from: usize) -> Batches<'_> {
        Spots::batches(&permutation(1, epoch, SAMPLES)[from * BATCH..])
    }

    fn test_len(&self) -> usize {
        64
    }

    fn test(&self) -> Batches<'_> {
        Spots::batches(&(SAMPLES..SAMPLES + 64).collect::<Vec<u32>>())
    }
}

/// The distance itself, not its square: outliers count less. Smooth where it is 0.
#[derive(Debug)]
struct Distance;

impl Loss for Distance {
    fn sample(&self, scores: &[f32], target: Target<'_>, gradient: Option<(&mut [f32], f64)>) -> Result<f64, Misfit> {
        let wanted = match target {
            Target::Values(wanted) => wanted,
            Target::Class(class) => return Err(Misfit::Class { class, outputs: scores.len() }),
        };
        if wanted.len() != scores.len() {
            return Err(Misfit::Length { found: wanted.len(), outputs: scores.len() });
        }
        let errors: Vec<f64> = scores.iter().zip(wanted).map(|(s, w)| f64::from(*s) - f64::from(*w)).collect();
        let distance = errors.iter().fold(1e-6, |sum, e| sum + e * e).sqrt();
        if let Some((gradient, factor)) = gradient {
            for (g, e) in gradient.iter_mut().zip(&errors) {
                *g = (factor * e / distance) as f32;
            }
        }
        Ok(distance)
    }
}

/// Share of the samples whose spot is found to a tenth of the side.
#[derive(Debug, Default)]
struct Found {
    found: usize,
    n: usize,
}

impl Metric for Found {
    fn name(&self) -> String {
        "found".into()
    }

    fn better(&self) -> Better {
        Better::Higher
    }

    fn add(&mut self, scores: &[f32], target: Target<'_>) {
        let Target::Values(wanted) = target else { return };
        let distance = scores.iter().zip(wanted).map(|(s, w)| (s - w).powi(2)).sum::<f32>().sqrt();
        self.found += usize::from(distance < 0.1);
        self.n += 1;
    }

    fn values(&self) -> Vec<(String, f64)> {
        vec![(self.name(), self.found as f64 / self.n.max(1) as f64)]
    }
}

/// Trains for at most `epochs` epochs into the RUN folder at `out`, and until four of five spots are found.
///
/// # Errors
/// [`TrainError`].
pub fn train_spots(out: &Path, epochs: u32) -> Result<(Summary, f64), TrainError> {
    let metrics = MetricOptions { metrics: vec!["rmse".into()], best_by: "test_loss".into() };
    let config = Config { arch: "lenet".into(), epochs, batch_size: BATCH, threads: 2, metrics, ..Config::default() };
    let source = Spots { labels: ["x", "y"].map(String::from).into() };
    let mut share = 0.0;
    let mut watch = |event: &Event<'_>| {
        if let Event::Epoch(epoch) = event {
            share = epoch.metrics.get("found").unwrap_or_default();
            println!("epoch {}: {:.0} % found", epoch.metrics.epoch, 100.0 * share);
            if share >= 0.8 {
                return Control::Stop;
            }
        }
        Control::Continue
    };
    let run = Run::at(out);
    let training = Training::new(&config, &source, &run).loss(Box::new(Distance));
    let summary = training.metric(|| Box::new(Found::default())).callback(&mut watch).run()?;
    Ok((summary, share))
}

#[allow(dead_code)] // The tests include this file and call `train_spots`.
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let out = std::env::args().nth(1).unwrap_or_else(|| "runs/spots".into());
    let (summary, share) = train_spots(Path::new(&out), 10)?;
    println!("{} epochs, {:.0} % found; {} has it all", summary.epochs, 100.0 * share, summary.out.display());
    Ok(())
}
