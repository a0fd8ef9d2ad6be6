//! Fully connected layers and matrix products with constants.
//!
//! One row of input is a fully connected layer over the whole tensor: wherever its elements lie, the weights are put into that
//! order. Several rows are a 1x1 convolution over as many rows of one pixel; a product of stacks of matrices is one with a group for
//! each matrix.

use super::codes::Integers;
use super::view::View;
use super::{Held, Lowering, Refused, refused};
use crate::network::Kind;
use staticnet::op::{Conv2d, Op, Window};
use staticnet_graph::graph::Node;

/// A 1x1 convolution.
pub(super) fn pointwise(groups: usize) -> Result<Op, Refused> {
    match u16::try_from(groups) {
        Ok(groups) => Ok(Op::Conv2d(Conv2d { window: Window::square(1, 1, 0), groups })),
        Err(_) => refused("shape", format!("{groups} groups"), super::SIZE_HINT),
    }
}

impl Lowering {
    pub(super) fn linear(&mut self, node: &Node) -> Result<(), Refused> {
        let x = node.inputs[0];
        let shape = self.shape(x);
        let (outputs, features) = (self.shape(node.output).last().copied().unwrap_or(1), shape.last().copied().unwrap_or(1));
        let rows: usize = shape.iter().rev().skip(1).product();
        let codes = self.codes(node, 0);
        let bias_codes = self.codes(node, 1);
        let (weight, bias) = (self.param(node, 0)?, self.bias(node, outputs)?);
        let row_major: Vec<usize> = (0..shape.len()).collect();
        let (input, op, order) = if rows == 1 {
            let view = self.lies(x, &node.name)?;
            if view.covers(self.network.tensors[view.tensor].elements()) {
                (view.tensor, Op::Linear, Some(view.places()))
            } else {
                (self.arranged(&view, &row_major, [1, 1, features], &node.name)?, Op::Linear, None)
            }
        } else {
            (self.value_in(x, &row_major, [rows, 1, features], &node.name)?, pointwise(1)?, None)
        };
        // Where the input lies in row-major order there is nothing to permute.
        let order = order.filter(|places| places.iter().enumerate().any(|(i, &p)| i != p));
        let reorder = |w: Vec<i16>| in_memory_order(w, features, order.as_deref());
        let integers = codes.map(|c| Integers::new(&c, bias_codes.as_ref(), outputs, reorder)).transpose()?;
        let real = (in_memory_order(weight.data, features, order.as_deref()), bias);
        let channels = self.network.tensors[input].channels as usize;
        let (input, parameters) = self.sum_parameters(input, real, integers, channels, &node.name)?;
        let y = self.tensor(&node.name, [rows, 1, outputs], Kind::Real)?;
        self.layer(&node.name, op, &[input], y, parameters);
        let view = View::row_major(y, &self.shape(node.output));
        self.hold(node.output, view);
        Ok(())
    }

    /// `[.., M, K]` times a constant `[.., K, N]`: rows M, groups for the leading dimensions.
    pub(super) fn matmul(&mut self, node: &Node) -> Result<(), Refused> {
        let (x, b) = (self.shape(node.inputs[0]), self.param(node, 0)?);
        let rank = x.len();
        let [m, k, n] = [x[rank - 2], x[rank - 1], b.shape[b.shape.len() - 1]];
        let stack: usize = x[..rank - 2].iter().product();
        let codes = self.codes(node, 0);
        if codes.as_ref().is_some_and(|c| c.axis.is_some()) {
            return refused("B", "stacks of matrices have one scale at most", "quantize the matrices per tensor");
        }
        let order: Vec<usize> = [rank - 2].into_iter().chain(0..rank - 2).chain([rank - 1]).collect();
        let input = self.value_in(node.inputs[0], &order, [m, 1, stack * k], &node.name)?;
        let integers = codes.map(|c| Integers::new(&c, None, stack * n, |w| transposed(&w, k, n))).transpose()?;
        let real = (transposed(&b.data, k, n), vec![0.0; stack * n]);
        let (input, parameters) = self.sum_parameters(input, real, integers, k, &node.name)?;
        let y = self.tensor(&node.name, [m, 1, stack * n], Kind::Real)?;
        self.layer(&node.name, pointwise(stack)?, &[input], y, parameters);
        self.held[node.output.0] = Some(Held::Lies(View::in_order(y, &self.shape(node.output), &order)));
        Ok(())
    }
}

/// Rows of `features` weights, each put into the order in which the features lie in memory: feature i at `places[i]`.
fn in_memory_order<T: Copy>(weights: Vec<T>, features: usize, places: Option<&[usize]>) -> Vec<T> {
    let Some(places) = places else { return weights };
    let mut feature_at = vec![0; features];
    places.iter().enumerate().for_each(|(i, &p)| feature_at[p] = i);
    // A row at a time, in place: the first of these layers is often most of a network.
    let mut weights = weights;
    let mut row = Vec::with_capacity(features);
    for into in weights.chunks_exact_mut(features) {
        row.clear();
        row.extend(feature_at.iter().map(|&i| into[i]));
        into.copy_from_slice(&row);
    }
    weights
}

/// Each matrix `[K, N]` of a stack as `[N, K]`.
fn transposed<T: Copy>(stack: &[T], k: usize, n: usize) -> Vec<T> {
    let matrix = |m: &[T]| -> Vec<T> { (0..n).flat_map(|j| (0..k).map(move |i| i * n + j)).map(|at| m[at]).collect() };
    stack.chunks_exact(k * n).flat_map(matrix).collect()
}
