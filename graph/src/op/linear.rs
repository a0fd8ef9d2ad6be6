//! Products with constant matrices.

use super::index;
use super::param;
use super::steps::{Step, Steps, expandable};
use crate::graph::{Op, Tensor};
use crate::onnx::attributes::int;
use crate::onnx::form::Form;
use crate::onnx::node::{Input, Lowered, NodeReader, Param};
use crate::onnx::tensor::Constant;
use staticnet::op::BinaryOp;

/// Output shape `[.., O]`.
///
/// # Errors
/// What does not fit, in words.
pub fn infer(x: &[usize], params: &[&Tensor]) -> Result<Vec<usize>, String> {
    let Some((&features, leading)) = x.split_last() else {
        return Err("needs an input with features, got a single number".into());
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
    Ok([leading, &[o]].concat())
}

/// One sum in f64 per output.
pub fn reference(x: &Tensor, params: &[&Tensor], out_shape: &[usize]) -> Tensor {
    let (weight, bias) = (params[0], params[1]);
    let features = weight.shape[1];
    let mut data = Vec::with_capacity(out_shape.iter().product());
    for x in x.data.chunks_exact(features) {
        let rows = weight.data.chunks_exact(features);
        let dot = |row: &[f32]| row.iter().zip(x).map(|(w, x)| *w as f64 * *x as f64).sum::<f64>();
        data.extend(rows.zip(&bias.data).map(|(row, b)| (*b as f64 + dot(row)) as f32));
    }
    Tensor { shape: out_shape.to_vec(), data }
}

/// ONNX `Gemm` with the weight transposed, as PyTorch stores it, over `[N, F]`.
pub(crate) fn to_onnx() -> Form {
    Form::new(vec![int("transB", 1)])
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
    let bias = if node.has_input(2) { constant(node, 2, "C") } else { weight.as_ref().map(|w| node.zero_bias(w)) };
    let (weight, bias) = (weight?, param::scaled(bias?, beta));
    let outputs = weight.tensor.shape[0];
    // Without an input, one row stands for all.
    let rows = x.as_ref().map_or(1, |x| x.shape.get(usize::from(x_transposed)).copied().unwrap_or(1));
    if !index::broadcasts_to(&bias.tensor.shape, &[rows, outputs]) {
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
    let weight = param::scaled(weight, alpha);
    // A bias for each row cannot be one of the layer.
    let is_vector = index::broadcasts_to(&bias.tensor.shape, &[1, outputs]);
    let (bias, matrix) = if is_vector { (bias, None) } else { (node.zero_bias(&weight), Some(bias)) };
    let mut y = steps.add(node, Op::Linear, &[&x], vec![weight, param::vector(bias, outputs)])?;
    if let Some(matrix) = matrix {
        let matrix = steps.constant(node, matrix)?;
        y = steps.add(node, Op::Binary(BinaryOp::Add), &[&y, &matrix], vec![])?;
    }
    steps.finish(node, y)
}

const ACTIVATIONS: &str =
    "a product of two activations (as in attention) is not supported: one of the two must be a constant of the model";

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

/// ONNX `MatMul` of an activation and a constant, with the `Add` of a constant behind it as the bias.
pub(crate) fn matmul_from_onnx(node: &mut NodeReader) -> Option<Lowered> {
    node.inputs_at_most(2);
    let mut steps = Steps::default();
    if matches!(node.input(1)?, Input::Constant) {
        let x = steps.floats(node, 0);
        let weight = node.floats(1, "B")?;
        return match weight.tensor.shape.len() {
            0 => scalar(node, "B"),
            1 => times_vector(node, steps, x?, weight),
            2 => times_matrix(node, steps, x?, param::transposed(weight, &[1, 0])),
            _ => super::matmul::times_batch(node, steps, x?, weight),
        };
    }
    if matches!(node.input(0)?, Input::Value(_)) {
        node.refuse("B", "is computed by the network, not a constant", ACTIVATIONS);
        return None;
    }
    let weight = node.floats(0, "A")?;
    let x = steps.floats(node, 1)?;
    match weight.tensor.shape[..] {
        [] => scalar(node, "A"),
        [_] | [_, _] => matrix_times(node, steps, weight, x),
        _ => {
            let reason = format!("has shape {:?}; of a constant on the left only a matrix is supported", weight.tensor.shape);
            node.refuse("A", reason, "swap the two: (A x)^T = x^T A^T");
            None
        }
    }
}

fn scalar(node: &mut NodeReader, role: &str) -> Option<Lowered> {
    node.refuse(role, "is a single number", "use Mul");
    None
}

/// `x W^T` with the weight `[O, I]`.
fn times_matrix(node: &mut NodeReader, mut steps: Steps, x: Step, weight: Param) -> Option<Lowered> {
    let outputs = weight.tensor.shape[0];
    // A bias must not give the output more dimensions than it has.
    let target = if x.rank() > 1 { vec![1, outputs] } else { vec![outputs] };
    let following = node.bias_behind(|c| {
        let Constant::Float(Tensor { shape, .. }) = c else {
            return false;
        };
        let (extra, fits) = shape.split_at(shape.len().saturating_sub(target.len()));
        shape.len() <= x.rank() && extra.iter().all(|&d| d == 1) && index::broadcasts_to(fits, &target)
    });
    let (bias, absorbs) = match following {
        Some((bias, add)) => (param::vector(bias, outputs), Some(add)),
        None => (node.zero_bias(&weight), None),
    };
    let y = steps.add(node, Op::Linear, &[&x], vec![weight, bias])?;
    Some(steps.finish(node, y)?.absorbing(absorbs))
}

/// `x w` with a vector: one output, whose dimension goes.
fn times_vector(node: &mut NodeReader, mut steps: Steps, x: Step, weight: Param) -> Option<Lowered> {
    let shape = vec![1, weight.tensor.shape[0]];
    let weight = param::reshaped(weight, shape, |_| 1);
    let bias = node.zero_bias(&weight);
    let y = steps.add(node, Op::Linear, &[&x], vec![weight, bias])?;
    let shape = y.shape[..y.rank() - 1].to_vec();
    let y = steps.reshape(node, y, shape)?;
    steps.finish(node, y)
}

/// `A x` with a matrix or a vector: the transpose of `x^T A^T`.
fn matrix_times(node: &mut NodeReader, mut steps: Steps, weight: Param, x: Step) -> Option<Lowered> {
    let drops_row = weight.tensor.shape.len() == 1;
    let weight = if drops_row {
        let shape = vec![1, weight.tensor.shape[0]];
        param::reshaped(weight, shape, |_| 1)
    } else {
        weight
    };
    let bias = node.zero_bias(&weight);
    let swapped = |rank: usize| (0..rank - 2).chain([rank - 1, rank - 2]).collect::<Vec<_>>();
    let is_vector = x.rank() < 2;
    let x = if is_vector { x } else { steps.transpose(node, &x, swapped(x.rank()))? };
    let mut y = steps.add(node, Op::Linear, &[&x], vec![weight, bias])?;
    if drops_row {
        let shape = y.shape[..y.rank() - 1].to_vec();
        y = steps.reshape(node, y, shape)?;
    } else if !is_vector {
        y = steps.transpose(node, &y, swapped(y.rank()))?;
    }
    steps.finish(node, y)
}

/// For [`super::matmul`]: a product whose constant is the same matrix for each leading index.
pub(crate) fn times_one(node: &mut NodeReader, steps: &mut Steps, x: &Step, matrix: Param) -> Option<Step> {
    let weight = param::transposed(matrix, &[1, 0]);
    let bias = node.zero_bias(&weight);
    steps.add(node, Op::Linear, &[x], vec![weight, bias])
}

/// For [`super::matmul`]: the constant repeated along its leading dimensions.
pub(crate) fn repeated(node: &mut NodeReader, weight: Param, shape: &[usize]) -> Option<Param> {
    if weight.tensor.shape == shape {
        return Some(weight);
    }
    if weight.tensor.data.len() == index::elements(shape).ok()? {
        let added = shape.len() - weight.tensor.shape.len();
        return Some(param::reshaped(weight, shape.to_vec(), |axis| axis + added));
    }
    expandable(node, "B", shape)?;
    let tensor = index::broadcast(&weight.tensor, shape);
    Some(Param { tensor, codes: None, name: weight.name })
}
