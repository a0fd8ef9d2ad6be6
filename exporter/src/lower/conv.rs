//! Convolution: weights `[O, C / groups, KH, KW]` become `[O][KH][KW][C / groups]`.

use super::codes::Integers;
use super::view::View;
use super::{Held, Lowering, Refused, refused};
use crate::network::Kind;
use staticnet::op::{Conv2d, Op, Window};
use staticnet_graph::graph::{Node, ValueId};

/// The order of `[N, C, H, W]`, or of any value with channels second, that puts the channels last.
pub(super) fn channels_last(rank: usize) -> Vec<usize> {
    (0..1).chain(2..rank).chain(1..2).collect()
}

impl Lowering {
    /// A value with channels in dimension 1 as a tensor with channels innermost; a batch becomes more rows.
    pub(super) fn image(&mut self, value: ValueId, name: &str) -> Result<usize, Refused> {
        let shape = self.shape(value);
        let size = match shape[..] {
            [n, c] => [n, 1, c],
            [n, c, ref rows @ .., w] => [rows.iter().fold(n, |n, r| n.saturating_mul(*r)), w, c],
            _ => {
                return refused(
                    "shape",
                    format!("{shape:?} has no channels"),
                    "give the input a batch and a channel dimension",
                );
            }
        };
        self.value_in(value, &channels_last(shape.len()), size, name)
    }

    /// The same for an operator whose window reaches over rows: the pictures of a batch would run into each other.
    pub(super) fn picture(&mut self, value: ValueId, name: &str, window: &Window) -> Result<usize, Refused> {
        let shape = self.shape(value);
        let one_pixel = window.kernel == [1, 1] && window.stride == [1, 1] && window.pads == [0; 4];
        if shape.first().is_some_and(|&n| n != 1) && !one_pixel {
            return refused(
                "batch",
                format!("the batch is fixed to {}", shape[0]),
                "export the model with batch 1 or a symbolic batch",
            );
        }
        self.image(value, name)
    }

    /// Holds `tensor`, rows x pixels x channels, as the node's output `[N, C, H, W]`.
    pub(super) fn hold_image(&mut self, node: &Node, tensor: usize) {
        let shape = self.shape(node.output);
        self.held[node.output.0] = Some(Held::Lies(View::in_order(tensor, &shape, &channels_last(shape.len()))));
    }

    pub(super) fn conv(&mut self, node: &Node, attrs: Conv2d) -> Result<(), Refused> {
        let x = self.picture(node.inputs[0], &node.name, &attrs.window)?;
        let codes = self.codes(node, 0);
        let bias_codes = self.codes(node, 1);
        let weight = self.param(node, 0)?;
        let bias = self.bias(node, weight.shape[0])?;
        let taps = weight.shape[2] * weight.shape[3];
        let row = weight.shape[1] * taps;
        let reorder = |w: Vec<i16>| taps_outermost(&w, row, taps);
        let integers = codes.map(|c| Integers::new(&c, bias_codes.as_ref(), weight.shape[0], reorder)).transpose()?;
        let real = (taps_outermost(&weight.data, row, taps), bias);
        let (x, parameters) = self.sum_parameters(x, real, integers, weight.shape[1], &node.name)?;
        let &[n, c, h, w] = &self.shape(node.output)[..] else {
            return refused("shape", "its output is no image", "the file may be damaged; export it again");
        };
        let y = self.tensor(&node.name, [n * h, w, c], Kind::Real)?;
        self.layer(&node.name, Op::Conv2d(attrs), &[x], y, parameters);
        self.hold_image(node, y);
        Ok(())
    }
}

/// `[O][C / groups][taps]` as `[O][taps][C / groups]`.
fn taps_outermost<T: Copy>(weights: &[T], row: usize, taps: usize) -> Vec<T> {
    let mut reordered = Vec::with_capacity(weights.len());
    for channel in weights.chunks_exact(row.max(1)) {
        for tap in 0..taps {
            reordered.extend(channel.iter().skip(tap).step_by(taps));
        }
    }
    reordered
}
