//! Products with one constant matrix for each leading index.

use super::index;
use super::linear::{repeated, times_one};
use super::param;
use super::steps::{Step, Steps};
use crate::graph::{Op, Tensor};
use crate::onnx::form::Form;
use crate::onnx::node::{Lowered, NodeReader, Param};

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

/// `x` times a constant of rank 3 or more.
pub(crate) fn times_batch(node: &mut NodeReader, mut steps: Steps, x: Step, weight: Param) -> Option<Lowered> {
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
