//! Fully connected layers.

use super::matmul::ACTIVATIONS;
use super::steps::Steps;
use super::{index, param};
use crate::graph::{Op, Tensor};
use crate::onnx::attributes::int;
use crate::onnx::form::Form;
use crate::onnx::lowered::{Lowered, Param};
use crate::onnx::node::{Input, NodeReader};
use staticnet::op::BinaryOp;

/// Output shape `[.., O]`.
///
/// # Errors
/// What does not fit, in words.
pub fn infer(x: &[usize], params: &[&Tensor]) -> Result<Vec<usize>, String> {
    let Some((&features, leading)) = x.split_last() else {
        return Err("needs an input with features, got a single number".into());
    };
    let (weight, bias) = param::weight_and_bias(params)?;
    let &[o, i] = &weight.shape[..] else {
        return Err(format!("weight has shape {:?}, not [O, I]", weight.shape));
    };
    if i != features {
        return Err(format!("weight {:?} does not fit {features} features", weight.shape));
    }
    param::bias_fits(bias, o)?;
    Ok([leading, &[o]].concat())
}

/// One sum in f64 per output.
pub fn reference(x: &Tensor, params: &[&Tensor], out_shape: &[usize]) -> Tensor {
    let (weight, bias) = (params[0], params.get(1));
    let features = weight.shape[1];
    let mut data = Vec::with_capacity(out_shape.iter().product());
    for x in x.data.chunks_exact(features) {
        let rows = weight.data.chunks_exact(features);
        let dot = |row: &[f32]| row.iter().zip(x).map(|(w, x)| *w as f64 * *x as f64).sum::<f64>();
        let first = |output: usize| bias.map_or(0.0, |bias| f64::from(bias.data[output]));
        data.extend(rows.enumerate().map(|(output, row)| (first(output) + dot(row)) as f32));
    }
    Tensor { shape: out_shape.to_vec(), data }
}

/// ONNX `Gemm` with the weight transposed, as PyTorch stores it, over `[N, F]`; an input of another shape is made that first.
pub(crate) fn to_onnx(x: &[usize]) -> Form {
    let form = Form::new(vec![int("transB", 1)]);
    if x.len() == 2 { form } else { form.over_rows() }
}

/// ONNX `Gemm` of an activation and constants; `alpha` and `beta` are multiplied into weight and bias.
pub(crate) fn gemm_from_onnx(node: &mut NodeReader) -> Option<Lowered> {
    node.inputs_at_most(3);
    let mut steps = Steps::default();
    let x = steps.floats(node, 0);
    let (alpha, beta) = (node.float("alpha").unwrap_or(1.0), node.float("beta").unwrap_or(1.0));
    let (x_transposed, transposed) = (node.flag("transA"), node.flag("transB"));
    let weight = constant(node, 1, "B").and_then(|b| matrix(node, b));
    let weight = weight.map(|w| if transposed { w } else { param::transposed(w, &[1, 0]) });
    let bias = if node.has_input(2) { Some(constant(node, 2, "C")) } else { None };
    let weight = weight?;
    let bias = match bias {
        Some(bias) => Some(param::scaled(bias?, beta)),
        None => None,
    };
    let outputs = weight.tensor.shape[0];
    // Without an input, one row stands for all.
    let rows = x.as_ref().map_or(1, |x| x.shape.get(usize::from(x_transposed)).copied().unwrap_or(1));
    if let Some(bias) = bias.as_ref().filter(|bias| !index::broadcasts_to(&bias.tensor.shape, &[rows, outputs])) {
        let reason = format!("has shape {:?}, not [{outputs}]", bias.tensor.shape);
        node.refuse("C", reason, "give one bias for each output");
        return None;
    }
    let mut x = x?;
    if x.rank() != 2 {
        let reason = format!("needs an input [N, F], got {:?}", x.shape);
        node.refuse("A", reason, "flatten it first");
        return None;
    }
    if x_transposed {
        x = steps.transpose(node, &x, vec![1, 0])?;
    }
    // A bias for each row cannot be one of the layer.
    let (bias, matrix) = match bias {
        Some(bias) if !index::broadcasts_to(&bias.tensor.shape, &[1, outputs]) => (None, Some(bias)),
        other => (other.map(|bias| param::vector(bias, outputs)), None),
    };
    let params = [Some(param::scaled(weight, alpha)), bias].into_iter().flatten().collect();
    let mut y = steps.add(node, Op::Linear, &[&x], params)?;
    if let Some(matrix) = matrix {
        let matrix = steps.constant(node, matrix)?;
        y = steps.add(node, Op::Binary(BinaryOp::Add), &[&y, &matrix], vec![])?;
    }
    steps.finish(node, y)
}

/// Input `index`, which must be a constant of floats.
fn constant(node: &mut NodeReader, index: usize, role: &'static str) -> Option<Param> {
    match node.input(index)? {
        Input::Constant => node.floats(index, role),
        Input::Value(_) => {
            node.refuse(role, "is computed by the network, not a constant", ACTIVATIONS);
            None
        }
    }
}

fn matrix(node: &mut NodeReader, weight: Param) -> Option<Param> {
    if weight.tensor.shape.len() == 2 {
        return Some(weight);
    }
    let reason = format!("has shape {:?}, not that of a matrix", weight.tensor.shape);
    node.refuse("B", reason, "check the model with onnx.checker (full_check=True)");
    None
}
