//! One more node, or a few that belong together, of any operator.

use crate::random::{Random, window};
use staticnet::op::{AveragePool, BinaryOp, Function, LpPool, Norm, PadMode};
use staticnet_graph::graph::{Coordinates, Elem, Graph, Grid, Interpolation, Op, Resize, Tensor, ValueId};

/// Elements from which on values do not grow any more.
const LARGE: usize = 2000;

fn tensor(shape: &[usize], mut value: impl FnMut() -> f32) -> Tensor {
    Tensor { shape: shape.to_vec(), data: (0..shape.iter().product()).map(|_| value()).collect() }
}

/// Adds a node with parameters, or nothing where they do not fit.
fn add(graph: &mut Graph, name: &str, op: Op, inputs: &[ValueId], params: Vec<(&str, Tensor)>) -> Option<ValueId> {
    let names: Vec<String> = params.iter().map(|(suffix, _)| format!("{name}.{suffix}")).collect();
    names.iter().zip(params).for_each(|(name, (_, tensor))| drop(graph.params.insert(name.clone(), tensor)));
    let added = graph.add(name, op, inputs, &names).ok();
    if added.is_none() {
        names.iter().for_each(|name| drop(graph.params.remove(name)));
    }
    added
}

/// A node behind `x`, an image `[1, C, H, W]`; `images` are those that there are.
pub fn node(graph: &mut Graph, random: &mut Random, x: ValueId, images: &[ValueId], codes: bool) -> Option<ValueId> {
    let name = format!("node.{}", graph.nodes.len());
    let &[_, c, h, w] = graph.shape(x) else { return None };
    let small = c * h * w < LARGE;
    let plain = |graph: &mut Graph, op: Op| add(graph, &name, op, &[x], vec![]);
    match random.within(0, if codes { 20 } else { 18 }) {
        0 => {
            let op = average_pool(random, [h, w]);
            plain(graph, op)
        }
        1 => {
            let mut numbers = |scale: f32, offset: f32| tensor(&[c], || scale * random.real() + offset);
            let params = vec![
                ("weight", numbers(1.2, 0.0)),
                ("bias", numbers(0.3, 0.0)),
                ("mean", numbers(0.3, 0.0)),
                ("var", numbers(0.5, 0.7)),
            ];
            add(graph, &name, Op::BatchNorm { epsilon: 1e-3 }, &[x], params)
        }
        2 => {
            let op = Op::Unary(function(random));
            plain(graph, op)
        }
        3 => {
            let shape = random.pick(&[[c, 1, 1], [1, 1, 1], [c, h, w], [1, 1, w]]);
            add(graph, &name, Op::PRelu, &[x], vec![("slope", tensor(&shape, || 0.5 * random.real()))])
        }
        4 | 5 => with_constant(graph, random, &name, x, [c, h, w]),
        6 => {
            // Two values that broadcast against each other, where there are such.
            let other = random.pick(images);
            let op = Op::Binary(operation(random));
            add(graph, &name, op.clone(), &[x, other], vec![]).or_else(|| add(graph, &name, op, &[x, x], vec![]))
        }
        7 => gate(graph, random, &name, x),
        8 if small => {
            let (axis, other) = (random.within(1, 3), random.pick(images));
            let op = Op::Concat { axis };
            let pair = if random.one_in(2) { [x, other] } else { [other, x] };
            add(graph, &name, op.clone(), &pair, vec![]).or_else(|| add(graph, &name, op, &[x, x, x], vec![]))
        }
        9 => {
            let op = slice(random, [1, c, h, w]);
            plain(graph, op)
        }
        10 => shuffle(graph, random, &name, x, [c, h, w]),
        11 => {
            let perm = random.pick(&[[0, 1, 3, 2], [0, 3, 1, 2], [0, 2, 3, 1], [0, 3, 2, 1], [0, 2, 1, 3]]).to_vec();
            plain(graph, Op::Transpose { perm })
        }
        12 if small => {
            let mode = random.pick(&[PadMode::Constant, PadMode::Reflect, PadMode::Edge, PadMode::Wrap]);
            let mut some = |axis: usize| if axis == 0 || random.one_in(2) { 0 } else { random.within(0, 2) };
            let (before, after) = ([0, 1, 2, 3].map(&mut some).to_vec(), [0, 1, 2, 3].map(&mut some).to_vec());
            let value = if mode == PadMode::Constant { random.pick(&[0.0, 0.5, -0.3]) } else { 0.0 };
            plain(graph, Op::Pad { before, after, mode, value })
        }
        13 if small => {
            let op = resize(random, [h, w]);
            plain(graph, op)
        }
        14 => {
            let axes = random.pick(&[&[1][..], &[2], &[3], &[2, 3], &[1, 2], &[1, 3]]).to_vec();
            if random.one_in(2) {
                return plain(graph, Op::ReduceMean { axes, keep: true });
            }
            let shape = (0..4).map(|d| if axes.contains(&d) { 1 } else { [1, c, h, w][d] }).collect();
            let mean = plain(graph, Op::ReduceMean { axes, keep: false })?;
            add(graph, &format!("{name}.again"), Op::Reshape { shape }, &[mean], vec![])
        }
        15 => {
            let columns = random.within(1, 6);
            let matrices = tensor(&[1, c, w, columns], || (3.0 / w as f32).sqrt() * random.real());
            add(graph, &name, Op::MatMul, &[x], vec![("matrices", matrices)])
        }
        16 => {
            let outputs = random.within(1, 6);
            let params = vec![("weight", Tensor::zeros(&[outputs, w])), ("bias", Tensor::zeros(&[outputs]))];
            add(graph, &name, Op::Linear, &[x], params)
        }
        17 => plain(graph, Op::Softmax { axis: random.within(1, 3) }),
        18 => {
            let shape = random.pick(&[[1, c * h, 1, w], [1, 1, c, h * w], [1, h, w, c]]).to_vec();
            plain(graph, Op::Reshape { shape })
        }
        19 | 20 => {
            let (elem, zero) = random.pick(&[(Elem::U8, 130), (Elem::U8, 5), (Elem::I8, -7)]);
            let grid = Grid { elem, scale: vec![random.pick(&[0.02, 0.0131])], zero_point: vec![zero], axis: None };
            let codes = plain(graph, Op::Quantize(grid.clone()))?;
            add(graph, &format!("{name}.real"), Op::Dequantize(grid), &[codes], vec![])
        }
        _ => None,
    }
}

