//! A RUN folder: config.toml, metrics.csv, last/ and best/ checkpoints, model.onnx, model.safetensors, plots/.

use crate::checkpoint::{Checkpoint, CheckpointError};
use staticnet_graph::graph::Graph;
use std::path::{Path, PathBuf};
use std::{fs, io};

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

    /// What is known about the pictures: which can be read.
    pub fn pictures(&self) -> PathBuf {
        self.folder.join("pictures.json")
    }

    /// What the numbers inside the network were like.
    pub fn monitor(&self) -> PathBuf {
        self.folder.join("monitor.csv")
    }

    /// Where pictures are drawn.
    pub fn plots(&self) -> PathBuf {
        self.folder.join("plots")
    }

    /// How often which class was taken for which, after the last epoch.
    pub fn confusion(&self) -> PathBuf {
        self.plots().join("confusion.svg")
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

    /// Where checkpoints are kept besides the last and the best.
    pub fn kept(&self) -> PathBuf {
        self.folder.join("checkpoints")
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
        self.plots().join("curve.svg")
    }

    /// Whether a training has left a checkpoint here.
    pub fn has_checkpoint(&self) -> bool {
        Checkpoint::is_at(&self.last())
    }

    /// Keeps the last checkpoint, made at `step`, and the `most` - 1 newest of those that were kept before.
    ///
    /// # Errors
    /// [`CheckpointError`] naming the folder or file at fault.
    pub fn keep(&self, step: u64, most: usize) -> Result<(), CheckpointError> {
        let kept = self.kept();
        let fail = |path: &Path, source| CheckpointError::Io { path: path.to_path_buf(), source };
        fs::create_dir_all(&kept).map_err(|e| fail(&kept, e))?;
        Checkpoint::copy(&self.last(), &kept.join(format!("step-{step:010}")))?;
        let mut names: Vec<PathBuf> = fs::read_dir(&kept)
            .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>())
            .map_err(|e| fail(&kept, e))?;
        names.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("step-")));
        names.sort_unstable();
        for old in names.iter().rev().skip(most) {
            fs::remove_dir_all(old).map_err(|e| fail(old, e))?;
        }
        Ok(())
    }

    /// The best network so far, with its preprocessing and labels.
    ///
    /// # Errors
    /// [`CheckpointError`] naming the folder or file at fault.
    pub fn network(&self) -> Result<Graph, CheckpointError> {
        Checkpoint::load(&self.best()).map(Checkpoint::network)
    }
}
