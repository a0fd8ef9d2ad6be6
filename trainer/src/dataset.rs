//! From a data set to batches of normalised floats, prepared by worker threads ahead of the training loop.

mod check;
mod fill;
mod options;
mod order;
mod statistics;

use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use staticnet::preprocess::Preprocess;
use staticnet_data::{DataError, DataSet};

use crate::augment::Augment;
use crate::ranks::Part;
use crate::rng::{KeyedRng, stream};
use crate::targets::Targets;
pub use check::{Bad, check};
pub use options::DataOptions;
pub use order::{Order, Pick, balanced};
pub use statistics::statistics;

/// Batches every worker prepares beyond the one it waits to hand over.
const PREFETCH: usize = 1;
/// Some samples, ready for the network.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Normalised pixels, NCHW.
    pub images: Vec<f32>,
    /// What the network should say about every sample.
    pub targets: Targets,
    /// Which sample of the data set each one is.
    pub indices: Vec<u32>,
}

impl Batch {
    /// The samples of one part of the batch.
    #[must_use]
    pub fn part(self, part: Part) -> Batch {
        if part == Part::WHOLE {
            return self;
        }
        let Batch { images, targets, indices } = self;
        let (samples, elements) = (part.of(targets.len()), images.len() / targets.len().max(1));
        let images = images[samples.start * elements..samples.end * elements].to_vec();
        Batch { images, targets: targets.part(samples.clone()), indices: indices[samples].to_vec() }
    }
}

/// How an epoch is cut into batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoaderOptions {
    /// Samples per batch; 0 counts as 1.
    pub batch_size: usize,
    /// Key of all random numbers.
    pub seed: u64,
    /// Number of the epoch: another order and other variations.
    pub epoch: u32,
    /// Batches of the epoch that are left out, because a training goes on behind them.
    pub from: usize,
    /// How pictures are varied.
    pub augment: Augment,
    /// In which order samples come, and how often.
    pub order: Order,
    /// Whether an incomplete last batch is left out.
    pub drop_last: bool,
    /// Batches of the epoch at most; `None` for all there are.
    pub at_most: Option<usize>,
    /// Worker threads; 0 counts as 1. The batches are the same for any number.
    pub threads: usize,
    /// Whose samples of each batch are read.
    pub part: Part,
}

impl LoaderOptions {
    /// Batches of a whole epoch over so many samples.
    pub fn batches(&self, samples: usize) -> usize {
        let batch_size = self.batch_size.max(1);
        let all = if self.drop_last { samples / batch_size } else { samples.div_ceil(batch_size) };
        self.at_most.map_or(all, |most| all.min(most))
    }
}

/// The batches of one epoch, in order. After an error there is nothing more.
///
/// Worker `w` of `n` prepares every n-th batch from the `w`-th on and has a short queue of its own, so the order does not depend on
/// who is faster and the memory is bounded. Dropping the loader ends the workers.
#[derive(Debug)]
pub struct Loader {
    workers: Vec<Worker>,
    from: usize,
    next: usize,
    batches: usize,
}

#[derive(Debug)]
struct Worker {
    queue: Receiver<Result<Batch, DataError>>,
    thread: JoinHandle<()>,
}

/// What all workers share.
#[derive(Debug)]
struct Epoch {
    data: Arc<DataSet>,
    preprocess: Preprocess,
    options: LoaderOptions,
    /// The samples in the order of the epoch.
    picks: Vec<Pick>,
}

impl Loader {
    /// Starts the workers of one epoch over `data`.
    pub fn new(data: Arc<DataSet>, preprocess: Preprocess, options: LoaderOptions) -> Loader {
        let options = LoaderOptions { batch_size: options.batch_size.max(1), ..options };
        let classes = (0..data.len()).map(|i| data.label(i) as u32);
        let picks = options.order.picks(classes, options.seed, options.epoch);
        let batches = options.batches(picks.len());
        let from = options.from.min(batches);
        let threads = options.threads.clamp(1, (batches - from).max(1));
        let epoch = Arc::new(Epoch { data, preprocess, options, picks });
        let workers =
            (0..threads).map(|first| Worker::start(epoch.clone(), (from + first..batches).step_by(threads))).collect();
        Loader { workers, from, next: from, batches }
    }

