//! Operators that change nothing but the shape, or nothing at all.

use crate::graph::Op;
use crate::onnx::attributes::int;
use crate::onnx::node::{Form, Input, Lowered, NodeReader};

/// `[1, C, H, W]` or `[1, F]` to `[1, F]`.
///
/// # Errors
/// What does not fit, in words.
pub fn infer_flatten(x: &[usize]) -> Result<Vec<usize>, String> {
    match x {
        [n, rest @ ..] if !rest.is_empty() => Ok(vec![*n, rest.iter().product()]),
        _ => Err(format!("needs a batch dimension and at least one more, got {x:?}")),
    }
}

/// ONNX `Flatten`.
pub(crate) fn flatten_to_onnx() -> Form {
    Form::new(vec![int("axis", 1)])
}

/// ONNX `Flatten` behind the batch dimension.
pub(crate) fn flatten_from_onnx(node: &mut NodeReader) -> Option<Lowered> {
    node.inputs_at_most(1);
    let x = node.activation(0);
    let axis = node.int("axis").unwrap_or(1);
    // Without a shape, a negative axis cannot be judged; what is before this node is refused anyway.
    let rank = x.map_or(4, |x| node.shape(x).len() as i64);
    if axis != 1 && axis.checked_add(rank) != Some(1) {
        node.refuse("axis", format!("{axis} is not supported"), "flatten behind the batch dimension: axis 1");
    }
    Some(Lowered::node(Op::Flatten, x?, vec![]))
}

/// ONNX `Reshape` where it does the same as a flatten.
pub(crate) fn reshape_from_onnx(node: &mut NodeReader) -> Option<Lowered> {
    node.inputs_at_most(2);
    let x = node.activation(0);
    let target = node.integers(1, "shape");
    let zero_is_zero = node.flag("allowzero");
    let (x, target) = (x?, target?);
    let shape = node.shape(x).to_vec();
    let features: usize = shape[1..].iter().product();
    // 0 copies a dimension of the input, the batch being 1.
    let batch = |d: i64| d == 1 || d == -1 || (d == 0 && !zero_is_zero);
    let rest = |d: i64| d == -1 || usize::try_from(d) == Ok(features) || (d == 0 && !zero_is_zero && shape.len() == 2);
    if !matches!(target[..], [n, k] if batch(n) && rest(k) && (n, k) != (-1, -1)) {
        let reason = format!("{shape:?} to {target:?} is not a flatten to [N, {features}]");
        node.refuse("shape", reason, "only reshapes to [N, -1] are supported; use Flatten");
    }
    Some(Lowered::node(Op::Flatten, x, vec![]))
}

/// ONNX `Identity`.
pub(crate) fn identity_to_onnx() -> Form {
    Form::new(vec![])
}

/// ONNX `Identity` of an activation, or of a constant, whose other name it is.
pub(crate) fn identity_from_onnx(node: &mut NodeReader) -> Option<Lowered> {
    node.inputs_at_most(1);
    match node.input(0)? {
        Input::Constant => Some(Lowered::constant(node.constant(0, "input")?)),
        Input::Value(x) => Some(Lowered::node(Op::Identity, x, vec![])),
    }
}
