//! Why a run on a board failed.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why a run on a board failed; the message says what to do.
#[derive(Debug)]
pub enum OnTargetError {
    /// No compiler here can build for the target.
    NoToolchain {
        /// The target triple.
        target: &'static str,
    },
    /// No linker for bare-metal targets was found.
    NoLinker,
    /// A program is not installed or does not start.
    Program {
        /// The program.
        program: String,
        /// What starting it said.
        error: io::Error,
    },
    /// The firmware or the counter did not compile.
    Build {
        /// What was built.
        what: String,
        /// What the compiler said.
        output: String,
    },
    /// A file could not be read or written.
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A file does not hold what it should.
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no input to run.
    NoInput,
    /// The bytes of a pass are not as many as those of the first.
    InputLength {
        /// Bytes of the first pass.
        expected: usize,
        /// Bytes of another one.
        found: usize,
    },
    /// The inputs have not the same number of samples.
    Samples {
        /// Samples of the first input.
        expected: usize,
        /// Samples of another one.
        found: usize,
    },
    /// The network has another number of inputs than are given.
    InputCount {
        /// Inputs of the network.
        expected: usize,
        /// Inputs given.
        found: usize,
    },
    /// More outputs are asked for than the network has.
    OutputCount {
        /// Outputs of the network.
        most: usize,
        /// Outputs asked for.
        found: usize,
    },
    /// Artifact and inputs do not fit the memory of the board.
    JobTooLarge {
        /// The board.
        board: &'static str,
        /// Bytes of the artifact and the inputs.
        needed: usize,
        /// Bytes of the board's memory for them.
        space: u32,
    },
    /// The run did not end in time.
    Timeout {
        /// The board.
        board: &'static str,
        /// The limit.
        limit: Duration,
    },
    /// The firmware ended with an error.
    Failed {
        /// The board.
        board: &'static str,
        /// QEMU's exit status.
        status: String,
        /// What the firmware and QEMU printed.
        log: String,
    },
    /// The stack reached its end, and may have gone past it.
    Stack {
        /// The board.
        board: &'static str,
        /// Bytes that statics left to it.
        space: u32,
    },
    /// The firmware ended well, but what it wrote is not a result.
    Malformed(String),
}

impl OnTargetError {
    /// A failed read or write of `path`.
    pub fn file(path: impl AsRef<Path>, error: io::Error) -> Self {
        OnTargetError::File { path: path.as_ref().to_path_buf(), error }
    }

    /// A file whose content is wrong.
    pub fn content(path: impl AsRef<Path>, reason: impl fmt::Display) -> Self {
        OnTargetError::Content { path: path.as_ref().to_path_buf(), reason: reason.to_string() }
    }
}

impl fmt::Display for OnTargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use OnTargetError::*;
        match self {
            NoToolchain { target } => {
                write!(f, "no compiler here builds for {target}: run scripts/setup-targets (or `rustup target add {target}`)")
            }
            NoLinker => write!(f, "found neither rust-lld nor ld.lld to link firmware: run scripts/setup-targets"),
            Program { program, error } if error.kind() == io::ErrorKind::NotFound => {
                write!(f, "{program} is not installed: run scripts/setup-targets")
            }
            Program { program, error } => write!(f, "{program} does not start: {error}"),
            Build { what, output } => write!(f, "{what} does not compile:\n{output}"),
            File { path, error } => write!(f, "{}: {error}", path.display()),
            Content { path, reason } => write!(f, "{}: {reason}", path.display()),
            NoInput => write!(f, "there is no input to run: give at least one"),
            InputLength { expected, found } => {
                write!(f, "the inputs of one pass have {found} bytes, those of the first {expected}")
            }
            Samples { expected, found } => {
                write!(f, "one input has {found} samples, the first has {expected}: give as many of each")
            }
            InputCount { expected, found } => {
                write!(f, "the network has {expected} inputs, {found} are given: give one --input for each, in their order")
            }
            OutputCount { most, found } => write!(f, "the network has {most} outputs, {found} --output are given"),
            JobTooLarge { board, needed, space } => write!(
                f,
                "artifact and inputs take {needed} bytes, {board} has {space} bytes for them: give fewer inputs, or take mps3-an547"
            ),
            Timeout { board, limit } => {
                write!(f, "{board} did not finish within {} s: raise the limit with --timeout", limit.as_secs())
            }
            Failed { board, status, log } => write!(f, "the firmware failed on {board} ({status}):\n{log}"),
            Stack { board, space } => {
                write!(f, "the stack used all {space} bytes that were left to it on {board}, or more: give it more RAM")
            }
            Malformed(what) => write!(f, "what the firmware wrote is not a result: {what}"),
        }
    }
}

impl std::error::Error for OnTargetError {}
