//! A small network with every operator, and artifacts of it.

use crate::net::Net;
use crate::plan::{self, Plan};
use crate::random::Random;
use staticnet::op::{
    AveragePool, BinaryOp, Conv2d, Convert, Function, LpPool, Lrn, MaxPool, Norm, Op, Pad, PadMode, Place, Rearrange, Window,
};
use staticnet::record::DType;

/// Every operator on `dtype`; conversions go to the other type and back. Three outputs: scores, indices, converted scores.
pub fn net(dtype: DType, seed: u64) -> Net {
    let mut net = Net::new(seed);
    let other = if dtype == DType::I8 { DType::F32 } else { DType::I8 };
    let x = net.tensor(dtype, [9, 8, 3]);
    net.inputs.push(x);
    let pad = Pad { before: [1, 1, 0], mode: PadMode::Constant, value: -0.5, value_i8: 11 };
    let padded = net.layer(Op::Pad(pad), &[x], dtype, [11, 10, 4]);
    let window = Window { kernel: [3, 3], stride: [2, 2], dilation: [1, 1], pads: [0; 4] };
    let pooled = net.layer(Op::MaxPool(MaxPool { window }), &[padded], dtype, [5, 4, 4]);
    let positive = net.layer(Op::Relu, &[pooled], dtype, [5, 4, 4]);
    let window = Window { kernel: [3, 2], stride: [1, 1], dilation: [1, 2], pads: [1, 1, 1, 1] };
    let conv = net.layer(Op::Conv2d(Conv2d { window, groups: 2 }), &[positive], dtype, [5, 4, 6]);
    let lrn = Lrn { size: 3, alpha: 0.02, beta: 0.75, k: 2.0 };
    let normal = net.layer(Op::Lrn(lrn), &[conv], dtype, [5, 4, 6]);
    let swish = net.layer(Op::Unary(Function::HardSwish), &[normal], dtype, [5, 4, 6]);
    let leaky = net.layer(Op::PRelu, &[swish], dtype, [5, 4, 6]);
    // Two groups of three channels shuffled.
    let shuffle = Rearrange { base: 0, row: 24, size: [1, 4, 3, 2], stride: [0, 6, 1, 3] };
    let shuffled = net.layer(Op::Rearrange(shuffle), &[leaky], dtype, [5, 4, 6]);
    let constant = net.layer(Op::Constant, &[], dtype, [1, 4, 6]);
    let sum = net.layer(Op::Binary(BinaryOp::Add), &[shuffled, constant], dtype, [5, 4, 6]);
    let square = net.layer(Op::Binary(BinaryOp::Mul), &[sum, sum], dtype, [5, 4, 6]);
    let window = Window { kernel: [2, 2], stride: [1, 1], dilation: [1, 1], pads: [0, 0, 1, 0] };
    let mean = AveragePool { window, counted: [0, 0, 1, 0] };
    let mean = net.layer(Op::AveragePool(mean), &[square], dtype, [5, 3, 6]);
    let norm = LpPool { window: Window::square(3, 1, 1), norm: Norm::Root };
    let norm = net.layer(Op::LpPool(norm), &[mean], dtype, [5, 3, 6]);
    let scaled = net.layer(Op::Resize, &[norm], dtype, [5, 4, 6]);
    let joined = net.tensor(dtype, [5, 4, 12]);
    net.layer_into(Op::Place(Place { offset: [0; 3], table: false }), &[sum], joined);
    net.layer_into(Op::Place(Place { offset: [0, 0, 6], table: dtype == DType::I8 }), &[scaled], joined);
    let flatten = Rearrange { base: 0, row: 240, size: [1, 1, 1, 240], stride: [0, 0, 0, 1] };
    let flat = net.layer(Op::Rearrange(flatten), &[joined], dtype, [1, 1, 240]);
    let scores = net.layer(Op::Linear, &[flat], dtype, [1, 1, 7]);
    let softmax = net.layer(Op::Softmax, &[scores], dtype, [1, 1, 7]);
    let converted = net.layer(Op::Convert(Convert { per_channel: true }), &[scores], other, [1, 1, 7]);
    let back = net.layer(Op::Convert(Convert { per_channel: false }), &[converted], dtype, [1, 1, 7]);
    let indices = net.layer(Op::ArgMax { last: false }, &[joined], DType::I32, [5, 4, 1]);
    net.outputs = vec![softmax, indices, back];
    net
}

/// Artifacts: int8 and f32 layer by layer and in place, then int8 and f32 streamed through rings, the int8 one from its first
/// input on, with a source of rows, then int8 and f32 with windows, outputs over dead rows and weights in places.
pub fn artifacts() -> [Vec<u8>; 6] {
    let make = |dtype, plan: fn(&Net, &mut Random) -> Plan| {
        let net = net(dtype, 5);
        plan::assemble(&net, &plan(&net, &mut Random(7)))
    };
    let whole: fn(&Net, &mut Random) -> Plan = |net, _| plan::whole(net);
    let rows: fn(&Net, &mut Random) -> Plan =
        |net, random| Plan { source: Some((5, 4, 1)), places: 1, ..plan::streamed(net, random) };
    let mixed: fn(&Net, &mut Random) -> Plan = |net, random| {
        let with_all = |plan: &Plan| plan.places > 0 && !plan.over.is_empty() && plan.work.iter().any(|w| w.to.is_some());
        std::iter::repeat_with(|| plan::mixed(net, random)).find(with_all).expect("some have all of it")
    };
    [
        make(DType::I8, whole),
        make(DType::F32, whole),
        make(DType::I8, rows),
        make(DType::F32, plan::streamed),
        make(DType::I8, mixed),
        make(DType::F32, mixed),
    ]
}
