//! Checkpoints: a folder with weights.safetensors, average.safetensors (where weights are averaged), state.safetensors (the optimiser's)
//! and state.json (everything else, the place in the data included). All random numbers follow from the seed and that place.
//!
//! A checkpoint is written into a temporary folder, forced to disk and renamed into place. A folder cannot be renamed over
//! another one, so the old checkpoint steps aside first, to `NAME.previous`; whoever finds no `NAME` takes that one. At every
//! instant one of the two is whole.

use crate::exact;
use crate::metrics::EpochMetrics;
use crate::models;
use serde::{Deserialize, Serialize};
use staticnet::preprocess::{Fit, Preprocess};
use staticnet_graph::file::{FileError, write_atomically};
use staticnet_graph::graph::Graph;
use staticnet_graph::safetensors::{self, SafetensorsError};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::{fmt, io};

const WEIGHTS: &str = "weights.safetensors";
const AVERAGE: &str = "average.safetensors";
const OPTIMISER: &str = "state.safetensors";
const STATE: &str = "state.json";

/// The version of all this. 1 knew whole epochs and velocities only.
const VERSION: u32 = 2;

/// How far a training is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Whole epochs done.
    pub epoch: u32,
    /// Batches of the next epoch done.
    pub batch: u64,
    /// Batches of an epoch; 0 before the first.
    pub batches: u64,
    /// Steps of the optimiser done in all.
    pub step: u64,
    /// Sum of the losses of the batches done in this epoch.
    #[serde(with = "exact")]
    pub loss_sum: f64,
    /// Seconds spent on this epoch.
    #[serde(with = "exact")]
    pub seconds: f64,
}

/// All that is needed to go on with a training, or to use what it learned.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// The network, with its parameters, preprocessing and labels.
    pub graph: Graph,
    /// The average of each parameter over the steps, where one is kept: what the network is measured and exported with.
    pub average: Option<BTreeMap<String, Vec<f32>>>,
    /// The optimiser's state.
    pub optimiser: BTreeMap<String, Vec<f32>>,
    /// How far the training is.
    pub position: Position,
    /// What was measured after each epoch done so far.
    pub history: Vec<EpochMetrics>,
}

/// Why a checkpoint cannot be written or read.
#[derive(Debug)]
pub enum CheckpointError {
    /// There is none.
    Missing {
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// The operating system refused.
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Its reason.
        source: io::Error,
    },
    /// A file cannot be read or written.
    File(FileError),
    /// Parameters cannot be read or written.
    Parameters(SafetensorsError),
    /// state.json is not what it should be.
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl fmt::Display for CheckpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CheckpointError::Missing { folder } => {
                write!(f, "{}: no checkpoint here; `trainer train` makes one after every epoch", folder.display())
            }
            CheckpointError::Io { path, source } => write!(f, "{}: {source}", path.display()),
            CheckpointError::File(error) => write!(f, "{error}"),
            CheckpointError::Parameters(error) => write!(f, "{error}"),
            CheckpointError::State { path, reason } => write!(f, "{}: {reason}", path.display()),
        }
    }
}

impl std::error::Error for CheckpointError {}

/// The text of state.json.
#[derive(Serialize, Deserialize)]
struct State {
    version: u32,
    position: Position,
    architecture: String,
    channels: usize,
    labels: Vec<String>,
    preprocess: Option<PreprocessState>,
    history: Vec<EpochMetrics>,
}

/// [`Preprocess`], serialised.
#[derive(Serialize, Deserialize)]
struct PreprocessState {
    width: u16,
    height: u16,
    channels: u8,
    /// Length of the shorter side after scaling; absent where both sides are scaled independently.
    cover: Option<u16>,
    mean: [f32; 3],
    std: [f32; 3],
}

impl From<Preprocess> for PreprocessState {
    fn from(p: Preprocess) -> Self {
        let cover = match p.fit {
            Fit::Stretch => None,
            Fit::Cover { shorter } => Some(shorter),
        };
        PreprocessState { width: p.width, height: p.height, channels: p.channels, cover, mean: p.mean, std: p.std }
    }
}

impl From<PreprocessState> for Preprocess {
    fn from(p: PreprocessState) -> Self {
        let fit = p.cover.map_or(Fit::Stretch, |shorter| Fit::Cover { shorter });
        Preprocess { width: p.width, height: p.height, channels: p.channels, fit, mean: p.mean, std: p.std }
    }
}

fn beside(folder: &Path, suffix: &str) -> PathBuf {
    let mut name = folder.file_name().unwrap_or_default().to_os_string();
    name.push(suffix);
    folder.with_file_name(name)
}

