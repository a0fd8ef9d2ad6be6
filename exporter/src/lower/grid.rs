//! Models that are quantized already: between real numbers and codes. uint8 is int8 shifted by 128.

use super::view::View;
use super::{Lowering, Refused, refused};
use crate::network::{Kind, Parameters, Quant};
use staticnet::op::{Convert, Op};
use staticnet_graph::graph::{Elem, Grid, Node};

/// What is taken off a code to make it int8.
pub(super) fn shift(elem: Elem) -> i32 {
    if elem == Elem::U8 { 128 } else { 0 }
}

/// The int8 grid of a whole tensor.
pub(super) fn quant(elem: Elem, scale: f32, zero_point: i32) -> Result<Quant, Refused> {
    match i8::try_from(zero_point - shift(elem)) {
        Ok(zero_point) => Ok(Quant { scale, zero_point }),
        Err(_) => {
            refused("zero_point", format!("{zero_point} is outside its type"), "the file may be damaged; export it again")
        }
    }
}

impl Lowering {
    /// A tensor converted to another kind, by a layer named after `name`.
    pub(super) fn convert(&mut self, x: usize, kind: Kind, name: &str) -> Result<usize, Refused> {
        let y = self.like(x, kind, name)?;
        self.layer(name, Op::Convert(Convert { per_channel: false }), &[x], y, Parameters::None);
        Ok(y)
    }

    pub(super) fn quantize(&mut self, node: &Node, grid: &Grid) -> Result<(), Refused> {
        match grid.axis {
            Some(axis) if grid.scale.len() > 1 => self.per_axis(node, axis, grid, true),
            _ => {
                let quant = quant(grid.elem, grid.scale[0], grid.zero_point[0])?;
                let view = self.dense(node.inputs[0], &node.name)?;
                let y = self.convert(view.tensor, Kind::Codes(quant), &node.name)?;
                self.hold(node.output, view.on(y));
                Ok(())
            }
        }
    }

    pub(super) fn dequantize(&mut self, node: &Node, grid: &Grid) -> Result<(), Refused> {
        match grid.axis {
            Some(axis) if grid.scale.len() > 1 => self.per_axis(node, axis, grid, false),
            _ => {
                let quant = quant(grid.elem, grid.scale[0], grid.zero_point[0])?;
                let view = self.dense(node.inputs[0], &node.name)?;
                let codes = self.on_grid(view.tensor, quant, &node.name)?;
                let y = self.convert(codes, Kind::Real, &node.name)?;
                self.hold(node.output, view.on(y));
                Ok(())
            }
        }
    }

    /// The codes of tensor `x` read on another grid than it was written on. A network input has no grid before its first reader.
    fn on_grid(&mut self, x: usize, quant: Quant, name: &str) -> Result<usize, Refused> {
        let read_before = self.network.readers(x).next().is_some();
        match self.kind(x) {
            Kind::Codes(own) if own == quant => Ok(x),
            Kind::Codes(_) if self.network.inputs.contains(&x) && !read_before => {
                self.network.tensors[x].kind = Kind::Codes(quant);
                Ok(x)
            }
            Kind::Codes(_) => {
                let again = self.copy(x, name)?;
                self.network.tensors[again].kind = Kind::Codes(quant);
                Ok(again)
            }
            Kind::Real | Kind::Index => refused("x", "is not quantized", "the file may be damaged; export it again"),
        }
    }

    /// A scale and zero point for each index of `axis`, which becomes the channels.
    fn per_axis(&mut self, node: &Node, axis: usize, grid: &Grid, quantizes: bool) -> Result<(), Refused> {
        let (x, order, _) = self.along(node, axis)?;
        let zero_point = grid.zero_point.iter().map(|z| z - shift(grid.elem)).collect();
        // The tensor has no grid of its own: its channels have.
        let kind = if quantizes { Kind::Codes(Quant { scale: 1.0, zero_point: 0 }) } else { Kind::Real };
        let y = self.like(x, kind, &node.name)?;
        let parameters = Parameters::Grids { scale: grid.scale.clone(), zero_point };
        self.layer(&node.name, Op::Convert(Convert { per_channel: true }), &[x], y, parameters);
        let view = View::in_order(y, &self.shape(node.output), &order);
        self.hold(node.output, view);
        Ok(())
    }
}
