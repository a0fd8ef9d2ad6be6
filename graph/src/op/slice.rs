//! Parts of a value.

use super::axes::{self, axis};
use super::index::{self, Table};
use super::steps::{Step, Steps};
use crate::graph::{Op, Tensor};
use crate::onnx::form::{Extra, Form};
use crate::onnx::lowered::Lowered;
use crate::onnx::node::NodeReader;

/// Output shape: `len`, which must lie inside the input.
///
/// # Errors
/// What does not fit, in words.
pub fn infer(start: &[usize], step: &[isize], len: &[usize], x: &[usize]) -> Result<Vec<usize>, String> {
    if [start.len(), step.len(), len.len()] != [x.len(); 3] {
        return Err(format!("slices {} dimensions of {x:?}", len.len()));
    }
    for d in 0..x.len() {
        let last = (len[d] as i128 - 1) * step[d] as i128 + start[d] as i128;
        let inside = start[d] < x[d] && (0..x[d] as i128).contains(&last);
        if len[d] == 0 || step[d] == 0 || !inside {
            return Err(format!("{} elements from {} in steps of {} lie outside {x:?}", len[d], start[d], step[d]));
        }
    }
    Ok(len.to_vec())
}

/// The elements at `start + i * step`.
pub fn reference(start: &[usize], step: &[isize], x: &Tensor, out_shape: &[usize]) -> Tensor {
    let strides = index::strides(&x.shape);
    let at = |d: usize, i: usize| start[d].wrapping_add_signed(i as isize * step[d]) * strides[d];
    let table = |d: usize| -> Table { (0..out_shape[d]).map(|i| Some(at(d, i))).collect() };
    let tables: Vec<Table> = (0..out_shape.len()).map(table).collect();
    Tensor { shape: out_shape.to_vec(), data: index::gather(&x.data, &tables, 0.0) }
}

/// Whether dimension `d` is taken as it is.
pub(crate) fn is_whole(start: &[usize], step: &[isize], len: &[usize], x: &[usize], d: usize) -> bool {
    start[d] == 0 && step[d] == 1 && x.get(d) == Some(&len[d])
}

/// ONNX `Slice` of the dimensions that are not taken whole.
pub(crate) fn to_onnx(start: &[usize], step: &[isize], len: &[usize], x: &[usize]) -> Form {
    let mut cut: Vec<usize> = (0..len.len()).filter(|&d| !is_whole(start, step, len, x, d)).collect();
    if cut.is_empty() {
        cut.extend(0..len.len());
    }
    // Right behind the last element taken; what lies before the first cannot be said with a negative index.
    let end = |d: usize| {
        let last = start[d] as i64 + (len[d] as i64 - 1) * step[d] as i64;
        if step[d] > 0 { last + 1 } else { (last - 1).max(-1) }
    };
    let pick = |f: &dyn Fn(usize) -> i64| Extra::Integers(cut.iter().map(|&d| f(d)).collect());
    Form::new(vec![])
        .with("starts", pick(&|d| start[d] as i64))
        .with("ends", pick(&|d| if end(d) < 0 { i64::MIN } else { end(d) }))
        .with("axes", pick(&|d| d as i64))
        .with("steps", pick(&|d| step[d] as i64))
}

/// ONNX `Slice`: everything as attributes (before opset 10) or inputs.
pub(crate) fn from_onnx(node: &mut NodeReader) -> Option<Lowered> {
    node.inputs_at_most(5);
    let mut steps = Steps::default();
    let x = steps.input(node, 0);
    let starts = axes::list(node, "starts", 10, 1);
    let ends = axes::list(node, "ends", 10, 2);
    let named = axes::list(node, "axes", 10, 3);
    let distances = if node.opset() < 10 { Some(None) } else { axes::list(node, "steps", 10, 4) };
    let (starts, ends, named, distances) =
        (required(node, "starts", starts?)?, required(node, "ends", ends?)?, named?, distances?);
    let x = x?;
    let named = match named {
        Some(named) => axes::axes(node, "axes", &named, x.rank())?,
        None => (0..starts.len().min(x.rank())).collect(),
    };
    let distances = distances.unwrap_or_else(|| vec![1; starts.len().min(x.rank())]);
    if [starts.len(), ends.len(), distances.len()] != [named.len(); 3] {
        let reason =
            format!("starts, ends, axes and steps do not have one length: {starts:?}, {ends:?}, {named:?}, {distances:?}");
        node.refuse("starts", reason, "check the model with onnx.checker (full_check=True)");
        return None;
    }
    let (mut start, mut step, mut len) = (vec![0; x.rank()], vec![1; x.rank()], x.shape.clone());
    for (i, &d) in named.iter().enumerate() {
        let Some(range) = resolve(starts[i], ends[i], distances[i], x.shape[d]) else {
            let reason =
                format!("from {} to {} in steps of {} of dimension {d} of {:?}", starts[i], ends[i], distances[i], x.shape);
            node.refuse("starts", format!("nothing is left: {reason}"), "remove what the empty value is for");
            return None;
        };
        (start[d], step[d], len[d]) = range;
    }
    let y = slice(node, &mut steps, &x, start, step, len)?;
    steps.finish(node, y)
}

