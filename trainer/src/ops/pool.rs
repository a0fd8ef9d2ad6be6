//! Max-pool.

use super::{Activation, put, take};
use crate::backend::{Backend, Fault, PoolShape};
use dfdx::prelude::*;
use std::sync::Arc;

/// `[N, C * H * W]` to `[N, C * OH * OW]`.
///
/// # Errors
/// The device's, when memory runs out.
pub fn max_pool<B: Backend, T: Tape<f32, B::Device>>(
    backend: &Arc<B>,
    shape: PoolShape,
    x: Activation<T, B::Device>,
) -> Result<Activation<T, B::Device>, Fault<B>> {
    let (batch, _) = *x.shape();
    let (x, mut tape) = x.split_tape();
    let outputs = shape.planes * shape.output[0] * shape.output[1];
    let mut y: Activation<NoneTape, B::Device> = x.device().try_zeros_like(&(batch, outputs / batch))?;
    let argmax = backend.max_pool_forward(&shape, backend.read(&x), backend.write(&mut y))?;
    if T::OWNS_TAPE {
        let (backend, x, y) = (Arc::clone(backend), x.ghost(), y.clone());
        tape.add_backward_op(move |grads| {
            let gy = take(backend.as_ref(), grads, &y)?;
            let gx = backend.write_vector(grads.get_or_alloc_mut(&x)?);
            backend.max_pool_backward(&shape, &argmax, backend.read_vector(&gy), gx)?;
            put::<B, _>(grads, &y, gy)
        });
    }
    Ok(y.put_tape(tape))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::gradient_check::{backend, check, distinct};
    use staticnet::op::{MaxPool, Window};
    use staticnet_graph::graph::Tensor as Array;

    fn windows() -> [Window; 4] {
        [
            Window::square(2, 2, 0),
            // Overlapping: an input pixel may win in several windows.
            Window::square(3, 2, 0),
            Window::square(3, 1, 1),
            Window { kernel: [2, 3], stride: [1, 2], dilation: [2, 1], pads: [1, 0, 0, 1] },
        ]
    }

    fn shape(window: Window, batch: usize, channels: usize, input: [usize; 2]) -> PoolShape {
        let output = [0, 1].map(|axis| window.output_len(axis, input[axis] as u32).unwrap() as usize);
        PoolShape { planes: batch * channels, input, output, window }
    }

    #[test]
    fn gradients() {
        let backend = backend();
        for window in windows() {
            let shape = shape(window, 2, 3, [7, 6]);
            check(2, distinct("x", 2 * 3 * 7 * 6), vec![], |x, _| max_pool(&backend, shape, x).unwrap());
        }
    }

    #[test]
    fn forward_equals_the_reference() {
        let device = Cpu::default();
        for window in windows() {
            let (x, shape) = (distinct("x", 3 * 7 * 6), shape(window, 1, 3, [7, 6]));
            let input: Activation = device.tensor_from_vec(x.clone(), (1, x.len()));
            let y = max_pool(&backend(), shape, input).unwrap();
            let x = Array { shape: vec![1, 3, 7, 6], data: x };
            let expected =
                staticnet_graph::op::pool::max_reference(&MaxPool { window }, &x, &[1, 3, shape.output[0], shape.output[1]]);
            assert_eq!(y.as_vec(), expected.data);
        }
    }
}
