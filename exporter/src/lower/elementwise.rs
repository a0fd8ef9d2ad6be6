//! Element by element: functions, sums and products, and what is a scale and a shift for each channel.

use super::linear::pointwise;
use super::view::{Axis, View};
use super::{Held, Lowering, Refused, natural};
use crate::network::{Kind, Parameters};
use staticnet::op::{BinaryOp, Function, Op};
use staticnet_graph::graph::{Node, ValueId};

/// The numbers of a constant of `shape` where it has at most one other dimension than 1, `axis` of an output of `rank` dimensions
/// and `channels` along it; one for each channel.
fn per_channel(data: &[f32], shape: &[usize], rank: usize, axis: usize, channels: usize) -> Option<Vec<f32>> {
    if shape.len() > rank {
        return None;
    }
    let missing = rank - shape.len();
    let alone = shape.iter().enumerate().all(|(d, &size)| size == 1 || d + missing == axis);
    match data {
        _ if !alone => None,
        [one] => Some(vec![*one; channels]),
        all if all.len() == channels => Some(all.to_vec()),
        _ => None,
    }
}

/// The same elements with dimensions of 1 in front up to `rank`.
fn padded(held: Held, rank: usize) -> Held {
    match held {
        Held::Lies(mut view) => {
            let missing = rank - view.dims.len();
            view.dims.splice(0..0, std::iter::repeat_n(vec![], missing));
            Held::Lies(view)
        }
        Held::Constant(mut tensor, codes) => {
            let missing = rank - tensor.shape.len();
            tensor.shape.splice(0..0, std::iter::repeat_n(1, missing));
            Held::Constant(tensor, codes)
        }
    }
}

impl Lowering {
    /// A value as a tensor that shows each element once, in whatever order, and the view of it.
    pub(super) fn dense(&mut self, value: ValueId, name: &str) -> Result<View, Refused> {
        let view = self.lies(value, name)?;
        if view.covers(self.network.tensors[view.tensor].elements()) {
            return Ok(view);
        }
        let shape = view.shape();
        let (order, size) = natural(&shape);
        Ok(View::in_order(self.arranged(&view, &order, size, name)?, &shape, &order))
    }

    /// A tensor of the same size as another one.
    pub(super) fn like(&mut self, x: usize, kind: Kind, name: &str) -> Result<usize, Refused> {
        let size = self.network.tensors[x].size().map(|n| n as usize);
        Ok(self.tensor(name, size, kind)?)
    }

    /// An operator on each element alone: the order in memory stays.
    pub(super) fn elementwise(&mut self, node: &Node, op: Op) -> Result<(), Refused> {
        let view = self.dense(node.inputs[0], &node.name)?;
        let y = self.like(view.tensor, Kind::Real, &node.name)?;
        self.layer(&node.name, op, &[view.tensor], y, Parameters::None);
        self.hold(node.output, view.on(y));
        Ok(())
    }

    /// The input in its natural order, and the dimension that is its channels then.
    fn with_channels(&mut self, value: ValueId, name: &str) -> Result<(usize, Vec<usize>), Refused> {
        let (order, size) = natural(&self.shape(value));
        Ok((self.value_in(value, &order, size, name)?, order))
    }

    /// `x * scale[c] + shift[c]`: a depthwise 1x1 convolution, which a pass folds into what is before it.
    fn affine(&mut self, name: &str, x: usize, scale: Vec<f32>, shift: Vec<f32>) -> Result<usize, Refused> {
        let y = self.like(x, Kind::Real, name)?;
        let op = pointwise(scale.len())?;
        self.layer(name, op, &[x], y, Parameters::Sum { weights: scale, bias: shift, codes: None });
        Ok(y)
    }

