//! One file an operator (or a few that are alike): output shape, f32 reference, and its form in ONNX.

pub(crate) mod axes;
pub mod batch_norm;
pub mod binary;
pub mod concat;
pub mod constant;
pub mod conv;
pub mod dropout;
pub mod grid;
mod hints;
pub(crate) mod index;
pub mod linear;
pub mod lrn;
pub mod matmul;
pub mod pad;
pub(crate) mod param;
pub mod pool;
pub mod prelu;
pub(crate) mod quantized;
pub mod reduce;
pub mod relu;
pub mod reshape;
pub mod resize;
pub(crate) mod resize_onnx;
pub mod slice;
pub mod softmax;
pub(crate) mod steps;
pub mod transpose;
pub mod unary;
pub(crate) mod window;

use crate::graph::{Elem, Op, Tensor};
use crate::onnx::form::Form;
use crate::onnx::node::{Lowered, NodeReader};
pub use index::MAX_RANK;
use staticnet::op::{BinaryOp, Function, PadMode};

/// The shape that `op` makes of inputs of the given shapes and parameters.
///
/// # Errors
/// What does not fit, in words.
pub fn infer(op: &Op, inputs: &[&[usize]], params: &[&Tensor]) -> Result<Vec<usize>, String> {
    let shape = match op {
        Op::Concat { axis } => concat::infer(*axis, inputs)?,
        Op::Constant => constant::infer(inputs, params)?,
        Op::Binary(_) => match inputs {
            [a, b] => binary::infer(a, b)?,
            _ => return Err(format!("takes 2 inputs, given {}", inputs.len())),
        },
        Op::Conv(_) | Op::Linear | Op::MatMul | Op::MaxPool(_) | Op::AveragePool(_) | Op::Lrn(_) | Op::BatchNorm { .. } => {
            infer_one(op, one(inputs)?, params)?
        }
        Op::Relu | Op::Unary(_) | Op::PRelu | Op::Softmax { .. } | Op::Slice { .. } | Op::Reshape { .. } => {
            infer_one(op, one(inputs)?, params)?
        }
        Op::Transpose { .. } | Op::Pad { .. } | Op::ReduceMean { .. } | Op::ArgMax { .. } | Op::Resize(_) => {
            infer_one(op, one(inputs)?, params)?
        }
        Op::Quantize(_) | Op::Dequantize(_) | Op::Dropout { .. } | Op::Flatten | Op::Identity => {
            infer_one(op, one(inputs)?, params)?
        }
    };
    if shape.len() > MAX_RANK {
        return Err(format!("its output {shape:?} has more than {MAX_RANK} dimensions"));
    }
    if shape.contains(&0) {
        return Err(format!("its output {shape:?} is empty"));
    }
    index::elements(&shape)?;
    Ok(shape)
}

fn one<'a>(inputs: &[&'a [usize]]) -> Result<&'a [usize], String> {
    match inputs {
        [x] => Ok(x),
        _ => Err(format!("takes 1 input, given {}", inputs.len())),
    }
}

/// [`infer`] for operators of one input.
fn infer_one(op: &Op, x: &[usize], params: &[&Tensor]) -> Result<Vec<usize>, String> {
    match op {
        Op::Conv(attrs) => conv::infer(attrs, x, params),
        Op::Linear => linear::infer(x, params),
        Op::MatMul => matmul::infer(x, params),
        Op::MaxPool(attrs) => pool::infer(&attrs.window, x),
        Op::AveragePool(attrs) => pool::infer_average(attrs, x),
        Op::Lrn(attrs) => lrn::infer(attrs, x),
        Op::BatchNorm { .. } => batch_norm::infer(x, params),
        Op::Relu | Op::Unary(_) | Op::Dropout { .. } | Op::Identity => Ok(x.to_vec()),
        Op::PRelu => prelu::infer(x, params),
        Op::Softmax { axis } => softmax::infer(*axis, x),
        Op::Slice { start, step, len } => slice::infer(start, step, len, x),
        Op::Reshape { shape } => reshape::infer_reshape(shape, x),
        Op::Flatten => reshape::infer_flatten(x),
        Op::Transpose { perm } => transpose::infer(perm, x),
        Op::Pad { before, after, mode, .. } => pad::infer(before, after, *mode, x),
        Op::ReduceMean { axes, keep } => reduce::infer(axes, *keep, x),
        Op::ArgMax { axis, keep, .. } => reduce::infer(&[*axis], *keep, x),
        Op::Resize(resize) => resize::infer(resize, x),
        Op::Quantize(grid) | Op::Dequantize(grid) => grid::infer(grid, x),
        Op::Binary(_) | Op::Concat { .. } | Op::Constant => Err("does not take one input".into()),
    }
}

