//! Event files for TensorBoard.
//!
//! Written by hand: two kinds of message in a checksummed frame are less code than the generated types of TensorFlow's schema that a
//! crate would bring.

use super::protobuf::{Histogram, Said, event};
use super::record::framed;
use staticnet_graph::file::FileError;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Buckets of a histogram.
const BUCKETS: usize = 30;

/// What the name of every event file begins with.
const PREFIX: &str = "events.out.tfevents.";

/// An event file. Every record goes to the operating system at once. TensorBoard reads the files of a folder in the order of their
/// names, which begin with the time, and the first record of this one voids what the files before it say about later steps: they
/// need not be touched when a training goes on.
#[derive(Debug)]
pub struct EventFile {
    path: PathBuf,
    file: File,
}

impl EventFile {
    /// Makes `events.out.tfevents.SECONDS.staticnet.PID.0` in the folder, which is made where there is none. `resumed` is the
    /// number of steps after which the training goes on; what is there about later ones is void, all of it where a training
    /// begins.
    ///
    /// # Errors
    /// [`FileError`] naming the folder or file.
    pub fn create(folder: &Path, resumed: Option<u64>) -> Result<Self, FileError> {
        let fail = |file: &Path, source| FileError { file: file.to_path_buf(), action: "write", source };
        fs::create_dir_all(folder).map_err(|source| fail(folder, source))?;
        let last = last_time(folder).map_err(|source| fail(folder, source))?;
        // Behind all that are there, were the clock turned back or two made within a second.
        let seconds = last.map_or(0, |last| last + 1).max(now() as u64);
        let path = folder.join(format!("{PREFIX}{seconds:010}.staticnet.{}.0", std::process::id()));
        let file = OpenOptions::new().write(true).create_new(true).open(&path).map_err(|source| fail(&path, source))?;
        let mut events = EventFile { path, file };
        events.say(0, &Said::FileVersion)?;
        events.say(resumed.map_or(0, |resumed| resumed + 1), &Said::Start)?;
        Ok(events)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds numbers after `step` steps, by tag; TensorBoard groups tags by what is before the `/`. They are kept as binary32.
    ///
    /// # Errors
    /// [`FileError`] naming the file.
    pub fn scalars(&mut self, step: u64, values: &[(String, f64)]) -> Result<(), FileError> {
        self.say(step, &Said::Scalars(values))
    }

    /// Adds how numbers are distributed after `step` steps: 30 buckets of one width. What is not finite is left out; nothing is
    /// added where nothing is left.
    ///
    /// # Errors
    /// [`FileError`] naming the file.
    pub fn histogram(&mut self, step: u64, tag: &str, values: &[f32]) -> Result<(), FileError> {
        histogram(values).map_or(Ok(()), |histogram| self.say(step, &Said::Histogram(tag, &histogram)))
    }

    fn say(&mut self, step: u64, said: &Said<'_>) -> Result<(), FileError> {
        let written = self.file.write_all(&framed(&event(now(), step, said)));
        written.map_err(|source| FileError { file: self.path.clone(), action: "write", source })
    }
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

/// The latest time in the names of the event files in a folder.
fn last_time(folder: &Path) -> io::Result<Option<u64>> {
    let mut last = None;
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let time =
            name.to_str().and_then(|name| name.strip_prefix(PREFIX)).and_then(|rest| rest.split('.').next()?.parse().ok());
        last = last.max(time);
    }
    Ok(last)
}

fn histogram(values: &[f32]) -> Option<Histogram> {
    let finite = || values.iter().filter(|value| value.is_finite()).map(|value| f64::from(*value));
    let min = finite().reduce(f64::min)?;
    let max = finite().reduce(f64::max)?;
    let buckets = if max > min { BUCKETS } else { 1 };
    let width = (max - min) / buckets as f64;
    let mut histogram = Histogram {
        min,
        max,
        num: 0.0,
        sum: 0.0,
        squares: 0.0,
        limits: (1..=buckets).map(|i| if i == buckets { max } else { min + width * i as f64 }).collect(),
        counts: vec![0.0; buckets],
    };
    for value in finite() {
        let bucket = if width > 0.0 { ((value - min) / width) as usize } else { 0 };
        histogram.counts[bucket.min(buckets - 1)] += 1.0;
        histogram.num += 1.0;
        histogram.sum += value;
        histogram.squares += value * value;
    }
    Some(histogram)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histograms_by_hand() {
        // Buckets of width 1 from 0 to 30.
        let h = histogram(&[0.0, 0.5, 1.5, 30.0, f32::NAN, f32::INFINITY]).unwrap();
        assert_eq!((h.min, h.max, h.num, h.sum, h.squares), (0.0, 30.0, 4.0, 32.0, 902.5));
        assert_eq!((h.limits.len(), h.limits[0], h.limits[29]), (30, 1.0, 30.0));
        assert_eq!((h.counts[0], h.counts[1], h.counts[29], h.counts.iter().sum::<f64>()), (2.0, 1.0, 1.0, 4.0));
        let h = histogram(&[2.0; 3]).unwrap();
        assert_eq!((h.limits, h.counts), (vec![2.0], vec![3.0]));
        assert_eq!(histogram(&[f32::NAN]), None);
    }

    #[test]
    fn files_go_by_name_in_the_order_they_are_made() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("tensorboard");
        let made: Vec<PathBuf> = (0..3).map(|_| EventFile::create(&folder, None).unwrap().path().to_path_buf()).collect();
        assert!(made.is_sorted_by(|a, b| a < b), "{made:?}");
        let name = made[0].file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with("events.out.tfevents.") && name.contains(".staticnet."), "{name}");
    }
}
