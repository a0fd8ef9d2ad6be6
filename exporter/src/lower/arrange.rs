//! Making elements lie in the order that an operator needs.

use super::view::{Axis, View};
use super::{Held, Lowering, Refused, natural};
use crate::network::{Kind, Parameters, unmoved};
use staticnet::op::{Op, Rearrange};
use staticnet_graph::graph::{Elem, Node, ValueId};

impl Lowering {
    /// Whether all that is read of a value is its transpose from `[N, H, W, C]` to `[N, C, H, W]`.
    pub(super) fn turned_channels_first(&self, value: ValueId) -> bool {
        use staticnet_graph::graph::Op;
        let mut readers = self.graph.nodes.iter().filter(|node| node.inputs.contains(&value)).peekable();
        let turned = |node: &Node| {
            if let Op::Transpose { perm } = &node.op {
                return perm[..] == [0, 3, 1, 2];
            }
            if let Op::Quantize(_) | Op::Dequantize(_) | Op::Dropout { .. } | Op::Identity = node.op {
                return self.turned_channels_first(node.output);
            }
            false
        };
        readers.peek().is_some() && !self.graph.outputs.contains(&value) && readers.all(turned)
    }

    /// A value's view; a constant becomes a layer, channels last where it is an image.
    pub(super) fn lies(&mut self, value: ValueId, name: &str) -> Result<View, Refused> {
        match self.held(value)? {
            Held::Lies(view) => Ok(view),
            Held::Constant(tensor, _) => {
                let (order, size) = natural(&tensor.shape);
                let made = self.value_in(value, &order, size, name)?;
                let view = View::in_order(made, &tensor.shape, &order);
                self.hold(value, view.clone());
                Ok(view)
            }
        }
    }

    /// A tensor of `size` (rows, pixels, channels) that holds a value's elements with its dimensions in `order`, outermost first.
    pub(super) fn value_in(&mut self, value: ValueId, order: &[usize], size: [usize; 3], name: &str) -> Result<usize, Refused> {
        self.held_in(self.held(value)?, order, size, name)
    }

    /// As [`Lowering::value_in`], of what stands for the value.
    pub(super) fn held_in(&mut self, held: Held, order: &[usize], size: [usize; 3], name: &str) -> Result<usize, Refused> {
        match held {
            Held::Constant(tensor, codes) => {
                let places = View::row_major(0, &tensor.shape).transpose(order).places();
                match codes.filter(|codes| codes.axis.is_none()) {
                    // Quantized already: the integers are the constant, the real numbers are what they stand for.
                    Some(codes) => {
                        let elem = if codes.codes.iter().any(|&c| c > 127) { Elem::U8 } else { Elem::I8 };
                        let quant = super::grid::quant(elem, codes.scale[0], codes.zero_point[0])?;
                        let shift = super::grid::shift(elem);
                        let elements = places.iter().map(|&p| (codes.codes[p] - shift) as f32).collect();
                        let made = self.tensor(&format!("{name}/codes"), size, Kind::Codes(quant))?;
                        self.layer(&format!("{name}/constant"), Op::Constant, &[], made, Parameters::Elements(elements));
                        self.convert(made, Kind::Real, name)
                    }
                    None => {
                        let made = self.tensor(&format!("{name}/constant"), size, Kind::Real)?;
                        let elements = places.iter().map(|&p| tensor.data[p]).collect();
                        self.layer(&format!("{name}/constant"), Op::Constant, &[], made, Parameters::Elements(elements));
                        Ok(made)
                    }
                }
            }
            Held::Lies(view) => self.arranged(&view, order, size, name).map_err(Refused::from),
        }
    }

    /// As [`Lowering::value_in`], of a view.
    pub(super) fn arranged(&mut self, view: &View, order: &[usize], size: [usize; 3], name: &str) -> Result<usize, String> {
        let x = &self.network.tensors[view.tensor];
        let lies = view.lies_in(order, x.elements());
        if lies && x.size().map(|n| n as usize) == size {
            return Ok(view.tensor);
        }
        let known = self.arranged.iter().find(|(v, o, s, _)| v == view && o == order && *s == size);
        if let Some(&(.., made)) = known {
            return Ok(made);
        }
        let made = if lies {
            self.moved(view.tensor, unmoved(size.map(|n| n as u32)), size, name)?
        } else {
            let (walk, between) = walk(view, order, size)?;
            let made = self.moved(view.tensor, walk, between, name)?;
            if between == size { made } else { self.moved(made, unmoved(size.map(|n| n as u32)), size, name)? }
        };
        self.arranged.push((view.clone(), order.to_vec(), size, made));
        Ok(made)
    }

    /// The same tensor again, in memory of its own.
    pub(super) fn copy(&mut self, tensor: usize, name: &str) -> Result<usize, String> {
        let size = self.network.tensors[tensor].size();
        self.moved(tensor, unmoved(size), size.map(|n| n as usize), name)
    }

    fn moved(&mut self, x: usize, walk: Rearrange, size: [usize; 3], name: &str) -> Result<usize, String> {
        let name = format!("{name}/arranged{}", self.network.layers.len());
        let y = self.tensor(&name, size, self.kind(x))?;
        self.layer(&name, Op::Rearrange(walk), &[x], y, Parameters::None);
        Ok(y)
    }
}

/// The walk over a view's memory that makes the dimensions lie in `order`, and the size of the tensor it makes: `size`, or another
/// one with the same elements where the rows of `size` are not one stretch of the walk.
fn walk(view: &View, order: &[usize], size: [usize; 3]) -> Result<(Rearrange, [usize; 3]), String> {
    let axes = view.walk(order);
    let [height, width, channels] = size;
    let (size, row, inner) = match axes[..] {
        // A view of one element.
        [] => (size, 0, vec![]),
        [first, ref rest @ ..] if first.size.is_multiple_of(height) && rest.len() < 4 => {
            // The first axis is the rows, and maybe something inside them.
            let inside = first.size / height;
            let mut inner = vec![Axis { size: inside, stride: first.stride }];
            inner.extend(rest);
            (size, first.stride * inside as isize, inner)
        }
        [first, ref rest @ ..] => {
            let last = rest.last().map_or(1, |a| a.size);
            let between = [first.size, height * width * channels / first.size / last, last];
            (between, first.stride, rest.to_vec())
        }
    };
    let mut inner: Vec<Axis> = inner.into_iter().filter(|a| a.size != 1).collect();
    if inner.len() > 4 {
        return Err(format!("moving elements over {} dimensions", inner.len() + 1));
    }
    while inner.len() < 4 {
        inner.insert(0, Axis { size: 1, stride: 0 });
    }
    let too_long = || "moving elements over more than 2^31".to_string();
    let mut walk = Rearrange {
        base: u32::try_from(view.offset).map_err(|_| too_long())?,
        row: i32::try_from(row).map_err(|_| too_long())?,
        size: [1; 4],
        stride: [0; 4],
    };
    for (i, axis) in inner.iter().enumerate() {
        walk.size[i] = u16::try_from(axis.size).map_err(|_| format!("{} elements in one dimension", axis.size))?;
        walk.stride[i] = i32::try_from(axis.stride).map_err(|_| too_long())?;
    }
    Ok((walk, size))
}
