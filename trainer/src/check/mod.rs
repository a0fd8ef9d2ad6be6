//! Whether a device computes what the processor computes: `trainer check-gpu`.
//!
//! The processor's kernels are held against finite differences and PyTorch by the tests; a device is held against the processor: every
//! operation forward and backward, a training beside the processor's, a training that goes on from its own state, memory that does
//! not grow. Then it is timed. Nothing here knows which device it is.

mod layers;
mod training;

pub use layers::layers;
pub use training::{Trial, curves, memory, resumed, throughput};

use crate::backend::{DeviceError, LossError};
use crate::network::NetworkError;
use crate::optim::{OptimiserError, RestoreError};
use crate::train::TrainError;
use serde::Serialize;
use staticnet_graph::graph::ShapeError;
use std::fmt;

/// One number that was checked.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Check {
    /// What was compared or measured.
    pub name: String,
    /// What came out.
    pub value: f64,
    /// The most it may be.
    pub bound: f64,
}

impl Check {
    /// Whether it holds; what is not a number does not.
    pub fn ok(&self) -> bool {
        self.value <= self.bound
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.ok() { "ok" } else { "FAILED" };
        write!(f, "{:48} {:>10.3e} (at most {:.0e}) {verdict}", self.name, self.value, self.bound)
    }
}

/// A rate that was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rate {
    /// Network, pictures of a batch.
    pub name: String,
    /// Whole training steps, in pictures a second; pictures come from memory.
    pub images_per_s: f64,
}

/// Why a check could not be made.
#[derive(Debug)]
pub enum CheckError {
    /// No architecture has this name.
    Architecture(&'static str),
    /// A network cannot be built.
    Shape(ShapeError),
    /// A network does not fit the device.
    Network(NetworkError),
    /// A step failed.
    Step(LossError),
    /// The optimiser failed.
    Optimiser(OptimiserError),
    /// The optimiser does not go on from its own state.
    Restore(RestoreError),
    /// Batches do not get to the device.
    Batches(Box<TrainError>),
    /// The device failed.
    Device(DeviceError),
}

impl fmt::Display for CheckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CheckError::Architecture(name) => write!(f, "no architecture is called `{name}`"),
            CheckError::Shape(error) => write!(f, "{error}"),
            CheckError::Network(error) => write!(f, "{error}"),
            CheckError::Step(error) => write!(f, "{error}"),
            CheckError::Optimiser(error) => write!(f, "{error}"),
            CheckError::Restore(error) => write!(f, "{error}"),
            CheckError::Batches(error) => write!(f, "{error}"),
            CheckError::Device(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for CheckError {}

macro_rules! from {
    ($($error:ty => $variant:ident),*) => {
        $(impl From<$error> for CheckError {
            fn from(error: $error) -> Self {
                CheckError::$variant(error)
            }
        })*
    };
}
from! { ShapeError => Shape, NetworkError => Network, LossError => Step, OptimiserError => Optimiser, RestoreError => Restore, DeviceError => Device }

/// The largest difference over the largest magnitude of `expected`; infinite where one is not a number.
pub(crate) fn difference(expected: &[f32], found: &[f32]) -> f64 {
    if expected.len() != found.len() {
        return f64::INFINITY;
    }
    let largest = expected.iter().fold(f64::MIN_POSITIVE, |m, v| m.max(f64::from(v.abs())));
    let apart = |(a, b): (&f32, &f32)| if a.is_finite() && b.is_finite() { f64::from((a - b).abs()) } else { f64::INFINITY };
    expected.iter().zip(found).map(apart).fold(0.0, f64::max) / largest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::cpu::CpuBackend;
    use std::sync::Arc;

    fn backends() -> [Arc<CpuBackend>; 2] {
        [1, 2].map(|threads| Arc::new(CpuBackend::new(threads).unwrap()))
    }

    #[test]
    fn one_processor_is_like_another() {
        let [one, two] = backends();
        let checks = layers(&one, &two, 1e-4).unwrap();
        assert!(checks.len() > 60, "{}", checks.len());
        assert!(checks.iter().all(Check::ok), "{checks:?}");
        assert!(checks.iter().any(|check| check.value > 0.0), "other numbers of threads add in another order");
    }

    #[test]
    fn a_training_is_like_itself() {
        let [one, two] = backends();
        let trial = Trial { arch: "lenet", batch_size: 8, steps: 12 };
        let [ours, theirs] = curves(&one, &two, &trial, &mut |_| ()).unwrap();
        assert_eq!(ours.len(), 12);
        assert!(ours[11] < 0.7 * ours[0], "nothing is learned: {ours:?}");
        assert!(difference(&ours, &theirs) < 1e-4, "{ours:?} {theirs:?}");
        assert_eq!(resumed(&two, &trial).unwrap(), 0.0);
        assert!(throughput(&one, &Trial { steps: 2, ..trial }).unwrap().images_per_s > 0.0);
    }

    #[test]
    fn what_is_not_a_number_is_a_difference() {
        assert_eq!(difference(&[1.0, -2.0], &[1.5, -2.0]), 0.25);
        assert_eq!(difference(&[1.0], &[f32::NAN]), f64::INFINITY);
        assert_eq!(difference(&[1.0], &[1.0, 2.0]), f64::INFINITY);
        let broken = Check { name: "x".into(), value: f64::NAN, bound: 1.0 };
        assert!(!broken.ok());
    }
}
