//! What `Artifact::new` refuses about operators, one condition at a time: each change to a sound network, and the error it must give.

use staticnet::op::{AveragePool, BinaryOp, Convert, Function, LpPool, Norm, Op, Pad, PadMode, Place, Rearrange, Window};
use staticnet::record::{DType, NONE16};
use staticnet::{Artifact, ArtifactErrorKind as Kind};
use staticnet_testing::net::{Net, Shape};
use staticnet_testing::plan::{Plan, Work, assemble, whole};

/// One layer on inputs of the given shapes.
fn one(op: Op, inputs: &[(DType, Shape)], output: (DType, Shape)) -> Net {
    let mut net = Net::new(1);
    net.inputs = inputs.iter().map(|&(dtype, shape)| net.tensor(dtype, shape)).collect();
    let y = net.layer(op, &net.inputs.clone(), output.0, output.1);
    net.outputs.push(y);
    net
}

/// Without an input the first slot that is listed is an output's, which is held whole like any other.
#[test]
fn a_network_of_constants() {
    let net = one(Op::Constant, &[], (DType::I8, [4, 3, 2]));
    let good = whole(&net);
    assert_eq!(judge(&net, &good), None);
    let mut ring = good;
    let output = net.outputs[0] as usize;
    ring.rings[output] = 2;
    ring.work = (0..4).map(|r| Work::new(0, r..r + 1, 0..2)).collect();
    assert_eq!(judge(&net, &ring), Some(Kind::Range));
}

fn judge(net: &Net, plan: &Plan) -> Option<Kind> {
    Artifact::new(&assemble(net, plan)).err().map(|error| error.kind)
}

/// The network as it is, without the error.
fn sound(net: &Net) {
    assert_eq!(judge(net, &whole(net)), None, "{:?}", net.layers);
}

/// The network changed.
fn refused(net: &Net, kind: Kind, change: impl Fn(&mut Net)) {
    let mut net = net.clone();
    change(&mut net);
    assert_eq!(judge(&net, &whole(&net)), Some(kind), "{:?}", net.layers);
}

const I8: DType = DType::I8;
const F32: DType = DType::F32;

fn set(op: Op) -> impl Fn(&mut Net) {
    move |net| net.layers[0].op = op
}

#[test]
fn element_types_that_do_not_go_together() {
    let shape = [2, 3, 4];
    let convert = Op::Convert(Convert { per_channel: false });
    sound(&one(convert, &[(I8, shape)], (F32, shape)));
    sound(&one(convert, &[(F32, shape)], (I8, shape)));
    refused(&one(convert, &[(F32, shape)], (I8, shape)), Kind::Type, |net| net.tensors[1].dtype = F32);
    let argmax = one(Op::ArgMax { last: true }, &[(I8, shape)], (DType::I32, [2, 3, 1]));
    sound(&argmax);
    refused(&argmax, Kind::Type, |net| net.tensors[1].dtype = F32);
    refused(&argmax, Kind::Type, |net| net.tensors[0].dtype = DType::I32);
    refused(&one(Op::Relu, &[(I8, shape)], (I8, shape)), Kind::Type, |net| net.tensors[1].dtype = F32);
    refused(&one(Op::Relu, &[(I8, shape)], (I8, shape)), Kind::Type, |net| {
        net.tensors.iter_mut().for_each(|t| t.dtype = DType::I32);
    });
    let sum = one(Op::Binary(BinaryOp::Add), &[(F32, shape), (F32, shape)], (F32, shape));
    sound(&sum);
    refused(&sum, Kind::Type, |net| net.tensors[1].dtype = I8);
    refused(&one(Op::Constant, &[], (F32, shape)), Kind::Type, |net| net.tensors[0].dtype = DType::I32);
}

#[test]
fn inputs_too_many_and_too_few() {
    let shape = [2, 3, 4];
    let constant = one(Op::Constant, &[], (F32, shape));
    sound(&constant);
    refused(&constant, Kind::Index, |net| net.layers[0].input = 0);
    let sum = one(Op::Binary(BinaryOp::Add), &[(I8, shape), (I8, shape)], (I8, shape));
    refused(&sum, Kind::Index, |net| net.layers[0].input2 = NONE16);
    refused(&sum, Kind::Index, |net| net.layers[0].input2 = 9);
    refused(&sum, Kind::Index, set(Op::Relu));
    // The same tensor twice is fine.
    let mut twice = sum.clone();
    twice.layers[0].input2 = 0;
    sound(&twice);
}

