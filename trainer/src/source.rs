//! Where batches come from.

use crate::augment::Augment;
use crate::dataset::{Batch, Loader, LoaderOptions, statistics};
use crate::models::Architecture;
use staticnet::preprocess::Preprocess;
use staticnet_exporter::data::{DataError, DataSet, Split};
use std::path::Path;
use std::sync::Arc;

/// Batches, or the first error.
pub type Batches<'a> = Box<dyn Iterator<Item = Result<Batch, DataError>> + 'a>;

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

    /// Number of test samples.
    fn test_len(&self) -> usize;

    /// The test samples.
    fn test(&self) -> Batches<'_>;
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

/// A data set of pictures on disk.
#[derive(Debug)]
pub struct Pictures {
    train: Arc<DataSet>,
    test: Arc<DataSet>,
    preprocess: Preprocess,
    batching: Batching,
}

impl Pictures {
    /// Opens both splits of the data set at `path` and computes the normalisation from its training samples.
    ///
    /// # Errors
    /// [`DataError`] naming the file or folder at fault.
    pub fn open(path: &Path, base: Preprocess, batching: Batching) -> Result<Pictures, DataError> {
        let train = Arc::new(DataSet::open(path, Split::Train)?);
        let test = Arc::new(DataSet::open(path, Split::Test)?);
        let preprocess = statistics(&train, base)?;
        Ok(Pictures { train, test, preprocess, batching })
    }

    /// Number of training samples.
    pub fn train_len(&self) -> usize {
        self.train.len()
    }

    fn drop_last(&self) -> bool {
        // A last batch of few samples would weigh as much as a whole one; but a data set smaller than a batch is all there is.
        self.train.len() >= self.batching.batch_size
    }
}

impl BatchSource for Pictures {
    fn labels(&self) -> &[String] {
        &self.train.labels
    }

    fn preprocess(&self) -> Preprocess {
        self.preprocess
    }

    fn train_batches(&self) -> usize {
        if self.drop_last() { self.train.len() / self.batching.batch_size } else { 1 }
    }

    fn train(&self, epoch: u32, from: usize) -> Batches<'_> {
        let Batching { batch_size, augment, seed, threads } = self.batching;
        let drop_last = self.drop_last();
        let options = LoaderOptions { batch_size, seed, epoch, from, augment, shuffle: true, drop_last, threads };
        Box::new(Loader::new(Arc::clone(&self.train), self.preprocess, options))
    }

    fn test_len(&self) -> usize {
        self.test.len()
    }

    fn test(&self) -> Batches<'_> {
        Box::new(in_order(Arc::clone(&self.test), self.preprocess, self.batching))
    }
}

/// All samples of `data` in order, unvaried.
pub fn in_order(data: Arc<DataSet>, preprocess: Preprocess, batching: Batching) -> Loader {
    let Batching { batch_size, seed, threads, .. } = batching;
    let augment = Augment::None;
    Loader::new(
        data,
        preprocess,
        LoaderOptions { batch_size, seed, epoch: 0, from: 0, augment, shuffle: false, drop_last: false, threads },
    )
}
