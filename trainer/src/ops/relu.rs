//! Rectified linear unit, where it is not fused into the layer before it.

use super::{Activation, put, take};
use crate::backend::{Backend, Fault};
use dfdx::prelude::*;
use std::sync::Arc;

/// `max(x, 0)`, same shape.
///
/// # Errors
/// The device's, when memory runs out.
pub fn relu<B: Backend, T: Tape<f32, B::Device>>(
    backend: &Arc<B>,
    x: Activation<T, B::Device>,
) -> Result<Activation<T, B::Device>, Fault<B>> {
    let (x, mut tape) = x.split_tape();
    let mut y: Activation<NoneTape, B::Device> = x.device().try_zeros_like(&x)?;
    backend.relu_forward(backend.read(&x), backend.write(&mut y))?;
    if T::OWNS_TAPE {
        let (backend, x, y) = (Arc::clone(backend), x.ghost(), y.clone());
        tape.add_backward_op(move |grads| {
            let gy = take(backend.as_ref(), grads, &y)?;
            let gx = backend.write_vector(grads.get_or_alloc_mut(&x)?);
            backend.relu_backward(backend.read(&y), backend.read_vector(&gy), gx)?;
            put::<B, _>(grads, &y, gy)
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
