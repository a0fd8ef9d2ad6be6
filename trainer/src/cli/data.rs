//! `trainer data`.

use super::CliError;
use super::progress::Progress;
use crate::dataset::statistics;
use crate::synth::{self, SynthOptions};
use clap::{Args, Subcommand};
use serde_json::json;
use staticnet::preprocess::{Fit, Preprocess};
use staticnet_data::{DataSet, Split};
use staticnet_graph::console::line;
use std::path::PathBuf;

/// Looks at data sets, or draws one.
#[derive(Args)]
#[command(after_help = "Examples:\n  trainer data stats pictures\n  trainer data synth shapes --size 32")]
pub(super) struct Data {
    #[command(subcommand)]
    command: DataCommand,
}

#[derive(Subcommand)]
enum DataCommand {
    Stats(Stats),
    Synth(Synth),
}

/// Draws labelled pictures of ten shapes: OUT/train/CLASS/*.png and OUT/test/CLASS/*.png.
///
/// Colours, backgrounds, sizes, positions, angles and noise vary widely (`staticnet_trainer::synth` gives the ranges); a linear
/// classifier on the pixels fails. The same seed draws the same pictures. The last line on stdout is JSON: {"out", "train", "test"}.
#[derive(Args)]
#[command(after_help = "Example:\n  trainer data synth shapes --train-per-class 1000 --seed 7")]
struct Synth {
    /// Folder to make; it must not exist, or be empty.
    out: PathBuf,
    /// Width and height in pixels.
    #[arg(long, default_value_t = 32, value_name = "PIXELS")]
    size: u32,
    /// Training pictures of each class.
    #[arg(long, default_value_t = 600, value_name = "N")]
    train_per_class: usize,
    /// Test pictures of each class.
    #[arg(long, default_value_t = 100, value_name = "N")]
    test_per_class: usize,
    /// Key of all random numbers.
    #[arg(long, default_value_t = 0, value_name = "N")]
    seed: u64,
}

/// Counts the pictures of every class and computes the normalisation.
///
/// The last line on stdout is JSON: {"train", "test", "labels", "channels", "mean", "std"}.
#[derive(Args)]
#[command(after_help = "Example:\n  trainer data stats pictures --size 32")]
struct Stats {
    /// Data set: class folders (optionally inside train/ and test/), IDX or CIFAR-10 files.
    data: PathBuf,
    /// Width and height the pictures are scaled to before mean and deviation are computed.
    #[arg(long, default_value_t = 32, value_name = "PIXELS", value_parser = clap::value_parser!(u16).range(1..))]
    size: u16,
}

impl Data {
    pub(super) fn run(self) -> Result<(), CliError> {
        match self.command {
            DataCommand::Stats(stats) => stats.run(),
            DataCommand::Synth(synth) => synth.run(),
        }
    }
}

impl Synth {
    fn run(self) -> Result<(), CliError> {
        let Synth { out, size, train_per_class, test_per_class, seed } = self;
        let options = SynthOptions { seed, size, train_per_class, test_per_class };
        let mut progress = Progress::new(0);
        let drawn = synth::generate(&out, &options, &mut |done, of| progress.drawing(done, of));
        progress.finish();
        drawn.map_err(CliError::input)?;
        let (train, test) = (train_per_class * synth::CLASSES, test_per_class * synth::CLASSES);
        Ok(line(json!({ "out": out, "train": train, "test": test }))?)
    }
}

impl Stats {
    fn run(self) -> Result<(), CliError> {
        let train = DataSet::open(&self.data, Split::Train)?;
        let test = DataSet::open(&self.data, Split::Test)?;
        let channels = train.channels()?;
        let (width, height) = (self.size, self.size);
        let base = Preprocess { width, height, channels, fit: Fit::Stretch, mean: [0.0; 3], std: [1.0; 3] };
        let filled = statistics(&train, base)?;
        let counts = train.counts().into_iter().zip(test.counts());
        line(format!("{:24} {:>8} {:>8}", "class", "train", "test"))?;
        for (label, (train, test)) in train.labels.iter().zip(counts) {
            line(format!("{label:24} {train:>8} {test:>8}"))?;
        }
        let used = ..channels as usize;
        Ok(line(json!({
            "train": train.len(), "test": test.len(), "labels": train.labels, "channels": channels,
            "mean": filled.mean[used], "std": filled.std[used],
        }))?)
    }
}
