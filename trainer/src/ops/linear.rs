//! Fully connected layer with bias and, where asked for, ReLU.

use super::layer::{self, Layer};
use super::{Activation, LayerParams};
use crate::backend::{Backend, Fault, LayerGrads, LinearShape, Saved};
use dfdx::prelude::*;
use std::sync::Arc;

/// `[N, I]` to `[N, O]`: `y = x weight^T + bias`.
///
/// `input_learns` is false where nothing before this layer has parameters: then no gradient of `x` is computed.
///
/// # Errors
/// The device's, when memory runs out.
pub fn linear<B: Backend, T: Tape<f32, B::Device>>(
    backend: &Arc<B>,
    shape: LinearShape,
    x: Activation<T, B::Device>,
    params: LayerParams<'_, B::Device>,
    input_learns: bool,
) -> Result<Activation<T, B::Device>, Fault<B>> {
    layer::apply(backend, shape, x, params, input_learns)
}

impl<B: Backend> Layer<B> for LinearShape {
    fn outputs(&self) -> (usize, usize) {
        (self.batch, self.outputs)
    }

    fn forward(
        &self,
        backend: &B,
        x: B::Read<'_>,
        (weight, bias): (B::Read<'_>, B::Read<'_>),
        y: B::Write<'_>,
    ) -> Result<(), Fault<B>> {
        backend.linear_forward(self, x, weight, bias, y)
    }

    fn backward(
        &self,
        backend: &B,
        saved: Saved<B::Read<'_>>,
        gy: B::Write<'_>,
        grads: LayerGrads<B::Write<'_>>,
    ) -> Result<(), Fault<B>> {
        backend.linear_backward(self, saved, gy, grads)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::gradient_check::{backend, check, normal};

    #[test]
    fn gradients() {
        let backend = backend();
        for relu in [false, true] {
            let shape = LinearShape { batch: 3, inputs: 7, outputs: 5, relu };
            // Before a ReLU, biases that keep outputs on or off: none crosses the kink under a small step.
            let bias = if relu { vec![30.0, -30.0, 30.0, -30.0, 30.0] } else { normal("b", 5) };
            check(3, normal("x", 21), vec![normal("w", 35), bias], |x, p| {
                linear(&backend, shape, x, LayerParams { weight: &p[0], bias: &p[1] }, true).unwrap()
            });
        }
    }

    /// Samples and outputs that are no multiple of what the kernels take at once, and inputs that are taken in two parts.
    #[test]
    fn gradients_of_odd_sizes() {
        let backend = backend();
        for (batch, inputs, outputs) in [(19, 37, 13), (33, 18, 6), (2, 300, 7)] {
            let shape = LinearShape { batch, inputs, outputs, relu: false };
            let values = vec![normal("w", outputs * inputs), normal("b", outputs)];
            check(batch, normal("x", batch * inputs), values, |x, p| {
                linear(&backend, shape, x, LayerParams { weight: &p[0], bias: &p[1] }, true).unwrap()
            });
        }
    }

    #[test]
    fn by_hand() {
        let device = Cpu::default();
        let x: Activation = device.tensor_from_vec(vec![1.0, 2.0], (1, 2));
        let weight = device.tensor_from_vec(vec![1.0, 1.0, 3.0, -4.0], (4,));
        let bias = device.tensor_from_vec(vec![0.5, 1.0], (2,));
        let params = LayerParams { weight: &weight, bias: &bias };
        let run = |relu| {
            let shape = LinearShape { batch: 1, inputs: 2, outputs: 2, relu };
            linear(&backend(), shape, x.clone(), params, true).unwrap().as_vec()
        };
        assert_eq!(run(false), [3.5, -4.0]);
        assert_eq!(run(true), [3.5, 0.0]);
    }
}
