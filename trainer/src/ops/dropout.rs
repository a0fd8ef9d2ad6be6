//! Dropout with masks drawn from keyed random numbers.

use super::Activation;
use crate::backend::{Backend, raw};
use crate::rng::KeyedRng;
use dfdx::prelude::*;
use std::sync::Arc;

/// Zeroes elements with probability `ratio` and scales the others by `1 / (1 - ratio)`; `masks` has one sequence a sample.
///
/// # Errors
/// The device's, when memory runs out.
pub fn dropout<B: Backend, T: Tape<f32, Cpu>>(
    backend: &Arc<B>,
    masks: Vec<KeyedRng>,
    ratio: f32,
    x: Activation<T>,
) -> Result<Activation<T>, CpuError> {
    assert_eq!(masks.len(), x.shape().0, "one sequence a sample");
    let (x, mut tape) = x.split_tape();
    let mut y: Activation = x.device().try_zeros_like(&x)?;
    backend.dropout_forward(&masks, ratio, raw::slice(&x), raw::slice_mut(&mut y));
    if T::OWNS_TAPE {
        let (backend, x_ghost, y_ghost) = (Arc::clone(backend), x.ghost(), y.ghost());
        tape.add_backward_op(move |grads| {
            let gy = std::mem::take::<Vec<f32>>(grads.get_or_alloc_mut(&y_ghost)?);
            backend.dropout_backward(&masks, ratio, &gy, grads.get_or_alloc_mut(&x_ghost)?);
            **grads.get_or_alloc_mut(&y_ghost)? = gy;
            Ok(())
        });
    }
    Ok(y.put_tape(tape))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::gradient_check::{backend, check, normal};
    use crate::rng::stream;

    fn masks(samples: std::ops::Range<u64>) -> Vec<KeyedRng> {
        samples.map(|i| KeyedRng::new(5, 0, i, stream::DROPOUT)).collect()
    }

    #[test]
    fn gradients() {
        let backend = backend();
        check(3, normal("x", 60), vec![], |x, _| dropout(&backend, masks(0..3), 0.4, x).unwrap());
    }

    #[test]
    fn a_sample_draws_the_same_mask_in_any_batch() {
        let device = Cpu::default();
        let ones = |n: usize| -> Activation { device.tensor_from_vec(vec![1.0; n * 1000], (n, 1000)) };
        let all = dropout(&backend(), masks(0..4), 0.25, ones(4)).unwrap().as_vec();
        let last = dropout(&backend(), masks(3..4), 0.25, ones(1)).unwrap().as_vec();
        assert_eq!(all[3000..], last);
        assert_ne!(all[2000..3000], last);
        let dropped = all.iter().filter(|v| **v == 0.0).count();
        assert!((900..1100).contains(&dropped), "{dropped} of 4000 dropped, a quarter was asked for");
        assert!(all.iter().all(|v| *v == 0.0 || *v == 1.0 / 0.75));
    }
}
