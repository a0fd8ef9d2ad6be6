//! `trainer predict`.

use super::CliError;
use super::eval::trained;
use crate::backend::cpu::CpuBackend;
use crate::network::Network;
use crate::text::csv_field;
use clap::Args;
use staticnet::preprocess::Preprocess;
use staticnet_data::{DataError, chw, decode};
use staticnet_graph::console::{is_closed, line};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Names the most probable classes of pictures.
#[derive(Args)]
#[command(after_help = "Example:\n  trainer predict runs/first cat.jpg dog.png --top-k 3")]
pub(super) struct Predict {
    /// RUN folder of a training.
    run: PathBuf,
    /// JPEG or PNG pictures.
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// Classes to name for each picture.
    #[arg(long, default_value_t = 5, value_name = "N")]
    top_k: usize,
    /// Print CSV: image,rank,label,probability.
    #[arg(long)]
    csv: bool,
}

/// A picture as the network takes it, `[C, H, W]`.
fn input(path: &Path, preprocess: &Preprocess) -> Result<Vec<f32>, CliError> {
    let wrong = |error| CliError::from(DataError::Preprocess { name: path.display().to_string(), error });
    chw(preprocess, decode(path)?.picture()).map_err(wrong)
}

/// `softmax(scores)`, classes from the most probable on.
fn ranked(scores: &[f32]) -> Vec<(usize, f64)> {
    let top = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exps: Vec<f64> = scores.iter().map(|s| f64::from(s - top).exp()).collect();
    let sum: f64 = exps.iter().sum();
    let mut ranked: Vec<(usize, f64)> = exps.iter().map(|e| e / sum).enumerate().collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
    ranked
}

impl Predict {
    pub(super) fn run(self) -> Result<(), CliError> {
        let (graph, preprocess) = trained(&self.run)?;
        let labels = graph.labels.clone();
        let network = Network::new(Arc::new(CpuBackend::new(0).map_err(CliError::failed)?), graph).map_err(CliError::input)?;
        if self.csv {
            line("image,rank,label,probability")?;
        }
        for path in &self.images {
            if is_closed() {
                break;
            }
            let scores = network.evaluate(input(path, &preprocess)?, 1).map_err(CliError::failed)?;
            if !self.csv {
                line(path.display())?;
            }
            for (rank, (class, probability)) in ranked(&scores).into_iter().take(self.top_k).enumerate() {
                line(if self.csv {
                    format!(
                        "{},{},{},{probability:.6}",
                        csv_field(&path.display().to_string()),
                        rank + 1,
                        csv_field(&labels[class])
                    )
                } else {
                    format!("  {:5.1} %  {}", probability * 100.0, labels[class])
                })?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranking_by_hand() {
        let ranked = ranked(&[0.0, 3.0_f32.ln(), f32::NEG_INFINITY]);
        assert_eq!(ranked.iter().map(|r| r.0).collect::<Vec<_>>(), [1, 0, 2]);
        assert!((ranked[0].1 - 0.75).abs() < 1e-6 && ranked[2].1 == 0.0);
    }
}
