//! From a data set to batches of normalised floats, prepared by worker threads ahead of the training loop.

use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use staticnet::preprocess::Preprocess;
use staticnet_exporter::data::{DataError, DataSet};

use crate::augment::Augment;
use crate::rng::{self, KeyedRng, stream};
use crate::targets::Targets;

/// Batches every worker prepares beyond the one it waits to hand over.
const PREFETCH: usize = 1;
/// Pictures the normalisation is computed from.
const STATISTICS_SAMPLES: usize = 4096;
/// The smallest standard deviation: one step of a byte. A channel without contrast would be divided by 0.
const SMALLEST_STD: f32 = 1.0 / 255.0;

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
    /// Whether the samples come in random order.
    pub shuffle: bool,
    /// Whether an incomplete last batch is left out.
    pub drop_last: bool,
    /// Worker threads; 0 counts as 1. The batches are the same for any number.
    pub threads: usize,
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
    order: Vec<u32>,
}

impl Loader {
    /// Starts the workers of one epoch over `data`.
    pub fn new(data: Arc<DataSet>, preprocess: Preprocess, options: LoaderOptions) -> Loader {
        let options = LoaderOptions { batch_size: options.batch_size.max(1), ..options };
        let samples = data.len() as u32;
        let order = match options.shuffle {
            true => rng::permutation(options.seed, options.epoch, samples),
            false => (0..samples).collect(),
        };
        let batches = match options.drop_last {
            true => order.len() / options.batch_size,
            false => order.len().div_ceil(options.batch_size),
        };
        let from = options.from.min(batches);
        let threads = options.threads.clamp(1, (batches - from).max(1));
        let epoch = Arc::new(Epoch { data, preprocess, options, order });
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
        for batch in batches {
            let first = batch * self.options.batch_size;
            let last = (first + self.options.batch_size).min(self.order.len());
            let batch = self.batch(first..last, &normalise, &mut pixels);
            let failed = batch.is_err();
            if sender.send(batch).is_err() || failed {
                return;
            }
        }
    }

    fn batch(&self, samples: Range<usize>, normalise: &[[f32; 256]], pixels: &mut [u8]) -> Result<Batch, DataError> {
        let indices = self.order[samples].to_vec();
        let targets = Targets::Classes(indices.iter().map(|&i| self.data.label(i as usize) as u32).collect());
        let mut images = Vec::with_capacity(indices.len() * pixels.len());
        for &index in &indices {
            resize(&self.data, index as usize, &self.preprocess, pixels)?;
            self.append(index, pixels, normalise, &mut images);
        }
        Ok(Batch { images, targets, indices })
    }

    /// Varies and normalises one picture (HWC) and appends it to `images` (NCHW).
    fn append(&self, index: u32, pixels: &[u8], normalise: &[[f32; 256]], images: &mut Vec<f32>) {
        let LoaderOptions { seed, epoch, augment, .. } = self.options;
        let (width, height) = (self.preprocess.width as usize, self.preprocess.height as usize);
        let channels = normalise.len();
        let variation = augment.draw(width, height, &mut KeyedRng::new(seed, epoch, index.into(), stream::AUGMENT));
        for (channel, table) in normalise.iter().enumerate() {
            for y in 0..height {
                images.extend((0..width).map(|x| {
                    let byte = match variation.source(y, x, width, height) {
                        Some((y, x)) => pixels[(y * width + x) * channels + channel],
                        None => 0,
                    };
                    table[byte as usize]
                }));
            }
        }
    }
}

/// `Preprocess::normalise` of every byte, per channel.
fn normalisation_table(preprocess: &Preprocess) -> Vec<[f32; 256]> {
    let channel = |c| std::array::from_fn(|byte| preprocess.normalise(byte as u8, c));
    (0..preprocess.channels as usize).map(channel).collect()
}

/// Sample `index` in the network's input size, HWC.
fn resize(data: &DataSet, index: usize, preprocess: &Preprocess, pixels: &mut [u8]) -> Result<(), DataError> {
    data.with_picture(index, |picture| preprocess.resize(picture, |at, _, byte| pixels[at] = byte))?
        .map_err(|error| DataError::Preprocess { name: data.name(index), error })
}

/// Sums over bytes of one channel; exact, so the order of samples does not matter.
#[derive(Clone, Copy, Default)]
struct Sums {
    bytes: u64,
    squares: u64,
    count: u64,
}

/// `base` with the mean and the standard deviation of every channel, of pixels scaled to `[0, 1]`, after resizing.
///
/// Computed from up to 4,096 samples, evenly spread over `data`, with one thread per processor. Channels the network does not
/// have keep the values of `base`.
///
/// # Errors
/// The first sample that cannot be read or fitted.
pub fn statistics(data: &DataSet, base: Preprocess) -> Result<Preprocess, DataError> {
    let samples = data.len().min(STATISTICS_SAMPLES);
    let threads = thread::available_parallelism().map_or(1, |n| n.get());
    let results: Vec<Result<[Sums; 3], (usize, DataError)>> = thread::scope(|scope| {
        let part =
            |first: usize| move || sums(data, &base, (first..samples).step_by(threads).map(|i| i * data.len() / samples));
        let parts: Vec<_> = (0..threads).map(|first| scope.spawn(part(first))).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, _>| thread.join().unwrap_or_else(|p| std::panic::resume_unwind(p));
        parts.into_iter().map(join).collect()
    });
    if let Some((_, error)) = results.iter().filter_map(|result| result.as_ref().err()).min_by_key(|(index, _)| *index) {
        return Err(error.clone());
    }
    let mut filled = base;
    for channel in 0..base.channels.min(3) as usize {
        let mut total = Sums::default();
        for sums in results.iter().flatten() {
            total.bytes += sums[channel].bytes;
            total.squares += sums[channel].squares;
            total.count += sums[channel].count;
        }
        let count = total.count.max(1) as f64;
        let mean = total.bytes as f64 / count;
        let variance = (total.squares as f64 / count - mean * mean).max(0.0);
        filled.mean[channel] = (mean / 255.0) as f32;
        filled.std[channel] = ((variance.sqrt() / 255.0) as f32).max(SMALLEST_STD);
    }
    Ok(filled)
}

/// The sums over some samples, or the index of the first that fails with its error.
fn sums(
    data: &DataSet,
    preprocess: &Preprocess,
    samples: impl Iterator<Item = usize>,
) -> Result<[Sums; 3], (usize, DataError)> {
    let mut sums = [Sums::default(); 3];
    let mut pixels = vec![0; preprocess.len()];
    for index in samples {
        resize(data, index, preprocess, &mut pixels).map_err(|error| (index, error))?;
        for pixel in pixels.chunks_exact(preprocess.channels as usize) {
            for (sum, &byte) in sums.iter_mut().zip(pixel) {
                sum.bytes += byte as u64;
                sum.squares += byte as u64 * byte as u64;
                sum.count += 1;
            }
        }
    }
    Ok(sums)
}

#[cfg(test)]
mod tests;
