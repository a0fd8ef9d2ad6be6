//! Mean and deviation of the channels.

use std::thread;

use staticnet::preprocess::Preprocess;
use staticnet_data::{DataError, DataSet};

use super::fill::fit;

/// Pictures the normalisation is computed from.
const STATISTICS_SAMPLES: usize = 4096;
/// The smallest standard deviation: one step of a byte. A channel without contrast would be divided by 0.
const SMALLEST_STD: f32 = 1.0 / 255.0;

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
    let (mut pixels, mut scratch) = (vec![0; preprocess.len()], Vec::new());
    for index in samples {
        data.with_picture(index, |picture| fit(preprocess, picture, None, &mut scratch, &mut pixels))
            .and_then(|fitted| fitted.map_err(|error| DataError::Preprocess { name: data.name(index), error }))
            .map_err(|error| (index, error))?;
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
