//! Rectified linear unit.

use super::steps;
use crate::graph::{Op, Tensor};
use crate::onnx::form::Form;
use crate::onnx::lowered::Lowered;
use crate::onnx::node::NodeReader;

/// `max(x, 0)`.
pub fn reference(x: &Tensor) -> Tensor {
    Tensor { shape: x.shape.clone(), data: x.data.iter().map(|v| v.max(0.0)).collect() }
}

/// ONNX `Relu`.
pub(crate) fn to_onnx() -> Form {
    Form::new(vec![])
}

/// ONNX `Relu`.
pub(crate) fn from_onnx(node: &mut NodeReader) -> Option<Lowered> {
    node.inputs_at_most(1);
    steps::single(node, Some(Op::Relu))
}
