//! Waiting for the other ranks without keeping a core busy.

use mpi::request::{Request, Scope};
use mpi::topology::SimpleCommunicator;
use mpi::traits::Communicator;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread::{sleep, yield_now};
use std::time::{Duration, Instant};

/// So long the core is only offered to others: short messages are there by then.
const EAGER: Duration = Duration::from_micros(500);
/// Then it is left to them for so long at a time.
const NAP: Duration = Duration::from_micros(50);

/// How operations are waited for: MPI's own waiting takes a whole core, which the kernels need, and cannot be broken off.
pub(super) struct Patience<'a> {
    pub(super) world: &'a SimpleCommunicator,
    /// The exit code to end the job with, or none.
    pub(super) abort: &'a AtomicI32,
}

impl Patience<'_> {
    /// Ends the job where that is asked for.
    pub(super) fn look(&self) {
        let code = self.abort.load(Ordering::SeqCst);
        if code != super::link::GO_ON {
            self.world.abort(code);
        }
    }

    /// Waits until `request` is done.
    pub(super) fn wait<'a, D: ?Sized, S: Scope<'a>>(&self, mut request: Request<'a, D, S>) {
        let start = Instant::now();
        loop {
            request = match request.test() {
                Ok(_) => return,
                Err(request) => request,
            };
            self.look();
            if start.elapsed() < EAGER { yield_now() } else { sleep(NAP) }
        }
    }
}

/// Parts of at most `most` items; `most` of 0 counts as 1.
pub(super) fn chunks<T>(items: &mut [T], most: usize) -> std::slice::ChunksMut<'_, T> {
    items.chunks_mut(most.max(1))
}
