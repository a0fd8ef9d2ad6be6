//! Why processes cannot train together.

use std::fmt;

/// Why processes cannot train together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RanksError {
    /// There are other processes, and this program cannot talk to them.
    NotBuilt {
        /// Number of processes.
        ranks: usize,
        /// The variable that says so.
        by: &'static str,
    },
    /// The library is not there, or cannot do what is needed.
    Library(String),
    /// The library does not know the processes that the launcher started.
    Apart {
        /// Processes that the launcher started.
        started: usize,
        /// The variable that says so.
        by: &'static str,
        /// Processes that the library knows.
        found: usize,
    },
    /// Ranks that should have the same have not.
    Differs {
        /// What.
        what: String,
        /// Those that have not the same as rank 0.
        others: Vec<String>,
    },
    /// Too much for one message.
    TooLong {
        /// Its bytes.
        bytes: u64,
    },
    /// A gradient cannot be fetched from the device.
    Fetch(String),
    /// Other ranks cannot be talked to any more.
    Lost,
    /// Several processes cannot be started.
    Launch(String),
}

impl fmt::Display for RanksError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RanksError::NotBuilt { ranks, by } => write!(
                f,
                "this is one of {ranks} processes ({by}), but this trainer was built without MPI and each of them would train on its \
                 own; build it with `cargo build --release -p staticnet-trainer --features mpi` (scripts/setup-mpi installs what that \
                 needs), or start one"
            ),
            RanksError::Library(reason) => write!(f, "MPI cannot be used: {reason}"),
            RanksError::Apart { started, by, found } => write!(
                f,
                "{started} processes were started ({by}), but the MPI library knows of {found}; start them with the mpirun of the \
                 library that the trainer was built with, or with the plugin for it (srun --mpi=pmix)"
            ),
            RanksError::Differs { what, others } => write!(f, "{what}: not that of rank 0 at {}", others.join(", ")),
            RanksError::TooLong { bytes } => write!(f, "{bytes} bytes are too many for one message between ranks"),
            RanksError::Fetch(reason) => write!(f, "a gradient cannot be fetched from the device: {reason}"),
            RanksError::Lost => write!(f, "the thread that talks to the other ranks has ended"),
            RanksError::Launch(reason) => write!(f, "{reason}"),
        }
    }
}

impl std::error::Error for RanksError {}