impl Checkpoint {
    /// Writes the checkpoint to `folder`, replacing the one there.
    ///
    /// # Errors
    /// [`CheckpointError`]; the checkpoint that was there is then still readable.
    pub fn save(&self, folder: &Path) -> Result<(), CheckpointError> {
        let (temporary, previous) = (beside(folder, ".writing"), beside(folder, ".previous"));
        remove(&temporary)?;
        fs::create_dir_all(&temporary).map_err(|source| CheckpointError::Io { path: temporary.clone(), source })?;
        let written = self.write(&temporary);
        if written.is_err() {
            // The first error is the one to tell.
            let _ = remove(&temporary);
            return written;
        }
        if folder.exists() {
            remove(&previous)?;
            rename(folder, &previous)?;
        }
        rename(&temporary, folder)?;
        remove(&previous)
    }

    fn write(&self, folder: &Path) -> Result<(), CheckpointError> {
        safetensors::save(&self.graph, &folder.join(WEIGHTS)).map_err(CheckpointError::Parameters)?;
        safetensors::save_vectors(&self.optimiser, &folder.join(OPTIMISER)).map_err(CheckpointError::Parameters)?;
        if let Some(average) = &self.average {
            safetensors::save_vectors(average, &folder.join(AVERAGE)).map_err(CheckpointError::Parameters)?;
        }
        let state = State {
            version: VERSION,
            position: self.position,
            architecture: self.graph.name.clone(),
            channels: self.graph.shape(self.graph.inputs[0])[1],
            labels: self.graph.labels.clone(),
            preprocess: self.graph.preprocess.map(PreprocessState::from),
            history: self.history.clone(),
        };
        let path = folder.join(STATE);
        let text = serde_json::to_string_pretty(&state)
            .map_err(|e| CheckpointError::State { path: path.clone(), reason: e.to_string() })?;
        write_atomically(&path, text.as_bytes()).map_err(CheckpointError::File)
    }

    /// Makes the checkpoint in `from` appear in `to` as well. Files of a checkpoint are never written again, so they are shared where
    /// the file system can.
    pub(crate) fn copy(from: &Path, to: &Path) -> Result<(), CheckpointError> {
        let temporary = beside(to, ".writing");
        remove(&temporary)?;
        remove(to)?;
        fs::create_dir_all(&temporary).map_err(|source| CheckpointError::Io { path: temporary.clone(), source })?;
        for name in [WEIGHTS, AVERAGE, OPTIMISER, STATE] {
            let (from, to) = (from.join(name), temporary.join(name));
            if from.exists() {
                let copied = fs::hard_link(&from, &to).or_else(|_| fs::copy(&from, &to).map(|_| ()));
                copied.map_err(|source| CheckpointError::Io { path: to, source })?;
            }
        }
        rename(&temporary, to)
    }

    /// Where the checkpoint of `folder` is: there, or where it stepped aside for a newer one that did not come.
    fn place(folder: &Path) -> Option<PathBuf> {
        [folder.to_path_buf(), beside(folder, ".previous")].into_iter().find(|folder| folder.join(STATE).exists())
    }

    fn existing(folder: &Path) -> Result<PathBuf, CheckpointError> {
        Self::place(folder).ok_or_else(|| CheckpointError::Missing { folder: folder.to_path_buf() })
    }

    /// Whether there is a checkpoint to [`load`](Checkpoint::load) from `folder`.
    pub fn is_at(folder: &Path) -> bool {
        Self::place(folder).is_some()
    }

    /// Reads the checkpoint in `folder`, or the one that stepped aside for it.
    ///
    /// # Errors
    /// [`CheckpointError`] naming the folder or file at fault.
    pub fn load(folder: &Path) -> Result<Checkpoint, CheckpointError> {
        let folder = Self::existing(folder)?;
        let (mut graph, position, history) = read_state(&folder.join(STATE))?;
        safetensors::load(&mut graph, &folder.join(WEIGHTS)).map_err(CheckpointError::Parameters)?;
        let optimiser = safetensors::load_vectors(&folder.join(OPTIMISER)).map_err(CheckpointError::Parameters)?;
        let average = folder.join(AVERAGE);
        let average = match average.exists() {
            true => Some(safetensors::load_vectors(&average).map_err(CheckpointError::Parameters)?),
            false => None,
        };
        Ok(Checkpoint { graph, average, optimiser, position, history })
    }

    /// How pictures become the input of the network in `folder`, without reading its parameters.
    ///
    /// # Errors
    /// [`CheckpointError`] naming the folder or file at fault.
    pub fn preprocess(folder: &Path) -> Result<Option<Preprocess>, CheckpointError> {
        let place = Self::existing(folder)?;
        read_state(&place.join(STATE)).map(|(graph, ..)| graph.preprocess)
    }

    /// The network that is measured and exported: with the averages of the parameters, where there are any.
    pub fn network(self) -> Graph {
        let mut graph = self.graph;
        for (name, data) in self.average.into_iter().flatten() {
            if let Some(tensor) = graph.params.get_mut(&name).filter(|tensor| tensor.data.len() == data.len()) {
                tensor.data = data;
            }
        }
        graph
    }
}

/// The version alone: what else a file of another version holds is not known.
#[derive(Deserialize)]
struct Version {
    #[serde(default = "first")]
    version: u32,
}

