//! Networks with all operators that [`super::every_op`] does not have.

use super::{Random, RandomTensor};
use staticnet::op::{AveragePool, BinaryOp, Function, MaxPool, PadMode, Window};
use staticnet_graph::graph::{Coordinates, Elem, Graph, Grid, Interpolation, Op, Resize, Tensor, ValueId};

/// Adds a parameter of random numbers.
fn param(g: &mut Graph, random: &mut Random, name: &str, shape: &[usize]) -> String {
    g.params.insert(name.into(), random.tensor(shape));
    name.into()
}

/// The same of positive numbers.
fn positive(g: &mut Graph, random: &mut Random, name: &str, shape: &[usize]) -> String {
    let mut tensor = random.tensor(shape);
    tensor.data.iter_mut().for_each(|v| *v = v.abs() + 0.1);
    g.params.insert(name.into(), tensor);
    name.into()
}

fn grid(elem: Elem, zero_point: &[i32], axis: Option<usize>) -> Grid {
    let scale = (0..zero_point.len()).map(|i| 0.02 + 0.01 * i as f32).collect();
    Grid { elem, scale, zero_point: zero_point.to_vec(), axis }
}

/// Operators that treat every sample of a batch on its own.
pub fn batch_free() -> Graph {
    let (mut g, mut random) = (Graph::new("batch-free"), Random(19));
    let x = g.input("input", &[1, 4, 9, 8]);
    let window = Window { kernel: [3, 2], stride: [2, 1], dilation: [1, 1], pads: [1, 0, 1, 1] };
    let plain = g.add("plain", Op::AveragePool(AveragePool { window, counted: [0; 4] }), &[x], &[]).unwrap();
    let counted = g.add("counted", Op::AveragePool(AveragePool { window, counted: window.pads }), &[x], &[]).unwrap();
    // 9 rows in steps of 2 leave none over; 8 columns do, and what is added for them does not count.
    let window = Window { kernel: [3, 3], stride: [2, 2], dilation: [1, 1], pads: [1, 1, 1, 2] };
    let rounded = AveragePool { window, counted: [1, 1, 1, 1] };
    let rounded = g.add("rounded", Op::AveragePool(rounded), &[x], &[]).unwrap();
    let names = [param(&mut g, &mut random, "bn.weight", &[4]), param(&mut g, &mut random, "bn.bias", &[4])];
    let [mean, variance] = [param(&mut g, &mut random, "bn.mean", &[4]), positive(&mut g, &mut random, "bn.var", &[4])];
    let names = [names[0].clone(), names[1].clone(), mean, variance];
    let mut y = g.add("bn", Op::BatchNorm { epsilon: 1e-3 }, &[plain], &names).unwrap();
    for (i, function) in [
        Function::LeakyRelu { alpha: 0.2 },
        Function::Clip { lo: -0.75, hi: f32::INFINITY },
        Function::Clip { lo: -0.5, hi: 6.0 },
        Function::HardSigmoid { alpha: 0.3, beta: 0.4 },
        Function::HardSwish,
        Function::Tanh,
        Function::Sigmoid,
    ]
    .into_iter()
    .enumerate()
    {
        y = g.add(&format!("function.{i}"), Op::Unary(function), &[y], &[]).unwrap();
    }
    let slope = param(&mut g, &mut random, "prelu.slope", &[4, 1, 1]);
    let z = g.add("prelu", Op::PRelu, &[counted], &[slope]).unwrap();
    let sum = g.add("sum", Op::Binary(BinaryOp::Add), &[y, z], &[]).unwrap();
    let global = Window { kernel: [5, 8], stride: [1, 1], dilation: [1, 1], pads: [0; 4] };
    let gate = g.add("gate", Op::MaxPool(MaxPool { window: global }), &[sum], &[]).unwrap();
    let gated = g.add("gated", Op::Binary(BinaryOp::Mul), &[gate, sum], &[]).unwrap();
    let cat = g.add("cat", Op::Concat { axis: 1 }, &[gated, sum, y], &[]).unwrap();
    let (start, step, len) = (vec![0, 10, 1, 7], vec![1, -3, 2, -1], vec![1, 4, 2, 8]);
    let part = g.add("part", Op::Slice { start, step, len }, &[cat], &[]).unwrap();
    let pads = Op::Pad { before: vec![0, 0, 1, 2], after: vec![0, 1, 0, 1], mode: PadMode::Reflect, value: 0.0 };
    let padded = g.add("padded", pads, &[part], &[]).unwrap();
    let pads = Op::Pad { before: vec![0, 1, 0, 0], after: vec![0, 0, 0, 0], mode: PadMode::Constant, value: 0.5 };
    let padded = g.add("padded.again", pads, &[padded], &[]).unwrap();
    let grown = g.add("grown", resize([6, 22], [2.0, 2.0], Interpolation::Linear), &[padded], &[]).unwrap();
    let cut = g.add("cut", resize([3, 9], [0.5, 0.45], Interpolation::NearestFloor), &[grown], &[]).unwrap();
    let split = g.add("split", Op::Reshape { shape: vec![1, 2, 3, 3, 9] }, &[cut], &[]).unwrap();
    let swapped = g.add("swapped", Op::Transpose { perm: vec![0, 2, 1, 4, 3] }, &[split], &[]).unwrap();
    let matrices = param(&mut g, &mut random, "matrices", &[1, 3, 2, 3, 5]);
    let product = g.add("product", Op::MatMul, &[swapped], &[matrices]).unwrap();
    let soft = g.add("soft", Op::Softmax { axis: 2 }, &[product], &[]).unwrap();
    let mean = g.add("mean", Op::ReduceMean { axes: vec![1, 3], keep: false }, &[soft], &[]).unwrap();
    let index = g.add("index", Op::ArgMax { axis: 2, keep: true, last: true }, &[mean], &[]).unwrap();
    [mean, rounded, index].into_iter().for_each(|id| g.output(id));
    g
}

