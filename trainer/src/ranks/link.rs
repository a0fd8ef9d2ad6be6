//! The thread that talks to the other ranks: it starts MPI, makes every call and ends it. MPI then needs no locks, and a sum does not
//! keep the training from going on.

use super::reducer::Load;
use super::wait::{Patience, chunks};
use super::{Ranks, RanksError};
use mpi::Threading;
use mpi::collective::SystemOperation;
use mpi::datatype::PartitionMut;
use mpi::request::scope;
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, CommunicatorCollectives, Root};
use staticnet_graph::console::note;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Numbers of one sum, and bytes of one broadcast, at most: one call moves a part that stays in the processor's caches.
const CHUNK: usize = 1 << 20;
/// How long the process waits for the other thread to end the job.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// What a Rust program that panicked ends with.
const PANICKED: i32 = 101;

/// Something to do together with the other ranks, and where the result goes.
enum Job {
    Sum(Vec<f64>, Sender<Vec<f64>>),
    Gather(Vec<u8>, Sender<Result<Vec<Vec<u8>>, RanksError>>),
    Broadcast(Vec<u8>, Sender<Vec<u8>>),
    Reduce(Load, Sender<Load>),
    /// Look whether the job is to end.
    Wake,
}

/// The way to the other ranks.
#[derive(Debug)]
pub(super) struct Link {
    /// Who this rank is, in words.
    name: String,
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    abort: Arc<AtomicI32>,
}

/// No end of the job is asked for.
pub(super) const GO_ON: i32 = -1;

impl Link {
    /// Starts MPI; `started` is the number of processes that there should be, and the variable that says so.
    pub(super) fn start(started: usize, by: &'static str) -> Result<Ranks, RanksError> {
        let (jobs, queue) = channel();
        let (sender, joined) = channel();
        let abort = Arc::new(AtomicI32::new(GO_ON));
        let asked = Arc::clone(&abort);
        let run = move || talk(started, by, &sender, &queue, &asked);
        let thread = thread::Builder::new().name("ranks".into()).spawn(run);
        let thread = thread.map_err(|error| RanksError::Library(format!("no thread for it: {error}")))?;
        let ranks = joined.recv().map_err(|_| RanksError::Lost)??;
        let link = Link { name: ranks.to_string(), jobs: Some(jobs), thread: Some(thread), abort };
        Ok(Ranks { link: Some(Arc::new(link)), ..ranks })
    }

    fn send(&self, job: Job) -> Result<(), RanksError> {
        self.jobs.as_ref().and_then(|jobs| jobs.send(job).ok()).ok_or(RanksError::Lost)
    }

    fn ask<T>(&self, job: impl FnOnce(Sender<T>) -> Job) -> Result<T, RanksError> {
        let (sender, answer) = channel();
        self.send(job(sender))?;
        answer.recv().map_err(|_| RanksError::Lost)
    }

    pub(super) fn sum(&self, numbers: Vec<f64>) -> Result<Vec<f64>, RanksError> {
        self.ask(|back| Job::Sum(numbers, back))
    }

    pub(super) fn gather(&self, bytes: Vec<u8>) -> Result<Vec<Vec<u8>>, RanksError> {
        self.ask(|back| Job::Gather(bytes, back))?
    }

    pub(super) fn broadcast(&self, bytes: Vec<u8>) -> Result<Vec<u8>, RanksError> {
        self.ask(|back| Job::Broadcast(bytes, back))
    }

    /// Sums a bucket and sends it back.
    pub(super) fn reduce(&self, load: Load, back: Sender<Load>) -> Result<(), RanksError> {
        self.send(Job::Reduce(load, back))
    }

    /// Ends all ranks, even in the middle of a sum; comes back only where that does not work.
    pub(super) fn abort(&self, code: u8) {
        self.abort.store(code.into(), Ordering::SeqCst);
        if self.send(Job::Wake).is_ok() {
            thread::sleep(LAST_WORDS);
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if thread::panicking() {
            // The others wait for this rank: a good-bye would wait for them.
            note(format!("{}: panicked", self.name));
            self.abort(PANICKED as u8);
            std::process::exit(PANICKED);
        }
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // Where it panicked that was told when it happened.
            let _ = thread.join();
        }
    }
}

/// Ends the process where the thread panics, before MPI is ended: that would wait for the others, and they for this rank.
struct EndOnPanic;

impl Drop for EndOnPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            std::process::exit(PANICKED);
        }
    }
}

