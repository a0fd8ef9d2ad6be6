//! Small artifacts with every operator, in every form: what is starved in other tests.

use super::streaming::{Setting, streamed};
use super::{lowered, networks, plans};
use crate::random::Random;
use staticnet::op::{AveragePool, BinaryOp, Conv2d, Function, LpPool, Lrn, MaxPool, Norm, PadMode, Window};
use staticnet::preprocess::{Fit, Preprocess};
use staticnet_exporter::plan::PlanOptions;
use staticnet_graph::graph::{Coordinates, Elem, Graph, Grid, Interpolation, Op, Resize, Tensor, ValueId};

/// A graph under construction whose nodes fit.
struct Builder {
    graph: Graph,
    random: Random,
}

impl Builder {
    fn add(&mut self, name: &str, op: Op, inputs: &[ValueId]) -> ValueId {
        self.graph.add(name, op, inputs, &[]).expect("the attributes fit")
    }

    /// A node with parameters of these shapes.
    fn with(&mut self, name: &str, op: Op, inputs: &[ValueId], shapes: &[&[usize]]) -> ValueId {
        let names: Vec<String> = (0..shapes.len()).map(|i| format!("{name}.{i}")).collect();
        for (name, shape) in names.iter().zip(shapes) {
            // A variance must not be negative.
            let data = (0..shape.iter().product()).map(|_| 0.6 + 0.5 * self.random.real()).collect();
            self.graph.params.insert(name.clone(), Tensor { shape: shape.to_vec(), data });
        }
        self.graph.add(name, op, inputs, &names).expect("the attributes fit")
    }

    fn conv(&mut self, name: &str, x: ValueId, out: usize, window: Window, groups: u16) -> ValueId {
        self.graph.conv(name, x, out, Conv2d { window, groups }).expect("the attributes fit")
    }

    /// The operators of the first kind: windows, LRN, ReLU in place and fused. `[1, 3, 9, 8]` to `[1, 6, 4, 7]`.
    fn windows(&mut self, x: ValueId) -> ValueId {
        let pool = MaxPool { window: Window { kernel: [3, 2], stride: [1, 1], dilation: [1, 2], pads: [1, 0, 1, 1] } };
        let p = self.add("pool", Op::MaxPool(pool), &[x]);
        let r = self.add("relu in place", Op::Relu, &[p]);
        let window = Window { kernel: [3, 2], stride: [2, 1], dilation: [1, 2], pads: [1, 1, 0, 1] };
        let c = self.conv("conv", r, 6, window, 1);
        let c = self.add("fused relu", Op::Relu, &[c]);
        let l = self.add("lrn", Op::Lrn(Lrn { size: 3, alpha: 0.02, beta: 0.75, k: 2.0 }), &[c]);
        let n = self.with("norm", Op::BatchNorm { epsilon: 1e-5 }, &[l], &[&[6][..]; 4]);
        let window = Window { kernel: [2, 2], stride: [1, 1], dilation: [1, 1], pads: [1, 0, 0, 1] };
        self.add("average", Op::AveragePool(AveragePool { window, counted: window.pads }), &[n])
    }

    /// The norm of a window. `[1, 6, 4, 7]` to the same.
    fn norm(&mut self, x: ValueId) -> ValueId {
        self.add("norm of a window", Op::LpPool(LpPool { window: Window::square(3, 1, 1), norm: Norm::Root }), &[x])
    }

    /// Functions, sums and products. `[1, 6, 4, 7]` to the same.
    fn elements(&mut self, x: ValueId) -> ValueId {
        let swish = self.add("swish", Op::Unary(Function::HardSwish), &[x]);
        let p = self.with("prelu", Op::PRelu, &[swish], &[&[6, 1, 1]]);
        let sum = self.add("sum", Op::Binary(BinaryOp::Add), &[p, x]);
        let mean = self.add("mean", Op::ReduceMean { axes: vec![2, 3], keep: true }, &[sum]);
        let gate = self.add("gate", Op::Unary(Function::Sigmoid), &[mean]);
        let gated = self.add("gated", Op::Binary(BinaryOp::Mul), &[sum, gate]);
        let map = self.with("map", Op::Constant, &[], &[&[1, 1, 4, 7]]);
        let y = self.add("difference", Op::Binary(BinaryOp::Sub), &[map, gated]);
        let y = self.add("tanh", Op::Unary(Function::Tanh), &[y]);
        self.add("clip", Op::Unary(Function::Clip { lo: -0.6, hi: 0.9 }), &[y])
    }

