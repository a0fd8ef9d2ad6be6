//! Every kernel against the CPU backend, through the same trait.
//!
//! They run on the GPU that is there, or, with the libraries of `tests/simulated_gpu` on `LD_LIBRARY_PATH`, on a simulated one.
//! Where there is none they say so.

mod layers;
mod learning;
mod memory;

use super::{CudaBackend, CudaSetupError};
use crate::backend::cpu::CpuBackend;
use crate::backend::{Backend, Precision, Vector};
use dfdx::prelude::Storage;

/// A GPU, or none.
fn gpu(precision: Precision) -> Option<CudaBackend> {
    match CudaBackend::new(0, precision) {
        Ok(backend) => Some(backend),
        Err(CudaSetupError::NoDriver(_)) => {
            println!("skipped: no CUDA device");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn vector<B: Backend>(backend: &B, numbers: &[f32]) -> Vector<B> {
    let mut vector = Storage::<f32>::try_alloc_len(backend.device(), numbers.len()).unwrap();
    backend.set(backend.write_vector(&mut vector), numbers).unwrap();
    vector
}

fn numbers<B: Backend>(backend: &B, vector: &Vector<B>) -> Vec<f32> {
    backend.host(backend.read_vector(vector)).unwrap().into_owned()
}

/// Something that both backends can do.
trait Trial {
    /// All that comes of it.
    fn run<B: Backend>(&self, backend: &B) -> Vec<Vec<f32>>;
}

/// Holds a GPU against the processor: differences up to `tolerance` of the largest magnitude, NaNs in the same places. On the
/// GPU a second run must give the same bits.
fn compare(precision: Precision, tolerance: f32, trials: &[impl Trial]) {
    let Some(gpu) = gpu(precision) else {
        return;
    };
    let cpu = CpuBackend::new(2).unwrap();
    for (number, trial) in trials.iter().enumerate() {
        let (found, expected) = (trial.run(&gpu), trial.run(&cpu));
        assert_eq!(found.len(), expected.len());
        for (which, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert_eq!(found.len(), expected.len(), "trial {number}, vector {which}");
            let largest = expected.iter().fold(1e-3_f32, |m, v| m.max(v.abs()));
            for (i, (f, e)) in found.iter().zip(expected).enumerate() {
                let close = f.to_bits() == e.to_bits() || f.is_nan() && e.is_nan() || (f - e).abs() <= tolerance * largest;
                assert!(close, "trial {number}, vector {which}, element {i}: {f} instead of {e}; largest {largest}");
            }
        }
        let bits = |vectors: &[Vec<f32>]| vectors.iter().flatten().map(|v| v.to_bits()).collect::<Vec<u32>>();
        assert_eq!(bits(&trial.run(&gpu)), bits(&found), "trial {number}: another run gives other bits");
    }
}
