//! Values that are part of the model.

use crate::graph::Tensor;

/// Output shape: the parameter's.
///
/// # Errors
/// What does not fit, in words.
pub fn infer(inputs: &[&[usize]], params: &[&Tensor]) -> Result<Vec<usize>, String> {
    match (inputs, params) {
        ([], [value]) => Ok(value.shape.clone()),
        _ => Err("takes no input and one parameter".into()),
    }
}