fn required(node: &mut NodeReader, name: &str, list: Option<Vec<i64>>) -> Option<Vec<i64>> {
    if list.is_none() {
        node.refuse(name, "is missing", "the file may be damaged; export it again");
    }
    list
}

/// First index, distance and number of the elements from `start` to before `end`, as numpy counts them; `None` where there are
/// none.
fn resolve(start: i64, end: i64, step: i64, size: usize) -> Option<(usize, isize, usize)> {
    let size = i64::try_from(size).ok().filter(|&size| size > 0)?;
    let index = |i: i64, lowest: i64, highest: i64| {
        let from_start = if i < 0 { i.saturating_add(size) } else { i };
        i128::from(from_start.clamp(lowest, highest))
    };
    let step = isize::try_from(step).ok().filter(|&step| step != 0)?;
    let (start, end) = match step > 0 {
        true => (index(start, 0, size), index(end, 0, size)),
        false => (index(start, 0, size - 1), index(end, -1, size - 1)),
    };
    let (way, distance) = if step > 0 { (end - start, step as i128) } else { (start - end, -(step as i128)) };
    let len = usize::try_from((way + distance - 1) / distance).ok().filter(|&len| way > 0 && len > 0)?;
    Some((usize::try_from(start).ok()?, if len == 1 { 1 } else { step }, len))
}

/// Adds a slice, or nothing where it is the whole value.
fn slice(
    node: &mut NodeReader,
    steps: &mut Steps,
    x: &Step,
    start: Vec<usize>,
    step: Vec<isize>,
    len: Vec<usize>,
) -> Option<Step> {
    if (0..x.rank()).all(|d| is_whole(&start, &step, &len, &x.shape, d)) {
        return Some(x.clone());
    }
    steps.add(node, Op::Slice { start, step, len }, &[x], vec![])
}

/// The value without `before` and `after` elements at the ends of each dimension.
pub(crate) fn crop(node: &mut NodeReader, steps: &mut Steps, x: &Step, before: &[usize], after: &[usize]) -> Option<Step> {
    let left = |d: usize| x.shape[d].checked_sub(before[d])?.checked_sub(after[d]).filter(|&len| len > 0);
    let Some(len) = (0..x.rank()).map(left).collect() else {
        node.refuse("pads", format!("leave nothing of {:?}", x.shape), "check the model with onnx.checker (full_check=True)");
        return None;
    };
    slice(node, steps, x, before.to_vec(), vec![1; x.rank()], len)
}

/// ONNX `Split`: one slice for each output, of equal sizes or those given (as an attribute before opset 13, then an input).
pub(crate) fn split_from_onnx(node: &mut NodeReader) -> Option<Lowered> {
    node.inputs_at_most(2);
    let mut steps = Steps::default();
    let x = steps.input(node, 0);
    let given = node.int("axis").unwrap_or(0);
    let count = node.int("num_outputs");
    let sizes = axes::list(node, "split", 13, 1);
    let parts = node.outputs();
    let (x, sizes) = (x?, sizes?);
    let axis = axis(node, "axis", given, x.rank())?;
    let sizes = match sizes {
        Some(sizes) => given_sizes(node, x.shape[axis], parts, &sizes)?,
        None => equal_sizes(node, x.shape[axis], parts, count)?,
    };
    let mut outputs = vec![];
    let mut start = vec![0; x.rank()];
    for size in sizes {
        let mut len = x.shape.clone();
        len[axis] = size;
        outputs.push(slice(node, &mut steps, &x, start.clone(), vec![1; x.rank()], len)?);
        start[axis] += size;
    }
    steps.finish_all(node, outputs)
}

fn given_sizes(node: &mut NodeReader, len: usize, parts: usize, given: &[i64]) -> Option<Vec<usize>> {
    let sizes: Option<Vec<usize>> = given.iter().map(|&s| usize::try_from(s).ok().filter(|&s| s > 0)).collect();
    let sum = |sizes: &[usize]| sizes.iter().try_fold(0usize, |sum, &size| sum.checked_add(size));
    let sizes = sizes.filter(|sizes| sum(sizes) == Some(len) && sizes.len() == parts);
    if sizes.is_none() {
        let reason = format!("{given:?} does not cut {len} elements into {parts} parts");
        node.refuse("split", reason, "check the model with onnx.checker (full_check=True)");
    }
    sizes
}

/// As many parts as there are outputs; where `num_outputs` says so the last one may be smaller.
fn equal_sizes(node: &mut NodeReader, len: usize, parts: usize, count: Option<i64>) -> Option<Vec<usize>> {
    let even = parts > 0 && (len.is_multiple_of(parts) || count.is_some());
    let size = if even { len.div_ceil(parts) } else { 0 };
    let last = (parts.max(1) - 1).checked_mul(size).and_then(|sum| len.checked_sub(sum)).filter(|&last| last > 0 && size > 0);
    let counted = count.is_none_or(|count| usize::try_from(count) == Ok(parts));
    let Some(last) = last.filter(|_| counted) else {
        let name = if count.is_some() { "num_outputs" } else { "split" };
        node.refuse(name, format!("{len} elements do not make {parts} parts"), "give the sizes of the parts");
        return None;
    };
    let mut sizes = vec![size; parts - 1];
    sizes.push(last);
    Some(sizes)
}
