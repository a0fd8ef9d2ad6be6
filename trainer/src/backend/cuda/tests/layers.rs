//! Layers, forward and back.

use super::{Trial, compare, gpu, numbers, vector};
use crate::backend::cpu::CpuBackend;
use crate::backend::{Backend, ConvShape, LayerGrads, LinearShape, LrnSaved, LrnShape, PoolShape, Precision, Saved};
use crate::ops::gradient_check::{distinct, normal};
use crate::rng::{KeyedRng, stream};
use staticnet::op::{Lrn, Window};

const CLOSE: f32 = 1e-4;
/// What is left of the factors has 11 bits.
const ROUNDED: f32 = 4e-3;

struct Conv {
    shape: ConvShape,
    input_learns: bool,
}

impl Conv {
    fn new(batch: usize, input: [usize; 3], out_channels: usize, window: Window, groups: usize) -> Self {
        let out = |axis: usize| window.output_len(axis, input[axis + 1] as u32).unwrap() as usize;
        let output = [out_channels, out(0), out(1)];
        let relu = out_channels.is_multiple_of(2);
        Conv { shape: ConvShape { batch, input, output, window, groups, relu }, input_learns: true }
    }
}

impl Trial for Conv {
    fn run<B: Backend>(&self, backend: &B) -> Vec<Vec<f32>> {
        let ConvShape { batch, input, output, window, groups, .. } = self.shape;
        let [inputs, outputs] = [input, output].map(|shape| batch * shape.iter().product::<usize>());
        let taps = input[0] / groups * window.kernel.map(usize::from).iter().product::<usize>();
        let make = |name: &str, len: usize| vector(backend, &normal(name, len));
        let (x, weight, bias) = (make("x", inputs), make("w", output[0] * taps), make("b", output[0]));
        // Its own output would do, but for numbers so near to 0 that rounding decides about their sign.
        let passed = make("passed", outputs);
        let (mut y, mut gy) = (make("old y", outputs), make("gy", outputs));
        let (mut gx, mut gw, mut gb) = (make("gx", inputs), make("gw", output[0] * taps), make("gb", output[0]));
        let [rx, rw, rb] = [&x, &weight, &bias].map(|v| backend.read_vector(v));
        backend.conv_forward(&self.shape, rx, rw, rb, backend.write_vector(&mut y)).unwrap();
        let saved = Saved { x: rx, weight: rw, y: backend.read_vector(&passed) };
        let grads = LayerGrads {
            x: self.input_learns.then(|| backend.write_vector(&mut gx)),
            weight: backend.write_vector(&mut gw),
            bias: backend.write_vector(&mut gb),
        };
        backend.conv_backward(&self.shape, saved, backend.write_vector(&mut gy), grads).unwrap();
        [y, gx, gw, gb].iter().map(|v| numbers(backend, v)).collect()
    }
}

fn convolutions() -> Vec<Conv> {
    let odd = Window { kernel: [3, 2], stride: [2, 1], dilation: [1, 2], pads: [1, 2, 0, 1] };
    let phases = Window { kernel: [2, 4], stride: [1, 3], dilation: [3, 2], pads: [0, 5, 2, 1] };
    let sparse = Window { kernel: [1, 2], stride: [3, 4], dilation: [1, 1], pads: [1, 0, 0, 2] };
    let skewed = Window { pads: [2, 0, 0, 1], ..Window::square(3, 1, 0) };
    vec![
        Conv::new(3, [2, 5, 4], 3, Window::square(3, 1, 1), 1),
        Conv::new(2, [3, 9, 9], 2, Window::square(5, 3, 2), 1),
        Conv::new(5, [14, 5, 5], 16, Window::square(3, 1, 1), 2),
        Conv::new(3, [2, 6, 5], 14, odd, 2),
        Conv::new(16, [34, 5, 2], 32, skewed, 2),
        Conv::new(2, [5, 24, 19], 7, Window::square(11, 4, 2), 1),
        Conv::new(2, [6, 9, 11], 9, phases, 3),
        // Pixels that no tap looks at.
        Conv::new(2, [6, 9, 11], 10, sparse, 1),
        Conv::new(3, [5, 6, 7], 13, Window::square(1, 1, 0), 1),
        Conv { input_learns: false, ..Conv::new(1, [1, 24, 24], 2, Window::square(3, 1, 1), 1) },
        // Depthwise.
        Conv::new(2, [6, 7, 6], 6, Window::square(3, 2, 1), 6),
        Conv::new(2, [6, 7, 6], 12, Window::square(3, 1, 1), 6),
    ]
}

/// More than one large tile up, down and deep.
fn large() -> Vec<Conv> {
    vec![Conv::new(9, [72, 44, 43], 130, Window::square(1, 1, 0), 1), Conv::new(2, [150, 7, 9], 66, Window::square(3, 2, 1), 1)]
}

