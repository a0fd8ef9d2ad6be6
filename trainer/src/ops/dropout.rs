//! Dropout with masks drawn from keyed random numbers.

use super::{Activation, put, take};
use crate::backend::{Backend, Fault};
use crate::rng::KeyedRng;
use dfdx::prelude::*;
use std::sync::Arc;

/// Zeroes elements with probability `ratio` and scales the others by `1 / (1 - ratio)`; `masks` has one sequence a sample.
///
/// # Errors
/// The device's, when memory runs out.
pub fn dropout<B: Backend, T: Tape<f32, B::Device>>(
    backend: &Arc<B>,
    masks: Vec<KeyedRng>,
    ratio: f32,
    x: Activation<T, B::Device>,
) -> Result<Activation<T, B::Device>, Fault<B>> {
    assert_eq!(masks.len(), x.shape().0, "one sequence a sample");
    let (x, mut tape) = x.split_tape();
    let masks = backend.masks(masks)?;
    let mut y: Activation<NoneTape, B::Device> = x.device().try_zeros_like(&x)?;
    backend.dropout_forward(&masks, ratio, backend.read(&x), backend.write(&mut y))?;
    if T::OWNS_TAPE {
        let (backend, x, y) = (Arc::clone(backend), x.ghost(), y.clone());
        tape.add_backward_op(move |grads| {
            let gy = take(backend.as_ref(), grads, &y)?;
            let gx = backend.write_vector(grads.get_or_alloc_mut(&x)?);
            backend.dropout_backward(&masks, ratio, backend.read_vector(&gy), gx)?;
            put::<B, _>(grads, &y, gy)
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
