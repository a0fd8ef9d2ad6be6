//! Leaky ReLU with learned slopes.

use super::index;
use super::steps::Steps;
use crate::graph::{Op, Tensor};
use crate::onnx::form::Form;
use crate::onnx::lowered::Lowered;
use crate::onnx::node::NodeReader;

/// Output shape: the input's.
///
/// # Errors
/// What does not fit, in words.
pub fn infer(x: &[usize], params: &[&Tensor]) -> Result<Vec<usize>, String> {
    let [slope] = params else {
        return Err("needs a slope".into());
    };
    if !index::broadcasts_to(&slope.shape, x) {
        return Err(format!("a slope of shape {:?} does not broadcast to {x:?}", slope.shape));
    }
    Ok(x.to_vec())
}

/// `x < 0 ? slope * x : x`.
pub fn reference(x: &Tensor, params: &[&Tensor]) -> Tensor {
    let slope = index::broadcast(params[0], &x.shape);
    let data = x.data.iter().zip(&slope.data).map(|(&x, &slope)| if x < 0.0 { slope * x } else { x }).collect();
    Tensor { shape: x.shape.clone(), data }
}

/// ONNX `PRelu`.
pub(crate) fn to_onnx() -> Form {
    Form::new(vec![])
}

/// ONNX `PRelu` with constant slopes.
pub(crate) fn from_onnx(node: &mut NodeReader) -> Option<Lowered> {
    node.inputs_at_most(2);
    let mut steps = Steps::default();
    let x = steps.floats(node, 0);
    let slope = node.floats(1, "slope");
    let y = steps.add(node, Op::PRelu, &[&x?], vec![slope?])?;
    steps.finish(node, y)
}
