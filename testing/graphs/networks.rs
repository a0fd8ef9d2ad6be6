//! Random networks with random parameters.

pub mod every;

use super::plans;
use crate::random::{Random, window};
use staticnet::op::{AveragePool, Conv2d, Function, Lrn, MaxPool, Window};
use staticnet_graph::graph::{Graph, Op, ValueId};

/// Which operators a random network may contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operators {
    /// Convolution, fully connected, max-pool, ReLU and what changes nothing: int8 is exact.
    Exact,
    /// LRN as well.
    WithLrn,
    /// Everything but conversions.
    Every,
    /// Conversions between real numbers and codes as well.
    EveryAndCodes,
}

/// All of [`Operators`].
pub const OPERATORS: [Operators; 4] = [Operators::Exact, Operators::WithLrn, Operators::Every, Operators::EveryAndCodes];

impl Operators {
    fn every(self) -> bool {
        match self {
            Operators::Every | Operators::EveryAndCodes => true,
            Operators::Exact | Operators::WithLrn => false,
        }
    }
}

/// What a random network may contain.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// Layers before the fully connected ones.
    pub depth: usize,
    /// Whether a layer may read an earlier value than the last one; every value that nobody reads is then an output.
    pub branches: bool,
    /// Its operators.
    pub operators: Operators,
}

/// A random network: convolutions (groups, depthwise, dilation, uneven pads and strides), max-pools, LRN, ReLU on their own and
/// behind other layers, fully connected layers, and nodes that change nothing. Never without a layer.
pub fn random(random: &mut Random, kind: Kind) -> Graph {
    let mut graph = Graph::new("random");
    let shape = [1, random.pick(&[1, 2, 3, 4, 6]), random.within(5, 14), random.within(5, 14)];
    let mut images = vec![graph.input("input", &shape)];
    while graph.nodes.iter().filter(|n| n.op != Op::Identity).count() < kind.depth {
        let from = if kind.branches && random.one_in(3) { random.pick(&images) } else { images[images.len() - 1] };
        let node = if kind.operators.every() && random.one_in(2) {
            every::node(&mut graph, random, from, &images, kind.operators == Operators::EveryAndCodes)
        } else {
            image_node(&mut graph, random, from, kind.operators != Operators::Exact)
        };
        images.extend(node);
    }
    let last = images[images.len() - 1];
    let mut first = if random.one_in(2) { classifier(&mut graph, random, last) } else { last };
    if kind.operators.every() {
        first = every::scores(&mut graph, random, first);
    }
    let mut outputs = vec![first];
    if kind.branches {
        // A value may be an output and be read as well.
        let read = |v: ValueId| graph.nodes.iter().any(|n| n.inputs.contains(&v));
        outputs.extend(images[1..].iter().filter(|&&v| v != first && (!read(v) || random.one_in(6))));
    }
    outputs.into_iter().for_each(|v| graph.output(v));
    fill(&mut graph, random);
    graph
}

/// A network of either kind, with so many layers, that takes pictures where it can.
pub fn any(random: &mut Random, depth: usize) -> Graph {
    let mut graph = match random.one_in(2) {
        true => chain(random),
        false => {
            let kind = Kind { depth: random.within(1, depth), branches: random.one_in(2), operators: random.pick(&OPERATORS) };
            self::random(random, kind)
        }
    };
    plans::take_pictures(&mut graph, random);
    graph
}

/// A chain as classifiers have it: convolutions of many channels, each with channelwise layers behind it, and a fully connected
/// layer. The exporter plans such ones in rows, in bands, and in blocks and windows of channels.
pub fn chain(random: &mut Random) -> Graph {
    let mut graph = Graph::new("chain");
    let shape = [1, random.pick(&[1, 2, 3]), random.within(8, 24), random.within(8, 24)];
    let mut x = graph.input("input", &shape);
    for stage in 0..random.within(1, 4) {
        let groups = if random.one_in(4) && graph.shape(x)[1].is_multiple_of(2) { 2 } else { 1 };
        let kernel = random.pick(&[1, 3, 3, 5]);
        let window = Window::square(kernel, random.pick(&[1, 1, 2]), random.within(0, kernel as usize / 2) as u16);
        let attrs = Conv2d { window, groups: groups as u16 };
        let Ok(y) = graph.conv(&format!("conv.{stage}"), x, groups * random.within(4, 24), attrs) else { break };
        x = y;
        for i in 0..random.within(0, 3) {
            let op = match random.within(0, 4) {
                0 => Op::Lrn(Lrn { size: random.pick(&[2, 3, 4, 5]), alpha: 5e-3, beta: 0.75, k: 2.0 }),
                1 => Op::AveragePool(AveragePool { window: Window::square(2, 1, 1), counted: [0; 4] }),
                2 => Op::MaxPool(MaxPool { window: Window::square(random.pick(&[2, 3]), 2, 1) }),
                3 => Op::Unary(Function::Sigmoid),
                _ => Op::Relu,
            };
            x = graph.add(&format!("layer.{stage}.{i}"), op, &[x], &[]).unwrap_or(x);
        }
    }
    if random.one_in(2) {
        x = classifier(&mut graph, random, x);
    }
    graph.output(x);
    fill(&mut graph, random);
    graph
}

