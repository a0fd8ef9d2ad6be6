//! Running networks before and after a rewriting, and comparing what they compute.

use staticnet::op::{Conv2d, Window};
use staticnet_exporter::compile::{Options, emit_network};
use staticnet_exporter::host::Model;
use staticnet_exporter::lower::lower;
use staticnet_exporter::network::Network;
use staticnet_exporter::passes;
use staticnet_exporter::quantize::quantize;
use staticnet_graph::graph::{Elem, Graph, Op, Tensor, ValueId};
use staticnet_graph::reference;
use std::path::PathBuf;

pub use staticnet_testing::Random;

/// What the tests of passes draw.
pub trait Draw {
    /// From 0 to `n` - 1.
    fn below(&mut self, n: usize) -> usize;
    fn one_of<T, const N: usize>(&mut self, all: [T; N]) -> T;
    fn tensor(&mut self, shape: &[usize]) -> Tensor;
}

impl Draw for Random {
    fn below(&mut self, n: usize) -> usize {
        (self.bits() % n as u64) as usize
    }

    fn one_of<T, const N: usize>(&mut self, all: [T; N]) -> T {
        let i = self.below(N);
        all.into_iter().nth(i).unwrap()
    }

    fn tensor(&mut self, shape: &[usize]) -> Tensor {
        Tensor { shape: shape.to_vec(), data: self.reals(shape.iter().product()) }
    }
}

/// A graph under construction: nodes are numbered, every parameter is random.
pub struct Build {
    pub graph: Graph,
    pub random: Random,
}

impl Build {
    /// With one input `x`.
    pub fn new(shape: &[usize]) -> (Build, ValueId) {
        let mut graph = Graph::new("case");
        let x = graph.input("x", shape);
        (Build { graph, random: Random(shape.iter().sum::<usize>() as u64) }, x)
    }

    pub fn name(&self, op: &str) -> String {
        format!("{op}{}", self.graph.nodes.len())
    }

    pub fn param(&mut self, name: &str, shape: &[usize]) -> String {
        let tensor = self.random.tensor(shape);
        self.graph.params.insert(name.into(), tensor);
        name.into()
    }

    /// A node without parameters.
    pub fn add(&mut self, op: Op, inputs: &[ValueId]) -> ValueId {
        let name = self.name(&op.name().to_lowercase());
        self.graph.add(&name, op, inputs, &[]).unwrap()
    }

    pub fn shape(&self, x: ValueId) -> Vec<usize> {
        self.graph.shape(x).to_vec()
    }

    pub fn conv_of(&mut self, x: ValueId, out: usize, attrs: Conv2d) -> ValueId {
        let name = self.name("conv");
        let y = self.graph.conv(&name, x, out, attrs).unwrap();
        self.fill(&name);
        y
    }

    /// A 3x3 convolution padded by one pixel.
    pub fn conv(&mut self, x: ValueId, out: usize) -> ValueId {
        self.conv_of(x, out, Conv2d { window: Window::square(3, 1, 1), groups: 1 })
    }

    pub fn linear(&mut self, x: ValueId, out: usize) -> ValueId {
        let name = self.name("fc");
        let y = self.graph.linear(&name, x, out).unwrap();
        self.fill(&name);
        y
    }

    /// Weights small enough that activations stay near 1.
    fn fill(&mut self, name: &str) {
        for part in ["weight", "bias"] {
            let tensor = self.graph.params.get_mut(&format!("{name}.{part}")).unwrap();
            let fan_in: usize = tensor.shape[1..].iter().product();
            let size = (2.0 / fan_in as f32).sqrt();
            tensor.data.iter_mut().for_each(|w| *w = self.random.real() * size);
        }
    }

    /// BatchNormalization over dimension 1.
    pub fn batch_norm(&mut self, x: ValueId) -> ValueId {
        let (name, channels) = (self.name("bn"), self.shape(x)[1]);
        let names = ["scale", "bias", "mean", "var"].map(|part| self.param(&format!("{name}.{part}"), &[channels]));
        self.graph.params.get_mut(&names[3]).unwrap().data.iter_mut().for_each(|v| *v = v.abs() + 0.5);
        self.graph.add(&name, Op::BatchNorm { epsilon: 1e-5 }, &[x], &names).unwrap()
    }

    /// A constant of this shape.
    pub fn constant(&mut self, shape: &[usize]) -> ValueId {
        let name = self.name("constant");
        let param = self.param(&format!("{name}.value"), shape);
        self.graph.add(&name, Op::Constant, &[], &[param]).unwrap()
    }

    pub fn output(mut self, outputs: &[ValueId]) -> Graph {
        outputs.iter().for_each(|&y| self.graph.output(y));
        self.graph
    }
}

