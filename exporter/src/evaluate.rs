//! Accuracy of an artifact on a data set, run by the runtime.

use crate::error::Error;
use crate::host::Model;
use rayon::prelude::*;
use serde::Serialize;
use staticnet_data::DataSet;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How often the label was the highest score, and among the five highest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Accuracy {
    /// Number of samples.
    pub n: usize,
    /// Fraction whose label had the highest score.
    pub top1: f64,
    /// Fraction whose label was among the five highest.
    pub top5: f64,
}

/// Runs every sample through the artifact's own preprocessing. `progress` is told how many are done.
///
/// # Errors
/// [`Error::Data`] for a picture that cannot be read, [`Error::Run`] where the artifact takes no pictures.
pub fn accuracy(model: &Model, data: &DataSet, progress: &(dyn Fn(usize) + Sync)) -> Result<Accuracy, Error> {
    let done = AtomicUsize::new(0);
    let share = data.len().div_ceil(4 * rayon::current_num_threads()).max(1);
    let indices: Vec<usize> = (0..data.len()).collect();
    let parts: Result<Vec<(usize, usize)>, Error> = indices
        .par_chunks(share)
        .map(|part| {
            let mut ram = model.ram();
            let mut engine = model.engine(&mut ram)?;
            let (mut first, mut five) = (0, 0);
            for &i in part {
                data.with_picture(i, |picture| engine.set_picture(picture))??;
                engine.run()?;
                let top = engine.top_k::<5>();
                let place = top.iter().position(|score| score.class as usize == data.label(i));
                first += usize::from(place == Some(0));
                five += usize::from(place.is_some());
                progress(done.fetch_add(1, Ordering::Relaxed) + 1);
            }
            Ok((first, five))
        })
        .collect();
    let (first, five) = parts?.into_iter().fold((0, 0), |(a, b), (c, d)| (a + c, b + d));
    let n = data.len();
    Ok(Accuracy { n, top1: first as f64 / n.max(1) as f64, top5: five as f64 / n.max(1) as f64 })
}
