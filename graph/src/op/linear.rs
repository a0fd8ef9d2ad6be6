//! Fully connected layer.

use crate::graph::{Op, Tensor};
use crate::onnx::attributes::int;
use crate::onnx::node::{Form, Lowered, NodeReader, Param};
use crate::onnx::tensor::Constant;

/// Output shape `[1, O]`.
///
/// # Errors
/// What does not fit, in words.
pub fn infer(x: &[usize], params: &[&Tensor]) -> Result<Vec<usize>, String> {
    let &[n, features] = x else {
        return Err(format!("needs an input [1, F], got {x:?}; flatten it first"));
    };
    let [weight, bias] = params else {
        return Err("needs a weight and a bias".into());
    };
    let &[o, i] = &weight.shape[..] else {
        return Err(format!("weight has shape {:?}, not [O, I]", weight.shape));
    };
    if i != features {
        return Err(format!("weight {:?} does not fit {features} features", weight.shape));
    }
    if bias.shape != [o] {
        return Err(format!("bias has shape {:?}, not [{o}]", bias.shape));
    }
    Ok(vec![n, o])
}

/// One sum in f64 per output.
pub fn reference(x: &Tensor, params: &[&Tensor], out_shape: &[usize]) -> Tensor {
    let (weight, bias) = (params[0], params[1]);
    let rows = weight.data.chunks_exact(x.data.len());
    let dot = |row: &[f32]| row.iter().zip(&x.data).map(|(w, x)| *w as f64 * *x as f64).sum::<f64>();
    let data = rows.zip(&bias.data).map(|(row, b)| (*b as f64 + dot(row)) as f32).collect();
    Tensor { shape: out_shape.to_vec(), data }
}

/// ONNX `Gemm` with the weight transposed, as PyTorch stores it.
pub(crate) fn to_onnx() -> Form {
    Form::new(vec![int("transB", 1)])
}

/// ONNX `Gemm` of an activation and constants; `alpha` and `beta` are multiplied into weight and bias.
pub(crate) fn gemm_from_onnx(node: &mut NodeReader) -> Option<Lowered> {
    node.inputs_at_most(3);
    let x = node.activation(0);
    if node.flag("transA") {
        node.refuse("transA", "a transposed input is not supported", "transpose the weight instead: Gemm(x, W, transB=1)");
    }
    let (alpha, beta) = (node.float("alpha").unwrap_or(1.0), node.float("beta").unwrap_or(1.0));
    let transposed = node.flag("transB");
    let weight = node.floats(1, "B").and_then(|b| if transposed { Some(b) } else { transpose(node, b) });
    let bias = if node.has_input(2) { node.floats(2, "C") } else { weight.as_ref().map(|w| node.zero_bias(w)) };
    let mut weight = weight?;
    let mut bias = broadcast(node, "C", bias?, &weight)?;
    scale(&mut weight.tensor, alpha);
    scale(&mut bias.tensor, beta);
    Some(Lowered::node(Op::Linear, x?, vec![weight, bias]))
}

/// ONNX `MatMul` of an activation and a constant, with the `Add` of a constant behind it as the bias.
pub(crate) fn matmul_from_onnx(node: &mut NodeReader) -> Option<Lowered> {
    node.inputs_at_most(2);
    let x = node.activation(0);
    let weight = node.floats(1, "B").and_then(|b| transpose(node, b))?;
    let outputs = [1, weight.tensor.shape[0]];
    let following = node.bias_behind(|c| matches!(c, Constant::Float(t) if broadcasts_to(&t.shape, &outputs)));
    let (bias, absorbs) = match following {
        Some((bias, add)) => (broadcast(node, "the bias behind it", bias, &weight)?, Some(add)),
        None => (node.zero_bias(&weight), None),
    };
    Some(Lowered::node(Op::Linear, x?, vec![weight, bias]).absorbing(absorbs))
}

/// `[I, O]` as `[O, I]`.
fn transpose(node: &mut NodeReader, weight: Param) -> Option<Param> {
    let Tensor { shape, data } = &weight.tensor;
    let &[rows, columns] = &shape[..] else {
        node.refuse("B", format!("has shape {shape:?}, not [inputs, outputs]"), "reshape the input to [N, F] first");
        return None;
    };
    let transposed = (0..rows * columns).map(|i| data[i % rows * columns + i / rows]).collect();
    Some(Param { tensor: Tensor { shape: vec![columns, rows], data: transposed }, ..weight })
}

/// Whether ONNX's one-way broadcasting makes `shape` into `target`, of the same rank or a higher one.
fn broadcasts_to(shape: &[usize], target: &[usize]) -> bool {
    shape.len() <= target.len() && shape.iter().rev().zip(target.iter().rev()).all(|(&s, &t)| s == 1 || s == t)
}

/// A bias for every output of the weight `[O, I]`.
fn broadcast(node: &mut NodeReader, input: &str, bias: Param, weight: &Param) -> Option<Param> {
    let outputs = weight.tensor.shape.first().copied().unwrap_or(0);
    let Tensor { shape, data } = &bias.tensor;
    if !broadcasts_to(shape, &[1, outputs]) {
        let reason = format!("has shape {shape:?}, not [{outputs}]");
        node.refuse(input, reason, "give one bias for each output");
        return None;
    }
    let data = if data.len() == outputs { data.clone() } else { vec![data[0]; outputs] };
    Some(Param { tensor: Tensor { shape: vec![outputs], data }, ..bias })
}

fn scale(tensor: &mut Tensor, factor: f32) {
    if factor != 1.0 {
        tensor.data.iter_mut().for_each(|v| *v *= factor);
    }
}
