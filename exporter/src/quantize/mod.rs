//! From ranges to integers: scales and zero points, int8 weights, int32 biases, tables.
//!
//! A tensor on a grid is int8 on the device; one without is f32, which is all of them where nothing was calibrated and the model
//! is not quantized itself.

mod lrn;
mod sums;
mod tables;

use crate::calibrate::Range;
use crate::lower::problem;
use crate::network::{Kind, Network, Parameters, Quant, keeps_grid, unmoved};
use staticnet::op::{Convert, Function, Op};
use staticnet::quant::round_half_even;
use staticnet_graph::diagnostic::Diagnostic;

impl Quant {
    /// The asymmetric int8 grid that covers `range` and has an exact 0: onnxruntime's u8 scheme, shifted by 128.
    pub fn covering(range: Range) -> Quant {
        let (lo, hi) = (range.lo.min(0.0), range.hi.max(0.0));
        let scale = (hi - lo) / 255.0;
        // A tensor that was always 0 still needs a scale; a tiny one would make the multipliers of the layer before infinite.
        let scale = if scale >= f32::MIN_POSITIVE { scale } else { 1.0 };
        let zero_point = (round_half_even(-lo / scale) - 128).clamp(-128, 127) as i8;
        Quant { scale, zero_point }
    }
}

/// What quantization makes of a layer.
#[derive(Clone, Debug, PartialEq)]
pub enum QuantLayer {
    /// The layer works on f32, or only converts.
    Float,
    /// Convolution or fully connected.
    Weights {
        /// Rows as in [`Parameters::Sum`], symmetric per output channel, in [-127, 127] unless the model holds them itself.
        weights: Vec<i8>,
        /// Bias at input scale x weight scale, with `- zero_point_x * sum(weights)` folded in.
        bias: Vec<i32>,
        /// Input scale x weight scale / output scale.
        multiplier: Vec<f32>,
        /// Weight scales.
        scale: Vec<f32>,
    },
    /// LRN.
    Factors {
        /// Factors at multiples of `2^shift`.
        table: Vec<i32>,
        /// Log2 of the distance between entries.
        shift: u8,
        /// See [`staticnet::kernels::lrn::LrnQuant::multiplier`].
        multiplier: f32,
    },
    /// A function, or a change of grid: the output of each input byte.
    Table(Vec<i8>),
    /// Softmax: `exp((i - 255) * scale)`.
    Exponentials(Vec<f32>),
    /// PRelu: one multiplier a channel for the negative side, one for the positive.
    Slopes {
        /// Negative side.
        negative: Vec<f32>,
        /// Positive side.
        positive: f32,
    },
    /// Multipliers of the inputs.
    Multipliers(f32, f32),
    /// A constant's elements.
    Elements(Vec<i8>),
    /// int8 without numbers of its own.
    Plain,
}

/// A quantized network: a grid for each int8 tensor, one [`QuantLayer`] a layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantized {
    /// By tensor; none for f32 and indices.
    pub tensors: Vec<Option<Quant>>,
    /// By layer.
    pub layers: Vec<QuantLayer>,
}