    /// What moves elements. `[1, 6, 4, 7]` to `[1, 9, 3, 5]`.
    fn moves(&mut self, x: ValueId) -> ValueId {
        let y = self.add("split", Op::Reshape { shape: vec![1, 2, 3, 4, 7] }, &[x]);
        let y = self.add("swapped", Op::Transpose { perm: vec![0, 2, 1, 3, 4] }, &[y]);
        let shuffled = self.add("shuffled", Op::Reshape { shape: vec![1, 6, 4, 7] }, &[y]);
        let (start, step, len) = (vec![0, 1, 3, 0], vec![1, 1, -1, 2], vec![1, 3, 3, 4]);
        let part = self.add("part", Op::Slice { start, step, len }, &[shuffled]);
        let pad = Op::Pad { before: vec![0, 0, 0, 1], after: vec![0; 4], mode: PadMode::Reflect, value: 0.0 };
        let padded = self.add("padded", pad, &[part]);
        let resize = Resize {
            size: [3, 5],
            scale: [3.0 / 4.0, 5.0 / 7.0],
            coordinates: Coordinates::HalfPixel,
            interpolation: Interpolation::Linear,
        };
        let resized = self.add("resized", Op::Resize(resize), &[shuffled]);
        self.add("joined", Op::Concat { axis: 1 }, &[padded, resized])
    }

    /// To five scores.
    fn scores(&mut self, x: ValueId) -> ValueId {
        let grid = Grid { elem: Elem::U8, scale: vec![0.01], zero_point: vec![120], axis: None };
        let codes = self.add("codes", Op::Quantize(grid.clone()), &[x]);
        let x = self.add("reals", Op::Dequantize(grid), &[codes]);
        let g = self.conv("grouped", x, 6, Window::square(2, 1, 0), 3);
        let m = self.with("product", Op::MatMul, &[g], &[&[1, 6, 4, 3]]);
        let f = self.add("flatten", Op::Flatten, &[m]);
        let f = self.add("dropout", Op::Dropout { ratio: 0.3 }, &[f]);
        let f = self.graph.linear("fc", f, 5).expect("a flat input fits");
        let f = self.add("identity", Op::Identity, &[f]);
        self.add("softmax", Op::Softmax { axis: 1 }, &[f])
    }
}

/// Every operator of the graph and of the runtime, ReLU in place and not, groups, dilation, preprocessing and labels. Three
/// outputs: scores, indices, and the input without what is negative.
pub fn graph() -> Graph {
    built(true)
}

/// The same without norms, which tract does not have.
pub fn graph_of_tract() -> Graph {
    built(false)
}

fn built(norms: bool) -> Graph {
    let mut b = Builder { graph: Graph::new("every-op"), random: Random(13) };
    let x = b.graph.input("x", &[1, 3, 9, 8]);
    // The first reader of x comes later, so the copy cannot be in place.
    let copied = b.add("relu copied", Op::Relu, &[x]);
    let y = b.windows(x);
    let y = if norms { b.norm(y) } else { y };
    let y = b.elements(y);
    let joined = b.moves(y);
    let scores = b.scores(joined);
    let indices = b.add("indices", Op::ArgMax { axis: 1, keep: false, last: true }, &[joined]);
    let mut graph = b.graph;
    [scores, indices, copied].into_iter().for_each(|value| graph.output(value));
    networks::fill(&mut graph, &mut Random(11));
    graph.preprocess =
        Some(Preprocess { width: 8, height: 9, channels: 3, fit: Fit::Stretch, mean: [0.5; 3], std: [0.25, 0.3, 0.2] });
    graph.labels = ["a", "cat", "grün", "", "dog"].map(String::from).to_vec();
    graph
}

/// Its artifacts, weights in a storage: int8 and f32 layer by layer, then int8 and f32 streamed.
pub fn artifacts() -> [Vec<u8>; 4] {
    let graph = graph();
    let [float, int8] = lowered(&graph, &networks::samples(&graph, &mut Random(3), 3));
    let options = PlanOptions { storage: true, layers: true, ..PlanOptions::default() };
    let setting = Setting { storage: Some(false), by_rows: false };
    let whole = |network| plans::planned(network, &options).1;
    let stream = |network| streamed(network, setting, &mut Random(23));
    [whole(&int8), whole(&float), stream(&int8), stream(&float)].map(|emitted| emitted.joined())
}
