//! Networks and numbers that several tests need.
#![allow(dead_code)] // Each test uses some of them.

pub mod operators;

pub use staticnet_testing::Random;

use staticnet::op::{Conv2d, Lrn, MaxPool, Window};
use staticnet::preprocess::{Fit, Preprocess};
use staticnet_graph::graph::{Graph, Op, Tensor};

/// Random tensors.
pub trait RandomTensor {
    /// Values in [-1, 1).
    fn tensor(&mut self, shape: &[usize]) -> Tensor;
}

impl RandomTensor for Random {
    fn tensor(&mut self, shape: &[usize]) -> Tensor {
        let n = shape.iter().product();
        Tensor { shape: shape.to_vec(), data: self.reals(n) }
    }
}

/// A network with every operator, groups, dilation, asymmetric pads and strides, preprocessing and labels.
pub fn every_op() -> Graph {
    let mut g = Graph::new("every-op");
    let x = g.input("input", &[1, 3, 17, 15]);
    let window = Window { kernel: [3, 5], stride: [1, 2], dilation: [2, 1], pads: [2, 1, 1, 2] };
    let x = g.conv("features.0", x, 8, Conv2d { window, groups: 1 }).unwrap();
    let x = g.add("features.1", Op::Relu, &[x], &[]).unwrap();
    let x = g.add("features.2", Op::Lrn(Lrn { size: 5, alpha: 0.3, beta: 0.75, k: 2.0 }), &[x], &[]).unwrap();
    let window = Window { kernel: [3, 2], stride: [2, 1], dilation: [1, 1], pads: [0, 1, 1, 0] };
    let x = g.add("features.3", Op::MaxPool(MaxPool { window }), &[x], &[]).unwrap();
    let x = g.conv("features.4", x, 6, Conv2d { window: Window::square(3, 1, 1), groups: 2 }).unwrap();
    let x = g.add("identity", Op::Identity, &[x], &[]).unwrap();
    let x = g.add("flatten", Op::Flatten, &[x], &[]).unwrap();
    let x = g.add("classifier.0", Op::Dropout { ratio: 0.3 }, &[x], &[]).unwrap();
    let x = g.linear("classifier.1", x, 9).unwrap();
    let x = g.add_named("classifier.2", Op::Relu, &[x], &[], "hidden").unwrap();
    let x = g.linear("classifier.3", x, 4).unwrap();
    g.output(x);
    let mut random = Random(7);
    for tensor in g.params.values_mut() {
        *tensor = random.tensor(&tensor.shape);
    }
    g.preprocess = Some(Preprocess {
        width: 15,
        height: 17,
        channels: 3,
        fit: Fit::Cover { shorter: 20 },
        mean: [0.4914, 0.4822, 0.1 + 0.2],
        std: [0.2470, 0.2435, 1.0 / 3.0],
    });
    g.labels = vec!["a cat".into(), "\"quoted\"".into(), "grün".into(), "d".into()];
    g
}
