//! Operators that change nothing but the shape, or nothing at all.

use super::axes;
use super::index;
use super::steps::{Step, Steps};
use crate::graph::Op;
use crate::onnx::attributes::int;
use crate::onnx::form::{Extra, Form};
use crate::onnx::lowered::Lowered;
use crate::onnx::node::{Input, NodeReader};

/// `[1, C, H, W]` or `[1, F]` to `[1, F]`.
///
/// # Errors
/// What does not fit, in words.
pub fn infer_flatten(x: &[usize]) -> Result<Vec<usize>, String> {
    match x {
        [n, rest @ ..] if !rest.is_empty() => Ok(vec![*n, index::elements(rest)?]),
        _ => Err(format!("needs a batch dimension and at least one more, got {x:?}")),
    }
}

/// The new shape, which must have as many elements.
///
/// # Errors
/// What does not fit, in words.
pub fn infer_reshape(shape: &[usize], x: &[usize]) -> Result<Vec<usize>, String> {
    if index::elements(shape)? != index::elements(x)? {
        return Err(format!("{x:?} and {shape:?} have different numbers of elements"));
    }
    Ok(shape.to_vec())
}

/// ONNX `Flatten`.
pub(crate) fn flatten_to_onnx() -> Form {
    Form::new(vec![int("axis", 1)])
}

/// ONNX `Reshape`. The batch is copied from the input where it stays, so that it may be any.
pub(crate) fn reshape_to_onnx(shape: &[usize], x: &[usize]) -> Form {
    if shape.is_empty() {
        // An empty list of sizes is what other tools stumble over.
        return Form::instead("Squeeze");
    }
    let mut target: Vec<i64> = shape.iter().map(|&d| d as i64).collect();
    if keeps_batch(shape, x) {
        target[0] = 0;
    }
    Form::new(vec![]).with("shape", Extra::Integers(target))
}

/// Whether each sample of a batch is reshaped on its own.
pub(crate) fn keeps_batch(shape: &[usize], x: &[usize]) -> bool {
    shape.first() == Some(&1) && x.first() == Some(&1)
}

/// ONNX `Flatten`: everything before the axis, and everything from it on.
pub(crate) fn flatten_from_onnx(node: &mut NodeReader) -> Option<Lowered> {
    node.inputs_at_most(1);
    let given = node.int("axis").unwrap_or(1);
    let mut steps = Steps::default();
    let x = steps.input(node, 0)?;
    // Behind the last dimension is an axis here.
    let from_end = if given < 0 { given.checked_add(x.rank() as i64) } else { Some(given) };
    let Some(axis) = from_end.and_then(|a| usize::try_from(a).ok()).filter(|&a| a <= x.rank()) else {
        let reason = format!("{given} is no axis of a value with {} dimensions", x.rank());
        node.refuse("axis", reason, "flatten behind the batch dimension: axis 1");
        return None;
    };
    let shape = [&x.shape[..axis], &x.shape[axis..]].map(|part| part.iter().product()).to_vec();
    finish(node, steps, x, shape)
}

/// ONNX `Reshape` to a constant shape.
pub(crate) fn reshape_from_onnx(node: &mut NodeReader) -> Option<Lowered> {
    node.inputs_at_most(2);
    let mut steps = Steps::default();
    let x = steps.input(node, 0);
    let target = node.integers(1, "shape");
    let zero_is_zero = node.flag("allowzero");
    let (x, target) = (x?, target?);
    let Some(shape) = resolve(&x.shape, &target, zero_is_zero) else {
        let reason = format!("{:?} cannot become {target:?}", x.shape);
        node.refuse("shape", reason, "give a shape with as many elements, with at most one -1, for batch 1");
        return None;
    };
    finish(node, steps, x, shape)
}

