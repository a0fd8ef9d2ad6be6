//! int8 networks against an integer reference that shares nothing with the exporter's quantization or the runtime but the artifact's
//! grids (scale, zero point): it quantizes real parameters itself, and computes with i64 sums, zero points subtracted tap by tap, with
//! f64, and with `round_ties_even`.
//!
//! [`layers`] holds every layer of the lowered network, of any operator, against what it must make of the very bytes that it was fed.
//! [`graphs`] holds whole graphs against it, without the lowering.
//!
//! What sums products, chooses or moves must agree in every byte, changes of scale too; average pool, sums and products of tensors,
//! LRN, softmax, interpolation and functions to one unit.

#[path = "integer_reference/formulas.rs"]
mod formulas;
#[path = "integer_reference/graphs.rs"]
mod graphs;
#[path = "integer_reference/layers.rs"]
mod layers;
#[path = "integer_reference/moves.rs"]
mod moves;

use staticnet::op::{Conv2d, Window};
use staticnet::record::TensorInfo;
use staticnet_graph::graph::Graph;
use staticnet_graph::models::by_name;
use staticnet_testing::graphs::networks::{self, Kind, Operators};
use staticnet_testing::graphs::{every_op, run_and_watch};
use staticnet_testing::{Case, Random};

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

    /// From values in the host's order, channel by channel.
    fn from_channels(size: [usize; 3], values: &[i64], grid: Grid) -> Ints {
        let [h, w, c] = size;
        let q = (0..h * w * c).map(|i| values[i % c * h * w + i / c]).collect();
        Ints { size, q, grid }
    }

    /// One row of one pixel, in the host's order: what a flatten makes of an image.
    fn flattened(&self) -> Ints {
        let [h, w, c] = self.size;
        let q = (0..h * w * c).map(|i| self.q[i % (h * w) * c + i / (h * w)]).collect();
        Ints { size: [1, 1, h * w * c], q, grid: self.grid }
    }

    /// `q - zero`; none outside.
    pub fn at(&self, y: i64, x: i64, c: usize) -> Option<i64> {
        self.code(y, x, c).map(|q| q - self.grid.zero)
    }
}

#[test]
fn layers_of_random_networks() {
    let mut count = layers::Count::new();
    for seed in 0..500 {
        let _case = Case("integer operators", seed);
        let mut random = Random(seed);
        let operators = random.pick(&[Operators::Every, Operators::EveryAndCodes]);
        let kind = Kind { depth: random.within(2, 8), branches: random.one_in(2), operators };
        let graph = networks::random(&mut random, kind);
        layers::judge(&graph, &mut random, &mut count);
    }
    println!("{count:?} values compared");
    for (name, (all, off)) in &count {
        assert!(*all > 1000, "only {all} values of {name}");
        assert!(off * 200 < *all, "{off} of {all} values of {name} are a unit off");
    }
    // 16 operators, 7 functions and 4 operations on two tensors.
    assert_eq!(count.len(), 27, "{count:?}");
}

#[test]
fn every_operator() {
    let mut count = layers::Count::new();
    layers::judge(&every_op::graph(), &mut Random(5), &mut count);
    assert!(count.len() > 15, "{count:?}");
}

#[test]
fn random_graphs() {
    let (mut count, mut folded) = (graphs::Count::default(), 0);
    for seed in 0..400 {
        let _case = Case("integer reference", seed);
        let mut random = Random(seed);
        let operators = random.pick(&[Operators::Exact, Operators::WithLrn]);
        let kind = Kind { depth: random.within(1, 8), branches: random.one_in(3), operators };
        let graph = networks::random(&mut random, kind);
        let calibration = networks::samples(&graph, &mut random, 3);
        let model = graphs::model(&graph, &calibration);
        // A scale for each channel became part of the convolution before it: those integers are the exporter's affair.
        if graphs::scales_are_folded(&graph, &model.artifact()) {
            folded += 1;
            continue;
        }
        // Also samples outside the calibrated range: everything saturates alike.
        let mut samples = networks::samples(&graph, &mut random, 2);
        samples.push(samples[0].iter().map(|v| 4.0 * v).collect());
        samples.iter().for_each(|x| graphs::check(&graph, &model, x, &mut count));
    }
    println!("{count:?} values compared");
    assert!(folded < 60, "{folded} networks were left out");
    assert!(count.exact > 500_000 && count.lrn > 50_000 && count.whole > 300_000, "{count:?}");
}

/// Layers as large as they come in practice: long sums, many channels.
#[test]
fn named_networks() {
    for name in ["lenet", "cifar-small"] {
        let architecture = by_name(name).expect("a known network");
        let mut graph = (architecture.build)(3, 10).expect("it fits its own input");
        let mut random = Random(2);
        networks::fill(&mut graph, &mut random);
        let model = graphs::model(&graph, &networks::samples(&graph, &mut random, 2));
        let mut count = graphs::Count::default();
        graphs::check(&graph, &model, &networks::samples(&graph, &mut random, 1)[0], &mut count);
        assert!(count.whole > 10_000 && count.lrn == 0, "{count:?}");
    }
}

/// Results that fall on a half go to the even neighbour, here and on the device. All scales are powers of two, so halves are exact.
#[test]
fn ties_go_to_even() {
    let mut graph = Graph::new("ties");
    let x = graph.input("x", &[1, 3, 1, 256]);
    let y = graph.conv("halve", x, 1, Conv2d { window: Window::square(1, 1, 0), groups: 1 }).expect("fits");
    graph.output(y);
    // The weights' scale is 1, by the last of them. The input's is 2^-7, the output's 2^-1: a unit of channel 0 is half of one.
    graph.params.get_mut("halve.weight").expect("just added").data = vec![32.0, 32.0, 127.0];
    let ramp: Vec<f32> = (0..256).map(|d| d as f32 / 128.0).collect();
    let zeros = vec![0.0; 256];
    let model = graphs::model(&graph, &[[&ramp[..], &ramp, &zeros].concat()]);
    let sample = [&ramp[..], &zeros, &zeros].concat();
    let mut count = graphs::Count::default();
    graphs::check(&graph, &model, &sample, &mut count);
    assert_eq!(count.whole, 256);
    let output = run_and_watch(&model, &sample).pop().expect("there are tensors");
    for (d, &q) in output.iter().enumerate() {
        // 0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5 become 0, 0, 1, 2, 2, 2, 3, 4.
        let half = d / 4 * 2 + [0, 0, 1, 2][d % 4];
        assert_eq!(q as i8 as i64 + 128, half as i64, "{d} halves");
    }
}
