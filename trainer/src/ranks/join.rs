//! Joining the processes that were started together.

use super::launch::Launched;
use super::link::Link;
use super::{Ranks, RanksError};

/// The ranks of a job that `launched` describes.
pub(super) fn join(launched: Option<Launched>) -> Result<Ranks, RanksError> {
    match launched {
        None | Some(Launched { ranks: 0 | 1, .. }) => Ok(Ranks::alone()),
        Some(Launched { ranks, by }) => Link::start(ranks, by),
    }
}

/// A number for the set of cores that this process may run on: that of all of them where the system does not tell.
#[cfg(feature = "mpi")]
pub(super) fn allowed_cores() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mut digest = super::Digest::default();
    digest.text(status.lines().find(|line| line.starts_with("Cpus_allowed:")).unwrap_or_default());
    digest.value()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_is_alone() {
        assert!(join(None).unwrap().is_alone());
        assert!(join(Some(Launched { ranks: 1, by: "PMI_SIZE" })).unwrap().is_alone());
    }

    #[cfg(not(feature = "mpi"))]
    #[test]
    fn several_are_refused_without_mpi() {
        let error = join(Some(Launched { ranks: 4, by: "PMI_SIZE" })).unwrap_err().to_string();
        assert!(error.contains("4 processes (PMI_SIZE)") && error.contains("--features mpi"), "{error}");
    }
}