/// Quantizes a network in place of its real numbers. `ranges` are those of its tensors where it was calibrated; without them only
/// what the model itself quantizes is int8.
///
/// # Errors
/// Layers that int8 cannot express.
pub fn quantize(network: &mut Network, ranges: Option<&[Range]>) -> Result<Quantized, Vec<Diagnostic>> {
    let mut problems = Vec::new();
    let tensors = match ranges {
        Some(ranges) => {
            settle_conversions(network, &mut problems);
            grids(network, ranges)
        }
        None => network.tensors.iter().map(|t| t.kind.grid()).collect(),
    };
    for layer in &mut network.layers {
        let grids = (layer.inputs.first().and_then(|&t| tensors[t]), tensors[layer.output]);
        match &mut layer.op {
            // A value outside is on the grid like everything else.
            Op::Pad(pad) => pad.value_i8 = grids.0.map_or(0, |q| staticnet::quant::quantize(pad.value, q.scale, q.zero_point)),
            Op::Place(place) => place.table = grids.0 != grids.1,
            _ => {}
        }
    }
    let mut layers = Vec::with_capacity(network.layers.len());
    for i in 0..network.layers.len() {
        match layer(network, i, &tensors) {
            Ok(quantized) => layers.push(quantized),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(Quantized { tensors, layers }) } else { Err(problems) }
}

/// With every tensor on a grid there is nothing to convert: from codes it is the same grid, to codes a change of grid.
fn settle_conversions(network: &mut Network, problems: &mut Vec<Diagnostic>) {
    for i in 0..network.layers.len() {
        let Op::Convert(Convert { per_channel }) = network.layers[i].op else { continue };
        let (x, y) = (network.layers[i].inputs[0], network.layers[i].output);
        if per_channel {
            let reason = "activations quantized along an axis do not go with calibration".to_string();
            problems.push(problem(&network.layers[i].name, "Convert", "axis", reason, "compile without --calibrate"));
            continue;
        }
        let t = &network.tensors[x];
        network.layers[i].op = match (t.kind, network.tensors[y].kind) {
            (Kind::Codes(_), Kind::Real) => Op::Rearrange(unmoved(t.size())),
            _ => Op::Unary(Function::Identity),
        };
    }
}

fn grids(network: &Network, ranges: &[Range]) -> Vec<Option<Quant>> {
    let of = |(t, &range): (&crate::network::Tensor, &Range)| match t.kind {
        Kind::Codes(quant) => Some(quant),
        Kind::Real => Some(Quant::covering(range)),
        Kind::Index => None,
    };
    let mut tensors: Vec<Option<Quant>> = network.tensors.iter().zip(ranges).map(of).collect();
    for layer in &network.layers {
        if keeps_grid(&layer.op) && network.tensors[layer.output].kind == Kind::Real {
            tensors[layer.output] = tensors[layer.inputs[0]];
        }
    }
    tensors
}

fn layer(network: &Network, i: usize, tensors: &[Option<Quant>]) -> Result<QuantLayer, Diagnostic> {
    let layer = &network.layers[i];
    let x = layer.inputs.first().and_then(|&t| tensors[t]);
    let y = tensors[layer.output];
    let (x, y) = match (x, y, &layer.op) {
        (Some(x), Some(y), _) => (x, y),
        (None, Some(y), Op::Constant) => (y, y),
        // Indices have no grid.
        (Some(_), None, Op::ArgMax { .. }) => return Ok(QuantLayer::Plain),
        _ => return Ok(QuantLayer::Float),
    };
    let ratio = x.scale / y.scale;
    Ok(match (&layer.op, &layer.parameters) {
        (Op::Conv2d(_) | Op::Linear, Parameters::Sum { weights, bias, codes }) => match codes {
            Some(codes) => sums::from_codes(codes, bias, x, y),
            None => sums::quantized(weights, bias, x, y),
        },
        (Op::Lrn(attrs), _) => lrn::factors(attrs, network.tensors[layer.output].channels, x, y)
            .map_err(|reason| problem(&layer.name, "LRN", "alpha", reason, "compile with --float, or replace the LRN"))?,
        (Op::Unary(function), _) => QuantLayer::Table(tables::of(function, x, y)),
        (Op::Place(place), _) if place.table => QuantLayer::Table(tables::of(&Function::Identity, x, y)),
        (Op::PRelu, Parameters::Slopes(slopes)) => {
            QuantLayer::Slopes { negative: slopes.iter().map(|s| s * x.scale / y.scale).collect(), positive: ratio }
        }
        (Op::AveragePool(_), _) => QuantLayer::Multipliers(ratio, 0.0),
        (Op::Binary(op), _) => {
            let second = layer.inputs.get(1).and_then(|&t| tensors[t]).unwrap_or(x);
            match op {
                staticnet::op::BinaryOp::Mul => QuantLayer::Multipliers(x.scale * second.scale / y.scale, 0.0),
                staticnet::op::BinaryOp::Add | staticnet::op::BinaryOp::Sub => {
                    QuantLayer::Multipliers(ratio, second.scale / y.scale)
                }
            }
        }
        (Op::Softmax, _) => QuantLayer::Exponentials(tables::exponentials(x.scale)),
        (Op::Constant, Parameters::Elements(elements)) => {
            let code = |v: &f32| match network.tensors[layer.output].kind {
                // The model's own integers.
                Kind::Codes(_) => *v as i8,
                Kind::Real | Kind::Index => staticnet::quant::quantize(*v, y.scale, y.zero_point),
            };
            QuantLayer::Elements(elements.iter().map(code).collect())
        }
        (Op::MaxPool(_) | Op::Relu | Op::Rearrange(_) | Op::Pad(_) | Op::Resize | Op::Place(_), _) => QuantLayer::Plain,
        (Op::ArgMax { .. } | Op::Convert(_), _) => QuantLayer::Plain,
        (Op::Conv2d(_) | Op::Linear | Op::PRelu | Op::Constant, _) => QuantLayer::Plain,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grids_cover_their_range_and_have_an_exact_zero() {
        for (lo, hi, zero_point) in [(0.0, 6.0, -128), (-1.0, 3.0, -64), (-3.0, 0.0, 127), (2.0, 5.1, -128), (0.0, 0.0, -128)] {
            let quant = Quant::covering(Range { lo, hi });
            assert_eq!(quant.zero_point, zero_point, "{lo} to {hi}");
            let top = staticnet::quant::dequantize(127, quant.scale, quant.zero_point);
            assert!(top >= hi.max(0.0) - quant.scale, "{lo} to {hi}: {top}");
        }
    }

    #[test]
    fn a_tensor_that_is_always_zero_has_a_usable_grid() {
        let dead = Quant::covering(Range { lo: 0.0, hi: 0.0 });
        assert_eq!(dead, Quant { scale: 1.0, zero_point: -128 });
        let lrn = staticnet::op::Lrn { size: 5, alpha: 1e-4, beta: 0.75, k: 2.0 };
        assert!(lrn::factors(&lrn, 8, Quant { scale: 0.05, zero_point: 127 }, dead).is_ok());
    }
}
