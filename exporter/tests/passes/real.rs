//! The passes on networks of real numbers.

use super::harness::{Build, Result, prove, prove_after};
use staticnet::op::{AveragePool, BinaryOp, Conv2d, Function, MaxPool, PadMode, Window};
use staticnet_graph::graph::{Graph, Op, ValueId};

/// The passes that this file and the next ones prove.
pub const PROVEN: [&str; 4] = ["fold_affine", "fuse_activation", "merge_rearranges", "merge_pad"];

const PICTURE: [usize; 4] = [1, 3, 6, 5];

fn clip(lo: f32, hi: f32) -> Op {
    Op::Unary(Function::Clip { lo, hi })
}

/// `make` behind a convolution of four channels; the network's output is what it returns.
fn behind_conv(make: impl FnOnce(&mut Build, ValueId) -> Vec<ValueId>) -> Graph {
    let (mut b, x) = Build::new(&PICTURE);
    let y = b.conv(x, 4);
    let outputs = make(&mut b, y);
    b.output(&outputs)
}

#[test]
fn a_batch_norm_folds_into_what_makes_its_input() {
    let graph = behind_conv(|b, y| vec![b.batch_norm(y)]);
    prove("fold_affine", "conv_batch_norm", &graph, Result::Recomputed);
    let (mut b, x) = Build::new(&PICTURE);
    let depthwise = b.conv_of(x, 6, Conv2d { window: Window::square(3, 2, 1), groups: 3 });
    let y = b.batch_norm(depthwise);
    prove("fold_affine", "depthwise_batch_norm", &b.output(&[y]), Result::Recomputed);
    let (mut b, x) = Build::new(&[1, 7]);
    let y = b.linear(x, 5);
    let y = b.batch_norm(y);
    prove("fold_affine", "linear_batch_norm", &b.output(&[y]), Result::Recomputed);
}

#[test]
fn constants_of_a_channel_fold_whatever_their_operator() {
    let graph = behind_conv(|b, mut y| {
        for (op, constant_first) in [
            (BinaryOp::Add, false),
            (BinaryOp::Mul, true),
            (BinaryOp::Sub, false),
            (BinaryOp::Sub, true),
            (BinaryOp::Mul, false),
        ] {
            let c = b.constant(&[4, 1, 1]);
            y = b.add(Op::Binary(op), &if constant_first { [c, y] } else { [y, c] });
        }
        let one = b.constant(&[1]);
        vec![b.add(Op::Binary(BinaryOp::Add), &[y, one])]
    });
    prove("fold_affine", "conv_constants", &graph, Result::Recomputed);
    // A product of stacks of matrices has an output channel for each column of each matrix.
    let (mut b, x) = Build::new(&[2, 3, 4]);
    let matrices = b.param("matrices", &[2, 4, 5]);
    let y = b.graph.add("product", Op::MatMul, &[x], &[matrices]).unwrap();
    let c = b.constant(&[1]);
    let y = b.add(Op::Binary(BinaryOp::Mul), &[y, c]);
    let graph = b.output(&[y]);
    prove("fold_affine", "stacked_matrices", &graph, Result::Untouched);
}

#[test]
fn a_batch_norm_behind_a_batch_norm_folds_too() {
    let (mut b, x) = Build::new(&PICTURE);
    let y = b.batch_norm(x);
    let y = b.batch_norm(y);
    prove("fold_affine", "two_batch_norms", &b.output(&[y]), Result::Recomputed);
}

#[test]
fn what_must_not_fold_does_not() {
    let read_twice = behind_conv(|b, y| {
        let normal = b.batch_norm(y);
        vec![b.add(Op::Binary(BinaryOp::Add), &[normal, y])]
    });
    prove("fold_affine", "input_read_twice", &read_twice, Result::Untouched);
    let shown = behind_conv(|b, y| vec![y, b.batch_norm(y)]);
    prove("fold_affine", "input_is_an_output", &shown, Result::Untouched);
    let pooled = behind_conv(|b, y| {
        let pool = b.add(Op::MaxPool(MaxPool { window: Window::square(2, 2, 0) }), &[y]);
        vec![b.batch_norm(pool)]
    });
    prove("fold_affine", "behind_a_pool", &pooled, Result::Untouched);
    let activated = behind_conv(|b, y| {
        let active = b.add(Op::Relu, &[y]);
        vec![b.batch_norm(active)]
    });
    prove("fold_affine", "behind_an_activation", &activated, Result::Untouched);
    // The same with the activation in the convolution already.
    prove_after(&["fuse_activation"], "fold_affine", "clamped_already", &activated, Result::Untouched);
    // One number a row is not one a channel.
    let rows = behind_conv(|b, y| {
        let c = b.constant(&[6, 1]);
        vec![b.add(Op::Binary(BinaryOp::Mul), &[y, c])]
    });
    prove("fold_affine", "one_factor_a_row", &rows, Result::Untouched);
    let (mut b, x) = Build::new(&PICTURE);
    let y = b.batch_norm(x);
    prove("fold_affine", "nothing_before", &b.output(&[y]), Result::Untouched);
}

