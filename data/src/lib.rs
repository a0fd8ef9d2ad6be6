//! Labelled pictures on disk: what networks are trained, calibrated and measured on.
//!
//! [`DataSet::open`] understands
//! - a folder with one sub-folder of JPEG or PNG pictures per class; the sorted names of the sub-folders are the labels. The
//!   class folders may lie inside `train/` and `test/` (or `val/`). Where they do not, the 10th, 20th, .. picture of every class
//!   in the order of file names is a test sample and the others are training samples. A folder that is itself called `train`,
//!   `test` or `val` is used whole, for either split;
//! - a folder with IDX files as MNIST has them: `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte`,
//!   `t10k-labels-idx1-ubyte`, each plain or with `.gz`;
//! - a folder with CIFAR-10's binary batches: `data_batch_1.bin` .., `test_batch.bin`, and `batches.meta.txt` for the labels.
//!
//! Hidden files are ignored.

mod cifar;
mod decode;
mod error;
mod folder;
mod idx;
mod memory;

use std::path::{Path, PathBuf};

use staticnet::preprocess::{Picture, PictureError, Preprocess};

pub use decode::decode;
pub use error::DataError;
use folder::Folder;
use memory::Memory;

/// Which samples of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// Those to train on.
    Train,
    /// Those to measure with.
    Test,
}

/// A decoded picture: HWC, one byte per channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// `height * width * channels` bytes, rows top to bottom, channels interleaved.
    pub pixels: Vec<u8>,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// 1 (grey) or 3 (red, green, blue).
    pub channels: u8,
}

impl Image {
    /// The picture as the preprocessing takes it.
    pub fn picture(&self) -> Picture<'_> {
        Picture { pixels: &self.pixels, width: self.width, height: self.height, channels: self.channels }
    }
}

/// One split of a data set. Class folders are listed, not read: each picture is decoded when it is asked for.
#[derive(Debug)]
pub struct DataSet {
    /// The name of every class.
    pub labels: Vec<String>,
    source: Source,
    /// Where samples are left out: the places in `source` of those that are not, ascending.
    kept: Option<Vec<u32>>,
}

#[derive(Debug)]
enum Source {
    Folder(Folder),
    Memory(Memory),
}

impl DataSet {
    /// Opens one split of the data set at `path`; see the module for what is understood.
    ///
    /// # Errors
    /// Any [`DataError`] but `Picture` and `Preprocess`, each naming the file or folder at fault.
    pub fn open(path: &Path, split: Split) -> Result<DataSet, DataError> {
        if !path.exists() {
            return Err(DataError::Missing { path: path.to_path_buf() });
        }
        if !path.is_dir() {
            return Err(DataError::NotAFolder { path: path.to_path_buf() });
        }
        let (labels, source) = if idx::is_here(path) {
            let (labels, memory) = idx::open(path, split)?;
            (labels, Source::Memory(memory))
        } else if cifar::is_here(path)? {
            let (labels, memory) = cifar::open(path, split)?;
            (labels, Source::Memory(memory))
        } else {
            let (labels, folder) = folder::open(path, split)?;
            (labels, Source::Folder(folder))
        };
        Ok(DataSet { labels, source, kept: None })
    }

    /// This data set without the samples `left_out`; those behind them move up. The labels stay, also of a class that has no
    /// sample any more, so that the others keep their numbers.
    ///
    /// Indices that no sample has are ignored.
    #[must_use]
    pub fn without(self, left_out: &[usize]) -> DataSet {
        let mut sorted = left_out.to_vec();
        sorted.sort_unstable();
        let stays = (0..self.len()).filter(|i| sorted.binary_search(i).is_err());
        // No file system and no format here holds 2^32 samples in one split.
        let kept = stays.map(|i| self.place(i) as u32).collect();
        DataSet { kept: Some(kept), ..self }
    }

    /// This data set, keeping decoded pictures as long as all of them are expected to fit into `bytes`; 0 keeps none. Nothing
    /// changes for IDX and CIFAR-10 files, which lie in memory as a whole.
    #[must_use]
    pub fn with_cache(mut self, bytes: u64) -> DataSet {
        match &mut self.source {
            Source::Folder(folder) => folder.set_cache(bytes),
            Source::Memory(_) => {}
        }
        self
    }

    /// Where sample `i` lies in the source.
    fn place(&self, i: usize) -> usize {
        self.kept.as_ref().map_or(i, |kept| kept[i] as usize)
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        match (&self.kept, &self.source) {
            (Some(kept), _) => kept.len(),
            (None, Source::Folder(folder)) => folder.len(),
            (None, Source::Memory(memory)) => memory.labels.len(),
        }
    }

