//! Padding.

use super::axes;
use super::index::{self, Table};
use super::slice::crop;
use super::steps::Steps;
use crate::graph::{Elem, Op, Tensor};
use crate::onnx::attributes::text;
use crate::onnx::form::{Extra, Form};
use crate::onnx::lowered::Lowered;
use crate::onnx::node::NodeReader;
use crate::onnx::tensor::Constant;
use staticnet::op::PadMode;

/// Output shape: the input's with `before` and `after` added.
///
/// # Errors
/// What does not fit, in words.
pub fn infer(before: &[usize], after: &[usize], mode: PadMode, x: &[usize]) -> Result<Vec<usize>, String> {
    if [before.len(), after.len()] != [x.len(); 2] {
        return Err(format!("pads {} dimensions of {x:?}", before.len()));
    }
    let size = |d: usize| {
        let most = match mode {
            PadMode::Constant | PadMode::Edge => usize::MAX,
            PadMode::Reflect => x[d].saturating_sub(1),
            PadMode::Wrap => x[d],
        };
        let sum = x[d].checked_add(before[d]).and_then(|sum| sum.checked_add(after[d]));
        sum.filter(|_| before[d].max(after[d]) <= most)
            .ok_or_else(|| format!("pads of {} and {} do not fit dimension {d} of {x:?}", before[d], after[d]))
    };
    (0..x.len()).map(size).collect()
}

/// The input where it is, and around it what the mode says.
pub fn reference(before: &[usize], mode: PadMode, value: f32, x: &Tensor, out_shape: &[usize]) -> Tensor {
    let strides = index::strides(&x.shape);
    let source = |d: usize, i: usize| -> Option<usize> {
        let (before, len) = (before[d], x.shape[d]);
        let inside = i.checked_sub(before).filter(|&i| i < len);
        inside.or_else(|| match mode {
            PadMode::Constant => None,
            PadMode::Edge => Some(if i < before { 0 } else { len - 1 }),
            // The pads are smaller than the input.
            PadMode::Reflect => Some(if i < before { before - i } else { 2 * (len - 1) - (i - before) }),
            PadMode::Wrap => Some((i + len - before) % len),
        })
    };
    let table = |d: usize| -> Table { (0..out_shape[d]).map(|i| source(d, i).map(|i| i * strides[d])).collect() };
    let tables: Vec<Table> = (0..out_shape.len()).map(table).collect();
    Tensor { shape: out_shape.to_vec(), data: index::gather(&x.data, &tables, value) }
}

/// ONNX `Pad`.
pub(crate) fn to_onnx(before: &[usize], after: &[usize], mode: PadMode, value: f32) -> Form {
    let name = match mode {
        PadMode::Constant => "constant",
        PadMode::Reflect => "reflect",
        PadMode::Edge => "edge",
        PadMode::Wrap => "wrap",
    };
    let form = Form::new(vec![text("mode", name)]).with("pads", Extra::sizes(&[before, after].concat()));
    if mode == PadMode::Constant { form.with("value", Extra::scalar(value)) } else { form }
}

/// ONNX `Pad`: pads and value as attributes (before opset 11) or inputs. Negative pads are cut off first.
pub(crate) fn from_onnx(node: &mut NodeReader) -> Option<Lowered> {
    node.inputs_at_most(4);
    let mut steps = Steps::default();
    let x = steps.input(node, 0);
    let mode = mode(node);
    let pads = axes::list(node, "pads", 11, 1);
    let value = if node.opset() < 11 { Some((node.float("value").unwrap_or(0.0), false)) } else { value(node) };
    let named = if node.opset() < 18 { Some(None) } else { axes::list(node, "axes", 18, 3) };
    let (mode, pads, (value, integer), named) = (mode?, pads?, value?, named?);
    let Some(pads) = pads else {
        node.refuse("pads", "is missing", "the file may be damaged; export it again");
        return None;
    };
    let x = x?;
    if (x.elem == Elem::F32) == integer && value != 0.0 {
        let reason = format!("is not of the input's type {:?}", x.elem);
        node.refuse("constant_value", reason, "check the model with onnx.checker (full_check=True)");
        return None;
    }
    let named = match named {
        Some(named) => axes::axes(node, "axes", &named, x.rank())?,
        None => (0..x.rank()).collect(),
    };
    let amounts: Option<Vec<isize>> = pads.iter().map(|&pad| isize::try_from(pad).ok()).collect();
    let Some(amounts) = amounts.filter(|pads| pads.len() == 2 * named.len()) else {
        let reason = format!("{pads:?} does not give both ends of {} dimensions", named.len());
        node.refuse("pads", reason, "check the model with onnx.checker (full_check=True)");
        return None;
    };
    let (starts, ends) = amounts.split_at(named.len());
    // What is added or cut off at one end.
    let amount = |ends: &[isize], cut: bool| {
        let mut amounts = vec![0; x.rank()];
        for (&d, &pad) in named.iter().zip(ends) {
            amounts[d] = if cut == (pad < 0) { pad.unsigned_abs() } else { 0 };
        }
        amounts
    };
    let (before, after) = (amount(starts, false), amount(ends, false));
    let inner = crop(node, &mut steps, &x, &amount(starts, true), &amount(ends, true))?;
    let y = if before.iter().chain(&after).all(|&pad| pad == 0) {
        inner
    } else {
        steps.add(node, Op::Pad { before, after, mode, value }, &[&inner], vec![])?
    };
    steps.finish(node, y)
}

fn mode(node: &mut NodeReader) -> Option<PadMode> {
    match node.text("mode").unwrap_or("constant") {
        "constant" => Some(PadMode::Constant),
        "reflect" => Some(PadMode::Reflect),
        "edge" => Some(PadMode::Edge),
        "wrap" => Some(PadMode::Wrap),
        other => {
            node.refuse("mode", format!("{other} is unknown"), "use constant, reflect, edge or wrap");
            None
        }
    }
}

/// The third input, 0 where it is missing, and whether it is an integer.
fn value(node: &mut NodeReader) -> Option<(f32, bool)> {
    if !node.has_input(2) {
        return Some((0.0, false));
    }
    let constant = node.constant(2, "constant_value")?;
    let value = if let Constant::Float(tensor) | Constant::Quantized { tensor, .. } = &constant {
        tensor.data.first().map(|&v| (v, false))
    } else {
        node.integers(2, "constant_value")?.first().map(|&v| (v as f32, true))
    };
    if value.is_none() {
        node.refuse("constant_value", "is empty", "the file may be damaged; export it again");
    }
    value
}
