//! Ranges of activations, measured with the runtime's own f32 engine on real inputs.
//!
//! Two passes over the samples: the first finds each tensor's extremes, the second a histogram of 2,048 bins between them. The
//! range kept is the one whose int8 grid has the smallest mean squared error on the histogram, clipping included, among 40
//! shrunken candidates: rare outliers do not cost everybody else their resolution.

use crate::error::Error;
use crate::host::Model;
use crate::network::{Kind, Network, Range};
use rayon::prelude::*;

const BINS: usize = 2048;

/// How often values fell into each of the equal bins of a range.
#[derive(Clone, Debug)]
struct Histogram {
    range: Range,
    counts: Vec<u64>,
}

impl Histogram {
    fn new(range: Range) -> Self {
        Histogram { range, counts: vec![0; BINS] }
    }

    fn add(&mut self, v: f32) {
        let width = self.range.hi - self.range.lo;
        let bin = ((v - self.range.lo) / width * BINS as f32) as usize;
        self.counts[bin.min(BINS - 1)] += 1;
    }

    fn merge(mut self, other: &Histogram) -> Self {
        self.counts.iter_mut().zip(&other.counts).for_each(|(a, b)| *a += b);
        self
    }

    /// Mean squared error of quantizing the histogram to 255 steps over `range`.
    fn error(&self, range: Range) -> f64 {
        let unit = (self.range.hi - self.range.lo) as f64 / BINS as f64;
        let step = (range.hi - range.lo) as f64 / 255.0;
        let mut sum = 0.0;
        for (i, &count) in self.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let v = self.range.lo as f64 + (i as f64 + 0.5) * unit;
            let clipped = v.clamp(range.lo as f64, range.hi as f64);
            // Inside the range the error of rounding is uniform: step^2 / 12.
            sum += count as f64 * ((v - clipped).powi(2) + step * step / 12.0);
        }
        sum
    }

    /// The range of smallest [`Histogram::error`] among shrunken ones.
    fn best_range(&self) -> Range {
        let full = Range { lo: self.range.lo.min(0.0), hi: self.range.hi.max(0.0) };
        let candidates = (0..40).map(|i| 1.0 - i as f32 * 0.02).map(|f| Range { lo: full.lo * f, hi: full.hi * f });
        candidates.min_by(|a, b| self.error(*a).total_cmp(&self.error(*b))).unwrap_or(full)
    }
}

/// Ranges of a network's tensors. `float` is its f32 artifact, `samples` are inputs in the device's bytes (NHWC f32).
///
/// # Errors
/// [`Error::Input`] where a tensor is not finite or there is no sample.
pub fn ranges(network: &Network, float: &Model, samples: &[Vec<u8>]) -> Result<Vec<Range>, Error> {
    if samples.is_empty() {
        return Err(Error::Input { from: "calibration".into(), reason: "there is no sample to calibrate on".into() });
    }
    let start = || vec![Range::EMPTY; network.tensors.len()];
    let extremes = observe(float, samples, start, |ranges: &mut Vec<Range>, tensor, values| {
        ranges[tensor] =
            values.iter().fold(ranges[tensor], |range, &v| if v.is_nan() { Range { lo: v, hi: v } } else { range.with(v) });
    })?;
    let extremes = extremes.into_iter().reduce(|a, b| a.iter().zip(b).map(|(a, b)| a.and(b)).collect()).unwrap_or_default();
    for (tensor, range) in network.tensors.iter().zip(&extremes).filter(|(t, _)| t.kind == Kind::Real) {
        if !range.lo.is_finite() || !range.hi.is_finite() {
            let reason = format!("the calibration samples make {} infinite or not a number", tensor.name);
            return Err(Error::Input { from: "calibration".into(), reason });
        }
    }
    let start = || extremes.iter().map(|&range| Histogram::new(range)).collect::<Vec<_>>();
    let histograms = observe(float, samples, start, |histograms: &mut Vec<Histogram>, tensor, values| {
        values.iter().for_each(|&v| histograms[tensor].add(v));
    })?;
    let histograms =
        histograms.into_iter().reduce(|a, b| a.into_iter().zip(&b).map(|(a, b)| a.merge(b)).collect()).unwrap_or_default();
    let keep = |i: usize, histogram: &Histogram| {
        // Inputs and outputs keep their whole range: a clipped logit could change the answer.
        if network.inputs.contains(&i) || network.outputs.contains(&i) { extremes[i] } else { histogram.best_range() }
    };
    Ok(histograms.iter().enumerate().map(|(i, histogram)| keep(i, histogram)).collect())
}

/// Runs all samples and shows every tensor's values to `look`, one accumulator a thread.
fn observe<A: Send>(
    float: &Model,
    samples: &[Vec<u8>],
    start: impl Fn() -> A + Sync,
    look: impl Fn(&mut A, usize, &[f32]) + Sync,
) -> Result<Vec<A>, Error> {
    let share = samples.len().div_ceil(rayon::current_num_threads());
    let part = |samples: &[Vec<u8>]| {
        let mut seen = start();
        let mut ram = float.ram();
        let artifact = float.artifact();
        let real = |tensor: usize| artifact.tensor(tensor).is_some_and(|t| t.dtype.is_f32());
        let mut last_maker = vec![0; artifact.tensor_count()];
        for i in 0..artifact.layer_count() {
            last_maker[artifact.layer(i).map_or(0, |layer| layer.output as usize)] = i;
        }
        let mut engine = float.engine(&mut ram)?;
        for sample in samples {
            if let Some(slot) = artifact.input_slot(0).filter(|slot| real(slot.tensor as usize)) {
                look(&mut seen, slot.tensor as usize, &floats(sample));
            }
            engine.run_on_tapped(&[sample], |done, _, made| {
                // Planned layer by layer: tensors are whole. A concatenation is complete when its last part is there.
                let layer = artifact.layer(done.layer).filter(|layer| last_maker[layer.output as usize] == done.layer);
                if let Some(layer) = layer.filter(|l| real(l.output as usize)) {
                    look(&mut seen, layer.output as usize, &floats(made.all()));
                }
            })?;
        }
        Ok(seen)
    };
    samples.par_chunks(share).map(part).collect()
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outlier_is_clipped_and_a_uniform_range_is_kept() {
        let range = Range { lo: 0.0, hi: 100.0 };
        let mut histogram = Histogram::new(range);
        (0..1_000_000).for_each(|i| histogram.add(i as f32 * 1e-5));
        histogram.add(100.0);
        assert!(histogram.best_range().hi < 60.0);
        let mut uniform = Histogram::new(range);
        (0..100_000).for_each(|i| uniform.add(i as f32 * 1e-3));
        assert_eq!(uniform.best_range(), range);
    }
}
