//! Whether an artifact's layers are the model's: the same operators between the same tensors, and every parameter within the
//! rounding of its own grid.
//!
//! The comparison with tract runs each layer with the weights that the artifact carries: it proves the kernels, whatever the
//! weights. The floor on the whole network's signal-to-noise ratio sees wrong weights only where there are many. Here every single
//! one is held against the model's.

use super::rebuild;
use crate::network::{Network, Parameters};
use crate::payload::Payload;
use staticnet::Artifact;
use staticnet::op::{Function, Op};
use staticnet::record::{DType, Layer, NONE16, TensorInfo};

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
    let y = artifact.tensor(layer.output as usize)?;
    let shape = |index: usize| network.tensors.get(index).map(|t| t.size());
    let same_shape = |index: usize| {
        artifact.tensor(index).is_some_and(|info| shape(index) == Some([info.height, info.width, info.channels]))
    };
    let inputs: Vec<usize> = [layer.input, layer.input2].into_iter().filter(|&t| t != NONE16).map(usize::from).collect();
    let same = same_op(&want.op, &layer.op)
        && (&want.inputs, want.output) == (&inputs, layer.output as usize)
        && inputs.iter().all(|&t| same_shape(t))
        && same_shape(want.output)
        && clamps(&layer, &y) == clamp_of(want.clamp, &y);
    if !same {
        return None;
    }
    let x = inputs.first().map_or(Some(y), |&t| artifact.tensor(t))?;
    let (weights, bias) = match &want.parameters {
        Parameters::Sum { weights, bias, .. } => (weights, bias),
        Parameters::Slopes(slopes) => (slopes, slopes),
        Parameters::Elements(elements) => {
            return Some(elements_deviation(elements, rebuild::chunk_of(artifact, payload, i)?, &y));
        }
        Parameters::None => return Some(0.0),
        Parameters::Taps(_) | Parameters::Grids { .. } => {
            let chunk = rebuild::chunk_of(artifact, payload, i)?;
            return (chunk == Payload::from(want.parameters.clone()).to_bytes()).then_some(0.0);
        }
    };
    let got = rebuild::parameters(artifact, payload, i, &layer, (&x, &y))?;
    if matches!(want.parameters, Parameters::Slopes(_)) {
        // Slopes are not rounded, only multiplied.
        let worst = weights.iter().zip(&got.weights).map(|(w, g)| (w - g).abs() / w.abs().max(f32::MIN_POSITIVE));
        return (got.weights.len() == weights.len() && worst.fold(0f32, f32::max) <= 1e-5).then_some(0.0);
    }
    if (got.weights.len(), got.biases.len()) != (weights.len(), bias.len()) {
        return None;
    }
    let row = (got.weights.len() / got.biases.len().max(1)).max(1);
    let mut worst = 0f64;
    for (c, unit) in got.units.iter().enumerate() {
        for (&want, &got) in weights[c * row..(c + 1) * row].iter().zip(&got.weights[c * row..]) {
            worst = worst.max(in_units(want as f64 - got as f64, unit.weight));
        }
        let bias = bias[c] as f64;
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
        DType::F32 | DType::I32 => layer.range_f32,
    }
}

/// The range that a layer must have.
fn clamp_of(clamp: [f32; 2], y: &TensorInfo) -> [f32; 2] {
    let code = |real: f32, otherwise: f32| match real.is_finite() {
        true => ((real / y.scale).round_ties_even() + y.zero_point as f32).clamp(-128.0, 127.0),
        false => otherwise,
    };
    match y.dtype {
        DType::I8 => [code(clamp[0], -128.0), code(clamp[1], 127.0)],
        DType::F32 | DType::I32 => clamp,
    }
}

/// The same operator with the same attributes. What quantization fills in (a pad's code, whether a concatenation goes through a
/// table) and what calibration makes of a conversion is left out.
fn same_op(want: &Op, got: &Op) -> bool {
    let mut want = *want;
    if let (Op::Pad(want), Op::Pad(got)) = (&mut want, got) {
        want.value_i8 = got.value_i8;
    }
    if let (Op::Place(want), Op::Place(got)) = (&mut want, got) {
        want.table = got.table;
    }
    if let (Op::Convert(_), Op::Unary(Function::Identity)) = (want, got) {
        return true;
    }
    if let (Op::Convert(_), Op::Rearrange(walk)) = (want, got) {
        return walk.moves_nothing();
    }
    want == *got
}

/// Largest deviation of a constant's element from the model's, in units of its grid.
fn elements_deviation(want: &[f32], chunk: &[u8], y: &TensorInfo) -> f64 {
    let words = |i: usize| f32::from_le_bytes([chunk[4 * i], chunk[4 * i + 1], chunk[4 * i + 2], chunk[4 * i + 3]]);
    let deviation = |(i, &want): (usize, &f32)| match y.dtype {
        DType::I8 => {
            let got = (chunk[i] as i8 as f64 - y.zero_point as f64) * y.scale as f64;
            // A constant that the model holds as codes is given as codes.
            let as_code = (want as f64 - chunk[i] as i8 as f64).abs();
            ((want as f64 - got).abs() / y.scale as f64).min(if want.fract() == 0.0 { as_code } else { f64::INFINITY })
        }
        DType::F32 | DType::I32 => in_units(want as f64 - words(i) as f64, 0.0),
    };
    let whole = chunk.len() as u64 == want.len() as u64 * y.dtype.bytes();
    if whole { want.iter().enumerate().map(deviation).fold(0.0, f64::max) } else { f64::INFINITY }
}