/// Element type of the output of `op`, given that of its first input.
pub fn elem(op: &Op, x: Option<Elem>) -> Elem {
    match op {
        Op::Quantize(grid) => grid.elem,
        Op::ArgMax { .. } => Elem::I64,
        // They compute with real numbers.
        Op::Conv(_) | Op::Linear | Op::MatMul | Op::AveragePool(_) | Op::Lrn(_) | Op::BatchNorm { .. } | Op::Unary(_) => {
            Elem::F32
        }
        Op::PRelu | Op::Softmax { .. } | Op::Binary(_) | Op::ReduceMean { .. } | Op::Constant | Op::Dequantize(_) => Elem::F32,
        // They pass elements on.
        Op::MaxPool(_) | Op::Relu | Op::Concat { .. } | Op::Slice { .. } | Op::Reshape { .. } | Op::Transpose { .. } => {
            x.unwrap_or_default()
        }
        Op::Pad { .. } | Op::Resize(_) | Op::Dropout { .. } | Op::Flatten | Op::Identity => x.unwrap_or_default(),
    }
}

/// Runs `op` in f32: the plain loops that everything else is held against. Shapes are those that [`infer`] has taken and made.
pub fn reference(op: &Op, inputs: &[&Tensor], params: &[&Tensor], out_shape: &[usize]) -> Tensor {
    let same = |x: &Tensor| Tensor { shape: out_shape.to_vec(), data: x.data.clone() };
    match op {
        Op::Conv(attrs) => conv::reference(attrs, inputs[0], params, out_shape),
        Op::Linear => linear::reference(inputs[0], params, out_shape),
        Op::MatMul => matmul::reference(inputs[0], params, out_shape),
        Op::MaxPool(attrs) => pool::max_reference(attrs, inputs[0], out_shape),
        Op::AveragePool(attrs) => pool::average_reference(attrs, inputs[0], out_shape),
        Op::Lrn(attrs) => lrn::reference(attrs, inputs[0]),
        Op::BatchNorm { epsilon } => batch_norm::reference(*epsilon, inputs[0], params),
        Op::Relu => relu::reference(inputs[0]),
        Op::Unary(function) => unary::reference(*function, inputs[0]),
        Op::PRelu => prelu::reference(inputs[0], params),
        Op::Softmax { axis } => softmax::reference(*axis, inputs[0]),
        Op::Binary(op) => binary::reference(*op, inputs[0], inputs[1], out_shape),
        Op::Concat { axis } => concat::reference(*axis, inputs, out_shape),
        Op::Slice { start, step, .. } => slice::reference(start, step, inputs[0], out_shape),
        Op::Transpose { perm } => transpose::reference(perm, inputs[0]),
        Op::Pad { before, mode, value, .. } => pad::reference(before, *mode, *value, inputs[0], out_shape),
        Op::ReduceMean { axes, .. } => reduce::mean_reference(axes, inputs[0], out_shape),
        Op::ArgMax { axis, last, .. } => reduce::arg_max_reference(*axis, *last, inputs[0], out_shape),
        Op::Resize(resize) => resize::reference(resize, inputs[0], out_shape),
        Op::Constant => same(params[0]),
        Op::Quantize(grid) => grid::quantize_reference(grid, inputs[0]),
        Op::Dequantize(grid) => grid::dequantize_reference(grid, inputs[0]),
        Op::Reshape { .. } | Op::Dropout { .. } | Op::Flatten | Op::Identity => same(inputs[0]),
    }
}

/// The first operator set that has `op` as [`to_onnx`] writes it for an input of the shape `x`; 13 for most.
pub(crate) fn opset(op: &Op, x: &[usize]) -> i64 {
    match op {
        Op::Unary(Function::HardSwish) => 14,
        Op::AveragePool(attrs) if attrs.window.dilation != [1, 1] => 19,
        Op::Pad { mode: PadMode::Wrap, .. } => 19,
        Op::Resize(resize) => resize_onnx::opset(resize, x),
        Op::Conv(_) | Op::Linear | Op::MatMul | Op::MaxPool(_) | Op::AveragePool(_) | Op::Lrn(_) | Op::BatchNorm { .. } => 13,
        Op::Relu | Op::Unary(_) | Op::PRelu | Op::Softmax { .. } | Op::Binary(_) | Op::Concat { .. } | Op::Slice { .. } => 13,
        Op::Reshape { .. } | Op::Transpose { .. } | Op::Pad { .. } | Op::ReduceMean { .. } | Op::ArgMax { .. } => 13,
        Op::Constant | Op::Quantize(_) | Op::Dequantize(_) | Op::Dropout { .. } | Op::Flatten | Op::Identity => 13,
    }
}

