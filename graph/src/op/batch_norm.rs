//! Batch normalisation with the statistics of the training.

use super::index;
use super::steps::Steps;
use crate::graph::{Op, Tensor};
use crate::onnx::attributes::float;
use crate::onnx::form::Form;
use crate::onnx::lowered::Lowered;
use crate::onnx::node::NodeReader;

/// Output shape: the input's.
///
/// # Errors
/// What does not fit, in words.
pub fn infer(x: &[usize], params: &[&Tensor]) -> Result<Vec<usize>, String> {
    let &[_, c, ..] = x else {
        return Err(format!("needs an input [N, C, ..], got {x:?}"));
    };
    if params.len() != 4 {
        return Err("needs scale, bias, mean and variance".into());
    }
    match params.iter().find(|p| p.shape != [c]) {
        Some(param) => Err(format!("a parameter has shape {:?}, not [{c}]", param.shape)),
        None => Ok(x.to_vec()),
    }
}

/// `(x - mean) / sqrt(variance + epsilon) * scale + bias`, in f64.
pub fn reference(epsilon: f32, x: &Tensor, params: &[&Tensor]) -> Tensor {
    let (_, channels, plane) = index::around(&x.shape, 1);
    let [scale, bias, mean, variance] = [0, 1, 2, 3].map(|i| &params[i].data);
    let normalise = |(i, &v): (usize, &f32)| {
        let c = i / plane % channels;
        let factor = f64::from(scale[c]) / (f64::from(variance[c]) + f64::from(epsilon)).sqrt();
        ((f64::from(v) - f64::from(mean[c])) * factor + f64::from(bias[c])) as f32
    };
    Tensor { shape: x.shape.clone(), data: x.data.iter().enumerate().map(normalise).collect() }
}

/// ONNX `BatchNormalization`.
pub(crate) fn to_onnx(epsilon: f32) -> Form {
    Form::new(vec![float("epsilon", epsilon)])
}

/// ONNX `BatchNormalization` for inference: one output.
pub(crate) fn from_onnx(node: &mut NodeReader) -> Option<Lowered> {
    node.inputs_at_most(5);
    let mut steps = Steps::default();
    let x = steps.floats(node, 0);
    let params: Vec<_> =
        [(1, "scale"), (2, "B"), (3, "mean"), (4, "var")].into_iter().map(|(i, role)| node.floats(i, role)).collect();
    let epsilon = node.float("epsilon").unwrap_or(1e-5);
    // It matters while training only.
    node.float("momentum");
    if node.int("spatial").is_some_and(|spatial| spatial != 1) {
        node.refuse("spatial", "statistics for each pixel are not supported", "normalise each channel: spatial=1");
    }
    if node.flag("training_mode") {
        node.refuse("training_mode", "is on", "export the model in inference mode: model.eval()");
    }
    if !(epsilon.is_finite() && epsilon >= 0.0) {
        node.refuse("epsilon", format!("{epsilon} is not a small positive number"), "export the model again");
    }
    let params = params.into_iter().collect::<Option<Vec<_>>>()?;
    let y = steps.add(node, Op::BatchNorm { epsilon }, &[&x?], params)?;
    steps.finish(node, y)
}
