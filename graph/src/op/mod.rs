//! One file an operator: output shape, f32 reference, and its form in ONNX.

pub mod conv;
pub mod linear;
pub mod lrn;
pub mod pool;
pub mod relu;
pub mod shape;

use crate::graph::{Op, Tensor};

/// The shape that `op` makes of inputs of the given shapes and parameters (weight, bias).
///
/// # Errors
/// What does not fit, in words.
pub fn infer(op: &Op, inputs: &[&[usize]], params: &[&Tensor]) -> Result<Vec<usize>, String> {
    let [x] = inputs else {
        return Err(format!("takes 1 input, given {}", inputs.len()));
    };
    match op {
        Op::Conv(attrs) => conv::infer(attrs, x, params),
        Op::Linear => linear::infer(x, params),
        Op::MaxPool(attrs) => pool::infer(attrs, x),
        Op::Lrn(attrs) => lrn::infer(attrs, x),
        Op::Relu | Op::Dropout { .. } | Op::Identity => Ok(x.to_vec()),
        Op::Flatten => shape::infer_flatten(x),
    }
}

/// Runs `op` on one sample in f32: the plain loops that everything else is held against.
pub fn reference(op: &Op, x: &Tensor, params: &[&Tensor], out_shape: &[usize]) -> Tensor {
    match op {
        Op::Conv(attrs) => conv::reference(attrs, x, params, out_shape),
        Op::Linear => linear::reference(x, params, out_shape),
        Op::MaxPool(attrs) => pool::reference(attrs, x, out_shape),
        Op::Lrn(attrs) => lrn::reference(attrs, x),
        Op::Relu => relu::reference(x),
        Op::Dropout { .. } | Op::Identity | Op::Flatten => Tensor { shape: out_shape.to_vec(), data: x.data.clone() },
    }
}