    /// Whether there are no samples (never so for an opened data set).
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The class of sample `i`, an index into the labels. Panics where `i` is not below the number of samples.
    pub fn label(&self, i: usize) -> usize {
        match &self.source {
            Source::Folder(folder) => folder.label(self.place(i)),
            Source::Memory(memory) => memory.labels[self.place(i)].into(),
        }
    }

    /// Number of samples of each class, by the places of the labels.
    pub fn counts(&self) -> Vec<u64> {
        let mut counts = vec![0; self.labels.len()];
        (0..self.len()).for_each(|i| counts[self.label(i)] += 1);
        counts
    }

    /// The file of sample `i`, or `file#index` where a file holds many; for messages.
    pub fn name(&self, i: usize) -> String {
        match &self.source {
            Source::Folder(folder) => folder.path(self.place(i)).display().to_string(),
            Source::Memory(memory) => memory.name(self.place(i)),
        }
    }

    /// The file that holds sample `i` and no other; `None` where a file holds many. Such a file is as its format wants it, or the
    /// data set would not have been opened.
    pub fn file(&self, i: usize) -> Option<PathBuf> {
        match &self.source {
            Source::Folder(folder) => Some(folder.path(self.place(i))),
            Source::Memory(_) => None,
        }
    }

    /// The decoded picture of sample `i`.
    ///
    /// # Errors
    /// As [`decode()`].
    pub fn load(&self, i: usize) -> Result<Image, DataError> {
        match &self.source {
            Source::Folder(folder) => decode(&folder.path(self.place(i))),
            Source::Memory(memory) => Ok(memory.image(self.place(i))),
        }
    }

    /// Hands the decoded picture of sample `i` to `use_picture`, for whoever comes back to the same samples: decoded pictures
    /// are kept in memory as long as all of them are expected to fit into 512 MiB (60,000 pictures of CIFAR take 184 MB), or
    /// what [`DataSet::with_cache`] says.
    ///
    /// # Errors
    /// As [`decode()`].
    pub fn with_picture<R>(&self, i: usize, use_picture: impl FnOnce(Picture<'_>) -> R) -> Result<R, DataError> {
        match &self.source {
            Source::Folder(folder) => folder.with_image(self.place(i), |image| use_picture(image.picture())),
            Source::Memory(memory) => Ok(use_picture(memory.picture(self.place(i)))),
        }
    }

    /// The channels of the first sample that can be read: 1 (grey) or 3 (RGB).
    ///
    /// # Errors
    /// As [`decode()`] for the first sample, where none can be read.
    pub fn channels(&self) -> Result<u8, DataError> {
        self.with_picture(0, |picture| picture.channels)
            .or_else(|error| (1..self.len()).find_map(|i| self.with_picture(i, |picture| picture.channels).ok()).ok_or(error))
    }
}

/// Sample `i` as the device takes it: preprocessed, rows of pixels of channels (`[H, W, C]`).
///
/// # Errors
/// [`DataError`] where the picture cannot be read or preprocessed.
pub fn pixels(data: &DataSet, i: usize, preprocess: &Preprocess) -> Result<Vec<f32>, DataError> {
    preprocessed(data, i, |picture| hwc(preprocess, picture))
}

/// Sample `i` as an ONNX model takes it: preprocessed, `[C, H, W]`.
///
/// # Errors
/// [`DataError`] where the picture cannot be read or preprocessed.
pub fn sample(data: &DataSet, i: usize, preprocess: &Preprocess) -> Result<Vec<f32>, DataError> {
    preprocessed(data, i, |picture| chw(preprocess, picture))
}

/// What `preprocess` makes of sample `i`; an error of it names the sample.
fn preprocessed(
    data: &DataSet,
    i: usize,
    preprocess: impl FnOnce(Picture<'_>) -> Result<Vec<f32>, PictureError>,
) -> Result<Vec<f32>, DataError> {
    data.with_picture(i, preprocess)?.map_err(|error| DataError::Preprocess { name: data.name(i), error })
}

fn hwc(preprocess: &Preprocess, picture: Picture<'_>) -> Result<Vec<f32>, PictureError> {
    let mut hwc = vec![0.0; preprocess.len()];
    preprocess.to_f32(picture, &mut hwc)?;
    Ok(hwc)
}

/// A picture as an ONNX model takes it: preprocessed, `[C, H, W]`.
///
/// # Errors
/// [`PictureError`] where sizes do not fit.
pub fn chw(preprocess: &Preprocess, picture: Picture<'_>) -> Result<Vec<f32>, PictureError> {
    let hwc = hwc(preprocess, picture)?;
    let channels = preprocess.channels as usize;
    Ok((0..channels).flat_map(|c| hwc.iter().skip(c).step_by(channels).copied()).collect())
}

#[cfg(test)]
mod tests;
