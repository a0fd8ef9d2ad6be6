//! Whether an artifact's layers are the model's: the same operators between the same tensors, and every parameter within the
//! rounding of its own grid.
//!
//! The comparison with tract runs each layer with the weights that the artifact carries: it proves the kernels, whatever the
//! weights. The floor on the whole network's signal-to-noise ratio sees wrong weights only where there are many. Here every single
//! one is held against the model's.

use super::rebuild;
use crate::network::Network;
use staticnet::Artifact;
use staticnet::op::Op;
use staticnet::record::{DType, Layer, TensorInfo};

/// Deviations below this are none: scales so small are not precise themselves.
const NEGLIGIBLE: f64 = 1e-35;
/// Part of a bias that is lost when its scale is computed back from the multiplier.
const BIAS_PRECISION: f64 = 1e-6;

/// Largest deviation of a parameter of the artifact's layer `i` from that of the network's, in units of its own grid (f32: 0 or
/// infinite). Infinite where it is another layer.
pub(super) fn deviation(network: &Network, artifact: &Artifact, payload: &[u8], i: usize) -> f64 {
    compare(network, artifact, payload, i).unwrap_or(f64::INFINITY)
}

fn compare(network: &Network, artifact: &Artifact, payload: &[u8], i: usize) -> Option<f64> {
    let (want, layer) = (network.layers.get(i)?, artifact.layer(i)?);
    let (x, y) = (artifact.tensor(layer.input as usize)?, artifact.tensor(layer.output as usize)?);
    let shape = |index: usize| network.tensors.get(index).map(|t| [t.height, t.width, t.channels]);
    let same_shape = |index: usize, info: &TensorInfo| shape(index) == Some([info.height, info.width, info.channels]);
    let same = want.op == layer.op
        && (want.input, want.output) == (layer.input as usize, layer.output as usize)
        && same_shape(want.input, &x)
        && same_shape(want.output, &y)
        && clamps(&layer, &y) == clamp_of(&want.op, want.relu, &y);
    if !same {
        return None;
    }
    let got = rebuild::parameters(artifact, payload, i, &layer, (&x, &y))?;
    if (got.weights.len(), got.biases.len()) != (want.weights.len(), want.bias.len()) {
        return None;
    }
    let row = (got.weights.len() / got.biases.len().max(1)).max(1);
    let mut worst = 0f64;
    for (c, unit) in got.units.iter().enumerate() {
        for (&want, &got) in want.weights[c * row..(c + 1) * row].iter().zip(&got.weights[c * row..]) {
            worst = worst.max(in_units(want as f64 - got as f64, unit.weight));
        }
        let bias = want.bias[c] as f64;
        let error = (bias - got.biases[c] as f64).abs();
        let lost = if unit.bias > 0.0 { BIAS_PRECISION * bias.abs() } else { 0.0 };
        worst = worst.max(in_units((error - lost).max(0.0), unit.bias));
    }
    Some(worst)
}

fn in_units(deviation: f64, unit: f64) -> f64 {
    // Written so that a NaN is infinite.
    if deviation.abs() <= NEGLIGIBLE {
        0.0
    } else if unit > 0.0 && deviation.is_finite() {
        deviation.abs() / unit
    } else {
        f64::INFINITY
    }
}

/// The range of a layer's outputs as the record has it, in the layer's own type.
fn clamps(layer: &Layer, y: &TensorInfo) -> [f32; 2] {
    match y.dtype {
        DType::I8 => layer.range_i8.map(f32::from),
        DType::F32 => layer.range_f32,
    }
}

/// The range that a layer must have.
fn clamp_of(op: &Op, relu: bool, y: &TensorInfo) -> [f32; 2] {
    let fused = match op {
        Op::Conv2d(_) | Op::Linear => relu,
        Op::MaxPool(_) | Op::Lrn(_) | Op::Relu => false,
    };
    match (y.dtype, fused) {
        (DType::I8, true) => [y.zero_point.into(), 127.0],
        (DType::I8, false) => [-128.0, 127.0],
        (DType::F32, true) => [0.0, f32::INFINITY],
        (DType::F32, false) => [f32::NEG_INFINITY, f32::INFINITY],
    }
}
