//! Convolution with bias and, where asked for, ReLU.

use super::layer::{self, Layer};
use super::{Activation, LayerParams};
use crate::backend::{Backend, ConvShape, Fault, LayerGrads, Saved};
use dfdx::prelude::*;
use std::sync::Arc;

/// `[N, C * H * W]` to `[N, O * OH * OW]`.
///
/// `input_learns` is false where nothing before this layer has parameters: then no gradient of `x` is computed.
///
/// # Errors
/// The device's, when memory runs out.
pub fn conv2d<B: Backend, T: Tape<f32, B::Device>>(
    backend: &Arc<B>,
    shape: ConvShape,
    x: Activation<T, B::Device>,
    params: LayerParams<'_, B::Device>,
    input_learns: bool,
) -> Result<Activation<T, B::Device>, Fault<B>> {
    layer::apply(backend, shape, x, params, input_learns)
}

impl<B: Backend> Layer<B> for ConvShape {
    fn outputs(&self) -> (usize, usize) {
        (self.batch, self.output.iter().product())
    }

    fn forward(
        &self,
        backend: &B,
        x: B::Read<'_>,
        (weight, bias): (B::Read<'_>, B::Read<'_>),
        y: B::Write<'_>,
    ) -> Result<(), Fault<B>> {
        backend.conv_forward(self, x, weight, bias, y)
    }

    fn backward(
        &self,
        backend: &B,
        saved: Saved<B::Read<'_>>,
        gy: B::Write<'_>,
        grads: LayerGrads<B::Write<'_>>,
    ) -> Result<(), Fault<B>> {
        backend.conv_backward(self, saved, gy, grads)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::raw;
    use crate::ops::gradient_check::{backend, check, normal};
    use staticnet::op::{Conv2d, Window};
    use staticnet_graph::graph::Tensor as Array;

    struct Case {
        batch: usize,
        input: [usize; 3],
        out_channels: usize,
        window: Window,
        groups: usize,
        relu: bool,
    }

    impl Case {
        fn shape(&self) -> ConvShape {
            let out = |axis: usize| self.window.output_len(axis, self.input[axis + 1] as u32).unwrap() as usize;
            ConvShape {
                batch: self.batch,
                input: self.input,
                output: [self.out_channels, out(0), out(1)],
                window: self.window,
                groups: self.groups,
                relu: self.relu,
            }
        }

        fn values(&self) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
            let taps = self.input[0] / self.groups * self.window.kernel[0] as usize * self.window.kernel[1] as usize;
            let x = normal("x", self.batch * self.input.iter().product::<usize>());
            // Before a ReLU, biases that keep whole channels on or off: no output crosses the kink under a small step.
            let bias = |c: usize| if c.is_multiple_of(2) { 30.0 } else { -30.0 };
            let biases = if self.relu { (0..self.out_channels).map(bias).collect() } else { normal("b", self.out_channels) };
            (x, normal("w", self.out_channels * taps), biases)
        }
    }

    fn cases() -> Vec<Case> {
        let odd = Window { kernel: [3, 2], stride: [2, 1], dilation: [1, 2], pads: [1, 2, 0, 1] };
        let phases = Window { kernel: [2, 4], stride: [1, 3], dilation: [3, 2], pads: [0, 5, 2, 1] };
        let skewed = Window { pads: [2, 0, 0, 1], ..Window::square(3, 1, 0) };
        vec![
            Case { batch: 3, input: [2, 5, 4], out_channels: 3, window: Window::square(3, 1, 1), groups: 1, relu: false },
            Case { batch: 2, input: [3, 9, 9], out_channels: 2, window: Window::square(5, 3, 2), groups: 1, relu: false },
            Case { batch: 5, input: [4, 5, 5], out_channels: 6, window: Window::square(3, 1, 1), groups: 2, relu: true },
            Case { batch: 3, input: [2, 6, 5], out_channels: 4, window: odd, groups: 2, relu: false },
            // Enough channels and pictures for Winograd's way, planes that are no multiple of its tiles, a rest of pictures.
            Case { batch: 18, input: [16, 3, 6], out_channels: 16, window: Window::square(3, 1, 1), groups: 1, relu: false },
            Case { batch: 16, input: [34, 5, 2], out_channels: 32, window: skewed, groups: 2, relu: true },
            // Wide strides, where the taps of a row stand in phases; pixels left over at the edges; single taps.
            Case { batch: 2, input: [3, 24, 19], out_channels: 7, window: Window::square(11, 4, 2), groups: 1, relu: false },
            Case { batch: 2, input: [6, 9, 11], out_channels: 9, window: phases, groups: 3, relu: true },
            Case { batch: 3, input: [5, 6, 7], out_channels: 13, window: Window::square(1, 1, 0), groups: 1, relu: false },
            Case { batch: 1, input: [1, 24, 24], out_channels: 2, window: Window::square(3, 1, 1), groups: 1, relu: false },
        ]
    }