/// The form of `op` for an operator set and an input of the shape `x`; its name is [`Op::name`], but for a Linear over more or less
/// than two dimensions and for constants.
///
/// # Errors
/// Where ONNX has no such operator, in words.
pub(crate) fn to_onnx(op: &Op, x: &[usize], opset: i64) -> Result<Form, String> {
    Ok(match op {
        Op::Conv(attrs) => conv::to_onnx(attrs),
        Op::Linear => linear::to_onnx(),
        Op::MatMul => matmul::to_onnx(),
        Op::MaxPool(attrs) => pool::max_to_onnx(attrs),
        Op::AveragePool(attrs) => pool::average_to_onnx(attrs, x)?,
        Op::Lrn(attrs) => lrn::to_onnx(attrs),
        Op::BatchNorm { epsilon } => batch_norm::to_onnx(*epsilon),
        Op::Relu => relu::to_onnx(),
        Op::Unary(function) => unary::to_onnx(*function),
        Op::PRelu => prelu::to_onnx(),
        Op::Softmax { axis } => softmax::to_onnx(*axis),
        Op::Binary(_) => binary::to_onnx(),
        Op::Concat { axis } => concat::to_onnx(*axis),
        Op::Slice { start, step, len } => slice::to_onnx(start, step, len, x),
        Op::Reshape { shape } => reshape::reshape_to_onnx(shape, x),
        Op::Transpose { perm } => transpose::to_onnx(perm),
        Op::Pad { before, after, mode, value } => pad::to_onnx(before, after, *mode, *value),
        Op::ReduceMean { axes, keep } => reduce::mean_to_onnx(axes, *keep, opset),
        Op::ArgMax { axis, keep, last } => reduce::arg_max_to_onnx(*axis, *keep, *last),
        Op::Resize(resize) => resize_onnx::to_onnx(resize, x)?,
        Op::Quantize(grid) | Op::Dequantize(grid) => grid::to_onnx(grid),
        Op::Dropout { ratio } => dropout::to_onnx(*ratio),
        Op::Flatten => reshape::flatten_to_onnx(),
        Op::Constant | Op::Identity => reshape::identity_to_onnx(),
    })
}

/// Reads one node of an ONNX file. `None` where something was refused, which the reader has noted, or where an input is missing
/// because its own node was refused.
pub(crate) fn from_onnx(node: &mut NodeReader) -> Option<Lowered> {
    if !node.in_onnx_domain() {
        node.refuse_operator("is not of ONNX's own operator set", "replace it by operators of ONNX");
        return None;
    }
    match node.op_type() {
        "Add" => binary::from_onnx(node, BinaryOp::Add),
        "ArgMax" => reduce::arg_max_from_onnx(node),
        "AveragePool" => pool::average_from_onnx(node),
        "BatchNormalization" => batch_norm::from_onnx(node),
        "Clip" => unary::clip_from_onnx(node),
        "Concat" => concat::from_onnx(node),
        "Constant" => node.constant_attribute().map(Lowered::constant),
        "Conv" => conv::from_onnx(node),
        "DequantizeLinear" => quantized::dequantize_from_onnx(node),
        "Div" => binary::div_from_onnx(node),
        "Dropout" => dropout::from_onnx(node),
        "Flatten" => reshape::flatten_from_onnx(node),
        "Gemm" => linear::gemm_from_onnx(node),
        "GlobalAveragePool" => pool::global_average_from_onnx(node),
        "GlobalMaxPool" => pool::global_max_from_onnx(node),
        "HardSigmoid" => unary::hard_sigmoid_from_onnx(node),
        "HardSwish" => unary::plain_from_onnx(node, Function::HardSwish),
        "Identity" => reshape::identity_from_onnx(node),
        "LRN" => lrn::from_onnx(node),
        "LeakyRelu" => unary::leaky_relu_from_onnx(node),
        "MatMul" => linear::matmul_from_onnx(node),
        "MaxPool" => pool::max_from_onnx(node),
        "Mul" => binary::from_onnx(node, BinaryOp::Mul),
        "PRelu" => prelu::from_onnx(node),
        "Pad" => pad::from_onnx(node),
        "QuantizeLinear" => quantized::quantize_from_onnx(node),
        "ReduceMean" => reduce::mean_from_onnx(node),
        "Relu" => relu::from_onnx(node),
        "Reshape" => reshape::reshape_from_onnx(node),
        "Resize" => resize_onnx::from_onnx(node),
        "Sigmoid" => unary::plain_from_onnx(node, Function::Sigmoid),
        "Slice" => slice::from_onnx(node),
        "Softmax" => softmax::from_onnx(node),
        "Split" => slice::split_from_onnx(node),
        "Squeeze" => reshape::squeeze_from_onnx(node),
        "Sub" => binary::from_onnx(node, BinaryOp::Sub),
        "Sum" => binary::sum_from_onnx(node),
        "Tanh" => unary::plain_from_onnx(node, Function::Tanh),
        "Transpose" => transpose::from_onnx(node),
        "Unsqueeze" => reshape::unsqueeze_from_onnx(node),
        "Upsample" => resize_onnx::upsample_from_onnx(node),
        other => {
            let hint = hints::hint_for(other);
            node.refuse_operator("is not supported", hint);
            None
        }
    }
}
