//! Products with constant matrices: one for each leading index, and ONNX's `MatMul`, most of which are fully connected layers.

use super::index;
use super::param;
use super::steps::{Step, Steps, expandable};
use crate::graph::{Op, Tensor};
use crate::onnx::form::Form;
use crate::onnx::lowered::{Lowered, Param};
use crate::onnx::node::{Input, NodeReader};
use crate::onnx::tensor::Constant;

/// Output shape `[.., M, N]`.
///
/// # Errors
/// What does not fit, in words.
pub fn infer(x: &[usize], params: &[&Tensor]) -> Result<Vec<usize>, String> {
    let [weight] = params else {
        return Err("needs a parameter".into());
    };
    let (&[ref x_leading @ .., m, k], &[ref leading @ .., rows, n]) = (x, &weight.shape[..]) else {
        return Err(format!("needs two inputs of at least 2 dimensions, got {x:?} and {:?}", weight.shape));
    };
    if x_leading != leading || leading.is_empty() || k != rows {
        return Err(format!("{x:?} and {:?} do not fit together", weight.shape));
    }
    Ok([leading, &[m, n]].concat())
}

/// One sum in f64 per output.
pub fn reference(x: &Tensor, params: &[&Tensor], out_shape: &[usize]) -> Tensor {
    let &[.., m, n] = out_shape else {
        return Tensor::zeros(out_shape);
    };
    let k = x.shape[x.shape.len() - 1];
    let mut data = Vec::with_capacity(out_shape.iter().product());
    for (x, b) in x.data.chunks_exact(m * k).zip(params[0].data.chunks_exact(k * n)) {
        for row in x.chunks_exact(k) {
            let dot =
                |column: usize| row.iter().enumerate().map(|(i, &x)| f64::from(x) * f64::from(b[i * n + column])).sum::<f64>();
            data.extend((0..n).map(|column| dot(column) as f32));
        }
    }
    Tensor { shape: out_shape.to_vec(), data }
}

/// ONNX `MatMul`.
pub(crate) fn to_onnx() -> Form {
    Form::new(vec![])
}

/// What is said of a product whose factors are both computed.
pub(super) const ACTIVATIONS: &str =
    "a product of two activations (as in attention) is not supported: one of the two must be a constant of the model";

/// ONNX `MatMul` of an activation and a constant, with the `Add` of a constant behind it as the bias.
pub(crate) fn from_onnx(node: &mut NodeReader) -> Option<Lowered> {
    node.inputs_at_most(2);
    let mut steps = Steps::default();
    if matches!(node.input(1)?, Input::Constant) {
        let x = steps.floats(node, 0);
        let weight = node.floats(1, "B")?;
        return match weight.tensor.shape.len() {
            0 => scalar(node, "B"),
            1 => times_vector(node, steps, x?, weight),
            2 => times_matrix(node, steps, x?, param::transposed(weight, &[1, 0])),
            _ => times_batch(node, steps, x?, weight),
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
    let mut params = vec![weight];
    let absorbs = following.map(|(bias, add)| {
        params.push(param::vector(bias, outputs));
        add
    });
    let y = steps.add(node, Op::Linear, &[&x], params)?;
    Some(steps.finish(node, y)?.absorbing(absorbs))
}

/// `x w` with a vector: one output, whose dimension goes.
fn times_vector(node: &mut NodeReader, mut steps: Steps, x: Step, weight: Param) -> Option<Lowered> {
    let shape = vec![1, weight.tensor.shape[0]];
    let weight = param::reshaped(weight, shape, |_| 1);
    let y = steps.add(node, Op::Linear, &[&x], vec![weight])?;
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
    let swapped = |rank: usize| (0..rank - 2).chain([rank - 1, rank - 2]).collect::<Vec<_>>();
    let is_vector = x.rank() < 2;
    let x = if is_vector { x } else { steps.transpose(node, &x, swapped(x.rank()))? };
    let mut y = steps.add(node, Op::Linear, &[&x], vec![weight])?;
    if drops_row {
        let shape = y.shape[..y.rank() - 1].to_vec();
        y = steps.reshape(node, y, shape)?;
    } else if !is_vector {
        y = steps.transpose(node, &y, swapped(y.rank()))?;
    }
    steps.finish(node, y)
}

/// A product whose constant is the same matrix for each leading index.
fn times_one(node: &mut NodeReader, steps: &mut Steps, x: &Step, matrix: Param) -> Option<Step> {
    let weight = param::transposed(matrix, &[1, 0]);
    steps.add(node, Op::Linear, &[x], vec![weight])
}

/// The constant repeated along its leading dimensions.
fn repeated(node: &mut NodeReader, weight: Param, shape: &[usize]) -> Option<Param> {
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

/// `x` times a constant of rank 3 or more.
fn times_batch(node: &mut NodeReader, mut steps: Steps, x: Step, weight: Param) -> Option<Lowered> {
    let shape = weight.tensor.shape.clone();
    let (leading, matrix) = shape.split_at(shape.len() - 2);
    let refuse = |node: &mut NodeReader, reason: String| {
        node.refuse("B", reason, "repeat or reshape the input so that both have the same leading dimensions");
        None
    };
    if x.rank() < 2 {
        return refuse(node, format!("has shape {shape:?}, the input {:?}", x.shape));
    }
    let rows = x.shape[x.rank() - 2..].to_vec();
    let common = match index::broadcast_shape(leading, &x.shape[..x.rank() - 2]) {
        Ok(common) => common,
        Err(reason) => return refuse(node, reason),
    };
    // The input may only get dimensions of 1.
    let input = [&common, &rows[..]].concat();
    if index::elements(&input) != index::elements(&x.shape) {
        return refuse(node, format!("of shape {shape:?} would repeat the input {:?}", x.shape));
    }
    let x = steps.reshape(node, x, input)?;
    let y = if leading.iter().all(|&d| d == 1) {
        let one = param::reshaped(weight, matrix.to_vec(), |axis| axis.saturating_sub(leading.len()));
        times_one(node, &mut steps, &x, one)?
    } else {
        let weight = repeated(node, weight, &[&common, matrix].concat())?;
        steps.add(node, Op::MatMul, &[&x], vec![weight])?
    };
    steps.finish(node, y)
}
