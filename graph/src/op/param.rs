//! Parameters: those of layers with a weight and a bias, and parameters in another arrangement, their integers included where the
//! model holds them quantized.

use super::{index, transpose};
use crate::graph::{Codes, Tensor};
use crate::onnx::lowered::Param;

/// The weight of a layer, and its bias if it has one.
///
/// # Errors
/// What is missing, in words.
pub(crate) fn weight_and_bias<'a>(params: &[&'a Tensor]) -> Result<(&'a Tensor, Option<&'a Tensor>), String> {
    match params {
        [weight] => Ok((weight, None)),
        [weight, bias] => Ok((weight, Some(bias))),
        _ => Err(format!("needs a weight, and at most a bias besides; given are {} parameters", params.len())),
    }
}

/// Accepts a bias of one number for each output.
///
/// # Errors
/// What does not fit, in words.
pub(crate) fn bias_fits(bias: Option<&Tensor>, outputs: usize) -> Result<(), String> {
    match bias {
        Some(bias) if bias.shape != [outputs] => Err(format!("bias has shape {:?}, not [{outputs}]", bias.shape)),
        Some(_) | None => Ok(()),
    }
}

/// Dimension d becomes the parameter's dimension `perm[d]`, which must be a permutation of its dimensions.
pub(crate) fn transposed(param: Param, perm: &[usize]) -> Param {
    let tables = transpose::tables(perm, &param.tensor.shape);
    let shape = perm.iter().map(|&p| param.tensor.shape[p]).collect();
    let codes = param.codes.map(|codes| Codes {
        codes: index::gather(&codes.codes, &tables, 0),
        axis: codes.axis.and_then(|axis| perm.iter().position(|&p| p == axis)),
        ..codes
    });
    let data = index::gather(&param.tensor.data, &tables, 0.0);
    Param { name: param.name, tensor: Tensor { shape, data }, codes }
}

/// The same elements with dimensions of 1 added or removed; `axis` says where a dimension went.
pub(crate) fn reshaped(param: Param, shape: Vec<usize>, axis: impl Fn(usize) -> usize) -> Param {
    let codes = param.codes.map(|codes| Codes { axis: codes.axis.map(axis), ..codes });
    Param { name: param.name, tensor: Tensor { shape, data: param.tensor.data }, codes }
}

/// Every element times a factor.
pub(crate) fn scaled(mut param: Param, factor: f32) -> Param {
    if factor == 1.0 {
        return param;
    }
    param.tensor.data.iter_mut().for_each(|v| *v *= factor);
    // A grid has a positive scale.
    param.codes = param.codes.filter(|_| factor > 0.0).map(|mut codes| {
        codes.scale.iter_mut().for_each(|s| *s *= factor);
        codes
    });
    param
}

/// A vector of `len` elements out of one that is [`index::broadcasts_to`] it, dimensions of 1 before it aside.
pub(crate) fn vector(param: Param, len: usize) -> Param {
    if param.tensor.data.len() == len {
        return reshaped(param, vec![len], |_| 0);
    }
    let data = vec![param.tensor.data.first().copied().unwrap_or(0.0); len];
    Param { name: param.name, tensor: Tensor { shape: vec![len], data }, codes: None }
}
