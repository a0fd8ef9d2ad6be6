//! The loss.

use super::Activation;
use crate::backend::{Backend, raw};
use dfdx::prelude::*;
use std::sync::Arc;

/// Mean over the batch of `-ln softmax(logits)[label]`. `logits` is `[N, classes]`; `labels` has N entries below `classes`.
///
/// # Errors
/// The device's, when memory runs out.
pub fn softmax_cross_entropy<B: Backend, T: Tape<f32, Cpu>>(
    backend: &Arc<B>,
    logits: Activation<T>,
    labels: &[u32],
) -> Result<Tensor<Rank0, f32, Cpu, T>, CpuError> {
    let (_, classes) = *logits.shape();
    let (logits, mut tape) = logits.split_tape();
    let mut gradient: Activation = logits.device().try_zeros_like(&logits)?;
    let mean = backend.softmax_cross_entropy(classes, raw::slice(&logits), labels, raw::slice_mut(&mut gradient));
    let loss: Tensor<Rank0, f32, Cpu> = logits.device().try_tensor(mean)?;
    if T::OWNS_TAPE {
        let (backend, logits_ghost, loss_ghost) = (Arc::clone(backend), logits.ghost(), loss.ghost());
        tape.add_backward_op(move |grads| {
            let factor = grads.get_or_alloc_mut(&loss_ghost)?[0];
            backend.add_scaled(factor, raw::slice(&gradient), grads.get_or_alloc_mut(&logits_ghost)?);
            Ok(())
        });
    }
    Ok(loss.put_tape(tape))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::gradient_check::{backend, check, normal};

    #[test]
    fn gradients() {
        let backend = backend();
        check(3, normal("x", 15), vec![], |x, _| {
            let loss = softmax_cross_entropy(&backend, x, &[4, 0, 2]).unwrap();
            loss.reshape_like(&(1, 1))
        });
    }

    #[test]
    fn by_hand() {
        let device = Cpu::default();
        let even: Activation = device.tensor_from_vec(vec![1000.0; 8], (2, 4));
        let loss = softmax_cross_entropy(&backend(), even, &[0, 3]).unwrap().array();
        assert!((loss - 4.0_f32.ln()).abs() < 1e-6, "equal logits give ln(4), not {loss}");
        // softmax of (0, ln 3) is (1/4, 3/4).
        let logits: Activation = device.tensor_from_vec(vec![0.0, 3.0_f32.ln()], (1, 2));
        let loss = softmax_cross_entropy(&backend(), logits, &[1]).unwrap().array();
        assert!((loss - (4.0_f32 / 3.0).ln()).abs() < 1e-6);
    }
}
