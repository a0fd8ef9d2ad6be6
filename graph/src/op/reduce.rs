//! Means and maxima along axes.

use super::axes::{self, axis};
use super::index;
use super::steps::Steps;
use crate::graph::{Op, Tensor};
use crate::onnx::attributes::{flag, size, sizes};
use crate::onnx::form::{Extra, Form};
use crate::onnx::lowered::Lowered;
use crate::onnx::node::NodeReader;

/// From this opset on ReduceMean has its axes as an input.
const AXES_ARE_INPUT: i64 = 18;

/// Output shape: without the axes, or with 1 there.
///
/// # Errors
/// What does not fit, in words.
pub fn infer(axes: &[usize], keep: bool, x: &[usize]) -> Result<Vec<usize>, String> {
    if !axes.is_sorted_by(|a, b| a < b) || axes.last().is_some_and(|&last| last >= x.len()) {
        return Err(format!("axes {axes:?} are not ascending axes of {x:?}"));
    }
    let size = |d: usize| if !axes.contains(&d) { Some(x[d]) } else { keep.then_some(1) };
    Ok((0..x.len()).filter_map(size).collect())
}

/// The mean along the axes, summed up in f64.
pub fn mean_reference(axes: &[usize], x: &Tensor, out_shape: &[usize]) -> Tensor {
    let kept: Vec<usize> = (0..x.shape.len()).map(|d| if axes.contains(&d) { 1 } else { x.shape[d] }).collect();
    let strides = index::strides(&kept);
    let mut sums = vec![0f64; kept.iter().product()];
    for (i, &v) in x.data.iter().enumerate() {
        let (mut at, mut rest) = (0, i);
        for d in (0..kept.len()).rev() {
            at += rest % x.shape[d] % kept[d] * strides[d];
            rest /= x.shape[d];
        }
        sums[at] += f64::from(v);
    }
    let count = (x.data.len() / sums.len()) as f64;
    Tensor { shape: out_shape.to_vec(), data: sums.iter().map(|sum| (sum / count) as f32).collect() }
}

/// Index of the largest element along the axis: of equals the first, or the last.
pub fn arg_max_reference(axis: usize, last: bool, x: &Tensor, out_shape: &[usize]) -> Tensor {
    let (outer, along, inner) = index::around(&x.shape, axis);
    let best = |at: usize| {
        let value = |a: usize| x.data[at / inner * along * inner + a * inner + at % inner];
        let better = |a: usize, b: usize| value(a) > value(b) || (last && value(a) == value(b));
        (1..along).fold(0, |best, a| if better(a, best) { a } else { best })
    };
    Tensor { shape: out_shape.to_vec(), data: (0..outer * inner).map(|at| best(at) as f32).collect() }
}

/// ONNX `ReduceMean` for an opset.
pub(crate) fn mean_to_onnx(axes: &[usize], keep: bool, opset: i64) -> Form {
    if axes.is_empty() {
        // As an attribute an empty list would mean all axes.
        return Form::instead("Identity");
    }
    let keepdims = flag("keepdims", keep);
    if opset < AXES_ARE_INPUT {
        return Form::new(vec![keepdims, sizes("axes", axes)]);
    }
    Form::new(vec![keepdims, flag("noop_with_empty_axes", true)]).with("axes", Extra::sizes(axes))
}

/// ONNX `ArgMax`.
pub(crate) fn arg_max_to_onnx(axis: usize, keep: bool, last: bool) -> Form {
    Form::new(vec![size("axis", axis), flag("keepdims", keep), flag("select_last_index", last)])
}

/// ONNX `ReduceMean`: axes as an attribute (before opset 18) or an input, all of them where none are named.
pub(crate) fn mean_from_onnx(node: &mut NodeReader) -> Option<Lowered> {
    node.inputs_at_most(2);
    let mut steps = Steps::default();
    let x = steps.floats(node, 0);
    let keep = keepdims(node);
    let nothing = node.flag("noop_with_empty_axes");
    let named = axes::list(node, "axes", AXES_ARE_INPUT, 1);
    let (x, named) = (x?, named?.unwrap_or_default());
    let mut axes = axes::axes(node, "axes", &named, x.rank())?;
    axes.sort_unstable();
    if axes.is_empty() && !nothing {
        axes.extend(0..x.rank());
    }
    let y = if axes.is_empty() { x } else { steps.add(node, Op::ReduceMean { axes, keep }, &[&x], vec![])? };
    steps.finish(node, y)
}

/// ONNX `ArgMax`.
pub(crate) fn arg_max_from_onnx(node: &mut NodeReader) -> Option<Lowered> {
    node.inputs_at_most(1);
    let mut steps = Steps::default();
    let given = node.int("axis").unwrap_or(0);
    let keep = keepdims(node);
    let last = node.flag("select_last_index");
    let x = steps.input(node, 0)?;
    let axis = axis(node, "axis", given, x.rank())?;
    let y = steps.add(node, Op::ArgMax { axis, keep, last }, &[&x], vec![])?;
    steps.finish(node, y)
}

/// The switch `keepdims`, on where it is missing.
fn keepdims(node: &mut NodeReader) -> bool {
    !node.has_attribute("keepdims") || node.flag("keepdims")
}
