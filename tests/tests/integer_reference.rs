//! int8 networks against an integer reference that shares nothing with the exporter or the runtime but the artifact's records: it
//! reads the grids (scale, zero point) of the activations from the artifact, quantizes the graph's float weights itself, and
//! computes in NCHW with i64 sums, zero points subtracted tap by tap, and `round_ties_even`.
//!
//! Convolution, fully connected, max-pool and ReLU must agree in every value; LRN to one unit, against its formula in f64.

use staticnet::Artifact;
use staticnet::op::{Conv2d, Lrn, MaxPool, Window};
use staticnet::record::TensorInfo;
use staticnet_exporter::compile::{Options, compile};
use staticnet_exporter::host::Model;
use staticnet_graph::graph::{Graph, Node, Op, Tensor};
use staticnet_testing::graphs::networks::{self, Kind, Operators};
use staticnet_testing::graphs::{input_info, run_and_watch};
use staticnet_testing::{Case, Random};
use staticnet_trainer::models::by_name;

/// How real values become integers: real = scale * (q - zero).
#[derive(Clone, Copy, Debug, PartialEq)]
struct Grid {
    scale: f32,
    zero: i64,
}

impl Grid {
    fn of(info: &TensorInfo) -> Grid {
        Grid { scale: info.scale, zero: info.zero_point as i64 }
    }

    /// ONNX QuantizeLinear.
    fn quantize(&self, v: f32) -> i64 {
        ((v / self.scale).round_ties_even() as i64 + self.zero).clamp(-128, 127)
    }
}

/// An integer activation in NCHW order.
#[derive(Clone, Debug)]
struct Ints {
    /// `[C, H, W]`; a flat one is `[F, 1, 1]`.
    shape: [usize; 3],
    q: Vec<i64>,
    grid: Grid,
}

impl Ints {
    /// From the device's bytes, which are in NHWC order.
    fn from_device(info: &TensorInfo, bytes: &[u8]) -> Ints {
        let shape @ [c, h, w] = [info.channels, info.height, info.width].map(|d| d as usize);
        let mut q = vec![0; c * h * w];
        for (i, &byte) in bytes.iter().enumerate() {
            q[i % c * h * w + i / c] = byte as i8 as i64;
        }
        Ints { shape, q, grid: Grid::of(info) }
    }

    /// `q - zero` of a pixel; 0 outside.
    fn at(&self, c: usize, y: i64, x: i64) -> Option<i64> {
        let [_, h, w] = self.shape;
        let inside = (0..h as i64).contains(&y) && (0..w as i64).contains(&x);
        inside.then(|| self.q[(c * h + y as usize) * w + x as usize] - self.grid.zero)
    }
}

/// A layer's integers, one entry an output channel: weights, bias, real value of a product's unit.
struct Channel {
    weights: Vec<i64>,
    bias: i64,
    unit: f32,
}

/// Symmetric per output channel: the largest weight becomes 127, unless the bias would then leave 2^30.
fn channels(weight: &Tensor, bias: &Tensor, x: Grid) -> Vec<Channel> {
    let row = weight.data.len() / weight.shape[0];
    let channel = |(weights, &bias): (&[f32], &f32)| {
        let for_weights = weights.iter().map(|w| w.abs()).fold(0f32, f32::max) / 127.0;
        let for_bias = bias.abs() / x.scale / (1u32 << 30) as f32;
        let scale = for_weights.max(for_bias).max(f32::MIN_POSITIVE);
        let unit = x.scale * scale;
        Channel {
            weights: weights.iter().map(|w| ((w / scale).round_ties_even() as i64).clamp(-127, 127)).collect(),
            bias: (bias as f64 / unit as f64).round_ties_even() as i64,
            unit,
        }
    };
    weight.data.chunks_exact(row).zip(&bias.data).map(channel).collect()
}

