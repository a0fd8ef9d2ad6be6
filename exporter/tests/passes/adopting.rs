//! Models that hold integers of their own: layers on codes give what the same layers between conversions give.

use super::harness::{Build, inputs, lowered, pass, run, snapshot};
use staticnet::op::{AveragePool, BinaryOp, Conv2d, Function, MaxPool, Op as DeviceOp, PadMode, Window};
use staticnet_exporter::network::{Kind, Network};
use staticnet_graph::graph::{Codes, Coordinates, Elem, Graph, Grid, Interpolation, Op, Resize, Tensor, ValueId};

/// The pass that this file proves; its merging of pads on codes is that of [`super::real`].
pub const PROVEN: &str = "adopt_grids";

fn grid(elem: Elem, scale: f32, zero_point: i32) -> Grid {
    Grid { elem, scale: vec![scale], zero_point: vec![zero_point], axis: None }
}

/// For activations in [-1, 1).
fn fine() -> Grid {
    grid(Elem::U8, 1.0 / 128.0, 130)
}

/// For sums.
fn wide() -> Grid {
    grid(Elem::I8, 0.021, -7)
}

/// `x` to codes and back.
fn through(b: &mut Build, x: ValueId, grid: &Grid) -> ValueId {
    let q = b.add(Op::Quantize(grid.clone()), &[x]);
    b.add(Op::Dequantize(grid.clone()), &[q])
}

/// Gives the parameters of the last node integers: one scale an output channel.
fn quantize_weights(b: &mut Build, input_scale: f32) {
    let names = b.graph.nodes.last().unwrap().params.clone();
    let weight = b.graph.params.get_mut(&names[0]).unwrap();
    let row = weight.data.len() / weight.shape[0];
    let scale: Vec<f32> = (0..weight.shape[0]).map(|c| 0.006 + 0.001 * c as f32).collect();
    let integers = |tensor: &mut Tensor, row: usize, scale: &[f32], most: f32| -> Vec<i32> {
        let codes: Vec<i32> =
            tensor.data.iter().enumerate().map(|(i, w)| (w / scale[i / row]).round().clamp(-most, most) as i32).collect();
        tensor.data.iter_mut().zip(&codes).enumerate().for_each(|(i, (w, &q))| *w = q as f32 * scale[i / row]);
        codes
    };
    let codes = integers(weight, row, &scale, 127.0);
    let zero_point = vec![0; scale.len()];
    let products: Vec<f32> = scale.iter().map(|s| s * input_scale).collect();
    let bias = integers(b.graph.params.get_mut(&names[1]).unwrap(), 1, &products, 1e6);
    b.graph.codes.insert(names[0].clone(), Codes { codes, scale, zero_point: zero_point.clone(), axis: Some(0) });
    b.graph.codes.insert(names[1].clone(), Codes { codes: bias, scale: products, zero_point, axis: Some(0) });
}

fn conv(b: &mut Build, x: ValueId, out: usize, window: Window) -> ValueId {
    let y = b.conv_of(x, out, Conv2d { window, groups: 1 });
    quantize_weights(b, 1.0 / 128.0);
    y
}

/// `make` between a quantized input and what its results are turned into.
fn case(make: impl FnOnce(&mut Build, ValueId) -> Vec<ValueId>) -> Graph {
    let (mut b, x) = Build::new(&[1, 3, 6, 5]);
    let x = through(&mut b, x, &fine());
    let outputs = make(&mut b, x);
    b.output(&outputs)
}

/// Codes that outputs may differ by where the layers round differently.
fn prove(name: &str, graph: &Graph, codes_apart: f32) -> Network {
    let mut before = lowered(graph);
    pass("fold_affine")(&mut before);
    pass("fuse_activation")(&mut before);
    let mut after = before.clone();
    pass(PROVEN)(&mut after);
    snapshot(&format!("{PROVEN}.{name}.before"), &before.to_string());
    snapshot(&format!("{PROVEN}.{name}.after"), &after.to_string());
    same_codes(name, graph, &before, &after, codes_apart);
    after
}

fn same_codes(name: &str, graph: &Graph, before: &Network, after: &Network, codes_apart: f32) {
    for seed in 0..5 {
        let inputs = inputs(graph, seed);
        let (was, is) = (run(before, &inputs), run(after, &inputs));
        for (i, (was, is)) in was.iter().zip(&is).enumerate() {
            assert_eq!(was.shape, is.shape, "{name}, output {i}");
            // The grid that the output is made of; an output of codes counts in ones.
            let unit = match (graph.value(graph.outputs[i]).elem, after.tensors[after.outputs[i]].kind) {
                (Elem::F32, Kind::Codes(quant)) => quant.scale,
                (Elem::F32, Kind::Real | Kind::Index) => 1e-5 * was.data.iter().fold(0f32, |m, v| m.max(v.abs())),
                (Elem::U8 | Elem::I8 | Elem::I64, _) => 1.0,
            };
            for (at, (w, f)) in was.data.iter().zip(&is.data).enumerate() {
                assert!(
                    (w - f).abs() <= (codes_apart + 1e-3) * unit,
                    "{name}, output {i}, element {at}: {f} instead of {w}\n{after}"
                );
            }
        }
    }
}

