//! Functions of one element.

use super::steps;
use crate::graph::{Op, Tensor};
use crate::onnx::attributes::float;
use crate::onnx::form::{Extra, Form};
use crate::onnx::lowered::Lowered;
use crate::onnx::node::NodeReader;
use staticnet::op::Function;

/// The function of each element, in f64.
pub fn reference(function: Function, x: &Tensor) -> Tensor {
    Tensor { shape: x.shape.clone(), data: x.data.iter().map(|&v| apply(function, v.into()) as f32).collect() }
}

fn apply(function: Function, x: f64) -> f64 {
    match function {
        Function::Identity => x,
        Function::LeakyRelu { alpha } => {
            if x < 0.0 {
                f64::from(alpha) * x
            } else {
                x
            }
        }
        Function::Clip { lo, hi } => x.max(lo.into()).min(hi.into()),
        Function::HardSigmoid { alpha, beta } => (f64::from(alpha) * x + f64::from(beta)).clamp(0.0, 1.0),
        Function::HardSwish => x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
        Function::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        Function::Tanh => x.tanh(),
    }
}

/// The first operator set that has the function.
pub(crate) fn opset(function: Function) -> i64 {
    match function {
        Function::HardSwish => 14,
        Function::Identity | Function::LeakyRelu { .. } | Function::Clip { .. } | Function::HardSigmoid { .. } => 13,
        Function::Sigmoid | Function::Tanh => 13,
    }
}

/// The ONNX operator called [`Op::name`].
pub(crate) fn to_onnx(function: Function) -> Form {
    match function {
        Function::LeakyRelu { alpha } => Form::new(vec![float("alpha", alpha)]),
        Function::HardSigmoid { alpha, beta } => Form::new(vec![float("alpha", alpha), float("beta", beta)]),
        Function::Clip { lo, hi } => {
            let bound = |value: f32| if value.is_finite() { Extra::scalar(value) } else { Extra::Missing };
            Form::new(vec![]).with("min", bound(lo)).with("max", bound(hi))
        }
        Function::Identity | Function::HardSwish | Function::Sigmoid | Function::Tanh => Form::new(vec![]),
    }
}

/// ONNX `LeakyRelu`.
pub(crate) fn leaky_relu_from_onnx(node: &mut NodeReader) -> Option<Lowered> {
    node.inputs_at_most(1);
    let alpha = finite(node, "alpha", 0.01);
    steps::single(node, alpha.map(|alpha| Op::Unary(Function::LeakyRelu { alpha })))
}

/// ONNX `HardSigmoid`.
pub(crate) fn hard_sigmoid_from_onnx(node: &mut NodeReader) -> Option<Lowered> {
    node.inputs_at_most(1);
    let (alpha, beta) = (finite(node, "alpha", 0.2), finite(node, "beta", 0.5));
    let function = alpha.zip(beta).map(|(alpha, beta)| Function::HardSigmoid { alpha, beta });
    steps::single(node, function.map(Op::Unary))
}

/// ONNX `HardSwish`, `Sigmoid` and `Tanh`: no attributes.
pub(crate) fn plain_from_onnx(node: &mut NodeReader, function: Function) -> Option<Lowered> {
    node.inputs_at_most(1);
    steps::single(node, Some(Op::Unary(function)))
}

/// ONNX `Clip`: bounds as attributes (before opset 11) or inputs.
pub(crate) fn clip_from_onnx(node: &mut NodeReader) -> Option<Lowered> {
    let bounds = if node.opset() < 11 {
        node.inputs_at_most(1);
        // What a file gives to say "no bound" is the largest float.
        let bound = |value: Option<f32>, none: f32| value.filter(|v| v.abs() < f32::MAX).unwrap_or(none);
        Some((bound(node.float("min"), f32::NEG_INFINITY), bound(node.float("max"), f32::INFINITY)))
    } else {
        node.inputs_at_most(3);
        let lo = bound(node, 1, "min", f32::NEG_INFINITY);
        lo.zip(bound(node, 2, "max", f32::INFINITY))
    };
    for (name, value) in bounds.into_iter().flat_map(|(lo, hi)| [("min", lo), ("max", hi)]) {
        if value.is_nan() {
            node.refuse(name, "is not a number to compute with", "export the model again");
        }
    }
    steps::single(node, bounds.map(|(lo, hi)| Op::Unary(Function::Clip { lo, hi })))
}

/// One number from an input, `default` where it is missing.
fn bound(node: &mut NodeReader, index: usize, name: &'static str, default: f32) -> Option<f32> {
    if !node.has_input(index) {
        return Some(default);
    }
    let given = node.floats(index, name)?.tensor;
    if let [value] = given.data[..] {
        return Some(value);
    }
    node.refuse(name, format!("has shape {:?}, not that of one number", given.shape), "export the model again");
    None
}

fn finite(node: &mut NodeReader, name: &'static str, default: f32) -> Option<f32> {
    let value = node.float(name).unwrap_or(default);
    if value.is_finite() {
        return Some(value);
    }
    node.refuse(name, format!("{value} is not a number to compute with"), "export the model again");
    None
}