    pub(super) fn batch_norm(&mut self, node: &Node, epsilon: f32) -> Result<(), Refused> {
        let x = self.image(node.inputs[0], &node.name)?;
        let [scale, bias, mean, variance] = [0, 1, 2, 3].map(|i| self.param(node, i));
        let (scale, bias, mean, variance) = (scale?.data, bias?.data, mean?.data, variance?.data);
        let root = |v: f32| (v as f64 + epsilon as f64).sqrt();
        let factor: Vec<f64> = scale.iter().zip(&variance).map(|(&s, &v)| s as f64 / root(v)).collect();
        let shift = (0..bias.len()).map(|c| (bias[c] as f64 - mean[c] as f64 * factor[c]) as f32).collect();
        let y = self.affine(&node.name, x, factor.iter().map(|&f| f as f32).collect(), shift)?;
        self.hold_image(node, y);
        Ok(())
    }

    pub(super) fn prelu(&mut self, node: &Node) -> Result<(), Refused> {
        let shape = self.shape(node.inputs[0]);
        let (x, order) = self.with_channels(node.inputs[0], &node.name)?;
        let slope = self.param(node, 0)?;
        let axis = order.last().copied().unwrap_or(0);
        let channels = self.network.tensors[x].channels as usize;
        let y = if let Some(slopes) = per_channel(&slope.data, &slope.shape, shape.len(), axis, channels) {
            let y = self.like(x, Kind::Real, &node.name)?;
            self.layer(&node.name, Op::PRelu, &[x], y, Parameters::Slopes(slopes));
            y
        } else {
            // max(x, 0) + slope * min(x, 0), the slopes a tensor.
            let part = |this: &mut Self, name: String, lo, hi| -> Result<usize, Refused> {
                let part = this.like(x, Kind::Real, &name)?;
                this.layer(&name, Op::Unary(Function::Clip { lo, hi }), &[x], part, Parameters::None);
                Ok(part)
            };
            let above = part(self, format!("{}/above", node.name), 0.0, f32::INFINITY)?;
            let below = part(self, format!("{}/below", node.name), f32::NEG_INFINITY, 0.0)?;
            let slopes = self.spread(Held::Constant(slope, None), &shape, &node.name)?;
            let name = format!("{}/sloped", node.name);
            let sloped = self.like(x, Kind::Real, &name)?;
            self.layer(&name, Op::Binary(BinaryOp::Mul), &[below, slopes], sloped, Parameters::None);
            let y = self.like(x, Kind::Real, &node.name)?;
            self.layer(&node.name, Op::Binary(BinaryOp::Add), &[above, sloped], y, Parameters::None);
            y
        };
        let view = View::in_order(y, &shape, &order);
        self.hold(node.output, view);
        Ok(())
    }

    pub(super) fn binary(&mut self, node: &Node, op: BinaryOp) -> Result<(), Refused> {
        let (a, b) = (self.held(node.inputs[0])?, self.held(node.inputs[1])?);
        if self.affine_binary(node, op, &a, &b)? {
            return Ok(());
        }
        if let (Held::Lies(a), Held::Lies(b)) = (&a, &b) {
            let (x, x2) = (&self.network.tensors[a.tensor], &self.network.tensors[b.tensor]);
            if a.dims == b.dims && a.offset == b.offset && x.size() == x2.size() && a.covers(x.elements()) {
                let y = self.like(a.tensor, Kind::Real, &node.name)?;
                self.layer(&node.name, Op::Binary(op), &[a.tensor, b.tensor], y, Parameters::None);
                self.hold(node.output, a.on(y));
                return Ok(());
            }
        }
        let shape = self.shape(node.output);
        let (a, b) = (self.spread(a, &shape, &node.name)?, self.spread(b, &shape, &node.name)?);
        let (order, size) = natural(&shape);
        let y = self.tensor(&node.name, size, Kind::Real)?;
        self.layer(&node.name, Op::Binary(op), &[a, b], y, Parameters::None);
        let view = View::in_order(y, &shape, &order);
        self.hold(node.output, view);
        Ok(())
    }