/// An exact sum on the output's grid.
fn requantize(sum: i64, unit: f32, y: Grid) -> i64 {
    assert!(i32::try_from(sum).is_ok(), "the sum {sum} leaves i32: wrapping is not what is tested here");
    ((sum as f32 * (unit / y.scale)).round_ties_even() as i64).saturating_add(y.zero).clamp(-128, 127)
}

/// Where tap `k` of output `o` lies along an axis.
fn tap(window: &Window, axis: usize, o: usize, k: usize) -> i64 {
    (o * window.stride[axis] as usize + k * window.dilation[axis] as usize) as i64 - window.pads[axis] as i64
}

fn conv(attrs: &Conv2d, x: &Ints, weight: &Tensor, bias: &Tensor, shape: [usize; 3], grid: Grid) -> Ints {
    let [o, oh, ow] = shape;
    let (kh, kw) = (weight.shape[2], weight.shape[3]);
    let (per_in, per_out) = (weight.shape[1], o / attrs.groups as usize);
    let mut q = Vec::with_capacity(o * oh * ow);
    for (oc, channel) in channels(weight, bias, x.grid).iter().enumerate() {
        for oy in 0..oh {
            for ox in 0..ow {
                let mut sum = channel.bias;
                for (i, w) in channel.weights.iter().enumerate() {
                    let (ic, ky, kx) = (i / (kh * kw), i / kw % kh, i % kw);
                    let (iy, ix) = (tap(&attrs.window, 0, oy, ky), tap(&attrs.window, 1, ox, kx));
                    sum += w * x.at(oc / per_out * per_in + ic, iy, ix).unwrap_or(0);
                }
                q.push(requantize(sum, channel.unit, grid));
            }
        }
    }
    Ints { shape, q, grid }
}

fn linear(x: &Ints, weight: &Tensor, bias: &Tensor, grid: Grid) -> Ints {
    let dot = |channel: &Channel| {
        let products = channel.weights.iter().zip(&x.q).map(|(w, q)| w * (q - x.grid.zero));
        requantize(channel.bias + products.sum::<i64>(), channel.unit, grid)
    };
    Ints { shape: [weight.shape[0], 1, 1], q: channels(weight, bias, x.grid).iter().map(dot).collect(), grid }
}

fn max_pool(attrs: &MaxPool, x: &Ints, shape: [usize; 3]) -> Ints {
    let [c, oh, ow] = shape;
    let window = &attrs.window;
    let mut q = Vec::with_capacity(c * oh * ow);
    for ch in 0..c {
        for oy in 0..oh {
            for ox in 0..ow {
                let rows = (0..window.kernel[0] as usize).map(|k| tap(window, 0, oy, k));
                let taps = rows.flat_map(|y| (0..window.kernel[1] as usize).map(move |k| (y, tap(window, 1, ox, k))));
                let best = taps.filter_map(|(y, xx)| x.at(ch, y, xx)).max().expect("a window holds a pixel");
                q.push(best + x.grid.zero);
            }
        }
    }
    Ints { shape, q, grid: x.grid }
}

fn lrn(attrs: &Lrn, x: &Ints, grid: Grid) -> Ints {
    let [c, h, w] = x.shape;
    let plane = h * w;
    let real = |c: usize, p: usize| x.grid.scale as f64 * (x.q[c * plane + p] - x.grid.zero) as f64;
    let mut q = Vec::with_capacity(x.q.len());
    for ch in 0..c {
        for p in 0..plane {
            let reach = attrs.size as usize / 2;
            let squares = (0..c).filter(|j| j.abs_diff(ch) <= reach).map(|j| real(j, p) * real(j, p));
            let base = attrs.k as f64 + attrs.alpha as f64 / attrs.size as f64 * squares.sum::<f64>();
            let y = real(ch, p) / base.powf(attrs.beta as f64);
            q.push(((y / grid.scale as f64).round_ties_even() as i64 + grid.zero).clamp(-128, 127));
        }
    }
    Ints { shape: x.shape, q, grid }
}

fn relu(x: &Ints) -> Ints {
    Ints { q: x.q.iter().map(|&q| q.max(x.grid.zero)).collect(), ..x.clone() }
}

