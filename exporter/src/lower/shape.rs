//! Operators that move elements, or only rename them.

use super::view::View;
use super::{Lowering, Refused, natural, refused};
use crate::network::{Kind, Parameters};
use staticnet::op::{Op, Pad, PadMode, Place};
use staticnet_graph::graph::Node;

impl Lowering {
    pub(super) fn reshape(&mut self, node: &Node) -> Result<(), Refused> {
        let shape = self.shape(node.output);
        let view = self.lies(node.inputs[0], &node.name)?;
        let reshaped = match view.reshape(&shape) {
            Some(reshaped) => reshaped,
            None => View::row_major(self.row_major(&view, &node.name)?, &shape),
        };
        self.hold(node.output, reshaped);
        Ok(())
    }

    /// A view's elements in row-major order.
    fn row_major(&mut self, view: &View, name: &str) -> Result<usize, Refused> {
        let shape = view.shape();
        let order: Vec<usize> = (0..shape.len()).collect();
        Ok(self.arranged(view, &order, super::grouped(&shape), name)?)
    }

    pub(super) fn transpose(&mut self, node: &Node, perm: &[usize]) -> Result<(), Refused> {
        let view = self.lies(node.inputs[0], &node.name)?.transpose(perm);
        self.hold(node.output, view);
        Ok(())
    }

    pub(super) fn slice(&mut self, node: &Node, start: &[usize], step: &[isize], len: &[usize]) -> Result<(), Refused> {
        let view = self.lies(node.inputs[0], &node.name)?;
        let sliced = match view.slice(start, step, len) {
            Some(sliced) => Some(sliced),
            None => View::row_major(self.row_major(&view, &node.name)?, &view.shape()).slice(start, step, len),
        };
        match sliced {
            Some(sliced) => self.hold(node.output, sliced),
            None => return refused("starts", "cannot be cut", "the file may be damaged; export it again"),
        }
        Ok(())
    }

    /// The device axis (0 row, 1 pixel, 2 channel) along which parts of dimension `axis` lie behind each other, in the natural order.
    fn device_axis(shape: &[usize], axis: usize) -> Option<usize> {
        let (order, _) = natural(shape);
        let place = order.iter().position(|&d| d == axis)?;
        match order.len() - 1 - place {
            0 => Some(2),
            1 if order.len() != 2 => Some(1),
            // A part of the outermost dimension of several is a run of rows.
            _ => order[..place].iter().all(|&d| shape[d] == 1).then_some(0),
        }
    }

    /// One layer for each input, each into its part of the output.
    pub(super) fn concat(&mut self, node: &Node, axis: usize) -> Result<(), Refused> {
        let shape = self.shape(node.output);
        let Some(along) = Self::device_axis(&shape, axis) else {
            return refused(
                "axis",
                format!("{axis} of {shape:?} does not lie along rows, pixels or channels"),
                "export with batch 1",
            );
        };
        let (order, size) = natural(&shape);
        let mut kind = None;
        let mut inputs = Vec::with_capacity(node.inputs.len());
        for &input in &node.inputs {
            let (order, size) = natural(&self.shape(input));
            let x = self.value_in(input, &order, size, &node.name)?;
            if *kind.get_or_insert(self.kind(x)) != self.kind(x) {
                return refused("", "its inputs are quantized differently", "dequantize them first");
            }
            inputs.push((x, size));
        }
        let y = self.tensor(&node.name, size, kind.unwrap_or(Kind::Real))?;
        let mut offset = [0u16; 3];
        for (i, (x, size)) in inputs.into_iter().enumerate() {
            let name = format!("{}/{i}", node.name);
            self.layer(&name, Op::Place(Place { offset, table: false }), &[x], y, Parameters::None);
            offset[along] = offset[along].saturating_add(size[along] as u16);
        }
        let view = View::in_order(y, &shape, &order);
        self.hold(node.output, view);
        Ok(())
    }

    pub(super) fn pad(&mut self, node: &Node, before: &[usize], mode: PadMode, value: f32) -> Result<(), Refused> {
        let (from, to) = (self.shape(node.inputs[0]), self.shape(node.output));
        let mut device = [0u16; 3];
        for (axis, &before) in before.iter().enumerate().filter(|(d, _)| from[*d] != to[*d]) {
            let along = Self::device_axis(&to, axis).filter(|&a| a != 0 || natural(&from).1[0] == from[axis]);
            let (Some(along), Ok(before)) = (along, u16::try_from(before)) else {
                return refused(
                    "pads",
                    format!("dimension {axis} of {from:?} cannot be padded"),
                    "pad height, width and channels",
                );
            };
            device[along] = before;
        }
        let (order, size) = natural(&from);
        let x = self.value_in(node.inputs[0], &order, size, &node.name)?;
        let value_i8 = match self.kind(x) {
            Kind::Codes(q) => staticnet::quant::quantize(value, q.scale, q.zero_point),
            Kind::Real | Kind::Index => 0,
        };
        let (order, size) = natural(&to);
        let y = self.tensor(&node.name, size, self.kind(x))?;
        self.layer(&node.name, Op::Pad(Pad { before: device, mode, value, value_i8 }), &[x], y, Parameters::None);
        let view = View::in_order(y, &to, &order);
        self.hold(node.output, view);
        Ok(())
    }
}
