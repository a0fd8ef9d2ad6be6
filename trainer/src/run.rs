//! A RUN folder: config.toml, metrics.csv, last/ and best/ checkpoints, model.onnx, model.safetensors, plots/.

use crate::checkpoint::{Checkpoint, CheckpointError};
use staticnet_graph::graph::Graph;
use std::path::{Path, PathBuf};

/// Paths inside a RUN folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    folder: PathBuf,
}

impl Run {
    /// The RUN folder at `folder`, which need not exist yet.
    pub fn at(folder: &Path) -> Self {
        Run { folder: folder.to_path_buf() }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The resolved description of the training.
    pub fn config(&self) -> PathBuf {
        self.folder.join("config.toml")
    }

    /// One line per epoch.
    pub fn metrics(&self) -> PathBuf {
        self.folder.join("metrics.csv")
    }

    /// The checkpoint after the last epoch.
    pub fn last(&self) -> PathBuf {
        self.folder.join("last")
    }

    /// The checkpoint after the epoch with the best top-1.
    pub fn best(&self) -> PathBuf {
        self.folder.join("best")
    }

    /// The best network as ONNX.
    pub fn onnx(&self) -> PathBuf {
        self.folder.join("model.onnx")
    }

    /// The best network's parameters.
    pub fn safetensors(&self) -> PathBuf {
        self.folder.join("model.safetensors")
    }

    /// Loss and accuracy over the epochs.
    pub fn curve(&self) -> PathBuf {
        self.folder.join("plots").join("curve.svg")
    }

    /// Whether a training has left a checkpoint here.
    pub fn has_checkpoint(&self) -> bool {
        !matches!(Checkpoint::load(&self.last()), Err(CheckpointError::Missing { .. }))
    }

    /// The best network so far, with its preprocessing and labels.
    ///
    /// # Errors
    /// [`CheckpointError`] naming the folder or file at fault.
    pub fn network(&self) -> Result<Graph, CheckpointError> {
        Checkpoint::load(&self.best()).map(|checkpoint| checkpoint.graph)
    }
}
