//! What can go wrong, named by file.

use crate::budget::OverBudget;
use staticnet::{ArtifactError, RunError};
use staticnet_data::DataError;
use staticnet_graph::diagnostic::Diagnostic;
use staticnet_graph::file::FileError;
use staticnet_graph::npy::NpyError;
use staticnet_graph::onnx::ImportError;
use staticnet_graph::safetensors::SafetensorsError;
use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;

/// An error of the exporter.
#[derive(Debug)]
pub enum Error {
    /// A file cannot be read or written.
    File(FileError),
    /// A model cannot be imported.
    Import(ImportError),
    /// Parameters cannot be loaded.
    Parameters(SafetensorsError),
    /// The model is valid, but the runtime or int8 cannot express it.
    Unsupported(Vec<Diagnostic>),
    /// A data set or picture cannot be used.
    Data(DataError),
    /// A .npy file cannot be used.
    Npy(NpyError),
    /// A file is not an acceptable artifact.
    Artifact {
        /// The artifact.
        file: PathBuf,
        /// Why.
        error: ArtifactError,
    },
    /// The artifact does not run.
    Run(RunError<Infallible>),
    /// An input does not fit the network.
    Input {
        /// The file, or what else it came from.
        from: String,
        /// What does not fit, and what would.
        reason: String,
    },
    /// The network needs more memory than there is.
    OverBudget(OverBudget),
    /// The network's oracle failed.
    #[cfg(feature = "verify")]
    Oracle(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::File(error) => error.fmt(f),
            Error::Import(error) => error.fmt(f),
            Error::Parameters(error) => error.fmt(f),
            Error::Unsupported(problems) => {
                writeln!(f, "the model needs what the runtime does not have:")?;
                problems.iter().try_for_each(|p| writeln!(f, "  {p}"))
            }
            Error::Data(error) => error.fmt(f),
            Error::Npy(error) => error.fmt(f),
            Error::Artifact { file, error } => write!(f, "{}: {error}; compile the model again", file.display()),
            Error::Run(error) => error.fmt(f),
            Error::Input { from, reason } => write!(f, "{from}: {reason}"),
            Error::OverBudget(over) => over.fmt(f),
            #[cfg(feature = "verify")]
            Error::Oracle(reason) => write!(f, "tract: {reason}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<FileError> for Error {
    fn from(error: FileError) -> Self {
        Error::File(error)
    }
}

impl From<DataError> for Error {
    fn from(error: DataError) -> Self {
        Error::Data(error)
    }
}

impl From<ImportError> for Error {
    fn from(error: ImportError) -> Self {
        Error::Import(error)
    }
}

impl From<SafetensorsError> for Error {
    fn from(error: SafetensorsError) -> Self {
        Error::Parameters(error)
    }
}

impl From<NpyError> for Error {
    fn from(error: NpyError) -> Self {
        Error::Npy(error)
    }
}

impl From<RunError<Infallible>> for Error {
    fn from(error: RunError<Infallible>) -> Self {
        Error::Run(error)
    }
}