#[test]
fn shapes_that_do_not_follow() {
    let binary = |a, b, y| one(Op::Binary(BinaryOp::Mul), &[(I8, a), (I8, b)], (I8, y));
    sound(&binary([1, 3, 1], [2, 1, 4], [2, 3, 4]));
    for (a, b) in [([1, 3, 2], [2, 3, 4]), ([2, 3, 4], [2, 2, 4]), ([3, 3, 4], [2, 3, 4])] {
        refused(&binary([2, 3, 4], [2, 3, 4], [2, 3, 4]), Kind::Shape, |net| *net = binary(a, b, [2, 3, 4]));
    }
    for op in [Op::PRelu, Op::Softmax, Op::Unary(Function::Tanh)] {
        sound(&one(op, &[(I8, [2, 3, 4])], (I8, [2, 3, 4])));
        refused(&one(op, &[(I8, [2, 3, 4])], (I8, [2, 3, 4])), Kind::Shape, |net| {
            *net = one(op, &[(I8, [3, 3, 4])], (I8, [2, 3, 4]));
        });
    }
    sound(&one(Op::Resize, &[(I8, [2, 3, 4])], (I8, [7, 1, 4])));
    refused(&one(Op::Resize, &[(I8, [2, 3, 4])], (I8, [7, 1, 5])), Kind::Shape, |_| {});
    refused(&one(Op::ArgMax { last: false }, &[(I8, [2, 3, 4])], (DType::I32, [2, 3, 2])), Kind::Shape, |_| {});
    let pad = |before| Op::Pad(Pad { before, mode: PadMode::Wrap, value: 0.0, value_i8: 0 });
    let padded = one(pad([1, 0, 0]), &[(I8, [2, 3, 4])], (I8, [3, 4, 4]));
    sound(&padded);
    for before in [[2, 0, 0], [0, 2, 0], [0, 0, 1], [65_535; 3]] {
        refused(&padded, Kind::Shape, set(pad(before)));
    }
    let window = Window { kernel: [2, 2], stride: [1, 1], dilation: [1, 1], pads: [1, 0, 0, 0] };
    let mean = |counted| Op::AveragePool(AveragePool { window, counted });
    let pooled = one(mean([1, 0, 0, 0]), &[(I8, [2, 3, 4])], (I8, [2, 2, 4]));
    sound(&pooled);
    refused(&pooled, Kind::Attribute, set(mean([2, 0, 0, 0])));
    refused(&pooled, Kind::Attribute, set(mean([0, 0, 0, 1])));
    let pooled = one(Op::LpPool(LpPool { window, norm: Norm::Sum }), &[(I8, [2, 3, 4])], (I8, [2, 2, 4]));
    sound(&pooled);
    refused(&pooled, Kind::Shape, set(Op::LpPool(LpPool { window: Window::square(3, 1, 1), norm: Norm::Sum })));
}

#[test]
fn walks_that_leave_the_input() {
    let walk = |base, row, size, stride| Op::Rearrange(Rearrange { base, row, size, stride });
    let net = one(walk(0, 12, [1, 1, 3, 4], [0, 0, 4, 1]), &[(F32, [2, 3, 4])], (F32, [2, 3, 4]));
    sound(&net);
    for op in [
        walk(1, 12, [1, 1, 3, 4], [0, 0, 4, 1]),
        walk(0, 13, [1, 1, 3, 4], [0, 0, 4, 1]),
        walk(11, -12, [1, 1, 3, 4], [0, 0, 4, -1]),
        walk(0, 12, [1, 1, 3, 4], [0, 0, 4, -1]),
        walk(0, 0, [1, 1, 3, 4], [0, 0, i32::MAX, 1]),
        walk(u32::MAX, i32::MIN, [1, 1, 3, 4], [0, 0, i32::MIN, 1]),
        walk(0, 12, [1, 1, 4, 4], [0, 0, 1, 1]),
        walk(0, 12, [0, 1, 3, 4], [0, 0, 4, 1]),
    ] {
        refused(&net, Kind::Shape, set(op));
    }
    let mirrored = one(walk(12, -12, [1, 1, 3, 4], [0, 0, 4, 1]), &[(F32, [2, 3, 4])], (F32, [2, 3, 4]));
    sound(&mirrored);
}

#[test]
fn parts_and_the_steps_in_them() {
    let place = |offset, table| Op::Place(Place { offset, table });
    let net = one(place([1, 1, 2], true), &[(I8, [2, 3, 4])], (I8, [4, 4, 7]));
    sound(&net);
    for offset in [[3, 1, 2], [1, 2, 2], [1, 1, 4], [65_535; 3]] {
        refused(&net, Kind::Shape, set(place(offset, true)));
    }
    let float = one(place([0; 3], false), &[(F32, [2, 3, 4])], (F32, [2, 3, 4]));
    refused(&float, Kind::Attribute, set(place([0; 3], true)));
    for (rows, channels) in [(0..1, 2..6), (1..4, 2..6), (1..3, 1..6), (1..3, 2..7)] {
        let plan = Plan { work: vec![Work::new(0, rows, channels)], ..whole(&net) };
        assert_eq!(judge(&net, &plan), Some(Kind::Range));
    }
}

