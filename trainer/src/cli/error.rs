//! What a command ends with.

use crate::checkpoint::CheckpointError;
use crate::config::ConfigError;
use crate::train::TrainError;
use staticnet_exporter::data::DataError;
use std::fmt;
use std::process::ExitCode;

/// An error and whose fault it is.
#[derive(Debug)]
pub(super) enum CliError {
    /// The usage or an input is wrong: exit code 2.
    Input(String),
    /// It failed on the way: exit code 1.
    Failed(String),
}

impl CliError {
    pub(super) fn input(error: impl fmt::Display) -> Self {
        CliError::Input(error.to_string())
    }

    pub(super) fn failed(error: impl fmt::Display) -> Self {
        CliError::Failed(error.to_string())
    }

    pub(super) fn exit_code(&self) -> ExitCode {
        match self {
            CliError::Input(_) => ExitCode::from(2),
            CliError::Failed(_) => ExitCode::from(1),
        }
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CliError::Input(text) | CliError::Failed(text) => f.write_str(text),
        }
    }
}

impl From<DataError> for CliError {
    fn from(error: DataError) -> Self {
        CliError::input(error)
    }
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> Self {
        CliError::input(error)
    }
}

impl From<CheckpointError> for CliError {
    fn from(error: CheckpointError) -> Self {
        CliError::input(error)
    }
}

impl From<TrainError> for CliError {
    fn from(error: TrainError) -> Self {
        match error {
            TrainError::UnknownArchitecture(_)
            | TrainError::Shape(_)
            | TrainError::Untrained(_)
            | TrainError::Config(_)
            | TrainError::Data(_)
            | TrainError::Target(_)
            | TrainError::Parameters(_)
            | TrainError::Import(_)
            | TrainError::Occupied(_)
            | TrainError::OtherNetwork { .. }
            | TrainError::OtherBatches { .. }
            | TrainError::OtherOptimiser { .. }
            | TrainError::Rule(_)
            | TrainError::NoBatches
            | TrainError::NotMeasured(_) => CliError::input(error),
            TrainError::Checkpoint(CheckpointError::Missing { .. }) => CliError::input(error),
            TrainError::Device(_)
            | TrainError::Threads(_)
            | TrainError::Checkpoint(_)
            | TrainError::File(_)
            | TrainError::Onnx(_)
            | TrainError::Diverged { .. } => CliError::failed(error),
        }
    }
}