    #[test]
    fn gradients() {
        let backend = backend();
        for case in cases() {
            let (x, w, b) = case.values();
            check(case.batch, x, vec![w, b], |x, p| {
                let params = LayerParams { weight: &p[0], bias: &p[1] };
                conv2d(&backend, case.shape(), x, params, true).unwrap()
            });
        }
    }

    #[test]
    fn forward_equals_the_reference() {
        let (backend, device) = (backend(), Cpu::default());
        for case in cases() {
            let ((x, w, b), shape) = (case.values(), case.shape());
            let tensor = |v: &Vec<f32>| device.tensor_from_vec(v.clone(), (v.len(),));
            let (weight, bias) = (tensor(&w), tensor(&b));
            let input: Activation = device.tensor_from_vec(x.clone(), (case.batch, x.len() / case.batch));
            let y = conv2d(&backend, shape, input, LayerParams { weight: &weight, bias: &bias }, true).unwrap();
            let [kh, kw] = case.window.kernel.map(usize::from);
            let weight_shape = vec![case.out_channels, case.input[0] / case.groups, kh, kw];
            let (w, b) = (Array { shape: weight_shape, data: w }, Array { shape: vec![case.out_channels], data: b });
            let attrs = Conv2d { window: case.window, groups: case.groups as u16 };
            let [c, h, width] = case.input;
            let [o, oh, ow] = shape.output;
            for (x, y) in x.chunks_exact(c * h * width).zip(raw::slice(&y).chunks_exact(o * oh * ow)) {
                let x = Array { shape: vec![1, c, h, width], data: x.to_vec() };
                let expected = staticnet_graph::op::conv::reference(&attrs, &x, &[&w, &b], &[1, o, oh, ow]);
                for (y, e) in y.iter().zip(&expected.data) {
                    let e = if case.relu { e.max(0.0) } else { *e };
                    assert!((y - e).abs() < 1e-4, "{y} instead of {e}");
                }
            }
        }
    }

    #[test]
    fn the_number_of_pictures_does_not_matter() {
        // 21 pictures make groups of 16, 4 and 1 in a product; each must come out as when alone.
        let case =
            Case { batch: 21, input: [2, 4, 4], out_channels: 3, window: Window::square(3, 1, 1), groups: 1, relu: true };
        let (backend, device) = (backend(), Cpu::default());
        let (x, w, b) = case.values();
        let tensor = |v: Vec<f32>| {
            let len = v.len();
            device.tensor_from_vec(v, (len,))
        };
        let (weight, bias) = (tensor(w), tensor(b));
        let params = LayerParams { weight: &weight, bias: &bias };
        let all: Activation = device.tensor_from_vec(x.clone(), (21, 32));
        let all = conv2d(&backend, case.shape(), all, params, true).unwrap().as_vec();
        for (x, y) in x.chunks_exact(32).zip(all.chunks_exact(48)) {
            let one: Activation = device.tensor_from_vec(x.to_vec(), (1, 32));
            let one = conv2d(&backend, ConvShape { batch: 1, ..case.shape() }, one, params, true).unwrap().as_vec();
            assert!(one.iter().zip(y).all(|(a, b)| (a - b).abs() < 1e-5));
        }
    }
}
