//! Which pictures can be read, found out before a training begins.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use staticnet_data::{DataError, DataSet};
use staticnet_graph::file::{read_at_most, write_atomically};

/// The longest file of known pictures that is read, in bytes: about 20 million pictures.
const MAX_BYTES: u64 = 4 << 30;
/// So many pictures are checked before what is known is written for the first time, then twice as many, and so on: a check that
/// is stopped loses at most half of its work.
const FIRST_SAVE: usize = 1024;

/// A sample that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bad {
    /// Which sample of the data set.
    pub index: usize,
    /// What is wrong with its picture; names the file.
    pub error: DataError,
}

/// Decodes every picture of `data`, on all cores, and says which cannot be used, in the order of the samples.
///
/// Pictures that the file `known` knows of, and whose length and time of change are those noted there, are not decoded again; what
/// is found out is added to it. A missing or damaged file knows nothing. IDX and CIFAR-10 files need no check. `progress` is
/// told how many of the pictures to be decoded have been, and of how many. What is decoded stays in the data set's cache.
///
/// # Errors
/// [`DataError::Write`] where `known` or its folder cannot be written. A picture's error is part of the result.
pub fn check(data: &DataSet, known: Option<&Path>, progress: &mut dyn FnMut(usize, usize)) -> Result<Vec<Bad>, DataError> {
    let mut knowledge = known.map_or_else(Knowledge::default, Knowledge::read);
    let (mut bad, mut unknown) = (Vec::new(), Vec::new());
    for index in 0..data.len() {
        let Some(path) = data.file(index) else { continue };
        match knowledge.of(&path, Stamp::of(&path)) {
            Some(Ok(())) => {}
            Some(Err(error)) => bad.push(Bad { index, error }),
            None => unknown.push(index),
        }
    }
    let (next, of) = (AtomicUsize::new(0), unknown.len());
    let threads = thread::available_parallelism().map_or(1, |n| n.get()).min(of);
    thread::scope(|scope| {
        let (sender, results) = channel();
        for _ in 0..threads {
            let sender = sender.clone();
            scope.spawn(|| {
                let sender = sender;
                while let Some(&index) = unknown.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let path = data.file(index).unwrap_or_default();
                    // Taken before the file is read: a change in between makes it unknown the next time.
                    let stamp = Stamp::of(&path);
                    if sender.send((index, path, stamp, data.with_picture(index, |_| ()))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut save_at = FIRST_SAVE;
        for (done, (index, path, stamp, result)) in (1..).zip(results) {
            progress(done, of);
            knowledge.learn(&path, stamp, &result);
            bad.extend(result.err().map(|error| Bad { index, error }));
            if done == of || done == save_at {
                save_at = 2 * done;
                known.map_or(Ok(()), |known| knowledge.write(known))?;
            }
        }
        Ok(())
    })?;
    bad.sort_by_key(|bad| bad.index);
    Ok(bad)
}

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    /// Length in bytes.
    bytes: u64,
    /// Time of change, in nanoseconds since 1970.
    modified: u64,
}

impl Stamp {
    /// `None` where the file system does not say.
    fn of(path: &Path) -> Option<Stamp> {
        let metadata = path.metadata().ok()?;
        let modified = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        Some(Stamp { bytes: metadata.len(), modified: modified.as_nanos().try_into().ok()? })
    }
}

/// A picture as it was when it was decoded.
#[derive(Debug, Serialize, Deserialize)]
struct Seen {
    #[serde(flatten)]
    stamp: Stamp,
    /// Why it cannot be used; `None` where it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// What is known about pictures, by path.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Knowledge {
    pictures: BTreeMap<String, Seen>,
}

impl Knowledge {
    fn read(path: &Path) -> Knowledge {
        let bytes = read_at_most(path, MAX_BYTES).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    /// Whether the picture can be used; `None` where that is not known.
    fn of(&self, path: &Path, stamp: Option<Stamp>) -> Option<Result<(), DataError>> {
        let seen = self.pictures.get(path.to_str()?).filter(|seen| Some(seen.stamp) == stamp)?;
        Some(match &seen.reason {
            None => Ok(()),
            Some(reason) => Err(DataError::Picture { path: path.to_path_buf(), reason: reason.clone() }),
        })
    }

    /// Remembers a result, if it is the file's own: one that could not be read may be readable the next time without a change.
    fn learn(&mut self, path: &Path, stamp: Option<Stamp>, result: &Result<(), DataError>) {
        let reason = match result {
            Ok(()) => None,
            Err(DataError::Picture { reason, .. }) => Some(reason.clone()),
            Err(_) => return,
        };
        if let (Some(name), Some(stamp)) = (path.to_str(), stamp) {
            self.pictures.insert(name.to_string(), Seen { stamp, reason });
        }
    }

    fn write(&self, path: &Path) -> Result<(), DataError> {
        let fail =
            |path: &Path, error: &dyn std::fmt::Display| DataError::Write { path: path.into(), reason: error.to_string() };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| fail(folder, &error))?;
        }
        let text = serde_json::to_vec(self).map_err(|error| fail(path, &error))?;
        write_atomically(path, &text).map_err(|error| fail(&error.file, &error.source))
    }
}

#[cfg(test)]
mod tests;
