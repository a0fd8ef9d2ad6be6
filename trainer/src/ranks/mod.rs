//! Processes that train one network together: data parallelism over MPI (feature `mpi`).
//!
//! All ranks have the same parameters and take the same steps. Of every batch each rank takes its [`Part`], and the gradients are
//! summed over all ranks ([`Reducer`]) while the backward pass still goes on. The size of a batch is that of all ranks together, so the
//! number of ranks changes the order of sums and nothing else: a training may be resumed with another number.
//!
//! [`Ranks`] is the handle: who this process is, and what it can do together with the others. [`Ranks::alone`] is the one of a process
//! without others; all it does are copies.
//!
//! Where one rank fails the others would wait for it for ever, so the whole job ends: [`Ranks::abort`].

mod buckets;
mod digest;
mod error;
mod join;
mod launch;
#[cfg(feature = "mpi")]
mod link;
#[cfg(not(feature = "mpi"))]
#[path = "unlinked.rs"]
mod link;
mod part;
mod reducer;
mod rows;
#[cfg(feature = "mpi")]
mod wait;

pub use buckets::{Buckets, DEFAULT_BUCKET};
pub use digest::Digest;
pub use error::RanksError;
pub use launch::{Launched, launch, on_stop};
pub use part::Part;
pub use reducer::{Fetch, Reducer, Traffic};
pub(crate) use rows::Rows;

use link::Link;
use std::fmt;
use std::sync::Arc;

/// This process among those that train together. Clones are the same process; what they do together with other ranks happens in the
/// order in which it is asked for, which has to be the same at all ranks. The last clone's end is this rank's: it waits until the
/// others are done, too.
#[derive(Clone, Debug)]
pub struct Ranks {
    rank: usize,
    local_rank: usize,
    local_size: usize,
    cores: usize,
    /// The machine of every rank.
    hosts: Arc<[String]>,
    link: Option<Arc<Link>>,
}

impl fmt::Display for Ranks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name(self.rank))
    }
}

impl Ranks {
    /// A process without others.
    pub fn alone() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
        Ranks { rank: 0, local_rank: 0, local_size: 1, cores, hosts: Arc::new(["this machine".to_string()]), link: None }
    }

    /// Joins the processes that `mpirun` or `srun` started together with this one; [`Ranks::alone`] where it did not, or started one.
    /// Once in the life of a process.
    ///
    /// # Errors
    /// [`RanksError`] where there are others that cannot be joined: never one training each.
    pub fn join() -> Result<Self, RanksError> {
        join::join(Launched::here())
    }

    /// Number of this process, from 0.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// Which part of every batch is this rank's.
    pub fn part(&self) -> Part {
        Part { rank: self.rank, ranks: self.size() }
    }

    /// Number of processes.
    pub fn size(&self) -> usize {
        self.hosts.len()
    }

    /// Whether there are no others.
    pub fn is_alone(&self) -> bool {
        self.size() == 1
    }

    /// Whether this is rank 0, the one that writes files and talks to the user.
    pub fn is_first(&self) -> bool {
        self.rank == 0
    }

    /// Number of this process among those on its machine, from 0.
    pub fn local_rank(&self) -> usize {
        self.local_rank
    }

    /// Number of processes on its machine.
    pub fn local_size(&self) -> usize {
        self.local_size
    }

    /// Cores that this process has for itself, at least 1: those it may run on, divided among the ranks that may run on the same.
    pub fn cores(&self) -> usize {
        self.cores
    }

    /// The machine's name.
    pub fn host(&self) -> &str {
        &self.hosts[self.rank]
    }

    /// A rank in words: `rank 2 of 4 (node7)`.
    ///
    /// # Panics
    /// Panics where `rank` is not below [`Ranks::size`].
    pub fn name(&self, rank: usize) -> String {
        format!("rank {rank} of {} ({})", self.size(), self.hosts[rank])
    }

    /// Replaces numbers by their sums over all ranks; every rank gets the same bits. For a few numbers.
    ///
    /// # Errors
    /// [`RanksError::Lost`].
    pub fn sum(&self, numbers: &mut [f64]) -> Result<(), RanksError> {
        if let Some(link) = &self.link {
            numbers.copy_from_slice(&link.sum(numbers.to_vec())?);
        }
        Ok(())
    }

    /// What every rank gave, in their order; at every rank.
    ///
    /// # Errors
    /// [`RanksError::TooLong`] at every rank where all together is 2 GiB or more, [`RanksError::Lost`].
    pub fn gather(&self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, RanksError> {
        match &self.link {
            Some(link) => link.gather(bytes.to_vec()),
            None => Ok(vec![bytes.to_vec()]),
        }
    }

    /// What rank 0 gave; at every rank. The others' `bytes` do not matter.
    ///
    /// # Errors
    /// [`RanksError::Lost`].
    pub fn broadcast(&self, bytes: Vec<u8>) -> Result<Vec<u8>, RanksError> {
        match &self.link {
            Some(link) => link.broadcast(bytes),
            None => Ok(bytes),
        }
    }

    /// Makes sure that all ranks have the same of something.
    ///
    /// # Errors
    /// [`RanksError::Differs`] at every rank, naming those whose [`Digest`] is not rank 0's; [`RanksError::Lost`].
    pub fn same(&self, what: &str, digest: u64) -> Result<(), RanksError> {
        let all = self.gather(&digest.to_le_bytes())?;
        let others: Vec<String> = (0..all.len()).filter(|rank| all[*rank] != all[0]).map(|rank| self.name(rank)).collect();
        if others.is_empty() { Ok(()) } else { Err(RanksError::Differs { what: what.into(), others }) }
    }

    /// Ends all ranks, wherever they are; this one with `code`.
    pub fn abort(&self, code: u8) -> ! {
        if let Some(link) = &self.link {
            link.abort(code);
        }
        // Where the other thread could not: a process that ends without a good-bye ends the job as well.
        std::process::exit(code.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alone_everything_is_a_copy() {
        let ranks = Ranks::alone();
        let mut numbers = [1.5, -2.0];
        ranks.sum(&mut numbers).unwrap();
        assert_eq!(numbers, [1.5, -2.0]);
        assert_eq!(ranks.gather(b"me").unwrap(), [b"me"]);
        assert_eq!(ranks.broadcast(b"me".to_vec()).unwrap(), b"me");
        ranks.same("the weights", 7).unwrap();
        assert!(ranks.is_alone() && ranks.is_first() && ranks.cores() > 0);
    }
}