/// A graph beside the artifact made of it.
struct Pair<'a> {
    graph: &'a Graph,
    artifact: Artifact<'a>,
}

impl Pair<'_> {
    /// The layer of a node, if it became one.
    fn layer(&self, node: &Node) -> Option<staticnet::record::Layer> {
        let named = |&i: &usize| self.artifact.layer_name(i) == Some(&node.name);
        (0..self.artifact.layer_count()).find(named).and_then(|i| self.artifact.layer(i))
    }

    /// The artifact's tensor that holds each value as the device computes it, if any does: not so for a convolution whose ReLU was
    /// fused.
    fn tensors(&self) -> Vec<Option<u16>> {
        let mut tensor_of = vec![None; self.graph.values.len()];
        tensor_of[self.graph.inputs[0].0] = self.artifact.input_slot(0).map(|slot| slot.tensor);
        for node in &self.graph.nodes {
            let input = tensor_of[node.inputs[0].0];
            tensor_of[node.output.0] = match (&node.op, self.layer(node)) {
                (_, Some(layer)) => Some(layer.output),
                (Op::Relu, None) => {
                    tensor_of.iter_mut().filter(|t| **t == input).for_each(|t| *t = None);
                    input
                }
                (Op::Identity | Op::Dropout { .. } | Op::Flatten, None) => input,
                (_, None) => panic!("{} was lost", node.name),
            };
        }
        tensor_of
    }

    /// What a node makes of `x`.
    fn apply(&self, node: &Node, x: &Ints) -> Ints {
        let grid = || {
            let layer = self.layer(node).expect("a node that computes is a layer");
            Grid::of(&self.artifact.tensor(layer.output as usize).expect("named by a layer"))
        };
        let shape = match self.graph.shape(node.output)[1..] {
            [c, h, w] => [c, h, w],
            [f] => [f, 1, 1],
            _ => panic!("neither an image nor a row"),
        };
        let param = |i: usize| self.graph.param(node, i).expect("conv and linear have parameters");
        match &node.op {
            Op::Conv(attrs) => conv(attrs, x, param(0), param(1), shape, grid()),
            Op::Linear => linear(x, param(0), param(1), grid()),
            Op::MaxPool(attrs) => max_pool(attrs, x, shape),
            Op::Lrn(attrs) => lrn(attrs, x, grid()),
            Op::Relu => relu(x),
            Op::Identity | Op::Dropout { .. } | Op::Flatten => Ints { shape, ..x.clone() },
            other => panic!("{} is not among these networks' operators", other.name()),
        }
    }
}

/// What was compared.
#[derive(Debug, Default)]
struct Count {
    exact: usize,
    lrn: usize,
    whole: usize,
}

