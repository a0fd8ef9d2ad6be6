//! A straight stack of layers, named and numbered as PyTorch's `Sequential` modules are.

use crate::graph::{Graph, Op, ShapeError, ValueId};
use staticnet::op::{Conv2d, Lrn, MaxPool, Window};

/// Builds a [`Graph`] layer by layer; the first error is kept and reported at the end.
pub(super) struct Layers {
    graph: Graph,
    section: &'static str,
    index: usize,
    last: Result<ValueId, ShapeError>,
}

impl Layers {
    /// A net with a square input picture.
    pub(super) fn new(name: &str, channels: usize, size: usize) -> Self {
        let mut graph = Graph::new(name);
        let input = graph.input("input", &[1, channels, size, size]);
        Layers { graph, section: "features", index: 0, last: Ok(input) }
    }

    /// Adds the next layer of the section with `add`.
    fn layer(mut self, add: impl FnOnce(&mut Graph, &str, ValueId) -> Result<ValueId, ShapeError>) -> Self {
        let name = format!("{}.{}", self.section, self.index);
        self.last = self.last.and_then(|x| add(&mut self.graph, &name, x));
        self.index += 1;
        self
    }

    fn plain(self, op: Op) -> Self {
        self.layer(|graph, name, x| graph.add(name, op, &[x], &[]))
    }

    /// A convolution with a square window, in groups.
    pub(super) fn grouped_conv(self, out: usize, kernel: u16, stride: u16, pad: u16, groups: u16) -> Self {
        let attrs = Conv2d { window: Window::square(kernel, stride, pad), groups };
        self.layer(|graph, name, x| graph.conv(name, x, out, attrs))
    }

    /// A convolution with a square window.
    pub(super) fn conv(self, out: usize, kernel: u16, stride: u16, pad: u16) -> Self {
        self.grouped_conv(out, kernel, stride, pad, 1)
    }

    pub(super) fn relu(self) -> Self {
        self.plain(Op::Relu)
    }

    pub(super) fn max_pool(self, kernel: u16, stride: u16) -> Self {
        self.plain(Op::MaxPool(MaxPool { window: Window::square(kernel, stride, 0) }))
    }

    /// The normalisation of the AlexNet paper, section 3.3, with alpha divided by the size as ONNX and PyTorch do.
    pub(super) fn lrn(self) -> Self {
        self.plain(Op::Lrn(Lrn { size: 5, alpha: 1e-4, beta: 0.75, k: 2.0 }))
    }

    pub(super) fn dropout(self, ratio: f32) -> Self {
        self.plain(Op::Dropout { ratio })
    }

    pub(super) fn linear(self, out: usize) -> Self {
        self.layer(|graph, name, x| graph.linear(name, x, out))
    }

    /// Flattens; what follows is numbered from `classifier.0`.
    pub(super) fn classifier(mut self) -> Self {
        self.last = self.last.and_then(|x| self.graph.add("flatten", Op::Flatten, &[x], &[]));
        Layers { section: "classifier", index: 0, ..self }
    }

    /// The graph, with the last layer as its output.
    pub(super) fn finish(mut self) -> Result<Graph, ShapeError> {
        self.graph.output(self.last?);
        Ok(self.graph)
    }
}