fn converts(network: &Network) -> usize {
    network.layers.iter().filter(|layer| matches!(layer.op, DeviceOp::Convert(_))).count()
}

/// A network that the pass turns into integer layers only.
fn all_integers(name: &str, graph: &Graph, codes_apart: f32) {
    let after = prove(name, graph, codes_apart);
    assert_eq!(converts(&after), 0, "{name}\n{after}");
}

#[test]
fn sums_between_conversions_are_integer_layers() {
    let graph = case(|b, x| {
        let y = conv(b, x, 4, Window::square(3, 1, 1));
        let y = b.add(Op::Relu, &[y]);
        vec![through(b, y, &wide())]
    });
    all_integers("conv_relu", &graph, 1.0);
    let graph = case(|b, x| {
        let y = b.add(Op::Flatten, &[x]);
        let y = b.linear(y, 5);
        quantize_weights(b, 1.0 / 128.0);
        vec![b.add(Op::Quantize(wide()), &[y])]
    });
    all_integers("linear_to_codes", &graph, 1.0);
}

#[test]
fn operators_that_choose_keep_their_grid() {
    let graph = case(|b, x| {
        let y = b.add(Op::MaxPool(MaxPool { window: Window::square(2, 1, 0) }), &[x]);
        let y = b.add(Op::Transpose { perm: vec![0, 2, 3, 1] }, &[y]);
        let y = b.add(Op::Slice { start: vec![0, 1, 0, 0], step: vec![1, 2, 1, 1], len: vec![1, 2, 4, 3] }, &[y]);
        vec![b.add(Op::Relu, &[y])]
    });
    all_integers("chain_without_conversions", &graph, 0.0);
    // The model asks for another grid: one table.
    let graph = case(|b, x| {
        let y = b.add(Op::MaxPool(MaxPool { window: Window::square(2, 1, 0) }), &[x]);
        vec![through(b, y, &wide())]
    });
    all_integers("pool_to_another_grid", &graph, 0.0);
}

#[test]
fn two_inputs_and_concatenations_change_grids_as_they_go() {
    let graph = case(|b, x| {
        let y = conv(b, x, 3, Window::square(3, 1, 1));
        let y = through(b, y, &wide());
        let sum = b.add(Op::Binary(BinaryOp::Add), &[x, y]);
        let sum = through(b, sum, &grid(Elem::U8, 0.03, 100));
        let product = b.add(Op::Binary(BinaryOp::Mul), &[sum, x]);
        let product = through(b, product, &grid(Elem::I8, 0.025, 3));
        let all = b.add(Op::Concat { axis: 1 }, &[x, product, y]);
        vec![through(b, all, &grid(Elem::I8, 0.03, 0))]
    });
    // A sum that rounds the other way moves the product by one, and that the concatenation.
    all_integers("sum_product_concatenation", &graph, 2.0);
}

#[test]
fn means_functions_and_softmax_are_integer_layers() {
    let graph = case(|b, x| {
        let pool = AveragePool { window: Window::square(2, 2, 0), counted: [0; 4] };
        let y = b.add(Op::AveragePool(pool), &[x]);
        let y = through(b, y, &grid(Elem::I8, 0.007, 1));
        let y = b.add(Op::Unary(Function::Sigmoid), &[y]);
        let y = through(b, y, &grid(Elem::U8, 1.0 / 256.0, 0));
        let y = b.add(Op::Softmax { axis: 1 }, &[y]);
        vec![b.add(Op::Quantize(grid(Elem::U8, 1.0 / 256.0, 0)), &[y])]
    });
    all_integers("average_sigmoid_softmax", &graph, 1.0);
}

#[test]
fn the_largest_of_codes_needs_no_real_numbers() {
    let graph = case(|b, x| vec![b.add(Op::ArgMax { axis: 1, keep: true, last: false }, &[x])]);
    all_integers("arg_max", &graph, 0.0);
}

