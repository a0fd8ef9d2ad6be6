//! Pooling, means, and what else works on pictures.

use super::view::View;
use super::{Held, Lowering, Refused, refused};
use crate::network::{Kind, Parameters};
use staticnet::op::{AveragePool, LpPool, MaxPool, Op, Window};
use staticnet_graph::graph::{Node, Resize};

impl Lowering {
    /// A layer on a picture whose output `[N, C, H, W]` has the given kind.
    fn on_picture(&mut self, node: &Node, x: usize, op: Op, kind: Kind, parameters: Parameters) -> Result<(), Refused> {
        let &[n, c, h, w] = &self.shape(node.output)[..] else {
            return refused("shape", "its output is no image", "the file may be damaged; export it again");
        };
        let y = self.tensor(&node.name, [n * h, w, c], kind)?;
        self.layer(&node.name, op, &[x], y, parameters);
        self.hold_image(node, y);
        Ok(())
    }

    pub(super) fn max_pool(&mut self, node: &Node, attrs: MaxPool) -> Result<(), Refused> {
        let x = self.picture(node.inputs[0], &node.name, &attrs.window)?;
        self.on_picture(node, x, Op::MaxPool(attrs), self.kind(x), Parameters::None)
    }

    pub(super) fn average_pool(&mut self, node: &Node, attrs: AveragePool) -> Result<(), Refused> {
        let x = self.picture(node.inputs[0], &node.name, &attrs.window)?;
        self.on_picture(node, x, Op::AveragePool(attrs), Kind::Real, Parameters::None)
    }

    pub(super) fn lp_pool(&mut self, node: &Node, attrs: LpPool) -> Result<(), Refused> {
        let x = self.picture(node.inputs[0], &node.name, &attrs.window)?;
        self.on_picture(node, x, Op::LpPool(attrs), Kind::Real, Parameters::None)
    }

    pub(super) fn resize(&mut self, node: &Node, resize: &Resize) -> Result<(), Refused> {
        let reaches_over_rows = Window::square(2, 1, 0);
        let x = self.picture(node.inputs[0], &node.name, &reaches_over_rows)?;
        let t = &self.network.tensors[x];
        let mut taps = resize.taps(0, t.height as usize);
        taps.extend(resize.taps(1, t.width as usize));
        // Weights of 0 and 1 only choose among the input's elements, which then keep their grid.
        let chooses = taps.iter().all(|tap| tap.weight == 0.0);
        let kind = if chooses { self.kind(x) } else { Kind::Real };
        self.on_picture(node, x, Op::Resize, kind, Parameters::Taps(taps))
    }

    /// An operator on each pixel's channels that keeps the shape.
    pub(super) fn per_pixel(&mut self, node: &Node, op: Op) -> Result<(), Refused> {
        let x = self.image(node.inputs[0], &node.name)?;
        let y = self.tensor(&node.name, self.network.tensors[x].size().map(|n| n as usize), Kind::Real)?;
        self.layer(&node.name, op, &[x], y, Parameters::None);
        self.hold_image(node, y);
        Ok(())
    }

    /// The mean over axes: those become rows and pixels, the others channels, and one window covers all.
    pub(super) fn reduce_mean(&mut self, node: &Node, axes: &[usize]) -> Result<(), Refused> {
        let shape = self.shape(node.inputs[0]);
        let kept: Vec<usize> = (0..shape.len()).filter(|d| !axes.contains(d)).collect();
        let order: Vec<usize> = axes.iter().chain(&kept).copied().collect();
        let channels: usize = kept.iter().map(|&d| shape[d]).product();
        let (height, width) = match axes {
            [] => {
                self.held[node.output.0] = self.held[node.inputs[0].0].clone();
                return Ok(());
            }
            [first, rest @ ..] => (shape[*first], rest.iter().map(|&d| shape[d]).product::<usize>()),
        };
        let x = self.value_in(node.inputs[0], &order, [height, width, channels], &node.name)?;
        let window = Window { kernel: [height as u16, width as u16], ..Window::square(1, 1, 0) };
        let y = self.tensor(&node.name, [1, 1, channels], Kind::Real)?;
        self.layer(&node.name, Op::AveragePool(AveragePool { window, counted: [0; 4] }), &[x], y, Parameters::None);
        // Kept dimensions in order, those of 1 wherever they are.
        self.held[node.output.0] = Some(Held::Lies(View::row_major(y, &self.shape(node.output))));
        Ok(())
    }
}