/// One more node behind `x`, or none where the attributes drawn do not fit.
fn image_node(graph: &mut Graph, random: &mut Random, x: ValueId, lrn: bool) -> Option<ValueId> {
    let name = format!("node.{}", graph.nodes.len());
    let channels = graph.shape(x)[1];
    match random.within(0, 9) {
        0..=4 => {
            let groups = random.pick(&(1..=channels).filter(|g| channels.is_multiple_of(*g)).collect::<Vec<_>>());
            let out = groups * random.within(1, 8usize.div_ceil(groups));
            let attrs = Conv2d { window: window(random), groups: groups as u16 };
            let added = graph.conv(&name, x, out, attrs);
            if added.is_err() {
                // The parameters were put in before the shapes were judged.
                graph.params.retain(|param, _| !param.starts_with(&format!("{name}.")));
            }
            added.ok()
        }
        5 => graph.add(&name, Op::MaxPool(MaxPool { window: window(random) }), &[x], &[]).ok(),
        6 if lrn => {
            let attrs = Lrn { size: random.pick(&[1, 3, 5, 7]), alpha: random.pick(&[1e-4, 5e-3, 0.05]), beta: 0.75, k: 2.0 };
            graph.add(&name, Op::Lrn(attrs), &[x], &[]).ok()
        }
        7 => graph.add(&name, Op::Identity, &[x], &[]).ok(),
        _ => graph.add(&name, Op::Relu, &[x], &[]).ok(),
    }
}

/// Flatten and one or two fully connected layers.
fn classifier(graph: &mut Graph, random: &mut Random, x: ValueId) -> ValueId {
    let add = |graph: &mut Graph, name: &str, op: Op, x: ValueId| graph.add(name, op, &[x], &[]).expect("fits any shape");
    let mut x = add(graph, "flatten", Op::Flatten, x);
    if random.one_in(3) {
        x = add(graph, "flat.relu", Op::Relu, x);
    }
    x = add(graph, "dropout", Op::Dropout { ratio: 0.5 }, x);
    let hidden = random.within(1, 20);
    if random.one_in(2) {
        x = graph.linear("fc.0", x, hidden).expect("a flat input fits");
        x = add(graph, "fc.1", Op::Relu, x);
    }
    graph.linear("fc.2", x, random.within(1, 10)).expect("a flat input fits")
}

/// Random weights and biases that keep the size of activations about the same from layer to layer; now and then a channel of zeros, and one
/// of weights far smaller than its bias.
pub fn fill(graph: &mut Graph, random: &mut Random) {
    for node in &graph.nodes {
        let [weight, bias] = &node.params[..] else { continue };
        let shape = graph.params[weight].shape.clone();
        let fan_in: usize = shape[1..].iter().product();
        let size = (4.0 / fan_in as f32).sqrt();
        for o in 0..shape[0] {
            let channel = match random.within(0, 19) {
                0 => 0.0,
                1 => 1e-9,
                _ => size,
            };
            let weights = &mut graph.params.get_mut(weight).expect("named by its node").data;
            weights[o * fan_in..(o + 1) * fan_in].fill_with(|| channel * random.real());
            graph.params.get_mut(bias).expect("named by its node").data[o] = 0.3 * random.real();
        }
    }
}

/// Samples for the network's input.
pub fn samples(graph: &Graph, random: &mut Random, n: usize) -> Vec<Vec<f32>> {
    let elements = graph.value(graph.inputs[0]).elements();
    (0..n).map(|_| random.reals(elements)).collect()
}

/// Number of operators that a graph can have.
pub const GRAPH_OPERATORS: usize = 27;

/// The number of an operator, below [`GRAPH_OPERATORS`].
pub fn number(op: &Op) -> usize {
    match op {
        Op::Conv(_) => 0,
        Op::Linear => 1,
        Op::MatMul => 2,
        Op::MaxPool(_) => 3,
        Op::AveragePool(_) => 4,
        Op::Lrn(_) => 5,
        Op::BatchNorm { .. } => 6,
        Op::Relu => 7,
        Op::Unary(_) => 8,
        Op::PRelu => 9,
        Op::Softmax { .. } => 10,
        Op::Binary(_) => 11,
        Op::Concat { .. } => 12,
        Op::Slice { .. } => 13,
        Op::Reshape { .. } => 14,
        Op::Transpose { .. } => 15,
        Op::Pad { .. } => 16,
        Op::ReduceMean { .. } => 17,
        Op::ArgMax { .. } => 18,
        Op::Resize(_) => 19,
        Op::Constant => 20,
        Op::Quantize(_) => 21,
        Op::Dequantize(_) => 22,
        Op::Dropout { .. } => 23,
        Op::Flatten => 24,
        Op::Identity => 25,
        Op::LpPool(_) => 26,
    }
}