/// Softmax or the index of the highest behind the last value, or nothing.
pub fn scores(graph: &mut Graph, random: &mut Random, x: ValueId) -> ValueId {
    let axis = random.within(1, graph.shape(x).len() - 1);
    let op = match random.within(0, 3) {
        0 => Op::Softmax { axis },
        1 => Op::ArgMax { axis, keep: random.one_in(2), last: random.one_in(2) },
        _ => return x,
    };
    graph.add("scores", op, &[x], &[]).expect("the axis is one of the value's")
}

fn operation(random: &mut Random) -> BinaryOp {
    random.pick(&[BinaryOp::Add, BinaryOp::Sub, BinaryOp::Mul])
}

fn function(random: &mut Random) -> Function {
    random.pick(&[
        Function::Identity,
        Function::LeakyRelu { alpha: 0.1 },
        Function::Clip { lo: -0.4, hi: 0.6 },
        Function::Clip { lo: 0.0, hi: 6.0 },
        Function::HardSigmoid { alpha: 0.3, beta: 0.4 },
        Function::HardSwish,
        Function::Sigmoid,
        Function::Tanh,
    ])
}

/// A mean with pads that count, that do not, and those of a size rounded up, which never count; or a norm.
fn average_pool(random: &mut Random, size: [usize; 2]) -> Op {
    let mut window = window(random);
    if random.one_in(4) {
        return Op::LpPool(LpPool { window, norm: random.pick(&[Norm::Sum, Norm::Root]) });
    }
    let counted = if random.one_in(2) { window.pads } else { [0; 4] };
    if random.one_in(2) {
        for (axis, len) in size.into_iter().enumerate() {
            let padded = len as u32 + (window.pads[axis] + window.pads[axis + 2]) as u32;
            let over = padded.saturating_sub(window.extent(axis)) % window.stride[axis] as u32;
            if over > 0 {
                window.pads[axis + 2] += window.stride[axis] - over as u16;
            }
        }
    }
    Op::AveragePool(AveragePool { window, counted })
}

