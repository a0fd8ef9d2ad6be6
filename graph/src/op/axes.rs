//! Axes and lists of integers as ONNX gives them.

use super::index::MAX_RANK;
use crate::onnx::node::NodeReader;

/// An axis of a value with `rank` dimensions; negative ones count from the end.
pub(crate) fn axis(node: &mut NodeReader, name: &str, value: i64, rank: usize) -> Option<usize> {
    let from_end = if value < 0 { value.checked_add(rank as i64) } else { Some(value) };
    let axis = from_end.and_then(|v| usize::try_from(v).ok()).filter(|&axis| axis < rank);
    if axis.is_none() {
        let reason = format!("{value} is no axis of a value with {rank} dimensions");
        node.refuse(name, reason, "check the model with onnx.checker (full_check=True)");
    }
    axis
}

/// Axes, none of them twice, in the order given.
pub(crate) fn axes(node: &mut NodeReader, name: &str, values: &[i64], rank: usize) -> Option<Vec<usize>> {
    // A longer list names an axis twice anyway.
    let listed: Vec<usize> =
        values.iter().take(MAX_RANK + 1).map(|&value| axis(node, name, value, rank)).collect::<Option<_>>()?;
    if values.len() > MAX_RANK || (1..listed.len()).any(|i| listed[..i].contains(&listed[i])) {
        let reason = format!("{listed:?} names an axis twice");
        node.refuse(name, reason, "check the model with onnx.checker (full_check=True)");
        return None;
    }
    Some(listed)
}

/// A list of integers that was an attribute before opset `since` and is an input from then on; the inner `None` where it is not
/// given.
pub(crate) fn list(node: &mut NodeReader, name: &'static str, since: i64, index: usize) -> Option<Option<Vec<i64>>> {
    if node.opset() < since {
        return Some(node.ints(name).map(<[i64]>::to_vec));
    }
    if !node.has_input(index) {
        return Some(None);
    }
    node.integers(index, name).map(Some)
}
