//! Where batches come from.

use crate::augment::Augment;
use crate::dataset::{Bad, Batch, DataOptions, Loader, LoaderOptions, Order, check, statistics};
use crate::models::Architecture;
use crate::ranks::Part;
use staticnet::preprocess::Preprocess;
use staticnet_data::{DataError, DataSet, Split};
use std::path::Path;
use std::sync::Arc;

/// Batches, or the first error.
pub type Batches<'a> = Box<dyn Iterator<Item = Result<Batch, DataError>> + Send + 'a>;

/// Samples to train on and samples to measure with. Implement it to train on data of your own.
pub trait BatchSource {
    /// Class labels.
    fn labels(&self) -> &[String];

    /// How a picture becomes the network's input; stored with the model.
    fn preprocess(&self) -> Preprocess;

    /// Batches of one epoch; the same number in every epoch.
    fn train_batches(&self) -> usize;

    /// The training batches of an epoch (from 0), from batch `from` on. They must depend on nothing but the epoch: a training that
    /// goes on within an epoch takes up where it stopped.
    fn train(&self, epoch: u32, from: usize) -> Batches<'_>;

    /// The part of each of those batches that is one rank's. A source that has the whole batches anyway need not do anything; one that
    /// reads them should read the part alone.
    fn train_part(&self, epoch: u32, from: usize, part: Part) -> Batches<'_> {
        cut(self.train(epoch, from), part)
    }

    /// Training samples of each class; nothing where they have none.
    fn counts(&self) -> Vec<u64> {
        Vec::new()
    }

    /// Number of test samples.
    fn test_len(&self) -> usize;

    /// The test samples.
    fn test(&self) -> Batches<'_>;

    /// The part of each of their batches that is one rank's, as [`BatchSource::train_part`].
    fn test_part(&self, part: Part) -> Batches<'_> {
        cut(self.test(), part)
    }
}

/// The part of each batch that is one rank's.
fn cut(batches: Batches<'_>, part: Part) -> Batches<'_> {
    if part == Part::WHOLE { batches } else { Box::new(batches.map(move |batch| Ok(batch?.part(part)))) }
}

/// How [`Pictures`] are batched.
#[derive(Clone, Copy, Debug)]
pub struct Batching {
    /// Samples of a batch.
    pub batch_size: usize,
    /// How training pictures are varied.
    pub augment: Augment,
    /// Key of all random numbers.
    pub seed: u64,
    /// Worker threads that prepare batches.
    pub threads: usize,
}

/// The preprocessing of an architecture before mean and deviation are known: these leave pixels in `[0, 1]`.
pub fn base_preprocess(architecture: &Architecture, channels: u8) -> Preprocess {
    let (width, height) = (architecture.size, architecture.size);
    Preprocess { width, height, channels, fit: architecture.fit, mean: [0.0; 3], std: [1.0; 3] }
}

/// Where mean and deviation of the channels come from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Normalise {
    /// They are those of the training samples, fitted as this says; its own do not count.
    Measured(Preprocess),
    /// They are given: those of the training that goes on, say.
    Given(Preprocess),
}

/// A data set of pictures on disk.
#[derive(Debug)]
pub struct Pictures {
    train: Arc<DataSet>,
    test: Arc<DataSet>,
    preprocess: Preprocess,
    batching: Batching,
    options: DataOptions,
    bad: Vec<DataError>,
}

