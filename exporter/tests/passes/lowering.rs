//! What lowering makes of moves: nothing where elements lie right already, one walk where they do not.

use super::harness::{BOUND, Build, Result, assert_near, expected, inputs, lowered, prove, run, snapshot};
use staticnet::op::{MaxPool, Op as DeviceOp, Window};
use staticnet_exporter::compile::{Options, compile, compile_float};
use staticnet_exporter::network::Network;
use staticnet_graph::graph::{Graph, Op, ValueId};
use staticnet_graph::onnx;

const TO_NHWC: [usize; 4] = [0, 2, 3, 1];
const TO_NCHW: [usize; 4] = [0, 3, 1, 2];

fn transpose(b: &mut Build, x: ValueId, perm: [usize; 4]) -> ValueId {
    b.add(Op::Transpose { perm: perm.to_vec() }, &[x])
}

fn reshape(b: &mut Build, x: ValueId, shape: &[usize]) -> ValueId {
    b.add(Op::Reshape { shape: shape.to_vec() }, &[x])
}

/// How many layers move elements, after the results have been held against the reference.
fn moves(name: &str, graph: &Graph, bound: f32) -> usize {
    let network = lowered(graph);
    snapshot(&format!("lowering.{name}"), &network.to_string());
    for seed in 0..3 {
        let inputs = inputs(graph, seed);
        assert_near(&run(&network, &inputs), &expected(graph, &inputs), bound, name);
    }
    rearranges(&network)
}

fn rearranges(network: &Network) -> usize {
    network.layers.iter().filter(|layer| matches!(layer.op, DeviceOp::Rearrange(_))).count()
}

#[test]
fn a_flatten_before_a_fully_connected_layer_costs_nothing() {
    let (mut b, x) = Build::new(&[1, 3, 4, 5]);
    let y = b.conv(x, 6);
    let y = b.add(Op::Dropout { ratio: 0.5 }, &[y]);
    let y = b.add(Op::Flatten, &[y]);
    let y = b.add(Op::Identity, &[y]);
    let y = b.linear(y, 7);
    assert_eq!(moves("flatten_linear", &b.output(&[y]), BOUND), 0);
    // Reshaped there and back, and cut into three dimensions.
    let (mut b, x) = Build::new(&[1, 3, 4, 5]);
    let y = b.conv(x, 6);
    let y = reshape(&mut b, y, &[1, 6, 20]);
    let y = reshape(&mut b, y, &[1, 120]);
    let y = reshape(&mut b, y, &[1, 6, 4, 5]);
    let y = b.conv(y, 2);
    assert_eq!(moves("reshaped_and_back", &b.output(&[y]), BOUND), 0);
}

/// The convolutions of a TensorFlow model stand between transposes; what is between two of those works on NHWC.
#[test]
fn transposes_of_a_tensorflow_export_cancel() {
    let (mut b, x) = Build::new(&[1, 6, 5, 3]);
    let mut y = transpose(&mut b, x, TO_NCHW);
    for channels in [4, 6] {
        y = b.conv(y, channels);
        y = transpose(&mut b, y, TO_NHWC);
        let bias = b.constant(&[channels]);
        y = b.add(Op::Binary(staticnet::op::BinaryOp::Add), &[y, bias]);
        y = b.add(Op::Relu, &[y]);
        y = transpose(&mut b, y, TO_NCHW);
        y = b.add(Op::MaxPool(MaxPool { window: Window::square(2, 1, 0) }), &[y]);
    }
    // Its flatten is in the order of NHWC, which is that of the device.
    y = transpose(&mut b, y, TO_NHWC);
    y = reshape(&mut b, y, &[1, 4 * 3 * 6]);
    y = b.linear(y, 5);
    let graph = b.output(&[y]);
    assert_eq!(moves("tensorflow", &graph, BOUND), 0);
    let mut network = lowered(&graph);
    staticnet_exporter::passes::run(&mut network);
    snapshot("lowering.tensorflow.after_all_passes", &network.to_string());
    assert_eq!(network.layers.len(), 5, "two convolutions, two pools, one fully connected layer\n{network}");
}

#[test]
fn an_nhwc_input_that_is_read_otherwise_too_is_moved_once() {
    let (mut b, x) = Build::new(&[1, 6, 5, 3]);
    let picture = transpose(&mut b, x, TO_NCHW);
    let y = b.conv(picture, 4);
    let z = b.conv(x, 2);
    assert_eq!(moves("input_in_two_orders", &b.output(&[y, z]), BOUND), 1);
}

#[test]
fn a_channel_shuffle_is_one_walk() {
    let (mut b, x) = Build::new(&[1, 3, 4, 5]);
    let y = b.conv(x, 6);
    let y = reshape(&mut b, y, &[1, 2, 3, 4, 5]);
    let y = b.add(Op::Transpose { perm: vec![0, 2, 1, 3, 4] }, &[y]);
    let y = reshape(&mut b, y, &[1, 6, 4, 5]);
    let y = b.conv(y, 4);
    assert_eq!(moves("channel_shuffle", &b.output(&[y]), BOUND), 1);
}