#[test]
fn activations_become_bounds() {
    let relu = behind_conv(|b, y| vec![b.add(Op::Relu, &[y])]);
    prove("fuse_activation", "conv_relu", &relu, Result::Exact);
    let clips = behind_conv(|b, y| {
        let y = b.add(clip(-0.2, 0.5), &[y]);
        let y = b.add(Op::Relu, &[y]);
        vec![b.add(clip(f32::NEG_INFINITY, 0.3), &[y])]
    });
    prove("fuse_activation", "conv_clip_relu_clip", &clips, Result::Exact);
    // Bounds that do not meet: what the first one lets through is all on one side of the second.
    let apart = behind_conv(|b, y| {
        let y = b.add(clip(-0.2, 0.1), &[y]);
        vec![b.add(clip(0.3, 0.4), &[y])]
    });
    prove("fuse_activation", "bounds_apart", &apart, Result::Exact);
    let sum = behind_conv(|b, y| {
        let other = b.conv(y, 4);
        let sum = b.add(Op::Binary(BinaryOp::Add), &[y, other]);
        vec![b.add(Op::Relu, &[sum])]
    });
    prove("fuse_activation", "sum_relu", &sum, Result::Exact);
    let pool = behind_conv(|b, y| {
        let pool = AveragePool { window: Window::square(2, 2, 0), counted: [0; 4] };
        let pool = b.add(Op::AveragePool(pool), &[y]);
        vec![b.add(clip(0.0, 0.1), &[pool])]
    });
    prove("fuse_activation", "average_pool_clip", &pool, Result::Exact);
    let (mut b, x) = Build::new(&[1, 7]);
    let y = b.linear(x, 5);
    let y = b.add(Op::Relu, &[y]);
    prove("fuse_activation", "linear_relu", &b.output(&[y]), Result::Exact);
}

#[test]
fn an_activation_stays_where_its_input_is_seen_or_its_producer_has_no_bounds() {
    let read_twice = behind_conv(|b, y| {
        let active = b.add(Op::Relu, &[y]);
        vec![b.add(Op::Binary(BinaryOp::Mul), &[active, y])]
    });
    prove("fuse_activation", "input_read_twice", &read_twice, Result::Untouched);
    let shown = behind_conv(|b, y| vec![b.add(Op::Relu, &[y]), y]);
    prove("fuse_activation", "input_is_an_output", &shown, Result::Untouched);
    let pooled = behind_conv(|b, y| {
        let pool = b.add(Op::MaxPool(MaxPool { window: Window::square(2, 2, 0) }), &[y]);
        vec![b.add(Op::Relu, &[pool])]
    });
    prove("fuse_activation", "behind_max_pool", &pooled, Result::Untouched);
    let leaky = behind_conv(|b, y| vec![b.add(Op::Unary(Function::LeakyRelu { alpha: 0.1 }), &[y])]);
    prove("fuse_activation", "no_bounds", &leaky, Result::Untouched);
    let (mut b, x) = Build::new(&PICTURE);
    let y = b.add(Op::Relu, &[x]);
    prove("fuse_activation", "nothing_before", &b.output(&[y]), Result::Untouched);
    // Two layers make a concatenation; neither alone can take the bounds.
    let joined = behind_conv(|b, y| {
        let other = b.conv(y, 2);
        let both = b.add(Op::Concat { axis: 1 }, &[y, other]);
        vec![b.add(Op::Relu, &[both])]
    });
    prove("fuse_activation", "behind_a_concatenation", &joined, Result::Untouched);
}

fn pad(before: [usize; 4], after: [usize; 4], mode: PadMode, value: f32) -> Op {
    Op::Pad { before: before.to_vec(), after: after.to_vec(), mode, value }
}