/// Holds a model against the reference on one sample.
fn check(graph: &Graph, model: &Model, x: &[f32], count: &mut Count) {
    let pair = Pair { graph, artifact: model.artifact() };
    let tensor_of = pair.tensors();
    let bytes = run_and_watch(model, x);
    let device = |value: usize| {
        tensor_of[value].map(|t| {
            let info = pair.artifact.tensor(t as usize).expect("named by a layer");
            Ints::from_device(&info, &bytes[t as usize])
        })
    };
    let info = input_info(&pair.artifact);
    let grid = Grid::of(&info);
    let input = graph.inputs[0].0;
    let [c, h, w] = [info.channels, info.height, info.width].map(|d| d as usize);
    let quantized = Ints { shape: [c, h, w], q: x.iter().map(|&v| grid.quantize(v)).collect(), grid };
    assert_eq!(device(input).expect("the input is a tensor").q, quantized.q, "the quantized input");

    // Each node fed what the device fed it, and the network run through by the reference alone (until an LRN).
    let (mut fed, mut alone) = (vec![None; graph.values.len()], vec![None; graph.values.len()]);
    (fed[input], alone[input]) = (Some(quantized.clone()), Some(quantized));
    for node in &graph.nodes {
        let x = fed[node.inputs[0].0].as_ref().expect("nodes are in order");
        let want = pair.apply(node, x);
        let seen = device(node.output.0).map(|seen| Ints { shape: want.shape, ..seen });
        if let Some(seen) = &seen {
            assert_eq!(seen.grid, want.grid, "{}: the grid", node.name);
            let worst = seen.q.iter().zip(&want.q).map(|(a, b)| (a - b).abs()).max();
            let is_lrn = matches!(node.op, Op::Lrn(_));
            assert!(worst <= Some(is_lrn as i64), "{} ({}) is off by {worst:?}\n{graph}", node.name, node.op.name());
            *(if is_lrn { &mut count.lrn } else { &mut count.exact }) += seen.q.len();
        }
        fed[node.output.0] = Some(seen.clone().unwrap_or(want));
        let after_lrn = matches!(node.op, Op::Lrn(_)) || alone[node.inputs[0].0].is_none();
        alone[node.output.0] =
            (!after_lrn).then(|| pair.apply(node, alone[node.inputs[0].0].as_ref().expect("not behind an LRN")));
        if let (Some(seen), Some(alone)) = (&seen, &alone[node.output.0]) {
            assert_eq!(seen.q, alone.q, "{}: the network up to here\n{graph}", node.name);
            count.whole += seen.q.len();
        }
    }
}

/// Whether a depthwise 1x1 convolution is no layer of the artifact.
fn scales_are_folded(graph: &Graph, artifact: &Artifact) -> bool {
    let layers: Vec<&str> = (0..artifact.layer_count()).filter_map(|i| artifact.layer_name(i)).collect();
    graph.nodes.iter().any(|node| match &node.op {
        Op::Conv(conv) => conv.window.kernel == [1, 1] && conv.groups > 0 && !layers.contains(&&*node.name),
        _ => false,
    })
}

fn model(graph: &Graph, samples: &[Vec<f32>]) -> Model {
    let emitted = compile(graph.clone(), samples, &Options::default()).expect("supported");
    Model::from_bytes(&emitted.joined()).expect("just made")
}

#[test]
fn random_networks() {
    let (mut count, mut folded) = (Count::default(), 0);
    for seed in 0..400 {
        let _case = Case("integer reference", seed);
        let mut random = Random(seed);
        let operators = random.pick(&[Operators::Exact, Operators::WithLrn]);
        let kind = Kind { depth: random.within(1, 8), branches: random.one_in(3), operators };
        let graph = networks::random(&mut random, kind);
        let calibration = networks::samples(&graph, &mut random, 3);
        let model = model(&graph, &calibration);
        // A scale for each channel became part of the convolution before it: those integers are the exporter's affair.
        if scales_are_folded(&graph, &model.artifact()) {
            folded += 1;
            continue;
        }
        // Also samples outside the calibrated range: everything saturates alike.
        let mut samples = networks::samples(&graph, &mut random, 2);
        samples.push(samples[0].iter().map(|v| 4.0 * v).collect());
        samples.iter().for_each(|x| check(&graph, &model, x, &mut count));
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
        let model = model(&graph, &networks::samples(&graph, &mut random, 2));
        let mut count = Count::default();
        check(&graph, &model, &networks::samples(&graph, &mut random, 1)[0], &mut count);
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
    let model = model(&graph, &[[&ramp[..], &ramp, &zeros].concat()]);
    let sample = [&ramp[..], &zeros, &zeros].concat();
    let mut count = Count::default();
    check(&graph, &model, &sample, &mut count);
    assert_eq!(count.whole, 256);
    let output = run_and_watch(&model, &sample).pop().expect("there are tensors");
    for (d, &q) in output.iter().enumerate() {
        // 0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5 become 0, 0, 1, 2, 2, 2, 3, 4.
        let half = d / 4 * 2 + [0, 0, 1, 2][d % 4];
        assert_eq!(q as i8 as i64 + 128, half as i64, "{d} halves");
    }
}
