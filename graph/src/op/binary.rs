//! Operations on two inputs, element by element.

use super::index;
use super::steps::Steps;
use crate::graph::{Op, Tensor};
use crate::onnx::form::Form;
use crate::onnx::lowered::Lowered;
use crate::onnx::node::NodeReader;
use staticnet::op::BinaryOp;

/// Output shape: the common one that both inputs broadcast to.
///
/// # Errors
/// What does not fit, in words.
pub fn infer(a: &[usize], b: &[usize]) -> Result<Vec<usize>, String> {
    index::broadcast_shape(a, b)
}

/// The operation in f32.
pub fn reference(op: BinaryOp, a: &Tensor, b: &Tensor, out_shape: &[usize]) -> Tensor {
    zip(
        a,
        b,
        out_shape,
        match op {
            BinaryOp::Add => |a, b| a + b,
            BinaryOp::Sub => |a, b| a - b,
            BinaryOp::Mul => |a, b| a * b,
            BinaryOp::Div => |a, b| a / b,
        },
    )
}

fn zip(a: &Tensor, b: &Tensor, shape: &[usize], f: fn(f32, f32) -> f32) -> Tensor {
    let (a, b) = (index::broadcast(a, shape), index::broadcast(b, shape));
    Tensor { shape: shape.to_vec(), data: a.data.iter().zip(&b.data).map(|(&a, &b)| f(a, b)).collect() }
}

/// ONNX `Add`, `Sub`, `Mul` or `Div`.
pub(crate) fn to_onnx() -> Form {
    Form::new(vec![])
}

/// ONNX `Add`, `Sub`, `Mul` or `Div`.
pub(crate) fn from_onnx(node: &mut NodeReader, op: BinaryOp) -> Option<Lowered> {
    node.inputs_at_most(2);
    let mut steps = Steps::default();
    let (a, b) = (steps.floats(node, 0), steps.floats(node, 1));
    let y = steps.add(node, Op::Binary(op), &[&a?, &b?], vec![])?;
    steps.finish(node, y)
}

/// ONNX `Sum` of any number of inputs, added one after the other.
pub(crate) fn sum_from_onnx(node: &mut NodeReader) -> Option<Lowered> {
    let mut steps = Steps::default();
    let count = node.inputs().max(1);
    let inputs: Vec<_> = (0..count).map(|index| steps.floats(node, index)).collect();
    let mut inputs = inputs.into_iter().collect::<Option<Vec<_>>>()?.into_iter();
    let mut sum = inputs.next()?;
    for x in inputs {
        sum = steps.add(node, Op::Binary(BinaryOp::Add), &[&sum, &x], vec![])?;
    }
    steps.finish(node, sum)
}