    /// A value whose tensor has one of its dimensions, for which `numbers` gives one number an index, as channels already, whatever
    /// the order of the others; with those numbers.
    fn channels_in_place(
        &self,
        value: ValueId,
        numbers: impl Fn(usize, usize) -> Option<Vec<f32>>,
    ) -> Option<(View, Vec<f32>)> {
        let Some(Held::Lies(view)) = &self.held[value.0] else { return None };
        let tensor = &self.network.tensors[view.tensor];
        let channels = tensor.channels as usize;
        let innermost = |dim: &[Axis]| dim == [Axis { size: channels, stride: 1 }];
        let axis = view.dims.iter().position(|dim| innermost(dim)).filter(|_| view.covers(tensor.elements()))?;
        Some((view.clone(), numbers(axis, channels)?))
    }

    /// One operand and one number a channel: a scale and a shift. Returns whether it is that.
    fn affine_binary(&mut self, node: &Node, op: BinaryOp, a: &Held, b: &Held) -> Result<bool, Refused> {
        let (constant, x, constant_first) = match (a, b) {
            (Held::Lies(_), Held::Constant(c, None)) => (c, node.inputs[0], false),
            (Held::Constant(c, None), Held::Lies(_)) => (c, node.inputs[1], true),
            _ => return Ok(false),
        };
        let shape = self.shape(x);
        if shape != self.shape(node.output) {
            return Ok(false);
        }
        let (order, size) = natural(&shape);
        let in_place = self
            .channels_in_place(x, |axis, channels| per_channel(&constant.data, &constant.shape, shape.len(), axis, channels));
        let axis = order.last().copied().unwrap_or(0);
        let natural = || per_channel(&constant.data, &constant.shape, shape.len(), axis, size[2]);
        let Some(c) = in_place.clone().map(|(_, c)| c).or_else(natural) else { return Ok(false) };
        let n = c.len();
        let negated = |c: Vec<f32>| c.into_iter().map(|v| -v).collect();
        let (scale, shift) = match (op, constant_first) {
            (BinaryOp::Add, _) => (vec![1.0; n], c),
            (BinaryOp::Sub, false) => (vec![1.0; n], negated(c)),
            (BinaryOp::Sub, true) => (vec![-1.0; n], c),
            (BinaryOp::Mul, _) => (c, vec![0.0; n]),
            // Constants whose reciprocals are exact, or near enough to be folded like any other scale.
            (BinaryOp::Div, false) if c.iter().all(|v| v.recip().is_normal()) => {
                (c.into_iter().map(f32::recip).collect(), vec![0.0; n])
            }
            (BinaryOp::Div, _) => return Ok(false),
        };
        let view = match in_place {
            Some((view, _)) => view,
            None => View::in_order(self.value_in(x, &order, size, &node.name)?, &shape, &order),
        };
        let y = self.affine(&node.name, view.tensor, scale, shift)?;
        self.hold(node.output, view.on(y));
        Ok(true)
    }

    /// An operand of an output of `shape` in its natural order: rows, pixels and channels are each the output's or 1.
    fn spread(&mut self, held: Held, shape: &[usize], name: &str) -> Result<usize, Refused> {
        let held = padded(held, shape.len());
        let own = match &held {
            Held::Lies(view) => view.shape(),
            Held::Constant(tensor, _) => tensor.shape.clone(),
        };
        let ((order, size), (_, wanted)) = (natural(&own), natural(shape));
        if size.iter().zip(wanted).all(|(&s, w)| s == 1 || s == w) {
            return self.held_in(held, &order, size, name);
        }
        // Repeated along a part of the rows only: in full.
        let full = match held {
            Held::Lies(view) => view.broadcast(shape),
            Held::Constant(..) => {
                let made = self.held_in(held, &order, size, name)?;
                View::in_order(made, &own, &order).broadcast(shape)
            }
        };
        Ok(self.arranged(&full, &order, wanted, name)?)
    }
}