/// Real numbers to codes and back, per channel and per tensor.
pub fn quantized() -> Graph {
    let mut g = Graph::new("quantized");
    let mean = g.input("input", &[1, 2, 3, 3]);
    let codes = g.add("codes", Op::Quantize(grid(Elem::U8, &[3, 200], Some(1))), &[mean], &[]).unwrap();
    let reals = g.add("reals", Op::Dequantize(grid(Elem::U8, &[3, 200], Some(1))), &[codes], &[]).unwrap();
    let codes = g.add("codes.i8", Op::Quantize(grid(Elem::I8, &[-5], None)), &[reals], &[]).unwrap();
    let reals = g.add("reals.i8", Op::Dequantize(grid(Elem::I8, &[-5], None)), &[codes], &[]).unwrap();
    g.output(reals);
    g
}

fn resize(size: [usize; 2], scale: [f32; 2], interpolation: Interpolation) -> Op {
    Op::Resize(Resize { size, scale, coordinates: Coordinates::HalfPixel, interpolation })
}

/// Operators across the batch, constants, layers over other than two dimensions: what fixes the batch to 1.
pub fn batch_bound() -> Graph {
    let (mut g, mut random) = (Graph::new("batch-bound"), Random(23));
    let x = g.input("input", &[1, 3, 4, 6]);
    let value = param(&mut g, &mut random, "value", &[2, 1, 4, 1]);
    let constant = g.add("constant", Op::Constant, &[], &[value]).unwrap();
    let y = g.add("difference", Op::Binary(BinaryOp::Sub), &[constant, x], &[]).unwrap();
    let weight = [param(&mut g, &mut random, "fc.weight", &[5, 6]), param(&mut g, &mut random, "fc.bias", &[5])];
    let y = g.add("fc", Op::Linear, &[y], &weight).unwrap();
    let y = g.add("transpose", Op::Transpose { perm: vec![1, 0, 3, 2] }, &[y], &[]).unwrap();
    let pads = |mode| Op::Pad { before: vec![1, 0, 0, 1], after: vec![0, 1, 2, 0], mode, value: 0.0 };
    let y = g.add("edge", pads(PadMode::Edge), &[y], &[]).unwrap();
    let y = g.add("wrap", pads(PadMode::Wrap), &[y], &[]).unwrap();
    let stretched = Resize {
        size: [6, 7],
        scale: [6.0 / 9.0, 7.0 / 6.0],
        coordinates: Coordinates::HalfPixelSymmetric,
        interpolation: Interpolation::Linear,
    };
    let y = g.add("stretched", Op::Resize(stretched), &[y], &[]).unwrap();
    let y = g.add("mean", Op::ReduceMean { axes: vec![0, 2], keep: true }, &[y], &[]).unwrap();
    let y = g.add("flat", Op::Reshape { shape: vec![28] }, &[y], &[]).unwrap();
    let weight = [param(&mut g, &mut random, "last.weight", &[3, 28]), param(&mut g, &mut random, "last.bias", &[3])];
    let y = g.add("last", Op::Linear, &[y], &weight).unwrap();
    g.output(y);
    g
}

/// An input for a graph.
pub fn input(graph: &Graph) -> Tensor {
    Random(29).tensor(graph.shape(graph.inputs[0]))
}

/// The nodes without the names that importing makes up, for comparing graphs.
pub fn operations(graph: &Graph) -> Vec<(&Op, Vec<&[usize]>)> {
    let shape = |&id: &ValueId| graph.shape(id);
    graph.nodes.iter().map(|node| (&node.op, node.inputs.iter().map(shape).collect())).collect()
}
