//! Whole graphs: each node fed what the device fed it, and the network run through by the reference alone.

use super::{Grid, Ints, formulas};
use staticnet::Artifact;
use staticnet::op::Op as DeviceOp;
use staticnet_exporter::compile::{Options, compile};
use staticnet_exporter::host::Model;
use staticnet_exporter::network::{Layer, Parameters};
use staticnet_graph::graph::{Graph, Node, Op};
use staticnet_testing::graphs::{input_info, run_and_watch};

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
        let (op, grid) = match &node.op {
            Op::Conv(attrs) => (DeviceOp::Conv2d(*attrs), grid()),
            Op::Linear => (DeviceOp::Linear, grid()),
            Op::MaxPool(attrs) => (DeviceOp::MaxPool(*attrs), x.grid),
            Op::Lrn(attrs) => (DeviceOp::Lrn(*attrs), grid()),
            Op::Relu => (DeviceOp::Relu, x.grid),
            Op::Identity | Op::Dropout { .. } => return x.clone(),
            Op::Flatten => return x.flattened(),
            other => panic!("{} is not among these networks' operators", other.name()),
        };
        let size = match self.graph.shape(node.output)[1..] {
            [c, h, w] => [h, w, c],
            [f] => [1, 1, f],
            _ => panic!("neither an image nor a row"),
        };
        let layer = Layer::new(&node.name, op, &[0], 1, self.parameters(node));
        let q = formulas::output(&layer, std::slice::from_ref(x), size, grid);
        Ints { size, q: q.into_iter().map(|code| code.expect("every element is written")).collect(), grid }
    }

    /// Weights in the order in which the reference reads them: of each output `[KH][KW][I]`, or as they are where the input is flat.
    fn parameters(&self, node: &Node) -> Parameters {
        let [Some(weight), Some(bias)] = [0, 1].map(|i| self.graph.param(node, i)) else { return Parameters::None };
        let inputs = weight.shape[1];
        let taps: usize = weight.shape[2..].iter().product();
        let of_output = |row: &[f32]| (0..row.len()).map(|i| row[i % inputs * taps + i / inputs]).collect::<Vec<f32>>();
        let weights = weight.data.chunks_exact(inputs * taps).flat_map(of_output).collect();
        Parameters::Sum { weights, bias: bias.data.clone(), codes: None }
    }
}

/// What was compared.
#[derive(Debug, Default)]
pub struct Count {
    /// Values of layers that must agree.
    pub exact: usize,
    /// Values of LRN, which may be a unit off.
    pub lrn: usize,
    /// Values of networks that the reference ran through alone.
    pub whole: usize,
}

/// Holds a model against the reference on one sample.
pub fn check(graph: &Graph, model: &Model, x: &[f32], count: &mut Count) {
    let pair = Pair { graph, artifact: model.artifact() };
    let tensor_of = pair.tensors();
    let bytes = run_and_watch(model, x);
    let device = |value: usize| {
        tensor_of[value].map(|t| {
            let info = pair.artifact.tensor(t as usize).expect("named by a layer");
            Ints::new(&info, &bytes[t as usize])
        })
    };
    let info = input_info(&pair.artifact);
    let grid = Grid::of(&info);
    let input = graph.inputs[0].0;
    let size = [info.height, info.width, info.channels].map(|d| d as usize);
    let codes: Vec<i64> = x.iter().map(|&v| grid.quantize(v)).collect();
    let quantized = Ints::from_channels(size, &codes, grid);
    assert_eq!(device(input).expect("the input is a tensor").q, quantized.q, "the quantized input");

    // Each node fed what the device fed it, and the network run through by the reference alone (until an LRN).
    let (mut fed, mut alone) = (vec![None; graph.values.len()], vec![None; graph.values.len()]);
    (fed[input], alone[input]) = (Some(quantized.clone()), Some(quantized));
    for node in &graph.nodes {
        let x = fed[node.inputs[0].0].as_ref().expect("nodes are in order");
        let want = pair.apply(node, x);
        // A flatten is no layer: its value lies in memory as the image that it was.
        let seen = device(node.output.0).map(|seen| if seen.size == want.size { seen } else { seen.flattened() });
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
pub fn scales_are_folded(graph: &Graph, artifact: &Artifact) -> bool {
    let layers: Vec<&str> = (0..artifact.layer_count()).filter_map(|i| artifact.layer_name(i)).collect();
    graph.nodes.iter().any(|node| match &node.op {
        Op::Conv(conv) => conv.window.kernel == [1, 1] && conv.groups > 0 && !layers.contains(&&*node.name),
        _ => false,
    })
}

/// A graph compiled to int8.
pub fn model(graph: &Graph, samples: &[Vec<f32>]) -> Model {
    let emitted = compile(graph.clone(), samples, &Options::default()).expect("supported");
    Model::from_bytes(&emitted.joined()).expect("just made")
}
