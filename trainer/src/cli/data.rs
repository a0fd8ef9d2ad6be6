//! `trainer data`.

use super::CliError;
use crate::dataset::statistics;
use clap::{Args, Subcommand};
use serde_json::json;
use staticnet::preprocess::{Fit, Preprocess};
use staticnet_exporter::data::{DataSet, Split};
use std::path::PathBuf;

/// Looks at data sets.
#[derive(Args)]
#[command(after_help = "Example:\n  trainer data stats pictures")]
pub(super) struct Data {
    #[command(subcommand)]
    command: DataCommand,
}

#[derive(Subcommand)]
enum DataCommand {
    Stats(Stats),
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
        }
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
        let count = |data: &DataSet, class| (0..data.len()).filter(|&i| data.label(i) == class).count();
        println!("{:24} {:>8} {:>8}", "class", "train", "test");
        for (class, label) in train.labels.iter().enumerate() {
            println!("{label:24} {:>8} {:>8}", count(&train, class), count(&test, class));
        }
        let used = ..channels as usize;
        println!(
            "{}",
            json!({
                "train": train.len(), "test": test.len(), "labels": train.labels, "channels": channels,
                "mean": filled.mean[used], "std": filled.std[used],
            })
        );
        Ok(())
    }
}
