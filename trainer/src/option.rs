//! An option whose value makes no sense.

use std::fmt;

/// An option whose value makes no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionError {
    /// The option, as a TOML file names it.
    pub name: &'static str,
    /// What is wrong with its value.
    pub reason: String,
}

impl fmt::Display for OptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.reason)
    }
}

impl std::error::Error for OptionError {}
