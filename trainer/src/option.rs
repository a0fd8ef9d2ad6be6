//! An option whose value makes no sense.

use std::fmt;

/// Which option, and what is wrong with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionError {
    /// Its name, as in the TOML file.
    pub name: &'static str,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for OptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.reason)
    }
}

impl std::error::Error for OptionError {}