#[test]
fn two_readers_of_the_same_order_share_its_walk() {
    let (mut b, x) = Build::new(&[1, 6, 5, 4]);
    let y = b.add(Op::Relu, &[x]);
    let a = transpose(&mut b, y, [0, 2, 1, 3]);
    let c = transpose(&mut b, y, [0, 2, 1, 3]);
    let (a, c) = (b.conv(a, 2), b.conv(c, 3));
    assert_eq!(moves("shared_walk", &b.output(&[a, c]), BOUND), 1);
}

#[test]
fn an_output_beside_its_own_reshape_is_copied() {
    let (mut b, x) = Build::new(&[1, 3, 4, 5]);
    let y = b.conv(x, 6);
    let flat = reshape(&mut b, y, &[1, 6, 1, 20]);
    let same = b.add(Op::Identity, &[y]);
    assert_eq!(moves("outputs_that_are_views", &b.output(&[y, flat, same, x]), BOUND), 3);
}

/// A reshape that cuts runs of memory moves elements; what is behind it may undo that or need only a part.
#[test]
fn walks_over_walks_are_one() {
    let (mut b, x) = Build::new(&[1, 4, 3, 5]);
    let y = b.conv(x, 4);
    let y = reshape(&mut b, y, &[1, 6, 2, 5]);
    let y = reshape(&mut b, y, &[1, 4, 3, 5]);
    let y = b.conv(y, 2);
    prove("merge_rearranges", "there_and_back", &b.output(&[y]), Result::Exact);
    let (mut b, x) = Build::new(&[1, 4, 3, 5]);
    let y = b.conv(x, 4);
    let y = b.add(Op::Flatten, &[y]);
    let y = b.add(Op::Slice { start: vec![0, 15], step: vec![1, 1], len: vec![1, 30] }, &[y]);
    let y = reshape(&mut b, y, &[1, 2, 3, 5]);
    let y = b.conv(y, 2);
    prove("merge_rearranges", "part_of_a_flatten", &b.output(&[y]), Result::Exact);
}

#[test]
fn walks_that_are_no_walk_together_or_are_seen_stay() {
    let (mut b, x) = Build::new(&[1, 4, 3, 5]);
    let y = b.conv(x, 4);
    let y = reshape(&mut b, y, &[1, 6, 2, 5]);
    let y = b.conv(y, 2);
    prove("merge_rearranges", "cuts_runs", &b.output(&[y]), Result::Untouched);
    let (mut b, x) = Build::new(&[1, 4, 3, 5]);
    let y = b.conv(x, 4);
    let cut = reshape(&mut b, y, &[6, 10]);
    let y = reshape(&mut b, cut, &[1, 4, 3, 5]);
    let y = b.conv(y, 2);
    prove("merge_rearranges", "between_is_an_output", &b.output(&[y, cut]), Result::Untouched);
    let (mut b, x) = Build::new(&[1, 4, 3, 5]);
    let same = b.add(Op::Identity, &[x]);
    prove("merge_rearranges", "a_copy_that_is_an_output", &b.output(&[same]), Result::Untouched);
}

/// Through ONNX, which says nothing of a bias then.
#[test]
fn a_layer_without_a_bias_is_the_artifact_of_one_with_zeros() {
    let (mut b, x) = Build::new(&[1, 3, 6, 5]);
    let y = b.conv(x, 4);
    let y = b.add(Op::Relu, &[y]);
    let y = b.add(Op::Flatten, &[y]);
    let y = b.linear(y, 5);
    let mut with = b.output(&[y]);
    for (name, tensor) in &mut with.params {
        tensor.data.iter_mut().filter(|_| name.ends_with("bias")).for_each(|v| *v = 0.0);
    }
    let mut without = with.clone();
    without.nodes.iter_mut().for_each(|node| node.params.truncate(1));
    without.params.retain(|name, _| !name.ends_with("bias"));
    let [with, without] = [with, without].map(|g| onnx::import_bytes(&onnx::to_bytes(&g).unwrap()).unwrap());
    assert_eq!([with.params.len(), without.params.len()], [4, 2]);
    let samples: Vec<Vec<f32>> = (0..3).map(|seed| inputs(&with, seed).remove(0).data).collect();
    let int8 = |graph: &Graph| compile(graph.clone(), &samples, &Options::default()).unwrap().joined();
    let float = |graph: &Graph| compile_float(graph.clone(), &Options::default()).unwrap().joined();
    assert_eq!(int8(&without), int8(&with));
    assert_eq!(float(&without), float(&with));
}
