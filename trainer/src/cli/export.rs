//! `trainer export`.

use super::CliError;
use crate::run::Run;
use clap::Args;
use staticnet_graph::console::line;
use staticnet_graph::{onnx, safetensors};
use std::path::PathBuf;

/// Writes the best network of a RUN folder as ONNX, safetensors, or both.
#[derive(Args)]
#[command(after_help = "Example:\n  trainer export runs/first --onnx net.onnx")]
pub(super) struct Export {
    /// RUN folder of a training.
    run: PathBuf,
    /// ONNX file to write [default, without any file given: RUN/model.onnx and RUN/model.safetensors].
    #[arg(long, value_name = "FILE")]
    onnx: Option<PathBuf>,
    /// safetensors file to write, with PyTorch's parameter names.
    #[arg(long, value_name = "FILE")]
    safetensors: Option<PathBuf>,
}

impl Export {
    pub(super) fn run(self) -> Result<(), CliError> {
        let run = Run::at(&self.run);
        let graph = run.network()?;
        let (model, parameters) = match (self.onnx, self.safetensors) {
            (None, None) => (Some(run.onnx()), Some(run.safetensors())),
            given => given,
        };
        if let Some(path) = &model {
            onnx::export(&graph, path).map_err(CliError::failed)?;
        }
        if let Some(path) = &parameters {
            safetensors::save(&graph, path).map_err(CliError::failed)?;
        }
        Ok(model.iter().chain(&parameters).try_for_each(|path| line(path.display()))?)
    }
}