#[test]
fn layers_without_grids_stay_in_real_numbers() {
    // Weights of real numbers; a result that is read as it is; one that goes to two grids.
    let graph = case(|b, x| {
        let y = b.conv(x, 4);
        vec![through(b, y, &wide())]
    });
    assert!(converts(&prove("real_weights", &graph, 0.0)) > 0);
    let graph = case(|b, x| vec![conv(b, x, 4, Window::square(3, 1, 1))]);
    assert!(converts(&prove("read_as_real", &graph, 0.0)) > 0);
    let graph = case(|b, x| {
        let y = conv(b, x, 4, Window::square(3, 1, 1));
        vec![through(b, y, &wide()), through(b, y, &fine())]
    });
    assert!(converts(&prove("two_grids", &graph, 0.0)) > 0);
    let graph = case(|b, x| {
        let (mean, real) = (b.constant(&[1, 3, 6, 5]), x);
        let y = b.add(Op::Binary(BinaryOp::Add), &[real, mean]);
        vec![through(b, y, &wide())]
    });
    assert!(converts(&prove("one_operand_without_grid", &graph, 0.0)) > 0);
}

fn linear_resize() -> Op {
    Op::Resize(Resize {
        size: [9, 8],
        scale: [1.5, 1.6],
        coordinates: Coordinates::HalfPixel,
        interpolation: Interpolation::Linear,
    })
}

/// What lies between two codes, or is no code at all, must not be rounded where the model goes on in real numbers or on a finer grid.
#[test]
fn what_lies_between_codes_is_not_rounded_to_them() {
    let finer = || grid(Elem::I8, 0.002, 0);
    let coarse = grid(Elem::U8, 0.1, 128);
    for (name, op) in [("resize", linear_resize()), ("pad", pad(0.123))] {
        let of = |to: Option<Grid>| {
            let (mut b, x) = Build::new(&[1, 3, 6, 5]);
            let x = through(&mut b, x, &coarse);
            let y = b.add(op.clone(), &[x]);
            let y = to.map_or(y, |to| through(&mut b, y, &to));
            b.output(&[y])
        };
        assert!(converts(&prove(&format!("{name}_read_as_real"), &of(None), 0.0)) > 0);
        assert!(converts(&prove(&format!("{name}_to_a_finer_grid"), &of(Some(finer())), 0.0)) > 0);
        all_integers(&format!("{name}_to_the_same_grid"), &of(Some(coarse.clone())), 1.0);
    }
}

fn pad(value: f32) -> Op {
    Op::Pad { before: vec![0, 0, 1, 1], after: vec![0, 0, 1, 0], mode: PadMode::Constant, value }
}

#[test]
fn a_pad_of_codes_of_zero_goes_into_the_convolution() {
    for (name, value, merges) in [("zero", 0.0, true), ("not_zero", 0.5, false)] {
        let graph = case(|b, x| {
            let y = b.add(pad(value), &[x]);
            let y = conv(b, y, 4, Window::square(3, 1, 0));
            vec![through(b, y, &wide())]
        });
        let adopted = prove(&format!("pad_of_{name}"), &graph, 1.0);
        let mut merged = adopted.clone();
        pass("merge_pad")(&mut merged);
        assert_eq!(merged != adopted, merges, "{adopted}{merged}");
        same_codes(name, &graph, &adopted, &merged, 0.0);
    }
}

#[test]
fn inputs_and_outputs_of_codes_are_taken_as_they_are() {
    let (mut b, _) = Build::new(&[1]);
    b.graph.inputs.clear();
    let x = b.graph.input_of("codes", &[1, 3, 6, 5], Elem::U8);
    let real = b.add(Op::Dequantize(fine()), &[x]);
    let y = conv(&mut b, real, 4, Window::square(3, 2, 1));
    let y = b.add(Op::Quantize(grid(Elem::U8, 0.02, 128)), &[y]);
    // The same codes read on another grid.
    let other = b.add(Op::Dequantize(wide()), &[x]);
    let pool = b.add(Op::MaxPool(MaxPool { window: Window::square(2, 2, 0) }), &[other]);
    // An input has one look on the host, so its real numbers as an output are a tensor of their own.
    assert_eq!(converts(&prove("codes_in_and_out", &b.output(&[y, pool, real]), 1.0)), 1);
}

/// A quantized input that is also read as real numbers keeps both forms.
#[test]
fn an_input_read_as_real_numbers_too_is_quantized_by_a_layer() {
    let (mut b, x) = Build::new(&[1, 3, 6, 5]);
    let codes = through(&mut b, x, &fine());
    let y = conv(&mut b, codes, 3, Window::square(3, 1, 1));
    let y = through(&mut b, y, &wide());
    let real = b.add(Op::Unary(Function::Tanh), &[x]);
    assert!(converts(&prove("input_read_twice", &b.output(&[y, real]), 1.0)) > 0);
}

#[test]
fn a_network_without_codes_is_left_alone() {
    let (mut b, x) = Build::new(&[1, 3, 6, 5]);
    let y = b.conv(x, 4);
    let network = lowered(&b.output(&[y]));
    let mut after = network.clone();
    pass(PROVEN)(&mut after);
    assert_eq!(after, network);
}
