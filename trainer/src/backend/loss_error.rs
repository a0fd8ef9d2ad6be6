//! What goes wrong when a loss is computed.

use super::DeviceError;
use crate::loss::TargetError;
use std::fmt;

/// Why there is no loss.
#[derive(Debug)]
pub enum LossError {
    /// A target does not fit the scores.
    Target(TargetError),
    /// Memory ran out.
    Device(DeviceError),
}

impl fmt::Display for LossError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LossError::Target(error) => write!(f, "{error}"),
            LossError::Device(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for LossError {}

impl From<TargetError> for LossError {
    fn from(error: TargetError) -> Self {
        LossError::Target(error)
    }
}

impl From<DeviceError> for LossError {
    fn from(error: DeviceError) -> Self {
        LossError::Device(error)
    }
}
