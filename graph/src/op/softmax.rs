//! Softmax.

use super::axes::axis;
use super::index;
use super::steps::Steps;
use crate::graph::{Op, Tensor};
use crate::onnx::attributes::size;
use crate::onnx::form::Form;
use crate::onnx::lowered::Lowered;
use crate::onnx::node::NodeReader;

/// Output shape: the input's.
///
/// # Errors
/// What does not fit, in words.
pub fn infer(axis: usize, x: &[usize]) -> Result<Vec<usize>, String> {
    if axis >= x.len() {
        return Err(format!("axis {axis} is none of {x:?}"));
    }
    Ok(x.to_vec())
}

/// `exp(x - max)` over its sum along the axis, in f64.
pub fn reference(axis: usize, x: &Tensor) -> Tensor {
    let (outer, along, inner) = index::around(&x.shape, axis);
    let mut y = Tensor::zeros(&x.shape);
    for o in 0..outer {
        for i in 0..inner {
            let at = |a: usize| (o * along + a) * inner + i;
            let max = (0..along).map(|a| x.data[at(a)]).fold(f32::NEG_INFINITY, f32::max);
            let exp = |a: usize| (f64::from(x.data[at(a)]) - f64::from(max)).exp();
            let sum: f64 = (0..along).map(exp).sum();
            (0..along).for_each(|a| y.data[at(a)] = (exp(a) / sum) as f32);
        }
    }
    y
}

/// ONNX `Softmax`.
pub(crate) fn to_onnx(axis: usize) -> Form {
    Form::new(vec![size("axis", axis)])
}

/// ONNX `Softmax`. Before opset 13 it runs over everything from the axis on, flattened.
pub(crate) fn from_onnx(node: &mut NodeReader) -> Option<Lowered> {
    node.inputs_at_most(1);
    let flattens = node.opset() < 13;
    let given = node.int("axis").unwrap_or(if flattens { 1 } else { -1 });
    let mut steps = Steps::default();
    let x = steps.floats(node, 0)?;
    let axis = axis(node, "axis", given, x.rank())?;
    let (outer, along, inner) = index::around(&x.shape, axis);
    let y = if flattens && inner != 1 {
        let shape = x.shape.clone();
        let flat = steps.reshape(node, x, vec![outer, along * inner])?;
        let y = steps.add(node, Op::Softmax { axis: 1 }, &[&flat], vec![])?;
        steps.reshape(node, y, shape)?
    } else {
        steps.add(node, Op::Softmax { axis }, &[&x], vec![])?
    };
    steps.finish(node, y)
}