    /// Batches of the whole epoch.
    pub fn batches(&self) -> usize {
        self.batches
    }
}

impl Iterator for Loader {
    type Item = Result<Batch, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next == self.batches {
            return None;
        }
        let worker = (self.next - self.from) % self.workers.len();
        self.next += 1;
        match self.workers[worker].queue.recv() {
            Ok(Ok(batch)) => Some(Ok(batch)),
            Ok(Err(error)) => {
                self.next = self.batches;
                Some(Err(error))
            }
            // A worker hangs up early only when it panics; its panic goes on here.
            Err(_) => match self.workers.swap_remove(worker).thread.join() {
                Err(panic) => std::panic::resume_unwind(panic),
                Ok(()) => unreachable!("a worker hands over all its batches"),
            },
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // An error may end the epoch early.
        (0, Some(self.batches - self.next))
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        // Without a receiver the workers' next hand-over fails, which ends them.
        let threads: Vec<JoinHandle<()>> = self.workers.drain(..).map(|worker| worker.thread).collect();
        for thread in threads {
            // A panic was reported when it happened; there is nobody to pass it to while dropping.
            let _ = thread.join();
        }
    }
}

impl Worker {
    fn start(epoch: Arc<Epoch>, batches: impl Iterator<Item = usize> + Send + 'static) -> Worker {
        let (sender, queue) = sync_channel(PREFETCH);
        Worker { queue, thread: thread::spawn(move || epoch.work(batches, &sender)) }
    }
}

impl Epoch {
    /// Prepares the batches one after the other until there are no more, one fails, or nobody wants them.
    fn work(&self, batches: impl Iterator<Item = usize>, sender: &SyncSender<Result<Batch, DataError>>) {
        let normalise = normalisation_table(&self.preprocess);
        let mut pixels = vec![0; self.preprocess.len()];
        let mut scratch = Vec::new();
        for batch in batches {
            let first = batch * self.options.batch_size;
            let last = (first + self.options.batch_size).min(self.picks.len());
            let mine = self.options.part.of(last - first);
            let batch = self.batch(first + mine.start..first + mine.end, &normalise, &mut pixels, &mut scratch);
            let failed = batch.is_err();
            if sender.send(batch).is_err() || failed {
                return;
            }
        }
    }

    fn batch(
        &self,
        places: Range<usize>,
        normalise: &[[f32; 256]],
        pixels: &mut [u8],
        scratch: &mut Vec<u8>,
    ) -> Result<Batch, DataError> {
        let LoaderOptions { seed, epoch, augment, .. } = self.options;
        let (width, height) = (self.preprocess.width as usize, self.preprocess.height as usize);
        let picks = &self.picks[places];
        let mut images = Vec::with_capacity(picks.len() * pixels.len());
        for pick in picks {
            let index = pick.sample as usize;
            let mut rng = KeyedRng::new(seed, epoch, pick.key(), stream::AUGMENT);
            let fitted = self.data.with_picture(index, |picture| {
                let region = augment.region(picture.width, picture.height, &mut rng);
                fill::fit(&self.preprocess, picture, region, scratch, pixels)
            })?;
            fitted.map_err(|error| DataError::Preprocess { name: self.data.name(index), error })?;
            fill::append(pixels, width, &augment.draw(width, height, &mut rng), normalise, &mut images);
        }
        let indices: Vec<u32> = picks.iter().map(|pick| pick.sample).collect();
        let targets = Targets::Classes(indices.iter().map(|&i| self.data.label(i as usize) as u32).collect());
        Ok(Batch { images, targets, indices })
    }
}

/// `Preprocess::normalise` of every byte, per channel.
fn normalisation_table(preprocess: &Preprocess) -> Vec<[f32; 256]> {
    let channel = |c| std::array::from_fn(|byte| preprocess.normalise(byte as u8, c));
    (0..preprocess.channels as usize).map(channel).collect()
}

#[cfg(test)]
mod tests;
