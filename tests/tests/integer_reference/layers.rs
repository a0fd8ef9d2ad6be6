//! Every layer of a lowered network that reads or makes int8.

use super::{Ints, formulas, moves};
use staticnet::op::Op;
use staticnet::record::DType;
use staticnet_exporter::compile;
use staticnet_exporter::network::Network;
use staticnet_graph::graph::Graph;
use staticnet_testing::Random;
use staticnet_testing::graphs::{emitted, lowered, model, networks, run_and_watch};
use std::collections::BTreeMap;

/// Elements compared by operator: all, and those a unit off.
pub type Count = BTreeMap<&'static str, (usize, usize)>;

/// Largest difference that an operator's formula leaves room for.
fn bound(op: &Op, interpolates: bool) -> i64 {
    match op {
        Op::Conv2d(_)
        | Op::Linear
        | Op::MaxPool(_)
        | Op::Relu
        | Op::Constant
        | Op::Rearrange(_)
        | Op::Pad(_)
        | Op::Place(_) => 0,
        Op::ArgMax { .. } | Op::Convert(_) => 0,
        Op::Resize => interpolates as i64,
        Op::Lrn(_) | Op::AveragePool(_) | Op::LpPool(_) | Op::Unary(_) | Op::PRelu | Op::Binary(_) | Op::Softmax => 1,
    }
}

/// Holds every layer that reads or makes int8 against the formulas, on one sample.
fn check(graph: &Graph, network: &Network, model: &staticnet_exporter::host::Model, x: &[f32], count: &mut Count) {
    let (artifact, bytes) = (model.artifact(), run_and_watch(model, x));
    for (i, layer) in network.layers.iter().enumerate() {
        let info = |t: usize| artifact.tensor(t).expect("as many tensors as the network has");
        let y = info(layer.output);
        let int8 = layer.inputs.iter().all(|&t| info(t).dtype == DType::I8);
        if !int8 || (layer.inputs.is_empty() && y.dtype != DType::I8) {
            continue;
        }
        assert_eq!(artifact.layer(i).map(|l| (l.output as usize, l.op.code())), Some((layer.output, layer.op.code())));
        let inputs: Vec<Ints> = layer.inputs.iter().map(|&t| Ints::new(&info(t), &bytes[t])).collect();
        let name = layer.op.name();
        let entry = count.entry(name).or_default();
        if y.dtype != DType::I8 {
            let got = |at: usize| i32::from_le_bytes([0, 1, 2, 3].map(|k| bytes[layer.output][4 * at + k]));
            let real = |at: usize| f32::from_bits(got(at) as u32);
            match layer.op {
                Op::ArgMax { last } => moves::highest(&inputs[0], last).iter().enumerate().for_each(|(at, want)| {
                    assert_eq!(got(at) as i64, *want, "{}, element {at}\n{graph}", layer.name);
                }),
                _ => inputs[0].q.iter().enumerate().for_each(|(at, &q)| {
                    assert_eq!(real(at), inputs[0].grid.real(q), "{} ({name}), element {at}\n{graph}", layer.name);
                }),
            }
            entry.0 += inputs[0].q.len();
            continue;
        }
        let got = Ints::new(&y, &bytes[layer.output]);
        let want = formulas::output(layer, &inputs, got.size, got.grid);
        let mut interpolates = false;
        if let staticnet_exporter::network::Parameters::Taps(taps) = &layer.parameters {
            interpolates = taps.iter().any(|tap| tap.weight != 0.0);
        }
        for (at, want) in want.into_iter().enumerate() {
            // A part of a concatenation makes a part.
            let Some(want) = want else { continue };
            let off = (got.q[at] - want).abs();
            let [from, to] = [0, 1].map(|k| inputs.get(k).map(|x| x.grid));
            assert!(
                off <= bound(&layer.op, interpolates),
                "{} ({:?}), element {at}: {} instead of {want}; grids {from:?} {to:?} to {:?}\n{graph}",
                layer.name,
                layer.op,
                got.q[at],
                got.grid
            );
            *entry = (entry.0 + 1, entry.1 + usize::from(off != 0));
        }
    }
}

/// Holds the layers of a graph, lowered in f32 and in int8, against the formulas.
pub fn judge(graph: &Graph, random: &mut Random, count: &mut Count) {
    let calibration = networks::samples(graph, random, 3);
    let mut samples = networks::samples(graph, random, 2);
    // Also one outside the calibrated range: everything saturates alike.
    samples.push(samples[0].iter().map(|v| 4.0 * v).collect());
    for quantized in lowered(graph, &calibration) {
        let model = model(&emitted(&quantized));
        // Real parameters, and the operators that calibration leaves of conversions.
        let mut network = compile::network(graph.clone()).expect("supported");
        for (layer, quantized) in network.layers.iter_mut().zip(&quantized.layers) {
            layer.op = quantized.record.op;
        }
        samples.iter().for_each(|x| check(graph, &network, &model, x, count));
    }
}
