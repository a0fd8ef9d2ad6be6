//! One file an operator: output shape, f32 reference, and its form in ONNX.

pub mod conv;
pub mod dropout;
pub mod linear;
pub mod lrn;
pub mod pool;
pub(crate) mod quantized;
pub mod relu;
pub mod shape;
pub(crate) mod window;

use crate::graph::{Elem, Op, Tensor};
use crate::onnx::node::{Form, Lowered, NodeReader};

/// The shape that `op` makes of inputs of the given shapes and parameters (weight, bias).
///
/// # Errors
/// What does not fit, in words.
pub fn infer(op: &Op, inputs: &[&[usize]], params: &[&Tensor]) -> Result<Vec<usize>, String> {
    let [x] = inputs else {
        return Err(format!("takes 1 input, given {}", inputs.len()));
    };
    #[allow(clippy::wildcard_enum_match_arm)]
    match op {
        Op::Conv(attrs) => conv::infer(attrs, x, params),
        Op::Linear => linear::infer(x, params),
        Op::MaxPool(attrs) => pool::infer(attrs, x),
        Op::Lrn(attrs) => lrn::infer(attrs, x),
        Op::Relu | Op::Dropout { .. } | Op::Identity => Ok(x.to_vec()),
        Op::Flatten => shape::infer_flatten(x),
        other => Err(format!("{} is not supported", other.name())),
    }
}

/// Element type of the output of `op`, given that of its first input.
pub fn elem(op: &Op, x: Option<Elem>) -> Elem {
    match op {
        Op::Quantize(grid) => grid.elem,
        Op::Dequantize(_) | Op::Constant => Elem::F32,
        Op::ArgMax { .. } => Elem::I64,
        _ => x.unwrap_or_default(),
    }
}

/// Runs `op` on one sample in f32: the plain loops that everything else is held against.
pub fn reference(op: &Op, inputs: &[&Tensor], params: &[&Tensor], out_shape: &[usize]) -> Tensor {
    let x = inputs[0];
    match op {
        Op::Conv(attrs) => conv::reference(attrs, x, params, out_shape),
        Op::Linear => linear::reference(x, params, out_shape),
        Op::MaxPool(attrs) => pool::reference(attrs, x, out_shape),
        Op::Lrn(attrs) => lrn::reference(attrs, x),
        Op::Relu => relu::reference(x),
        Op::Dropout { .. } | Op::Identity | Op::Flatten => Tensor { shape: out_shape.to_vec(), data: x.data.clone() },
        _ => Tensor::zeros(out_shape),
    }
}

/// The form of `op` in ONNX; its name there is [`Op::name`].
pub(crate) fn to_onnx(op: &Op) -> Form {
    match op {
        Op::Conv(attrs) => conv::to_onnx(attrs),
        Op::Linear => linear::to_onnx(),
        Op::MaxPool(attrs) => pool::to_onnx(attrs),
        Op::Lrn(attrs) => lrn::to_onnx(attrs),
        Op::Relu => relu::to_onnx(),
        Op::Dropout { ratio } => dropout::to_onnx(*ratio),
        Op::Flatten => shape::flatten_to_onnx(),
        Op::Identity => shape::identity_to_onnx(),
        _ => Form::new(vec![]),
    }
}

/// The operators that [`from_onnx`] takes, for messages.
pub(crate) const SUPPORTED: &str = "Add (of a bias behind MatMul), Constant, Conv, Dropout, Flatten, Gemm, Identity, LRN, MatMul, \
     MaxPool, Relu, Reshape (as a flatten)";

/// Reads one node of an ONNX file. `None` where something was refused, which the reader has noted, or where an input is missing
/// because its own node was refused.
pub(crate) fn from_onnx(node: &mut NodeReader) -> Option<Lowered> {
    if !node.in_onnx_domain() {
        node.refuse_operator("is not of ONNX's own operator set", "replace it by operators of ONNX");
        return None;
    }
    match node.op_type() {
        "Conv" => conv::from_onnx(node),
        "Gemm" => linear::gemm_from_onnx(node),
        "MatMul" => linear::matmul_from_onnx(node),
        "MaxPool" => pool::from_onnx(node),
        "LRN" => lrn::from_onnx(node),
        "Relu" => relu::from_onnx(node),
        "Dropout" => dropout::from_onnx(node),
        "Flatten" => shape::flatten_from_onnx(node),
        "Reshape" => shape::reshape_from_onnx(node),
        "Identity" => shape::identity_from_onnx(node),
        "QuantizeLinear" => quantized::quantize_from_onnx(node),
        "DequantizeLinear" => quantized::dequantize_from_onnx(node),
        "Constant" => node.constant_attribute().map(Lowered::constant),
        other => {
            let hint = hint_for(other);
            node.refuse_operator("is not supported", hint);
            None
        }
    }
}

/// What helps with an operator that is not supported.
fn hint_for(op: &str) -> String {
    match op {
        "Softmax" | "LogSoftmax" => "cut it off at the end of the network: the order of the classes does not need it".into(),
        "Add" => "only the Add of a constant bias right behind MatMul is supported".into(),
        "BatchNormalization" => "fold it into the convolution before it: export in inference mode with constant folding".into(),
        "Shape" | "Gather" | "Unsqueeze" | "Concat" | "ConstantOfShape" => {
            "where it computes a constant shape, fold it first: export with fixed sizes, or use onnx-simplifier".into()
        }
        "Transpose" => "export the model in channels-first order, without transposes".into(),
        _ => format!("supported are {SUPPORTED}"),
    }
}
