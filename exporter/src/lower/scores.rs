//! Operators along one axis: it becomes the channels.

use super::view::View;
use super::{Lowering, Refused};
use crate::network::{Kind, Parameters};
use staticnet::op::Op;
use staticnet_graph::graph::Node;

impl Lowering {
    /// The input with `axis` innermost, the order of its dimensions then, and their sizes in it.
    pub(super) fn along(&mut self, node: &Node, axis: usize) -> Result<(usize, Vec<usize>, Vec<usize>), Refused> {
        let shape = self.shape(node.inputs[0]);
        let order: Vec<usize> = (0..shape.len()).filter(|&d| d != axis).chain([axis]).collect();
        let sizes: Vec<usize> = order.iter().map(|&d| shape[d]).collect();
        let x = self.value_in(node.inputs[0], &order, super::grouped(&sizes), &node.name)?;
        Ok((x, order, sizes))
    }

    /// An operator that makes as many elements of those along the axis.
    pub(super) fn scores(&mut self, node: &Node, axis: usize, op: Op) -> Result<(), Refused> {
        let (x, order, sizes) = self.along(node, axis)?;
        let y = self.tensor(&node.name, super::grouped(&sizes), Kind::Real)?;
        self.layer(&node.name, op, &[x], y, Parameters::None);
        let view = View::in_order(y, &self.shape(node.output), &order);
        self.hold(node.output, view);
        Ok(())
    }

    pub(super) fn arg_max(&mut self, node: &Node, axis: usize, last: bool) -> Result<(), Refused> {
        let (x, _, sizes) = self.along(node, axis)?;
        let [rows, pixels, _] = super::grouped(&sizes);
        let y = self.tensor(&node.name, [rows, pixels, 1], Kind::Index)?;
        self.layer(&node.name, Op::ArgMax { last }, &[x], y, Parameters::None);
        // The remaining dimensions are in order; the axis itself is 1 or gone.
        let view = View::row_major(y, &self.shape(node.output));
        self.hold(node.output, view);
        Ok(())
    }
}