/// All that the thread does.
fn talk(started: usize, by: &'static str, joined: &Sender<Result<Ranks, RanksError>>, jobs: &Receiver<Job>, abort: &AtomicI32) {
    // Whoever starts MPI is its main thread: this level lets that one call it, and every library has it.
    let Some((universe, threading)) = mpi::initialize_with_threading(Threading::Funneled) else {
        let _ = joined.send(Err(RanksError::Library("it was started before".into())));
        return;
    };
    let _end = EndOnPanic;
    let world = universe.world();
    let ranks = if threading < Threading::Funneled {
        Err(RanksError::Library("this library allows no threads; use one that was built with MPI_THREAD_FUNNELED".into()))
    } else if world.size() as usize != started {
        Err(RanksError::Apart { started, by, found: world.size() as usize })
    } else {
        who(&world, &Patience { world: &world, abort })
    };
    if joined.send(ranks).is_err() {
        return;
    }
    let patience = Patience { world: &world, abort };
    let mut scratch = Vec::new();
    for job in jobs {
        patience.look();
        // Where nobody waits for the result any more there is nobody to tell.
        match job {
            Job::Sum(mut numbers, back) => {
                let mut sums = vec![0.0; numbers.len()];
                sum(&patience, &mut numbers, &mut sums);
                let _ = back.send(numbers);
            }
            Job::Gather(bytes, back) => drop(back.send(gather(&patience, &bytes))),
            Job::Broadcast(bytes, back) => drop(back.send(broadcast(&patience, bytes))),
            Job::Reduce(mut load, back) => {
                load.fetch();
                let start = Instant::now();
                scratch.resize(CHUNK.min(load.numbers.len()).max(scratch.len()), 0.0);
                sum(&patience, &mut load.numbers, &mut scratch);
                load.busy = start.elapsed();
                let _ = back.send(load);
            }
            Job::Wake => {}
        }
    }
}

/// Who this process is.
fn who(world: &SimpleCommunicator, patience: &Patience<'_>) -> Result<Ranks, RanksError> {
    let local = world.split_shared(world.rank());
    // Ranks that are bound to cores of their own need not share them.
    let mine = super::join::allowed_cores();
    let mut masks = vec![0; local.size() as usize];
    local.all_gather_into(&mine, &mut masks[..]);
    let sharing = masks.iter().filter(|mask| **mask == mine).count();
    let host = mpi::environment::processor_name().unwrap_or_else(|_| "a machine without a name".into());
    let hosts = gather(patience, host.as_bytes())?;
    Ok(Ranks {
        rank: world.rank() as usize,
        local_rank: local.rank() as usize,
        local_size: local.size() as usize,
        cores: (thread::available_parallelism().map_or(1, |n| n.get()) / sharing).max(1),
        hosts: hosts.iter().map(|host| String::from_utf8_lossy(host).into_owned()).collect(),
        link: None,
    })
}

/// Sums over all ranks, by parts as long as `scratch`.
fn sum<T: mpi::traits::Equivalence + Copy>(patience: &Patience<'_>, numbers: &mut [T], scratch: &mut [T]) {
    for part in chunks(numbers, scratch.len()) {
        let sums = &mut scratch[..part.len()];
        scope(|scope| {
            let operation = SystemOperation::sum();
            patience.wait(patience.world.immediate_all_reduce_into(scope, &*part, sums, operation));
        });
        part.copy_from_slice(&scratch[..part.len()]);
    }
}

fn gather(patience: &Patience<'_>, bytes: &[u8]) -> Result<Vec<Vec<u8>>, RanksError> {
    let (len, mut lens) = (bytes.len() as u64, vec![0u64; patience.world.size() as usize]);
    scope(|scope| patience.wait(patience.world.immediate_all_gather_into(scope, &len, &mut lens[..])));
    let total = lens.iter().fold(0, |sum: u64, len| sum.saturating_add(*len));
    // MPI counts in 32 bits with a sign. All ranks know all lengths, so all of them refuse.
    if total > i32::MAX as u64 {
        return Err(RanksError::TooLong { bytes: total });
    }
    let counts: Vec<i32> = lens.iter().map(|len| *len as i32).collect();
    let begins: Vec<i32> = counts.iter().scan(0, |next, count| Some(std::mem::replace(next, *next + count))).collect();
    let mut all = vec![0u8; total as usize];
    {
        let mut parts = PartitionMut::new(&mut all[..], &counts[..], &begins[..]);
        scope(|scope| patience.wait(patience.world.immediate_all_gather_varcount_into(scope, bytes, &mut parts)));
    }
    Ok(begins.iter().zip(&counts).map(|(begin, count)| all[*begin as usize..][..*count as usize].to_vec()).collect())
}

fn broadcast(patience: &Patience<'_>, mut bytes: Vec<u8>) -> Vec<u8> {
    let first = patience.world.process_at_rank(0);
    let mut len = bytes.len() as u64;
    scope(|scope| patience.wait(first.immediate_broadcast_into(scope, &mut len)));
    bytes.resize(len as usize, 0);
    for part in chunks(&mut bytes, CHUNK) {
        scope(|scope| patience.wait(first.immediate_broadcast_into(scope, part)));
    }
    bytes
}