/// Copies an input into a ring of `ring` rows, then `op` reads it from there.
fn from_a_ring(op: Op, input: Shape, output: Shape, ring: usize) -> Option<Kind> {
    let mut net = Net::new(2);
    let x = net.tensor(I8, input);
    net.inputs.push(x);
    let copy = net.layer(Op::Relu, &[x], I8, input);
    let y = net.layer(op, &[copy], I8, output);
    net.outputs.push(y);
    let mut plan = Plan { in_place: false, ..whole(&net) };
    plan.rings[copy as usize] = ring;
    let rows = |layer: usize, rows: std::ops::Range<usize>| {
        let channels = 0..net.shape(net.layers[layer].output)[2];
        Work::new(layer, rows, channels)
    };
    // Only whether the rings are long enough is judged: one row of either.
    plan.work = vec![rows(0, 0..1), rows(1, 1..2)];
    judge(&net, &plan)
}

#[test]
fn rings_hold_the_rows_that_a_step_reads() {
    let pad = |mode| Op::Pad(Pad { before: [1, 0, 0], mode, value: 0.0, value_i8: 0 });
    let walk = |row, stride| Op::Rearrange(Rearrange { base: 0, row, size: [1, 1, 3, 4], stride: [0, 0, stride, 1] });
    let window = Window { kernel: [3, 1], stride: [1, 1], dilation: [1, 1], pads: [1, 0, 1, 0] };
    let input = [4, 3, 4];
    for (op, output, needed) in [
        (pad(PadMode::Constant), [6, 3, 4], 1),
        (pad(PadMode::Edge), [6, 3, 4], 1),
        (pad(PadMode::Reflect), [6, 3, 4], 4),
        (pad(PadMode::Wrap), [6, 3, 4], 4),
        // Rows stay rows, or become columns.
        (walk(12, 4), [4, 3, 4], 1),
        (walk(4, 12), [3, 3, 4], 4),
        (Op::Resize, [2, 2, 4], 4),
        (Op::AveragePool(AveragePool { window, counted: [0; 4] }), input, 3),
        (Op::LpPool(LpPool { window, norm: Norm::Root }), input, 3),
        (Op::Softmax, input, 1),
    ] {
        for ring in 1..=4 {
            let want = (ring < needed).then_some(Kind::Range);
            assert_eq!(from_a_ring(op, input, output, ring), want, "{op:?} from {ring} rows");
        }
    }
}

#[test]
fn hosts_shapes_that_are_not_the_devices() {
    let net = one(Op::Relu, &[(I8, [2, 3, 4])], (I8, [2, 3, 4]));
    sound(&net);
    refused(&net, Kind::Shape, |net| net.tensors[0].dims[2] = 3);
    refused(&net, Kind::Shape, |net| net.tensors[0].rank = 5);
    refused(&net, Kind::Shape, |net| net.tensors[0].rank = 3);
    refused(&net, Kind::Shape, |net| (net.tensors[0].rank, net.tensors[0].dims[0]) = (1, 24));
    let mut flat = net.clone();
    (flat.tensors[0].rank, flat.tensors[0].dims[0], flat.tensors[0].channels_last) = (1, 24, false);
    sound(&flat);
    let scalar = one(Op::Relu, &[(I8, [1, 1, 1])], (I8, [1, 1, 1]));
    let mut bare = scalar.clone();
    (bare.tensors[0].rank, bare.tensors[0].channels_last) = (0, false);
    sound(&bare);
}

/// `op` over its own input.
fn over_itself(op: Op, input: Shape, output: Shape, rings: [usize; 2]) -> Option<Kind> {
    let mut net = one(op, &[(F32, input)], (F32, output));
    net.outputs = net.inputs.clone();
    let mut plan = whole(&net);
    plan.rings = rings.to_vec();
    plan.in_place = true;
    plan.work = vec![Work::new(0, 0..1, 0..output[2])];
    judge(&net, &plan)
}

#[test]
fn a_step_in_place_lies_exactly_on_its_input() {
    let walk = |base, row: u16, stride| {
        Op::Rearrange(Rearrange { base, row: row as i32, size: [1, 1, 1, row], stride: [0, 0, 0, stride] })
    };
    assert_eq!(over_itself(Op::Unary(Function::Tanh), [4, 3, 4], [4, 3, 4], [4, 4]), None);
    assert_eq!(over_itself(Op::PRelu, [4, 3, 4], [4, 3, 4], [4, 4]), None);
    assert_eq!(over_itself(Op::Unary(Function::Tanh), [4, 3, 4], [4, 3, 4], [4, 3]), Some(Kind::Overlap));
    // A flatten, and the first rows.
    assert_eq!(over_itself(walk(0, 48, 1), [4, 3, 4], [1, 1, 48], [4, 1]), None);
    assert_eq!(over_itself(walk(0, 12, 1), [4, 3, 4], [2, 3, 4], [4, 2]), None);
    assert_eq!(over_itself(walk(0, 12, 1), [4, 3, 4], [2, 3, 4], [4, 1]), Some(Kind::Overlap));
}
