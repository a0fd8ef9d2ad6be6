//! Local response normalisation.

use super::steps::{Steps, image, unimage};
use crate::graph::{Op, Tensor};
use crate::onnx::attributes::{float, int};
use crate::onnx::form::Form;
use crate::onnx::lowered::Lowered;
use crate::onnx::node::NodeReader;
use staticnet::op::Lrn;

/// Output shape: the input's.
///
/// # Errors
/// What does not fit, in words.
pub fn infer(attrs: &Lrn, x: &[usize]) -> Result<Vec<usize>, String> {
    if x.len() != 4 {
        return Err(format!("needs an input [1, C, H, W], got {x:?}"));
    }
    if attrs.size == 0 {
        return Err("size is 0".into());
    }
    Ok(x.to_vec())
}

/// The formula of [`Lrn`], in f64.
pub fn reference(attrs: &Lrn, x: &Tensor) -> Tensor {
    let (c, plane) = (x.shape[1], x.shape[2] * x.shape[3]);
    let (before, after) = ((attrs.size as usize - 1) / 2, attrs.size as usize / 2);
    let mut data = Vec::with_capacity(x.data.len());
    for x in x.data.chunks_exact(c * plane) {
        for ch in 0..c {
            for p in 0..plane {
                let window = ch.saturating_sub(before)..(ch + after + 1).min(c);
                let sum: f64 = window.map(|j| (x[j * plane + p] as f64).powi(2)).sum();
                let base = attrs.k as f64 + attrs.alpha as f64 / attrs.size as f64 * sum;
                data.push((x[ch * plane + p] as f64 * base.powf(-(attrs.beta as f64))) as f32);
            }
        }
    }
    Tensor { shape: x.shape.clone(), data }
}

/// ONNX `LRN`.
pub(crate) fn to_onnx(attrs: &Lrn) -> Form {
    let &Lrn { size, alpha, beta, k } = attrs;
    Form::new(vec![int("size", size.into()), float("alpha", alpha), float("beta", beta), float("bias", k)])
}

/// ONNX `LRN`; its defaults are those of the standard.
pub(crate) fn from_onnx(node: &mut NodeReader) -> Option<Lowered> {
    node.inputs_at_most(1);
    let mut steps = Steps::default();
    let x = steps.floats(node, 0);
    let (alpha, beta) = (node.float("alpha").unwrap_or(1e-4), node.float("beta").unwrap_or(0.75));
    let k = node.float("bias").unwrap_or(1.0);
    for (name, value) in [("alpha", alpha), ("beta", beta), ("bias", k)] {
        if !value.is_finite() {
            node.refuse(name, format!("{value} is not a number to compute with"), "export the model again");
        }
    }
    // 0 stands for an attribute that is missing; the range refuses it.
    let size = node.in_u16("size", 0);
    let (x, size) = (x?, size?);
    let rank = x.rank();
    let x = image(node, &mut steps, x)?;
    let y = steps.add(node, Op::Lrn(Lrn { size, alpha, beta, k }), &[&x], vec![])?;
    let y = unimage(node, &mut steps, y, rank)?;
    steps.finish(node, y)
}