impl Pictures {
    /// Opens both splits of the data set at `path`, makes sure that their pictures can be read, and computes the normalisation
    /// where it is not given.
    ///
    /// `known` is the file in which a run keeps what it knows about its pictures; see [`check`]. `progress` is told how many of the
    /// pictures to be read for that have been, and of how many: first the training samples', then the test samples'.
    ///
    /// # Errors
    /// [`DataError`] naming the file or folder at fault. [`DataError::Pictures`] names all pictures of both splits that cannot be
    /// read, unless they are to be skipped; [`DataError::NoneUsable`] where no other is left in a split.
    pub fn open(
        path: &Path,
        normalise: Normalise,
        batching: Batching,
        options: &DataOptions,
        known: Option<&Path>,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Pictures, DataError> {
        let splits = [DataSet::open(path, Split::Train)?, DataSet::open(path, Split::Test)?];
        let all = splits.iter().map(DataSet::len).sum();
        let splits = splits.map(|data| {
            let bytes = options.cache_bytes(data.len(), all);
            data.with_cache(bytes)
        });
        let bad = [check(&splits[0], known, progress)?, check(&splits[1], known, progress)?];
        let mut errors: Vec<DataError> = Vec::new();
        for bad in bad.iter().flatten() {
            // A folder may be used whole for either split.
            if !errors.contains(&bad.error) {
                errors.push(bad.error.clone());
            }
        }
        if !(errors.is_empty() || options.skip_bad) {
            return Err(DataError::Pictures { bad: errors });
        }
        let [train, test] = splits;
        let [train, test] = [good(train, &bad[0])?, good(test, &bad[1])?].map(Arc::new);
        let preprocess = match normalise {
            Normalise::Measured(base) => statistics(&train, base)?,
            Normalise::Given(preprocess) => preprocess,
        };
        Ok(Pictures { train, test, preprocess, batching, options: options.clone(), bad: errors })
    }

    /// Number of training samples.
    pub fn train_len(&self) -> usize {
        self.train.len()
    }

    /// What is wrong with the pictures that are left out, of both splits.
    pub fn bad(&self) -> &[DataError] {
        &self.bad
    }

    fn threads(&self) -> usize {
        if self.options.workers == 0 { self.batching.threads } else { self.options.workers as usize }
    }

    fn epoch(&self, epoch: u32, from: usize, part: Part) -> LoaderOptions {
        let Batching { batch_size, augment, seed, .. } = self.batching;
        let order = if self.options.balance { Order::Balanced } else { Order::Shuffled };
        // A last batch of few samples would weigh as much as a whole one; but a data set smaller than a batch is all there is.
        let drop_last = self.train.len() >= batch_size;
        let threads = self.threads();
        let all = LoaderOptions { batch_size, seed, epoch, from, augment, order, drop_last, at_most: None, threads, part };
        match self.options.overfit_batches {
            0 => all,
            n => LoaderOptions { epoch: 0, augment: Augment::None, at_most: Some(n as usize), ..all },
        }
    }
}

/// The samples of `data` that can be read.
fn good(data: DataSet, bad: &[Bad]) -> Result<DataSet, DataError> {
    let Some(first) = bad.first() else { return Ok(data) };
    let pictures = data.len();
    let good = data.without(&bad.iter().map(|bad| bad.index).collect::<Vec<_>>());
    if good.is_empty() {
        return Err(DataError::NoneUsable { pictures, first: Box::new(first.error.clone()) });
    }
    Ok(good)
}

impl BatchSource for Pictures {
    fn labels(&self) -> &[String] {
        &self.train.labels
    }

    fn preprocess(&self) -> Preprocess {
        self.preprocess
    }

    fn train_batches(&self) -> usize {
        self.epoch(0, 0, Part::WHOLE).batches(self.train.len())
    }

    fn train(&self, epoch: u32, from: usize) -> Batches<'_> {
        self.train_part(epoch, from, Part::WHOLE)
    }

    fn train_part(&self, epoch: u32, from: usize, part: Part) -> Batches<'_> {
        Box::new(Loader::new(Arc::clone(&self.train), self.preprocess, self.epoch(epoch, from, part)))
    }

    fn counts(&self) -> Vec<u64> {
        self.train.counts()
    }

    fn test_len(&self) -> usize {
        self.test.len()
    }

    fn test(&self) -> Batches<'_> {
        self.test_part(Part::WHOLE)
    }

    fn test_part(&self, part: Part) -> Batches<'_> {
        let batching = Batching { threads: self.threads(), ..self.batching };
        Box::new(part_in_order(Arc::clone(&self.test), self.preprocess, batching, part))
    }
}

/// All samples of `data` in order, unvaried.
pub fn in_order(data: Arc<DataSet>, preprocess: Preprocess, batching: Batching) -> Loader {
    part_in_order(data, preprocess, batching, Part::WHOLE)
}

fn part_in_order(data: Arc<DataSet>, preprocess: Preprocess, batching: Batching, part: Part) -> Loader {
    let Batching { batch_size, seed, threads, .. } = batching;
    let (augment, order) = (Augment::None, Order::Listed);
    let options =
        LoaderOptions { batch_size, seed, epoch: 0, from: 0, augment, order, drop_last: false, at_most: None, threads, part };
    Loader::new(data, preprocess, options)
}
