//! Small artifacts with every operator, in every form: what is damaged and starved in other tests.

use super::streaming::streamed;
use super::{Random, networks, quantized};
use staticnet::op::{Conv2d, Lrn, MaxPool, Window};
use staticnet::preprocess::{Fit, Preprocess};
use staticnet_exporter::compile::{self, Options};
use staticnet_exporter::emit::Emitted;
use staticnet_graph::graph::{Graph, Op as Node};

/// Every operator, ReLU in place and not, groups, dilation, two outputs (one without `branch`), preprocessing and labels.
pub fn graph(branch: bool) -> Graph {
    let mut graph = Graph::new("every-op");
    let fits = "the attributes fit";
    let x = graph.input("x", &[1, 3, 9, 8]);
    let pool = MaxPool { window: Window { kernel: [3, 2], stride: [1, 1], dilation: [1, 2], pads: [1, 0, 1, 1] } };
    let p = graph.add("pool", Node::MaxPool(pool), &[x], &[]).expect(fits);
    let r = graph.add("relu in place", Node::Relu, &[p], &[]).expect(fits);
    let window = Window { kernel: [3, 2], stride: [2, 1], dilation: [1, 2], pads: [1, 1, 0, 1] };
    let c = graph.conv("conv", r, 6, Conv2d { window, groups: 1 }).expect(fits);
    let c = graph.add("fused relu", Node::Relu, &[c], &[]).expect(fits);
    let l = graph.add("lrn", Node::Lrn(Lrn { size: 3, alpha: 0.02, beta: 0.75, k: 2.0 }), &[c], &[]).expect(fits);
    let g = graph.conv("grouped", l, 4, Conv2d { window: Window::square(2, 1, 0), groups: 2 }).expect(fits);
    let f = graph.add("flatten", Node::Flatten, &[g], &[]).expect(fits);
    let f = graph.linear("fc", f, 5).expect(fits);
    graph.output(f);
    if branch {
        let copied = graph.add("relu copied", Node::Relu, &[x], &[]).expect(fits);
        // The first reader of x comes later, so the copy cannot be in place.
        let last = graph.nodes.len() - 1;
        graph.nodes[..=last].rotate_right(1);
        graph.output(copied);
    }
    networks::fill(&mut graph, &mut Random(11));
    graph.preprocess =
        Some(Preprocess { width: 8, height: 9, channels: 3, fit: Fit::Stretch, mean: [0.5; 3], std: [0.25, 0.3, 0.2] });
    graph.labels = ["a", "cat", "grün", "", "dog"].map(String::from).to_vec();
    graph
}

/// Its artifacts: int8 and f32 layer by layer, then int8 and f32 streamed (these without `branch`).
pub fn artifacts() -> [Vec<u8>; 4] {
    let make = |graph: &Graph, int8: bool, stream: bool| -> Emitted {
        let network = compile::network(graph).expect("supported");
        let samples = networks::samples(graph, &mut Random(3), 3);
        let quantized = int8.then(|| quantized(&network, &samples));
        if stream {
            return streamed(&network, quantized.as_ref(), &mut Random(23));
        }
        compile::emit_network(&network, quantized.as_ref(), &Options::default()).expect("small")
    };
    let (net, chain) = (graph(true), graph(false));
    [make(&net, true, false), make(&net, false, false), make(&chain, true, true), make(&chain, false, true)]
        .map(|emitted| emitted.joined())
}
