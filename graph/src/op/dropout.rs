//! Dropout.

use super::steps;
use crate::graph::Op;
use crate::onnx::form::{Extra, Form};
use crate::onnx::lowered::Lowered;
use crate::onnx::node::NodeReader;
use crate::onnx::tensor::Constant;

/// The ratio where a file gives none.
const DEFAULT_RATIO: f32 = 0.5;

/// ONNX `Dropout`; without its input `training_mode` it passes its input on.
pub(crate) fn to_onnx(ratio: f32) -> Form {
    Form::new(vec![]).with("ratio", Extra::scalar(ratio))
}

/// ONNX `Dropout`: the ratio as an attribute (before opset 12) or an input, the mask unused.
pub(crate) fn from_onnx(node: &mut NodeReader) -> Option<Lowered> {
    node.inputs_at_most(3);
    // It matters while training only.
    node.int("seed");
    let ratio = match node.float("ratio") {
        Some(ratio) => Some(ratio),
        None if node.has_input(1) => scalar(node),
        None => Some(DEFAULT_RATIO),
    };
    if let Some(ratio) = ratio.filter(|ratio| !(0.0..1.0).contains(ratio)) {
        node.refuse("ratio", format!("{ratio} is not a probability below 1"), "export the model in inference mode");
    }
    if node.has_input(2) {
        match node.constant(2, "training_mode") {
            Some(Constant::Int { data, .. }) if data == [0] => {}
            Some(_) => node.refuse("training_mode", "is on", "export the model in inference mode: model.eval()"),
            None => {}
        }
    }
    steps::single(node, ratio.map(|ratio| Op::Dropout { ratio }))
}

fn scalar(node: &mut NodeReader) -> Option<f32> {
    let ratio = node.floats(1, "ratio")?;
    if let [ratio] = ratio.tensor.data[..] {
        return Some(ratio);
    }
    node.refuse("ratio", format!("has shape {:?}, not that of one number", ratio.tensor.shape), "export the model again");
    None
}
