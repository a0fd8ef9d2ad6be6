//! Folders of pictures: one sub-folder per class, optionally within `train/` and `test/` (or `val/`).

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{DataError, Image, Split, decode};

/// In a folder that is not split, the last of every ten pictures of a class is a test sample.
const HOLD_OUT: usize = 10;
/// Names of folders that hold one split.
const SPLITS: [&str; 3] = ["train", "test", "val"];
/// Files that file managers leave behind.
const LEFTOVERS: [&str; 2] = ["Thumbs.db", "desktop.ini"];
/// Decoded pictures are kept as long as all of them are expected to fit into this many bytes, where nothing else is asked for.
const CACHE_BYTES: u64 = 512 << 20;

/// The pictures of class folders, in the order of class and file name.
#[derive(Debug)]
pub(super) struct Folder {
    classes: Vec<PathBuf>,
    samples: Vec<Sample>,
    cache: Cache,
}

#[derive(Debug)]
struct Sample {
    class: u32,
    file: OsString,
}

/// Decoded pictures, kept because epochs repeat.
#[derive(Debug)]
struct Cache {
    /// The most bytes of pixels that are kept.
    limit: u64,
    /// One per sample, made by the first picture that is kept; `None` when not all are expected to fit.
    slots: OnceLock<Option<Vec<OnceLock<Image>>>>,
    bytes: AtomicU64,
}

impl Cache {
    fn of(limit: u64) -> Self {
        Self { limit, slots: OnceLock::new(), bytes: AtomicU64::new(0) }
    }
}

/// Which pictures of every class belong to the data set.
#[derive(Clone, Copy)]
enum Take {
    All,
    HeldOut(Split),
}

impl Take {
    fn takes(self, index: usize) -> bool {
        let held_out = index % HOLD_OUT == HOLD_OUT - 1;
        match self {
            Self::All => true,
            Self::HeldOut(Split::Train) => !held_out,
            Self::HeldOut(Split::Test) => held_out,
        }
    }
}

/// The entries of a folder that are not hidden, sorted by name.
pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let failed = |error: std::io::Error| DataError::read(folder, &error);
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let text = name.to_string_lossy();
        if !text.starts_with('.') && !LEFTOVERS.contains(&text.as_ref()) {
            paths.push(folder.join(name));
        }
    }
    paths.sort();
    Ok(paths)
}

fn sub_folders(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut paths = entries(folder)?;
    paths.retain(|path| path.is_dir());
    Ok(paths)
}

fn base_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Whether `path` is a folder of class folders. (A folder of that name which holds pictures is a class called so.)
fn holds_classes(path: &Path) -> Result<bool, DataError> {
    Ok(path.is_dir() && !sub_folders(path)?.is_empty())
}

/// The labels and samples of one split of the folder at `path`.
pub(super) fn open(path: &Path, split: Split) -> Result<(Vec<String>, Folder), DataError> {
    let [train, test, val] = SPLITS.map(|name| path.join(name));
    let test = if holds_classes(&test)? {
        Some(test)
    } else if holds_classes(&val)? {
        Some(val)
    } else {
        None
    };
    let has_train = holds_classes(&train)?;
    // The name of "." or "data/.." is known only to the file system.
    let is_split = SPLITS.contains(&base_name(&path.canonicalize().map_err(|error| DataError::read(path, &error))?).as_str());
    let (folder, take) = match (has_train, test, split) {
        (true, Some(_), Split::Train) => (train, Take::All),
        (true, Some(test), Split::Test) => return open_test(&test, &train),
        (true, None, _) => (train, Take::HeldOut(split)),
        (false, Some(_), Split::Train) => return Err(DataError::Missing { path: train }),
        (false, Some(test), Split::Test) => (test, Take::All),
        (false, None, _) if is_split => (path.to_path_buf(), Take::All),
        (false, None, _) => (path.to_path_buf(), Take::HeldOut(split)),
    };
    let classes = sub_folders(&folder)?;
    if classes.is_empty() {
        return Err(DataError::NoClasses { path: folder });
    }
    let labels = classes.iter().map(|class| base_name(class)).collect();
    let listed = Folder::list(classes, take)?;
    if listed.samples.is_empty() {
        return Err(DataError::NothingHeldOut { path: folder });
    }
    Ok((labels, listed))
}

/// The test samples, numbered by the classes of the training samples. A class may be without test samples.
fn open_test(test: &Path, train: &Path) -> Result<(Vec<String>, Folder), DataError> {
    let labels: Vec<String> = sub_folders(train)?.iter().map(|class| base_name(class)).collect();
    let classes = sub_folders(test)?;
    if let Some(path) = classes.iter().find(|class| !labels.contains(&base_name(class))) {
        return Err(DataError::UnknownClass { path: path.clone(), train: train.to_path_buf() });
    }
    let listed = Folder::list(labels.iter().map(|label| test.join(label)).collect(), Take::All)?;
    Ok((labels, listed))
}

impl Folder {
    /// Lists the pictures of every class folder that exists.
    fn list(classes: Vec<PathBuf>, take: Take) -> Result<Self, DataError> {
        let mut samples = Vec::new();
        for (class, folder) in classes.iter().enumerate().filter(|(_, folder)| folder.is_dir()) {
            let files = entries(folder)?;
            if let Some(path) = files.iter().find(|path| path.is_dir()) {
                return Err(DataError::NestedFolder { path: path.clone() });
            }
            if files.is_empty() {
                return Err(DataError::EmptyClass { path: folder.clone() });
            }
            let taken = files.iter().enumerate().filter(|&(i, _)| take.takes(i)).filter_map(|(_, path)| path.file_name());
            samples.extend(taken.map(|file| Sample { class: class as u32, file: file.to_os_string() }));
        }
        Ok(Self { classes, samples, cache: Cache::of(CACHE_BYTES) })
    }

    /// Forgets the pictures kept so far and keeps at most `bytes` from now on.
    pub(super) fn set_cache(&mut self, bytes: u64) {
        self.cache = Cache::of(bytes);
    }

    pub(super) fn len(&self) -> usize {
        self.samples.len()
    }

    pub(super) fn label(&self, i: usize) -> usize {
        self.samples[i].class as usize
    }

    pub(super) fn path(&self, i: usize) -> PathBuf {
        let Sample { class, file } = &self.samples[i];
        self.classes[*class as usize].join(file)
    }

    /// Hands the decoded picture to `use_image`, and keeps it for the next call where all pictures are expected to fit.
    pub(super) fn with_image<R>(&self, i: usize, use_image: impl FnOnce(&Image) -> R) -> Result<R, DataError> {
        let slots = self.cache.slots.get().and_then(Option::as_ref);
        if let Some(image) = slots.and_then(|slots| slots[i].get()) {
            return Ok(use_image(image));
        }
        let image = decode(&self.path(i))?;
        let bytes = image.pixels.len() as u64;
        let slots = self.cache.slots.get_or_init(|| {
            let all_fit = bytes.saturating_mul(self.len() as u64) <= self.cache.limit;
            all_fit.then(|| (0..self.len()).map(|_| OnceLock::new()).collect())
        });
        match slots {
            Some(slots) if self.cache.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes <= self.cache.limit => {
                Ok(use_image(slots[i].get_or_init(|| image)))
            }
            Some(_) | None => Ok(use_image(&image)),
        }
    }
}