/// Seeded inputs for a graph: numbers in [-1, 1), or codes.
pub fn inputs(graph: &Graph, seed: u64) -> Vec<Tensor> {
    let mut random = Random(seed);
    let of = |&id: &ValueId| {
        let mut tensor = random.tensor(graph.shape(id));
        let codes = |offset: f32| move |v: &mut f32| *v = (*v * 128.0 + offset).floor();
        match graph.value(id).elem {
            Elem::F32 => {}
            Elem::U8 => tensor.data.iter_mut().for_each(codes(128.0)),
            Elem::I8 | Elem::I64 => tensor.data.iter_mut().for_each(codes(0.0)),
        }
        tensor
    };
    graph.inputs.iter().map(of).collect()
}

pub fn lowered(graph: &Graph) -> Network {
    lower(graph.clone()).unwrap_or_else(|problems| panic!("{problems:?}\n{graph}"))
}

/// Runs the network with the runtime's own engine, everything that is not quantized in f32.
pub fn run(network: &Network, inputs: &[Tensor]) -> Vec<Tensor> {
    let mut network = network.clone();
    network.drop_unused_layers();
    let shown = network.to_string();
    let quantized = quantize(network, None).unwrap();
    let emitted =
        emit_network(quantized, &Options { split: true, ..Options::default() }).unwrap_or_else(|e| panic!("{e}\n{shown}"));
    Model::from_emitted(emitted).unwrap().run_all(inputs).unwrap()
}

/// The outputs that the graph's reference computes.
pub fn expected(graph: &Graph, inputs: &[Tensor]) -> Vec<Tensor> {
    let values = reference::run(graph, inputs).unwrap();
    graph.outputs.iter().map(|id| values[id.0].clone()).collect()
}

/// Fails where two lists of outputs differ by more than `bound` of the largest magnitude; 0 asks for the same bits (but -0 is 0).
pub fn assert_near(found: &[Tensor], wanted: &[Tensor], bound: f32, what: &str) {
    assert_eq!(found.len(), wanted.len(), "{what}");
    for (i, (found, wanted)) in found.iter().zip(wanted).enumerate() {
        assert_eq!(found.shape, wanted.shape, "{what}, output {i}");
        let largest = wanted.data.iter().fold(0f32, |m, v| m.max(v.abs()));
        for (at, (f, w)) in found.data.iter().zip(&wanted.data).enumerate() {
            assert!((f - w).abs() <= bound * largest, "{what}, output {i}, element {at}: {f} instead of {w}");
        }
    }
}

/// How the results of a rewritten network relate to those before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Result {
    /// The pass leaves the network as it is.
    Untouched,
    /// The same bits.
    Exact,
    /// Parameters are computed anew: 1e-5 of the largest magnitude.
    Recomputed,
}

/// Against the reference, and where parameters are computed anew.
pub const BOUND: f32 = 1e-5;

/// The pass of this name.
pub fn pass(name: &str) -> fn(&mut Network) {
    passes::ALL.iter().find(|(n, _)| *n == name).unwrap_or_else(|| panic!("there is no pass {name}")).1
}

/// Runs a pass on the network that the graph becomes after the passes `first`, and holds results before and after against each
/// other and against the reference. What it makes is in `snapshots/PASS.CASE.*`.
pub fn prove_after(first: &[&str], name: &str, case: &str, graph: &Graph, result: Result) {
    let mut before = lowered(graph);
    first.iter().for_each(|name| pass(name)(&mut before));
    let mut after = before.clone();
    pass(name)(&mut after);
    let what = format!("{name}, {case}");
    if result == Result::Untouched {
        assert_eq!(after, before, "{what}: is rewritten\n{before}{after}");
    } else {
        assert_ne!(after, before, "{what}: is not rewritten\n{before}");
        snapshot(&format!("{name}.{case}.before"), &before.to_string());
        snapshot(&format!("{name}.{case}.after"), &after.to_string());
    }
    for seed in 0..3 {
        let inputs = inputs(graph, seed);
        let (was, is) = (run(&before, &inputs), run(&after, &inputs));
        assert_near(&is, &was, if result == Result::Recomputed { BOUND } else { 0.0 }, &format!("{what}, before and after"));
        assert_near(&is, &expected(graph, &inputs), BOUND, &format!("{what}, against the reference"));
    }
}

pub fn prove(name: &str, case: &str, graph: &Graph, result: Result) {
    prove_after(&[], name, case, graph, result);
}

/// Compares with the file of this name, or writes it.
pub fn snapshot(name: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots").join(format!("{name}.txt"));
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        return;
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    assert_eq!(text, kept, "{name} differs; where that is wanted: UPDATE_SNAPSHOTS=1");
}