#[test]
fn convolution() {
    compare(Precision::F32, CLOSE, &convolutions());
}

#[test]
fn convolution_in_large_tiles() {
    compare(Precision::F32, CLOSE, &large());
}

#[test]
fn convolution_in_tf32() {
    compare(Precision::Tf32, ROUNDED, &convolutions());
}

#[test]
fn convolution_in_tf32_in_large_tiles() {
    compare(Precision::Tf32, ROUNDED, &large());
}

#[test]
fn convolution_in_f16() {
    compare(Precision::F16, ROUNDED, &convolutions());
}

#[test]
fn convolution_in_f16_in_large_tiles() {
    compare(Precision::F16, ROUNDED, &large());
}

struct Linear(LinearShape);

impl Trial for Linear {
    fn run<B: Backend>(&self, backend: &B) -> Vec<Vec<f32>> {
        let LinearShape { batch, inputs, outputs, .. } = self.0;
        let make = |name: &str, len: usize| vector(backend, &normal(name, len));
        let (x, weight, bias) = (make("x", batch * inputs), make("w", outputs * inputs), make("b", outputs));
        let passed = make("passed", batch * outputs);
        let (mut y, mut gy) = (make("old y", batch * outputs), make("gy", batch * outputs));
        let (mut gx, mut gw, mut gb) = (make("gx", batch * inputs), make("gw", outputs * inputs), make("gb", outputs));
        let [rx, rw, rb] = [&x, &weight, &bias].map(|v| backend.read_vector(v));
        backend.linear_forward(&self.0, rx, rw, rb, backend.write_vector(&mut y)).unwrap();
        let saved = Saved { x: rx, weight: rw, y: backend.read_vector(&passed) };
        let grads = LayerGrads {
            x: Some(backend.write_vector(&mut gx)),
            weight: backend.write_vector(&mut gw),
            bias: backend.write_vector(&mut gb),
        };
        backend.linear_backward(&self.0, saved, backend.write_vector(&mut gy), grads).unwrap();
        [y, gx, gw, gb].iter().map(|v| numbers(backend, v)).collect()
    }
}

#[test]
fn fully_connected() {
    let shape = |batch, inputs, outputs, relu| Linear(LinearShape { batch, inputs, outputs, relu });
    let trials = [
        shape(3, 7, 5, false),
        shape(3, 7, 5, true),
        shape(19, 37, 13, true),
        shape(600, 18, 300, true),
        shape(1, 300, 7, false),
    ];
    compare(Precision::F32, CLOSE, &trials);
    compare(Precision::Tf32, ROUNDED, &trials);
    compare(Precision::F16, ROUNDED, &trials);
}

struct Pool {
    shape: PoolShape,
    x: Vec<f32>,
}

impl Trial for Pool {
    fn run<B: Backend>(&self, backend: &B) -> Vec<Vec<f32>> {
        let outputs = self.shape.planes * self.shape.output.iter().product::<usize>();
        let (x, mut gx) = (vector(backend, &self.x), vector(backend, &normal("gx", self.x.len())));
        let (mut y, gy) = (vector(backend, &normal("old y", outputs)), vector(backend, &normal("gy", outputs)));
        let won = backend.max_pool_forward(&self.shape, backend.read_vector(&x), backend.write_vector(&mut y)).unwrap();
        backend.max_pool_backward(&self.shape, &won, backend.read_vector(&gy), backend.write_vector(&mut gx)).unwrap();
        vec![numbers(backend, &y), numbers(backend, &gx)]
    }
}

#[test]
fn max_pool() {
    let windows = [
        Window::square(2, 2, 0),
        Window::square(3, 2, 0),
        Window::square(3, 1, 1),
        Window { kernel: [2, 3], stride: [1, 2], dilation: [2, 1], pads: [1, 0, 0, 1] },
    ];
    let mut trials = Vec::new();
    for window in windows {
        let output = [7, 6].map(|n: u32| n as usize);
        let output = [0, 1].map(|axis| window.output_len(axis, output[axis] as u32).unwrap() as usize);
        let shape = PoolShape { planes: 50, input: [7, 6], output, window };
        let x = distinct("x", 50 * 42);
        // Many equals, and a few that are no numbers.
        let equal: Vec<f32> =
            x.iter().enumerate().map(|(i, v)| if i % 97 == 5 { f32::NAN } else { (v / 20.0).round() }).collect();
        trials.extend([Pool { shape, x }, Pool { shape, x: equal }]);
    }
    // Nothing is rounded.
    compare(Precision::F32, 0.0, &trials);
}

struct Response(LrnShape);

