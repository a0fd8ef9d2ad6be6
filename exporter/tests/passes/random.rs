//! Random networks compute the same after every prefix of the passes.

use super::harness::{Build, Draw, assert_near, expected, inputs, lowered, run};
use staticnet::op::{AveragePool, BinaryOp, Conv2d, Function, MaxPool, PadMode, Window};
use staticnet_exporter::passes;
use staticnet_graph::graph::{Coordinates, Graph, Interpolation, Op, Resize, ValueId};

const NETWORKS: u64 = 150;
/// Deep networks with folded parameters: errors of several layers add up.
const BOUND: f32 = 1e-5;

/// A value of the picture's size or smaller; `known` are all so far.
fn next(b: &mut Build, known: &[ValueId]) -> ValueId {
    let x = if b.random.below(3) == 0 { known[b.random.below(known.len())] } else { known[known.len() - 1] };
    let &[_, c, h, w] = &b.shape(x)[..] else { return x };
    let other = |b: &mut Build, fits: &dyn Fn(&[usize]) -> bool| {
        let fitting: Vec<ValueId> = known.iter().copied().filter(|&y| fits(b.graph.shape(y))).collect();
        fitting[b.random.below(fitting.len())]
    };
    match b.random.below(18) {
        0..3 => {
            let groups = if c % 2 == 0 { 1 + b.random.below(2) } else { 1 };
            let kernel = 1 + 2 * b.random.below(2) as u16;
            let out = groups * (1 + b.random.below(3));
            b.conv_of(x, out, Conv2d { window: Window::square(kernel, 1, kernel / 2), groups: groups as u16 })
        }
        3..5 => b.batch_norm(x),
        5..7 => b.add(Op::Relu, &[x]),
        7 => {
            let lo = b.random.real();
            b.add(Op::Unary(Function::Clip { lo, hi: lo + 0.5 }), &[x])
        }
        8 => {
            let function = b.random.one_of([Function::LeakyRelu { alpha: 0.3 }, Function::HardSwish, Function::Tanh]);
            b.add(Op::Unary(function), &[x])
        }
        9 if h > 2 && w > 2 => {
            let window = Window { pads: [0, 1, 0, 0], ..Window::square(2, 1, 0) };
            match b.random.below(3) {
                0 => b.add(Op::MaxPool(MaxPool { window }), &[x]),
                1 => b.add(Op::AveragePool(AveragePool { window, counted: [0; 4] }), &[x]),
                _ => b.add(Op::AveragePool(AveragePool { window, counted: window.pads }), &[x]),
            }
        }
        10 if h < 9 => {
            let channel = usize::from(b.random.below(5) == 0);
            let value = if b.random.below(3) == 0 { 0.25 } else { 0.0 };
            let (before, after) = (vec![0, channel, 1, 0], vec![0, 0, b.random.below(2), 1]);
            b.add(Op::Pad { before, after, mode: PadMode::Constant, value }, &[x])
        }
        11 => {
            let y = other(b, &|shape| shape == [1, c, h, w]);
            let op = b.random.one_of([BinaryOp::Add, BinaryOp::Sub, BinaryOp::Mul]);
            b.add(Op::Binary(op), &[x, y])
        }
        12 => {
            let y = other(b, &|shape| shape[2..] == [h, w]);
            b.add(Op::Concat { axis: 1 }, &[x, y])
        }
        13 => {
            let shape = b.random.one_of([vec![c, 1, 1], vec![1], vec![h, 1]]);
            let (constant, op) = (b.constant(&shape), b.random.one_of([BinaryOp::Add, BinaryOp::Mul]));
            b.add(Op::Binary(op), &[constant, x])
        }
        14 => {
            // Into another layout and back, with something between or not.
            let there = b.add(Op::Transpose { perm: vec![0, 2, 3, 1] }, &[x]);
            let there = if b.random.below(2) == 0 { b.add(Op::Relu, &[there]) } else { there };
            b.add(Op::Transpose { perm: vec![0, 3, 1, 2] }, &[there])
        }
        15 if c % 2 == 0 => {
            let y = b.add(Op::Reshape { shape: vec![1, 2, c / 2, h, w] }, &[x]);
            let y = b.add(Op::Transpose { perm: vec![0, 2, 1, 3, 4] }, &[y]);
            b.add(Op::Reshape { shape: vec![1, c, h, w] }, &[y])
        }
        16 if h > 1 => {
            // Rows and channels change places, or are cut elsewhere and put together again.
            let again = if c % 2 == 0 && b.random.below(2) == 0 { [c, h] } else { [h, c] };
            let between = if again == [c, h] { vec![1, c * h / 2, 2, w] } else { vec![1, c * h, w] };
            let y = b.add(Op::Reshape { shape: between }, &[x]);
            b.add(Op::Reshape { shape: vec![1, again[0], again[1], w] }, &[y])
        }
        17 if h < 7 => {
            let interpolation = b.random.one_of([Interpolation::NearestFloor, Interpolation::Linear]);
            let coordinates = Coordinates::HalfPixel;
            b.add(
                Op::Resize(Resize { size: [h + 1, w], scale: [(h + 1) as f32 / h as f32, 1.0], coordinates, interpolation }),
                &[x],
            )
        }
        _ => {
            let op = b.random.one_of([Op::Identity, Op::Dropout { ratio: 0.4 }]);
            b.add(op, &[x])
        }
    }
}

fn network(seed: u64) -> Graph {
    let (mut b, x) = Build::new(&[1, 1 + seed as usize % 4, 5, 4]);
    b.random.0 = seed;
    let mut known = vec![x];
    for _ in 0..4 + b.random.below(7) {
        known.push(next(&mut b, &known));
    }
    let mut outputs = vec![known[known.len() - 1]];
    if b.random.below(2) == 0 {
        let flat = b.add(Op::Flatten, &outputs);
        outputs = vec![b.linear(flat, 3)];
    }
    // Sometimes what a pass would like to rewrite is seen from outside.
    if b.random.below(3) == 0 {
        let seen = known[1 + b.random.below(known.len() - 1)];
        outputs.push(seen);
    }
    b.output(&outputs)
}

#[test]
fn random_networks_compute_the_same_after_each_pass() {
    let mut fired = [0; passes::ALL.len()];
    for seed in 0..NETWORKS {
        let graph = network(seed);
        let inputs = inputs(&graph, seed);
        let wanted = expected(&graph, &inputs);
        let mut network = lowered(&graph);
        let first = run(&network, &inputs);
        assert_near(&first, &wanted, BOUND, &format!("seed {seed}, lowered\n{graph}{network}"));
        for (i, (name, pass)) in passes::ALL.iter().enumerate() {
            let before = network.clone();
            pass(&mut network);
            fired[i] += usize::from(network != before);
            let outputs = run(&network, &inputs);
            let what = format!("seed {seed}, after {name}\n{graph}{before}{network}");
            assert_near(&outputs, &first, BOUND, &what);
            assert_near(&outputs, &wanted, BOUND, &what);
        }
        let again = {
            let mut again = network.clone();
            passes::run(&mut again);
            again
        };
        assert_near(&run(&again, &inputs), &first, BOUND, &format!("seed {seed}, all passes again\n{graph}"));
    }
    for ((name, _), fired) in passes::ALL.iter().zip(fired) {
        assert!(fired > 0 || *name == super::adopting::PROVEN, "{name} never has anything to do");
    }
}
