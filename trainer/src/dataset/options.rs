//! How pictures are chosen, checked and kept.

use serde::{Deserialize, Serialize};

use crate::option::OptionError;

/// The most threads that may be asked for.
const MAX_WORKERS: u32 = 1024;

/// How training pictures are chosen, checked and read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, clap::Args)]
#[serde(default)]
pub struct DataOptions {
    /// Show every class equally often: small classes are repeated, of large ones a part is taken, another one every epoch.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        action = clap::ArgAction::Set, default_value_t = DataOptions::default().balance)]
    pub balance: bool,
    /// Leave out pictures that cannot be read, naming them, instead of stopping before the first step.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        action = clap::ArgAction::Set, default_value_t = DataOptions::default().skip_bad)]
    pub skip_bad: bool,
    /// Train every epoch on the same first N batches, unvaried, to see whether the network can learn them at all; 0 trains on all.
    #[arg(long, value_name = "N", default_value_t = DataOptions::default().overfit_batches)]
    pub overfit_batches: u32,
    /// Threads that read pictures; 0 for one where pictures are small and all cores where they are large.
    #[arg(long, value_name = "N", default_value_t = DataOptions::default().workers)]
    pub workers: u32,
    /// Memory for decoded pictures, in MiB; they are kept where all of a split fit into its share, read again every epoch where not.
    #[arg(long, value_name = "MIB", default_value_t = DataOptions::default().cache_mb)]
    pub cache_mb: u32,
}

impl Default for DataOptions {
    fn default() -> Self {
        DataOptions { balance: false, skip_bad: false, overfit_batches: 0, workers: 0, cache_mb: 512 }
    }
}

impl DataOptions {
    /// Whether the values make sense.
    ///
    /// # Errors
    /// [`OptionError`] where they do not.
    pub fn check(&self) -> Result<(), OptionError> {
        if self.workers > MAX_WORKERS {
            return Err(OptionError { name: "workers", reason: format!("at most {MAX_WORKERS} threads are started") });
        }
        Ok(())
    }

    /// What of the memory for decoded pictures is one split's, in bytes: its share of the samples.
    pub fn cache_bytes(&self, samples: usize, all: usize) -> u64 {
        let bytes = u128::from(self.cache_mb) << 20;
        // Below 2^52.
        (bytes * samples.min(all) as u128 / all.max(1) as u128) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: DataOptions,
    }

    #[test]
    fn the_command_line_and_a_file_say_the_same() {
        let line = Line::parse_from(["x", "--balance", "--overfit-batches", "3", "--cache-mb", "7"]).options;
        let file: DataOptions = toml::from_str("balance = true\noverfit_batches = 3\ncache_mb = 7").unwrap();
        assert_eq!(line, file);
        assert_eq!(toml::from_str::<DataOptions>(&toml::to_string(&file).unwrap()).unwrap(), file);
        assert_eq!(Line::parse_from(["x"]).options, DataOptions::default());
        assert_eq!(toml::from_str::<DataOptions>("").unwrap(), DataOptions::default());
    }

    #[test]
    fn senseless_values_are_named() {
        assert_eq!(DataOptions::default().check(), Ok(()));
        let error = DataOptions { workers: 5000, ..DataOptions::default() }.check().unwrap_err();
        assert!(error.to_string().starts_with("workers: "), "{error}");
    }

    #[test]
    fn the_splits_share_the_memory() {
        let options = DataOptions { cache_mb: 10, ..DataOptions::default() };
        assert_eq!(options.cache_bytes(3, 4) + options.cache_bytes(1, 4), 10 << 20);
        assert_eq!(options.cache_bytes(0, 0), 0);
        let most = DataOptions { cache_mb: u32::MAX, ..options };
        assert_eq!(most.cache_bytes(usize::MAX, usize::MAX), u64::from(u32::MAX) << 20);
    }
}