impl Trial for Response {
    fn run<B: Backend>(&self, backend: &B) -> Vec<Vec<f32>> {
        let len = self.0.batch * self.0.channels * self.0.plane;
        let [x, gy, mut y, mut base, mut gx] = ["x", "gy", "y", "base", "gx"].map(|name| vector(backend, &normal(name, len)));
        let (py, pbase) = (backend.write_vector(&mut y), backend.write_vector(&mut base));
        backend.lrn_forward(&self.0, backend.read_vector(&x), py, pbase).unwrap();
        let [rx, ry, rbase] = [&x, &y, &base].map(|v| backend.read_vector(v));
        let saved = LrnSaved { x: rx, y: ry, base: rbase };
        backend.lrn_backward(&self.0, saved, backend.read_vector(&gy), backend.write_vector(&mut gx)).unwrap();
        [y, base, gx].iter().map(|v| numbers(backend, v)).collect()
    }
}

#[test]
fn local_response_normalisation() {
    let attributes = [
        Lrn { size: 5, alpha: 2.0, beta: 0.75, k: 2.0 },
        Lrn { size: 3, alpha: 1.0, beta: 0.6, k: 1.0 },
        Lrn { size: 4, alpha: 1.5, beta: 1.0, k: 1.5 },
        Lrn { size: 1, alpha: 1.5, beta: 0.75, k: 1.0 },
    ];
    let trials = attributes.map(|attrs| Response(LrnShape { batch: 3, channels: 7, plane: 30, attrs }));
    compare(Precision::F32, CLOSE, &trials);
}

struct Relu;

impl Trial for Relu {
    fn run<B: Backend>(&self, backend: &B) -> Vec<Vec<f32>> {
        let mut x = normal("x", 5000);
        x[17] = f32::NAN;
        x[18] = 0.0;
        let (x, gy) = (vector(backend, &x), vector(backend, &normal("gy", 5000)));
        let (mut y, mut gx) = (vector(backend, &normal("y", 5000)), vector(backend, &normal("gx", 5000)));
        backend.relu_forward(backend.read_vector(&x), backend.write_vector(&mut y)).unwrap();
        backend.relu_backward(backend.read_vector(&y), backend.read_vector(&gy), backend.write_vector(&mut gx)).unwrap();
        let factor = vector(backend, &[0.25]);
        let scale = (3.0, backend.read_vector(&factor));
        backend.add_scaled(scale, backend.read_vector(&gy), backend.write_vector(&mut gx)).unwrap();
        vec![numbers(backend, &y), numbers(backend, &gx)]
    }
}

#[test]
fn relu() {
    compare(Precision::F32, 0.0, &[Relu]);
}

struct Dropout(f32);

impl Trial for Dropout {
    fn run<B: Backend>(&self, backend: &B) -> Vec<Vec<f32>> {
        let masks: Vec<KeyedRng> = (0..7).map(|i| KeyedRng::new(5, 2, i, stream::DROPOUT + 1)).collect();
        let [x, gy, mut y, mut gx] = ["x", "gy", "y", "gx"].map(|name| vector(backend, &normal(name, 7 * 700)));
        let masks = backend.masks(masks).unwrap();
        backend.dropout_forward(&masks, self.0, backend.read_vector(&x), backend.write_vector(&mut y)).unwrap();
        backend.dropout_backward(&masks, self.0, backend.read_vector(&gy), backend.write_vector(&mut gx)).unwrap();
        vec![numbers(backend, &y), numbers(backend, &gx)]
    }
}

/// The very same masks.
#[test]
fn dropout() {
    compare(Precision::F32, 0.0, &[Dropout(0.5), Dropout(0.3), Dropout(0.0)]);
}

/// A NaN in one picture is seen in the outputs of that picture, and in no other.
#[test]
fn a_nan_does_not_hide() {
    let Some(gpu) = gpu(Precision::F32) else {
        return;
    };
    let cpu = CpuBackend::new(1).unwrap();
    fn outputs<B: Backend>(backend: &B, shape: &ConvShape) -> Vec<bool> {
        let mut x = normal("x", 2 * 8 * 36);
        x[3] = f32::NAN;
        let (x, weight, bias) = (vector(backend, &x), vector(backend, &normal("w", 8 * 8 * 9)), vector(backend, &[0.0; 8]));
        let mut y = vector(backend, &normal("y", 2 * 8 * 36));
        let [x, weight, bias] = [&x, &weight, &bias].map(|v| backend.read_vector(v));
        backend.conv_forward(shape, x, weight, bias, backend.write_vector(&mut y)).unwrap();
        numbers(backend, &y).iter().map(|v| v.is_nan()).collect()
    }
    let shape = Conv::new(2, [8, 6, 6], 8, Window::square(3, 1, 1), 1).shape;
    let found = outputs(&gpu, &shape);
    assert!(shape.relu && found.iter().any(|nan| *nan));
    assert_eq!(found, outputs(&cpu, &shape));
}
