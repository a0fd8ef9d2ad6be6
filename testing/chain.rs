//! Small networks of convolutions, normalisations and pools, of random shapes.

use crate::net::{Net, Shape};
use crate::{Random, window};
use staticnet::op::{AveragePool, Conv2d, Function, Lrn, MaxPool, Op, Window};
use staticnet::record::DType;

/// Height and width behind a window, where it fits.
fn behind(window: &Window, [h, w, _]: Shape) -> Option<[usize; 2]> {
    Some([window.output_len(0, h as u32)? as usize, window.output_len(1, w as u32)? as usize])
}

/// A random window that fits, and the height and width behind it.
fn fitting(random: &mut Random, shape: Shape) -> (Window, [usize; 2]) {
    loop {
        let window = window(random);
        if let Some(size) = behind(&window, shape) {
            return (window, size);
        }
    }
}

/// Picture, convolution, LRN, pool, grouped convolution, function, pool, PReLU, convolution, ReLU, pool, scores.
pub fn net(dtype: DType, seed: u64) -> Net {
    let mut net = Net::new(seed);
    let mut random = Random(!seed);
    let shape = [random.within(6, 24), random.within(5, 12), random.pick(&[1, 3])];
    let x = net.tensor(dtype, shape);
    net.inputs.push(x);
    let conv = |net: &mut Net, random: &mut Random, x: u16, channels: usize, groups: u16| {
        let (window, [h, w]) = fitting(random, net.shape(x));
        net.layer(Op::Conv2d(Conv2d { window, groups }), &[x], dtype, [h, w, channels])
    };
    // Every fourth has more taps than a convolution sums at once.
    let channels = if random.one_in(4) { 36 } else { 2 * random.within(2, 4) };
    let first = conv(&mut net, &mut random, x, channels, 1);
    let lrn = Lrn { size: random.pick(&[1, 3, 4, 5]), alpha: 0.02, beta: 0.75, k: 2.0 };
    let shape = net.shape(first);
    let normal = net.layer(Op::Lrn(lrn), &[first], dtype, shape);
    let (window, [h, w]) = fitting(&mut random, shape);
    let pooled = net.layer(Op::MaxPool(MaxPool { window }), &[normal], dtype, [h, w, shape[2]]);
    let second = conv(&mut net, &mut random, pooled, 6, 2);
    let shape = net.shape(second);
    let swish = net.layer(Op::Unary(Function::HardSwish), &[second], dtype, shape);
    let (window, [h, w]) = fitting(&mut random, shape);
    let mean = AveragePool { window, counted: [0; 4] };
    let mean = net.layer(Op::AveragePool(mean), &[swish], dtype, [h, w, 6]);
    let leaky = net.layer(Op::PRelu, &[mean], dtype, [h, w, 6]);
    let third = conv(&mut net, &mut random, leaky, 5, 1);
    let shape = net.shape(third);
    let positive = net.layer(Op::Relu, &[third], dtype, shape);
    let (window, [h, w]) = fitting(&mut random, shape);
    let last = net.layer(Op::MaxPool(MaxPool { window }), &[positive], dtype, [h, w, 5]);
    let scores = net.layer(Op::Linear, &[last], dtype, [1, 1, 4]);
    net.outputs = vec![scores];
    net
}