/// The shape that 0 (as in the input) and -1 (the rest) stand for.
fn resolve(x: &[usize], target: &[i64], zero_is_zero: bool) -> Option<Vec<usize>> {
    if target.len() > index::MAX_RANK {
        return None;
    }
    let mut rest = None;
    let mut shape = vec![];
    for (d, &size) in target.iter().enumerate() {
        match size {
            -1 if rest.is_none() => {
                rest = Some(d);
                shape.push(1);
            }
            0 if !zero_is_zero => shape.push(*x.get(d)?),
            size => shape.push(usize::try_from(size).ok().filter(|&size| size > 0)?),
        }
    }
    let (all, known) = (index::elements(x).ok()?, index::elements(&shape).ok()?);
    if let Some(d) = rest {
        shape[d] = all / known;
    }
    (index::elements(&shape) == Ok(all)).then_some(shape)
}

/// ONNX `Squeeze`: axes of 1 left out, all of them where none are named.
pub(crate) fn squeeze_from_onnx(node: &mut NodeReader) -> Option<Lowered> {
    node.inputs_at_most(2);
    let mut steps = Steps::default();
    let x = steps.input(node, 0);
    let named = axes::list(node, "axes", 13, 1);
    let (x, named) = (x?, named?);
    let left_out = match named {
        Some(named) => axes::axes(node, "axes", &named, x.rank())?,
        None => (0..x.rank()).filter(|&d| x.shape[d] == 1).collect(),
    };
    if let Some(&d) = left_out.iter().find(|&&d| x.shape[d] != 1) {
        let reason = format!("dimension {d} of {:?} is not 1", x.shape);
        node.refuse("axes", reason, "check the model with onnx.checker (full_check=True)");
        return None;
    }
    let shape = (0..x.rank()).filter(|d| !left_out.contains(d)).map(|d| x.shape[d]).collect();
    let y = steps.reshape(node, x, shape)?;
    steps.finish(node, y)
}

/// ONNX `Unsqueeze`: axes of 1 put in, counted in the output.
pub(crate) fn unsqueeze_from_onnx(node: &mut NodeReader) -> Option<Lowered> {
    node.inputs_at_most(2);
    let mut steps = Steps::default();
    let x = steps.input(node, 0);
    let named = axes::list(node, "axes", 13, 1);
    let (x, named) = (x?, named?);
    let Some(named) = named else {
        node.refuse("axes", "is missing", "the file may be damaged; export it again");
        return None;
    };
    let rank = x.rank().saturating_add(named.len());
    if rank > index::MAX_RANK {
        let reason = format!("would make {rank} dimensions");
        node.refuse("axes", reason, format!("at most {} are supported", index::MAX_RANK));
        return None;
    }
    let put_in = axes::axes(node, "axes", &named, rank)?;
    let mut sizes = x.shape.clone().into_iter();
    let shape = (0..rank).map(|d| if put_in.contains(&d) { 1 } else { sizes.next().unwrap_or(1) }).collect();
    let y = steps.reshape(node, x, shape)?;
    steps.finish(node, y)
}

/// A flatten where it is one, any other reshape otherwise.
fn finish(node: &mut NodeReader, mut steps: Steps, x: Step, shape: Vec<usize>) -> Option<Lowered> {
    let flatten = infer_flatten(&x.shape).is_ok_and(|flat| flat == shape);
    let op = if flatten { Op::Flatten } else { Op::Reshape { shape } };
    let y = steps.add(node, op, &[&x], vec![])?;
    steps.finish(node, y)
}

/// ONNX `Identity`.
pub(crate) fn identity_to_onnx() -> Form {
    Form::instead("Identity")
}

/// ONNX `Identity` of an activation, or of a constant, whose other name it is.
pub(crate) fn identity_from_onnx(node: &mut NodeReader) -> Option<Lowered> {
    node.inputs_at_most(1);
    match node.input(0)? {
        Input::Constant => Some(Lowered::constant(node.constant(0, "input")?)),
        Input::Value(x) => Some(Lowered::node(Op::Identity, x, vec![])),
    }
}
