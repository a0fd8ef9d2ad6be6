//! Rectified linear unit, where it is not fused into the layer before it.

use super::Activation;
use crate::backend::{Backend, raw};
use dfdx::prelude::*;
use std::sync::Arc;

/// `max(x, 0)`, same shape.
///
/// # Errors
/// The device's, when memory runs out.
pub fn relu<B: Backend, T: Tape<f32, Cpu>>(backend: &Arc<B>, x: Activation<T>) -> Result<Activation<T>, CpuError> {
    let (x, mut tape) = x.split_tape();
    let mut y: Activation = x.device().try_zeros_like(&x)?;
    backend.relu_forward(raw::slice(&x), raw::slice_mut(&mut y));
    if T::OWNS_TAPE {
        let (backend, x_ghost, saved_y) = (Arc::clone(backend), x.ghost(), y.clone());
        tape.add_backward_op(move |grads| {
            let gy = super::take(grads, &saved_y)?;
            backend.relu_backward(raw::slice(&saved_y), &gy, grads.get_or_alloc_mut(&x_ghost)?);
            super::put(grads, &saved_y, gy)
        });
    }
    Ok(y.put_tape(tape))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::gradient_check::{backend, check, distinct};

    #[test]
    fn gradients() {
        let backend = backend();
        // Shifted off zero, where the slope jumps.
        let x = distinct("x", 40).iter().map(|v| v + 0.02).collect();
        check(4, x, vec![], |x, _| relu(&backend, x).unwrap());
    }
}