/// A value and a constant of any shape that broadcasts.
fn with_constant(graph: &mut Graph, random: &mut Random, name: &str, x: ValueId, [c, h, w]: [usize; 3]) -> Option<ValueId> {
    let shapes = [vec![1, c, 1, 1], vec![c, 1, 1], vec![1], vec![1, 1, h, w], vec![1, c, h, w], vec![w], vec![1, h, 1]];
    let shape = &shapes[random.within(0, shapes.len() - 1)];
    let value = tensor(shape, || random.real());
    let constant = add(graph, &format!("{name}.constant"), Op::Constant, &[], vec![("value", value)])?;
    let pair = if random.one_in(2) { [x, constant] } else { [constant, x] };
    add(graph, name, Op::Binary(operation(random)), &pair, vec![])
}

/// Squeeze and excite: each channel, or each pixel, times (or over) a function of its mean.
fn gate(graph: &mut Graph, random: &mut Random, name: &str, x: ValueId) -> Option<ValueId> {
    let axes = random.pick(&[&[2, 3][..], &[1]]).to_vec();
    let mean = add(graph, &format!("{name}.mean"), Op::ReduceMean { axes, keep: true }, &[x], vec![])?;
    let function = Op::Unary(random.pick(&[Function::Sigmoid, Function::HardSigmoid { alpha: 0.2, beta: 0.5 }]));
    let gate = add(graph, &format!("{name}.gate"), function, &[mean], vec![])?;
    let pair = if random.one_in(2) { [x, gate] } else { [gate, x] };
    if random.one_in(3) {
        // Kept away from 0, where a quotient has no bound.
        let above = Op::Unary(Function::Clip { lo: 0.25, hi: f32::INFINITY });
        let divisor = add(graph, &format!("{name}.above"), above, &[gate], vec![])?;
        return add(graph, name, Op::Binary(BinaryOp::Div), &[x, divisor], vec![]);
    }
    add(graph, name, Op::Binary(BinaryOp::Mul), &pair, vec![])
}

fn slice(random: &mut Random, shape: [usize; 4]) -> Op {
    let (mut start, mut step, mut len) = (vec![], vec![], vec![]);
    for size in shape {
        let (count, by) = (random.within(1, size), random.within(1, 3));
        let count = count.min((size - 1) / by + 1);
        let first = random.within(0, size - 1 - (count - 1) * by);
        let backwards = random.one_in(4);
        start.push(if backwards { first + (count - 1) * by } else { first });
        step.push(if backwards { -(by as isize) } else { by as isize });
        len.push(count);
    }
    Op::Slice { start, step, len }
}

/// A channel shuffle.
fn shuffle(graph: &mut Graph, random: &mut Random, name: &str, x: ValueId, [c, h, w]: [usize; 3]) -> Option<ValueId> {
    let groups = random.pick(&(1..=c).filter(|g| c.is_multiple_of(*g)).collect::<Vec<_>>());
    let split = Op::Reshape { shape: vec![1, groups, c / groups, h, w] };
    let split = add(graph, &format!("{name}.split"), split, &[x], vec![])?;
    let perm = Op::Transpose { perm: vec![0, 2, 1, 3, 4] };
    let swapped = add(graph, &format!("{name}.swapped"), perm, &[split], vec![])?;
    add(graph, name, Op::Reshape { shape: vec![1, c, h, w] }, &[swapped], vec![])
}

fn resize(random: &mut Random, [h, w]: [usize; 2]) -> Op {
    let size = [h, w].map(|n| random.within(1, 2 * n));
    let scale = [size[0] as f32 / h as f32, size[1] as f32 / w as f32];
    let coordinates = random.pick(&[
        Coordinates::HalfPixel,
        Coordinates::PytorchHalfPixel,
        Coordinates::AlignCorners,
        Coordinates::Asymmetric,
        Coordinates::HalfPixelSymmetric,
    ]);
    let interpolation = random.pick(&[
        Interpolation::Linear,
        Interpolation::Linear,
        Interpolation::NearestPreferFloor,
        Interpolation::NearestPreferCeil,
        Interpolation::NearestFloor,
        Interpolation::NearestCeil,
    ]);
    Op::Resize(Resize { size, scale, coordinates, interpolation })
}