fn padded(pad: Op, then: impl FnOnce(&mut Build, ValueId) -> Vec<ValueId>) -> Graph {
    let (mut b, x) = Build::new(&PICTURE);
    let y = b.add(pad, &[x]);
    let outputs = then(&mut b, y);
    b.output(&outputs)
}

const AROUND: [usize; 4] = [0, 0, 1, 2];

#[test]
fn a_pad_of_zeros_becomes_the_convolutions_own() {
    let plain = |b: &mut Build, y| vec![b.conv_of(y, 4, Conv2d { window: Window::square(3, 2, 0), groups: 1 })];
    let one_sided = padded(pad([0; 4], [0, 0, 1, 1], PadMode::Constant, 0.0), plain);
    prove("merge_pad", "behind_only", &one_sided, Result::Exact);
    let added = padded(pad(AROUND, [0, 0, 2, 0], PadMode::Constant, -0.0), |b, y| vec![b.conv(y, 4)]);
    prove("merge_pad", "added_to_its_own", &added, Result::Exact);
    let twice = padded(pad(AROUND, AROUND, PadMode::Constant, 0.0), |b, y| {
        let y = b.add(pad([0, 0, 1, 0], [0; 4], PadMode::Constant, 0.0), &[y]);
        plain(b, y)
    });
    prove("merge_pad", "two_pads", &twice, Result::Exact);
}

#[test]
fn a_pad_of_zeros_becomes_the_means_own_where_its_divisor_can_count_it() {
    let average = |counted| {
        move |b: &mut Build, y| {
            let window = Window { pads: [1, 0, 1, 0], ..Window::square(4, 1, 0) };
            vec![b.add(Op::AveragePool(AveragePool { window, counted }), &[y])]
        }
    };
    let zeros = || pad([0, 0, 1, 1], [0, 0, 0, 2], PadMode::Constant, 0.0);
    prove("merge_pad", "average_pool", &padded(zeros(), average([1, 0, 1, 0])), Result::Exact);
    // Some of the padding would count and some not: no ONNX model says that of its AveragePool.
    prove("merge_pad", "average_pool_counts_no_pads", &padded(zeros(), average([0; 4])), Result::Untouched);
    // A window over nothing but padding.
    let wide = pad([0, 0, 0, 5], [0; 4], PadMode::Constant, 0.0);
    let window = Window::square(3, 1, 0);
    let wide = padded(wide, |b, y| vec![b.add(Op::AveragePool(AveragePool { window, counted: [0; 4] }), &[y])]);
    prove("merge_pad", "average_pool_beside_the_picture", &wide, Result::Untouched);
}

#[test]
fn other_pads_stay() {
    let conv = |b: &mut Build, y| vec![b.conv(y, 4)];
    let value = padded(pad(AROUND, AROUND, PadMode::Constant, 0.5), conv);
    prove("merge_pad", "not_zero", &value, Result::Untouched);
    let edge = padded(pad(AROUND, AROUND, PadMode::Edge, 0.0), conv);
    prove("merge_pad", "edge", &edge, Result::Untouched);
    let reflect = padded(pad(AROUND, AROUND, PadMode::Reflect, 0.0), conv);
    prove("merge_pad", "reflect", &reflect, Result::Untouched);
    let channels = padded(pad([0, 1, 0, 0], [0; 4], PadMode::Constant, 0.0), conv);
    prove("merge_pad", "channels_before", &channels, Result::Untouched);
    let channels = padded(pad([0; 4], [0, 1, 0, 0], PadMode::Constant, 0.0), conv);
    prove("merge_pad", "channels_behind", &channels, Result::Untouched);
    let read_twice = padded(pad(AROUND, AROUND, PadMode::Constant, 0.0), |b, y| vec![b.conv(y, 4), b.conv(y, 2)]);
    prove("merge_pad", "read_twice", &read_twice, Result::Untouched);
    let shown = padded(pad(AROUND, AROUND, PadMode::Constant, 0.0), |b, y| vec![b.conv(y, 4), y]);
    prove("merge_pad", "is_an_output", &shown, Result::Untouched);
    // A maximum ignores its own padding, but not zeros.
    let pool = padded(pad(AROUND, AROUND, PadMode::Constant, 0.0), |b, y| {
        vec![b.add(Op::MaxPool(MaxPool { window: Window::square(3, 2, 0) }), &[y])]
    });
    prove("merge_pad", "max_pool", &pool, Result::Untouched);
}
