//! Local response normalisation across channels.

use super::{Activation, put, take};
use crate::backend::{Backend, Fault, LrnSaved, LrnShape};
use dfdx::prelude::*;
use std::sync::Arc;

/// `[N, C * H * W]` to the same shape.
///
/// # Errors
/// The device's, when memory runs out.
pub fn lrn<B: Backend, T: Tape<f32, B::Device>>(
    backend: &Arc<B>,
    shape: LrnShape,
    x: Activation<T, B::Device>,
) -> Result<Activation<T, B::Device>, Fault<B>> {
    let (x, mut tape) = x.split_tape();
    let mut y: Activation<NoneTape, B::Device> = x.device().try_zeros_like(&x)?;
    let mut base: Activation<NoneTape, B::Device> = x.device().try_zeros_like(&x)?;
    backend.lrn_forward(&shape, backend.read(&x), backend.write(&mut y), backend.write(&mut base))?;
    if T::OWNS_TAPE {
        let (backend, y) = (Arc::clone(backend), y.clone());
        tape.add_backward_op(move |grads| {
            let gy = take(backend.as_ref(), grads, &y)?;
            let gx = backend.write_vector(grads.get_or_alloc_mut(&x)?);
            let saved = LrnSaved { x: backend.read(&x), y: backend.read(&y), base: backend.read(&base) };
            backend.lrn_backward(&shape, saved, backend.read_vector(&gy), gx)?;
            put::<B, _>(grads, &y, gy)
        });
    }
    Ok(y.put_tape(tape))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::gradient_check::{backend, check, normal};
    use staticnet::op::Lrn;
    use staticnet_graph::graph::Tensor as Array;

    /// Large alphas, so that the neighbours matter.
    fn attributes() -> [Lrn; 3] {
        [
            Lrn { size: 5, alpha: 2.0, beta: 0.75, k: 2.0 },
            Lrn { size: 3, alpha: 1.0, beta: 0.6, k: 1.0 },
            Lrn { size: 4, alpha: 1.5, beta: 1.0, k: 1.5 },
        ]
    }

    #[test]
    fn gradients() {
        let backend = backend();
        for attrs in attributes() {
            let shape = LrnShape { batch: 2, channels: 7, plane: 6, attrs };
            check(2, normal("x", 84), vec![], |x, _| lrn(&backend, shape, x).unwrap());
        }
    }

    #[test]
    fn forward_equals_the_reference() {
        let device = Cpu::default();
        for attrs in attributes() {
            let x = normal("x", 42);
            let input: Activation = device.tensor_from_vec(x.clone(), (1, 42));
            let y = lrn(&backend(), LrnShape { batch: 1, channels: 7, plane: 6, attrs }, input).unwrap();
            let expected = staticnet_graph::op::lrn::reference(&attrs, &Array { shape: vec![1, 7, 2, 3], data: x });
            assert!(y.as_vec().iter().zip(&expected.data).all(|(y, e)| (y - e).abs() < 1e-5));
        }
    }
}
