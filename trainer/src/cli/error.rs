//! What a command ends with.

use crate::backend::open::OpenError;
use crate::checkpoint::CheckpointError;
use crate::config::ConfigError;
use crate::ranks::RanksError;
use crate::train::TrainError;
use staticnet_data::DataError;
use staticnet_graph::file::FileError;
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
        ExitCode::from(self.code())
    }

    /// The same as a number.
    pub(super) fn code(&self) -> u8 {
        match self {
            CliError::Input(_) => 2,
            CliError::Failed(_) => 1,
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

impl From<FileError> for CliError {
    fn from(error: FileError) -> Self {
        CliError::failed(error)
    }
}

impl From<OpenError> for CliError {
    fn from(error: OpenError) -> Self {
        if error.is_usage() { CliError::input(error) } else { CliError::failed(error) }
    }
}

impl From<RanksError> for CliError {
    fn from(error: RanksError) -> Self {
        CliError::failed(error)
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
            | TrainError::FewSamples { .. }
            | TrainError::NotShared { .. }
            | TrainError::FewDevices { .. }
            | TrainError::NoBatches
            | TrainError::NotMeasured(_) => CliError::input(error),
            TrainError::Checkpoint(CheckpointError::Missing { .. }) => CliError::input(error),
            TrainError::Open(open) => open.into(),
            TrainError::Device(_)
            | TrainError::Memory { .. }
            | TrainError::Checkpoint(_)
            | TrainError::File(_)
            | TrainError::Ranks(_)
            | TrainError::Onnx(_)
            | TrainError::Diverged { .. } => CliError::failed(error),
        }
    }
}
