//! From ranges to integers: scales and zero points, int8 weights, int32 biases, tables.
//!
//! A tensor on a grid is int8 on the device; one without is f32, which is all of them where nothing was calibrated and the model
//! is not quantized itself.

mod lrn;
mod sums;
mod tables;

use crate::lower::problem;
use crate::network::{Kind, Layer, Network, Parameters, Quant, Range, Tensor, unmoved};
use crate::payload::Payload;
use crate::quantized::{QuantLayer, QuantTensor, Quantized};
use staticnet::op::{BinaryOp, Convert, Function, Op};
use staticnet::quant::round_half_even;
use staticnet::record::{self, DType, NONE16, TensorInfo};
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

/// Quantizes a network. `ranges` are those of its tensors where it was calibrated; without them only what the model itself quantizes
/// is int8. Parameters are moved, layer by layer: the real numbers of one are gone before the next are looked at.
///
/// # Errors
/// Layers that int8 cannot express.
pub fn quantize(mut network: Network, ranges: Option<&[Range]>) -> Result<Quantized, Vec<Diagnostic>> {
    let mut problems = Vec::new();
    let grids = match ranges {
        Some(ranges) => {
            settle_conversions(&mut network, &mut problems);
            grids(&network, ranges)
        }
        None => network.tensors.iter().map(|t| t.kind.grid()).collect(),
    };
    let mut layers = Vec::with_capacity(network.layers.len());
    for mut layer in std::mem::take(&mut network.layers) {
        layer.settle(layer.inputs.first().and_then(|&t| grids[t]), grids[layer.output]);
        match numbers(&mut layer, &network.tensors, &grids) {
            Ok(numbers) => layers.push(quantized_layer(layer, numbers, &grids)),
            Err(problem) => problems.push(problem),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let Network { name, tensors, layers: _, inputs, outputs, preprocess, labels } = network;
    let tensors = tensors.into_iter().zip(grids).map(|(tensor, grid)| quantized_tensor(tensor, grid)).collect();
    Ok(Quantized { name, tensors, layers, inputs, outputs, preprocess, labels })
}

/// A tensor's record.
fn quantized_tensor(tensor: Tensor, grid: Option<Quant>) -> QuantTensor {
    let mut dims = [0; 4];
    dims.iter_mut().zip(&tensor.dims).for_each(|(to, from)| *to = *from);
    let info = TensorInfo {
        dtype: match (grid, tensor.kind) {
            (Some(_), _) => DType::I8,
            (None, Kind::Index) => DType::I32,
            (None, Kind::Real | Kind::Codes(_)) => DType::F32,
        },
        rank: tensor.dims.len().min(4) as u8,
        channels_last: tensor.channels_last,
        host: tensor.host,
        dims,
        zero_point: grid.map_or(0, |q| q.zero_point),
        height: tensor.height,
        width: tensor.width,
        channels: tensor.channels,
        scale: grid.map_or(1.0, |q| q.scale),
    };
    QuantTensor { name: tensor.name, info }
}

/// A layer's record, with its payload.
fn quantized_layer(layer: Layer, numbers: Numbers, grids: &[Option<Quant>]) -> QuantLayer {
    let input = |i: usize| layer.inputs.get(i).map_or(NONE16, |&t| t as u16);
    let record = record::Layer {
        op: layer.op,
        input: input(0),
        input2: input(1),
        output: layer.output as u16,
        range_i8: grids[layer.output].map_or([i8::MIN, i8::MAX], |grid| grid.bounds(layer.clamp)),
        range_f32: layer.clamp,
        table_shift: numbers.table_shift,
        multiplier: numbers.multiplier,
        multiplier2: numbers.multiplier2,
    };
    QuantLayer { name: layer.name, record, payload: numbers.payload }
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
    let of = |(t, &range): (&Tensor, &Range)| match t.kind {
        Kind::Codes(quant) => Some(quant),
        Kind::Real => Some(Quant::covering(range)),
        Kind::Index => None,
    };
    let mut tensors: Vec<Option<Quant>> = network.tensors.iter().zip(ranges).map(of).collect();
    for layer in &network.layers {
        if layer.op.facts().keeps_grid && network.tensors[layer.output].kind == Kind::Real {
            tensors[layer.output] = tensors[layer.inputs[0]];
        }
    }
    tensors
}

/// What quantization makes of a layer's numbers.
#[derive(Debug)]
struct Numbers {
    payload: Payload,
    table_shift: u8,
    multiplier: f32,
    multiplier2: f32,
}

impl Numbers {
    /// Multipliers of the inputs, and nothing else.
    fn multipliers(multiplier: f32, multiplier2: f32) -> Self {
        Numbers { multiplier, multiplier2, ..Numbers::from(Payload::None) }
    }
}

impl From<Payload> for Numbers {
    fn from(payload: Payload) -> Self {
        Numbers { payload, table_shift: 0, multiplier: 0.0, multiplier2: 0.0 }
    }
}

/// Takes a layer's parameters and makes its numbers of them.
fn numbers(layer: &mut Layer, tensors: &[Tensor], grids: &[Option<Quant>]) -> Result<Numbers, Diagnostic> {
    let parameters = std::mem::take(&mut layer.parameters);
    let x = layer.inputs.first().and_then(|&t| grids[t]);
    let (x, y) = match (x, grids[layer.output], layer.inputs.is_empty()) {
        (Some(x), Some(y), _) => (x, y),
        // A constant has no input.
        (None, Some(y), true) => (y, y),
        // Real numbers, or from them and to them; indices have no grid.
        (Some(_), None, _) | (None, _, _) => return Ok(Payload::from(parameters).into()),
    };
    let ratio = x.scale / y.scale;
    Ok(match (&layer.op, parameters) {
        (Op::Conv2d(_) | Op::Linear, Parameters::Sum { weights, bias, codes }) => match codes {
            Some(codes) => sums::from_codes(&codes, &bias, x, y).into(),
            None => sums::quantized(&weights, &bias, x, y).into(),
        },
        (Op::Lrn(attrs), _) => lrn::factors(attrs, tensors[layer.output].channels, x, y)
            .map_err(|reason| problem(&layer.name, "LRN", "alpha", reason, "compile with --float, or replace the LRN"))?,
        (Op::Unary(function), _) => Payload::Table(tables::of(function, x, y)).into(),
        (Op::Place(place), _) if place.table => Payload::Table(tables::of(&Function::Identity, x, y)).into(),
        (Op::PRelu, Parameters::Slopes(slopes)) => {
            let negative = slopes.iter().map(|s| s * x.scale / y.scale).collect();
            Numbers { multiplier: ratio, ..Payload::SlopeCodes { negative, slopes }.into() }
        }
        (Op::AveragePool(_) | Op::LpPool(_), _) => Numbers::multipliers(ratio, 0.0),
        (Op::Binary(op), _) => {
            let second = layer.inputs.get(1).and_then(|&t| grids[t]).unwrap_or(x);
            match op {
                BinaryOp::Mul => Numbers::multipliers(x.scale * second.scale / y.scale, 0.0),
                BinaryOp::Add | BinaryOp::Sub => Numbers::multipliers(ratio, second.scale / y.scale),
                BinaryOp::Div => Numbers::multipliers(x.scale, second.scale),
            }
        }
        (Op::Softmax, _) => Payload::Exponentials(tables::exponentials(x.scale)).into(),
        (Op::Constant, Parameters::Elements(elements)) => {
            let code = |v: &f32| match tensors[layer.output].kind {
                // The model's own integers.
                Kind::Codes(_) => *v as i8,
                Kind::Real | Kind::Index => staticnet::quant::quantize(*v, y.scale, y.zero_point),
            };
            Payload::ElementCodes(elements.iter().map(code).collect()).into()
        }
        (Op::MaxPool(_) | Op::Relu | Op::Rearrange(_) | Op::Pad(_) | Op::Resize | Op::Place(_), parameters) => {
            Payload::from(parameters).into()
        }
        (Op::Conv2d(_) | Op::Linear | Op::PRelu | Op::Constant | Op::ArgMax { .. } | Op::Convert(_), parameters) => {
            Payload::from(parameters).into()
        }
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
