//! Every int8 layer against a reference of its own: from the lowered network's real parameters and the grids (scale, zero point)
//! in the artifact it computes what the layer must make of the very bytes that it was fed, in memory order, with i64 and f64.
//!
//! What sums products, chooses or moves must agree in every byte, changes of scale too; average pool, sums and products of tensors,
//! LRN, softmax, interpolation and functions to one unit. (`integer_reference` runs whole graphs without the lowering.)

#[path = "integer_operators/formulas.rs"]
mod formulas;
#[path = "integer_operators/moves.rs"]
mod moves;

use staticnet::op::Op;
use staticnet::record::{DType, TensorInfo};
use staticnet_exporter::compile;
use staticnet_exporter::network::Network;
use staticnet_graph::graph::Graph;
use staticnet_testing::graphs::networks::{self, Kind, Operators};
use staticnet_testing::graphs::{every_op, lowered, model, run_and_watch};
use staticnet_testing::{Case, Random};
use std::collections::BTreeMap;

/// How real values become integers: real = scale * (q - zero).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grid {
    /// Real value of one unit.
    pub scale: f32,
    /// The integer that stands for 0.
    pub zero: i64,
}

impl Grid {
    fn of(info: &TensorInfo) -> Grid {
        Grid { scale: info.scale, zero: info.zero_point as i64 }
    }

    /// ONNX DequantizeLinear.
    pub fn real(&self, q: i64) -> f32 {
        (q - self.zero) as f32 * self.scale
    }

    /// ONNX QuantizeLinear.
    pub fn quantize(&self, v: f32) -> i64 {
        (((v / self.scale).round_ties_even() as i64).saturating_add(self.zero)).clamp(-128, 127)
    }

    /// The same in double precision.
    pub fn nearest(&self, v: f64) -> i64 {
        (((v / self.scale as f64).round_ties_even() as i64).saturating_add(self.zero)).clamp(-128, 127)
    }
}

/// An int8 activation in memory order.
#[derive(Clone, Debug)]
pub struct Ints {
    /// Rows, pixels, channels.
    pub size: [usize; 3],
    /// The codes.
    pub q: Vec<i64>,
    /// What they mean.
    pub grid: Grid,
}

impl Ints {
    fn new(info: &TensorInfo, bytes: &[u8]) -> Ints {
        let size = [info.height, info.width, info.channels].map(|n| n as usize);
        Ints { size, q: bytes.iter().map(|&b| b as i8 as i64).collect(), grid: Grid::of(info) }
    }

    /// An element's code; none outside.
    pub fn code(&self, y: i64, x: i64, c: usize) -> Option<i64> {
        let [h, w, channels] = self.size;
        let inside = (0..h as i64).contains(&y) && (0..w as i64).contains(&x);
        inside.then(|| self.q[(y as usize * w + x as usize) * channels + c])
    }

    /// `q - zero`; none outside.
    pub fn at(&self, y: i64, x: i64, c: usize) -> Option<i64> {
        self.code(y, x, c).map(|q| q - self.grid.zero)
    }
}

/// Elements compared by operator: all, and those a unit off.
type Count = BTreeMap<&'static str, (usize, usize)>;

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
        Op::Lrn(_) | Op::AveragePool(_) | Op::Unary(_) | Op::PRelu | Op::Binary(_) | Op::Softmax => 1,
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

fn judge(graph: &Graph, random: &mut Random, count: &mut Count) {
    let calibration = networks::samples(graph, random, 3);
    let mut samples = networks::samples(graph, random, 2);
    // Also one outside the calibrated range: everything saturates alike.
    samples.push(samples[0].iter().map(|v| 4.0 * v).collect());
    for quantized in lowered(graph, &calibration) {
        let model = model(&staticnet_testing::graphs::emitted(&quantized));
        // Real parameters, and the operators that calibration leaves of conversions.
        let mut network = compile::network(graph.clone()).expect("supported");
        for (layer, quantized) in network.layers.iter_mut().zip(&quantized.layers) {
            layer.op = quantized.record.op;
        }
        samples.iter().for_each(|x| check(graph, &network, &model, x, count));
    }
}

#[test]
fn random_networks() {
    let mut count = Count::new();
    for seed in 0..500 {
        let _case = Case("integer operators", seed);
        let mut random = Random(seed);
        let operators = random.pick(&[Operators::Every, Operators::EveryAndCodes]);
        let kind = Kind { depth: random.within(2, 8), branches: random.one_in(2), operators };
        let graph = networks::random(&mut random, kind);
        judge(&graph, &mut random, &mut count);
    }
    println!("{count:?} values compared");
    for (name, (all, off)) in &count {
        assert!(*all > 1000, "only {all} values of {name}");
        assert!(off * 200 < *all, "{off} of {all} values of {name} are a unit off");
    }
    // 15 operators, 7 functions and 3 operations on two tensors.
    assert_eq!(count.len(), 25, "{count:?}");
}

#[test]
fn every_operator() {
    let mut count = Count::new();
    judge(&every_op::graph(), &mut Random(5), &mut count);
    assert!(count.len() > 15, "{count:?}");
}
