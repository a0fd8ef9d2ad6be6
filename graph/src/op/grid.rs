//! Between real numbers and codes: `real = scale * (code - zero_point)`. Codes are held as f32.

use super::index;
use crate::graph::{Elem, Grid, Tensor};
use crate::onnx::attributes::size;
use crate::onnx::form::{Extra, Form};

/// Output shape: the input's.
///
/// # Errors
/// What does not fit, in words.
pub fn infer(grid: &Grid, x: &[usize]) -> Result<Vec<usize>, String> {
    let scales = match grid.axis {
        None => Some(1),
        Some(axis) => x.get(axis).copied(),
    };
    if scales != Some(grid.scale.len()) || grid.zero_point.len() != grid.scale.len() {
        let (scales, zero_points) = (grid.scale.len(), grid.zero_point.len());
        return Err(format!("{scales} scales and {zero_points} zero points do not fit {x:?} along axis {:?}", grid.axis));
    }
    let Some((lowest, highest)) = range(grid.elem) else {
        return Err(format!("codes are u8 or i8, not {:?}", grid.elem));
    };
    if !grid.scale.iter().all(|&scale| scale.is_finite() && scale > 0.0) {
        return Err("a scale is not a positive number".into());
    }
    if grid.zero_point.iter().any(|&zero| !(lowest..=highest).contains(&(zero as f32))) {
        return Err(format!("a zero point is not from {lowest} to {highest}"));
    }
    Ok(x.to_vec())
}

/// Smallest and largest code.
fn range(elem: Elem) -> Option<(f32, f32)> {
    match elem {
        Elem::U8 => Some((0.0, 255.0)),
        Elem::I8 => Some((-128.0, 127.0)),
        Elem::F32 | Elem::I64 => None,
    }
}

/// `round_half_even(x / scale) + zero_point`, saturated.
pub fn quantize_reference(grid: &Grid, x: &Tensor) -> Tensor {
    let (lowest, highest) = range(grid.elem).unwrap_or((f32::MIN, f32::MAX));
    each(grid, x, |x, scale, zero| ((x / scale).round_ties_even() + zero).clamp(lowest, highest))
}

/// `(code - zero_point) * scale`.
pub fn dequantize_reference(grid: &Grid, x: &Tensor) -> Tensor {
    each(grid, x, |code, scale, zero| (code - zero) * scale)
}

/// A function of each element, its scale and its zero point.
fn each(grid: &Grid, x: &Tensor, f: impl Fn(f32, f32, f32) -> f32) -> Tensor {
    let inner = grid.axis.map_or(x.data.len().max(1), |axis| index::around(&x.shape, axis).2);
    let element = |(i, &v): (usize, &f32)| {
        let at = i / inner % grid.scale.len();
        f(v, grid.scale[at], grid.zero_point[at] as f32)
    };
    Tensor { shape: x.shape.clone(), data: x.data.iter().enumerate().map(element).collect() }
}

/// ONNX `QuantizeLinear` or `DequantizeLinear`.
pub(crate) fn to_onnx(grid: &Grid) -> Form {
    let shape = if grid.axis.is_some() { vec![grid.scale.len()] } else { vec![] };
    let scale = Tensor { shape: shape.clone(), data: grid.scale.clone() };
    let zero_point = Extra::Codes { elem: grid.elem, shape, data: grid.zero_point.clone() };
    // Without scales for each index of it the axis means nothing.
    Form::new(grid.axis.map(|axis| size("axis", axis)).into_iter().collect())
        .with("scale", Extra::Floats(scale))
        .with("zero_point", zero_point)
}