/// The first version did not say so.
fn first() -> u32 {
    1
}

/// The network without its parameters, and how far its training is.
fn read_state(path: &Path) -> Result<(Graph, Position, Vec<EpochMetrics>), CheckpointError> {
    let fail = |reason: String| CheckpointError::State { path: path.to_path_buf(), reason };
    let text = fs::read_to_string(path).map_err(|e| fail(format!("cannot be read: {e}")))?;
    let broken = |e: serde_json::Error| fail(format!("not a checkpoint's state: {e}"));
    let Version { version } = serde_json::from_str(&text).map_err(broken)?;
    if version != VERSION {
        let hint = "train anew, or begin with its weights: --init RUN/model.safetensors";
        return Err(fail(format!(
            "a checkpoint of version {version}; this trainer reads and writes version {VERSION}. {hint}"
        )));
    }
    let state: State = serde_json::from_str(&text).map_err(broken)?;
    let architecture = models::by_name(&state.architecture)
        .ok_or_else(|| fail(format!("the architecture `{}` is not known here", state.architecture)))?;
    let mut graph = (architecture.build)(state.channels, state.labels.len()).map_err(|e| fail(e.to_string()))?;
    graph.labels = state.labels;
    graph.preprocess = state.preprocess.map(Preprocess::from);
    Ok((graph, state.position, state.history))
}

fn remove(folder: &Path) -> Result<(), CheckpointError> {
    match fs::remove_dir_all(folder) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(CheckpointError::Io { path: folder.to_path_buf(), source })
        }
        _ => Ok(()),
    }
}

fn rename(from: &Path, to: &Path) -> Result<(), CheckpointError> {
    fs::rename(from, to).map_err(|source| CheckpointError::Io { path: to.to_path_buf(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::init::{Init, initialise};

    fn checkpoint(seed: u64) -> Checkpoint {
        let mut graph = models::lenet(1, 3).unwrap();
        initialise(&mut graph, Init::Kaiming, seed);
        graph.labels = ["a", "b", "c"].map(String::from).to_vec();
        let (mean, std) = ([0.130_660_5, 0.1, 0.2], [0.308_107_8, 1.0 / 3.0, 1e-7]);
        graph.preprocess = Some(Preprocess { width: 28, height: 28, channels: 1, fit: Fit::Cover { shorter: 32 }, mean, std });
        let scaled = |by: f32| graph.params.iter().map(|(n, t)| (n.clone(), t.data.iter().map(|v| v * by).collect())).collect();
        // Numbers that decimals do not hold.
        let position = Position { epoch: 3, batch: seed, batches: 7, step: 1 << 60, loss_sum: 0.1 + 0.2, seconds: 1.0 / 3.0 };
        Checkpoint { average: Some(scaled(0.5)), optimiser: scaled(0.1), graph, position, history: Vec::new() }
    }

    #[test]
    fn what_is_saved_is_loaded_bit_for_bit() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("last");
        checkpoint(1).save(&folder).unwrap();
        checkpoint(2).save(&folder).unwrap();
        assert_eq!(Checkpoint::load(&folder).unwrap(), checkpoint(2));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside the checkpoint");
    }

    #[test]
    fn every_instant_of_a_save_leaves_a_readable_checkpoint() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("last");
        checkpoint(1).save(&folder).unwrap();
        // Killed while writing.
        let writing = dir.path().join("last.writing");
        fs::create_dir(&writing).unwrap();
        fs::write(writing.join(WEIGHTS), b"half a fi").unwrap();
        assert_eq!(Checkpoint::load(&folder).unwrap(), checkpoint(1));
        // Killed between the two renames.
        fs::rename(&folder, dir.path().join("last.previous")).unwrap();
        assert_eq!(Checkpoint::load(&folder).unwrap(), checkpoint(1));
        // The next save cleans up, and does not lose the old one before the new one stands.
        checkpoint(2).save(&folder).unwrap();
        assert_eq!(Checkpoint::load(&folder).unwrap(), checkpoint(2));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        // Killed after them.
        fs::create_dir(dir.path().join("last.previous")).unwrap();
        assert_eq!(Checkpoint::load(&folder).unwrap(), checkpoint(2));
    }

    #[test]
    fn errors_name_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("best");
        assert!(Checkpoint::load(&folder).unwrap_err().to_string().contains("best"));
        checkpoint(1).save(&folder).unwrap();
        fs::write(folder.join(WEIGHTS), b"short").unwrap();
        assert!(Checkpoint::load(&folder).unwrap_err().to_string().contains(WEIGHTS));
        fs::write(folder.join(STATE), b"{\"version\": 2}").unwrap();
        assert!(Checkpoint::load(&folder).unwrap_err().to_string().contains(STATE));
        fs::write(folder.join(STATE), b"{}").unwrap();
        let error = Checkpoint::load(&folder).unwrap_err().to_string();
        assert!(error.contains("version 1") && error.contains("version 2"), "{error}");
    }
}
