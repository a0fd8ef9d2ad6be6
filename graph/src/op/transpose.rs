//! Dimensions in another order.

use super::index::{self, Table};
use super::steps::Steps;
use crate::graph::Tensor;
use crate::onnx::attributes::sizes;
use crate::onnx::form::Form;
use crate::onnx::lowered::Lowered;
use crate::onnx::node::NodeReader;

/// Output shape: dimension d is the input's `perm[d]`.
///
/// # Errors
/// What does not fit, in words.
pub fn infer(perm: &[usize], x: &[usize]) -> Result<Vec<usize>, String> {
    let mut sorted = perm.to_vec();
    sorted.sort_unstable();
    if !sorted.iter().copied().eq(0..x.len()) {
        return Err(format!("{perm:?} is no permutation of the dimensions of {x:?}"));
    }
    Ok(perm.iter().map(|&p| x[p]).collect())
}

/// Where the elements of the transposed `shape` come from.
pub(crate) fn tables(perm: &[usize], shape: &[usize]) -> Vec<Table> {
    let strides = index::strides(shape);
    perm.iter().map(|&p| (0..shape[p]).map(|i| Some(i * strides[p])).collect()).collect()
}

/// Every element moved.
pub fn reference(perm: &[usize], x: &Tensor) -> Tensor {
    let shape = perm.iter().map(|&p| x.shape[p]).collect();
    Tensor { shape, data: index::gather(&x.data, &tables(perm, &x.shape), 0.0) }
}

/// ONNX `Transpose`.
pub(crate) fn to_onnx(perm: &[usize]) -> Form {
    Form::new(vec![sizes("perm", perm)])
}

/// ONNX `Transpose`; without `perm` the dimensions are reversed.
pub(crate) fn from_onnx(node: &mut NodeReader) -> Option<Lowered> {
    node.inputs_at_most(1);
    let mut steps = Steps::default();
    let given = node.ints("perm");
    let x = steps.input(node, 0)?;
    let perm = match given {
        Some(perm) => super::axes::axes(node, "perm", perm, x.rank())?,
        None => (0..x.rank()).rev().collect(),
    };
    let y = steps.transpose(node, &x, perm)?;
    steps.finish(node, y)
}
