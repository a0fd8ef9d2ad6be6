//! Where the first parameters come from.

use crate::init::{Init, InitError};
use crate::text::written_as_text;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where the first parameters come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Start {
    /// They are drawn.
    Drawn(Init),
    /// They are those of a RUN folder or a .safetensors or .onnx file.
    From(PathBuf),
}

impl Default for Start {
    fn default() -> Self {
        Start::Drawn(Init::default())
    }
}

impl FromStr for Start {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "" => Err("kaiming, gaussian, a RUN folder, or a .safetensors or .onnx file is needed".into()),
            init if Init::is_meant(init) => init.parse().map(Start::Drawn).map_err(|e: InitError| e.to_string()),
            path => Ok(Start::From(PathBuf::from(path))),
        }
    }
}

written_as_text!(Start);

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Start::Drawn(init) => write!(f, "{init}"),
            Start::From(path) => write!(f, "{}", path.display()),
        }
    }
}
