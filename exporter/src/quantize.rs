//! From ranges to integers: scales, zero points, int8 weights, int32 biases, the LRN's factor table.

use crate::calibrate::Range;
use crate::lower::problem;
use crate::network::{Layer, Network};
use staticnet::kernels::lrn::{FACTOR_BITS, interpolate, max_sum, table_len};
use staticnet::op::{Lrn, Op};
use staticnet::quant::round_half_even;
use staticnet_graph::diagnostic::Diagnostic;

/// Scale and zero point of a tensor: real = scale * (q - zero_point).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quant {
    /// Real value of one unit.
    pub scale: f32,
    /// The int8 value that stands for 0.
    pub zero_point: i8,
}

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

/// A layer's integers.
#[derive(Clone, Debug, PartialEq)]
pub enum QuantLayer {
    /// Convolution or fully connected.
    Weights {
        /// Rows as in [`Layer::weights`], symmetric per output channel, in [-127, 127].
        weights: Vec<i8>,
        /// Bias at input scale x weight scale, with `- zero_point_x * sum(weights)` folded in.
        bias: Vec<i32>,
        /// Input scale x weight scale / output scale.
        multiplier: Vec<f32>,
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
    /// Nothing to quantize.
    None,
}

/// A quantized network: one [`Quant`] a tensor, one [`QuantLayer`] a layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantized {
    /// By tensor.
    pub tensors: Vec<Quant>,
    /// By layer.
    pub layers: Vec<QuantLayer>,
}

/// Quantizes a network whose tensors have the given ranges.
///
/// # Errors
/// Layers that int8 cannot express.
pub fn quantize(network: &Network, ranges: &[Range]) -> Result<Quantized, Vec<Diagnostic>> {
    let mut tensors: Vec<Quant> = ranges.iter().map(|&range| Quant::covering(range)).collect();
    // Operators that only choose or clip among their inputs keep the input's grid: nothing is rounded.
    for layer in &network.layers {
        match layer.op {
            Op::MaxPool(_) | Op::Relu => tensors[layer.output] = tensors[layer.input],
            Op::Conv2d(_) | Op::Linear | Op::Lrn(_) => {}
        }
    }
    let (mut layers, mut problems) = (Vec::new(), Vec::new());
    for layer in &network.layers {
        let (x, y) = (tensors[layer.input], tensors[layer.output]);
        match &layer.op {
            Op::Conv2d(_) | Op::Linear => layers.push(weights(layer, x, y)),
            Op::Lrn(attrs) => {
                match factors(attrs, network.tensors[layer.input].channels, x, y) {
                    Ok(quantized) => layers.push(quantized),
                    Err(reason) => {
                        let hint = "compile with --float, or replace the LRN";
                        problems.push(problem(&layer.name, "LRN", "alpha", reason, hint));
                    }
                };
            }
            Op::MaxPool(_) | Op::Relu => layers.push(QuantLayer::None),
        }
    }
    if problems.is_empty() { Ok(Quantized { tensors, layers }) } else { Err(problems) }
}

fn weights(layer: &Layer, x: Quant, y: Quant) -> QuantLayer {
    let row = layer.weights.len() / layer.bias.len();
    let mut weights = Vec::with_capacity(layer.weights.len());
    let (mut biases, mut multipliers) = (Vec::new(), Vec::new());
    for (channel, &bias) in layer.weights.chunks_exact(row).zip(&layer.bias) {
        let largest = channel.iter().fold(0f32, |m, w| m.max(w.abs()));
        // The bias must fit i32 as well: a channel of tiny weights takes a coarser scale.
        let for_bias = bias.abs() / x.scale / (1 << 30) as f32;
        let scale = (largest / 127.0).max(for_bias).max(f32::MIN_POSITIVE);
        let q: Vec<i8> = channel.iter().map(|w| round_half_even(w / scale).clamp(-127, 127) as i8).collect();
        let sum: i32 = q.iter().map(|&q| q as i32).fold(0, i32::wrapping_add);
        let product = x.scale * scale;
        let q_bias = (bias as f64 / product as f64).round_ties_even() as i32;
        biases.push(q_bias.wrapping_sub(sum.wrapping_mul(x.zero_point as i32)));
        multipliers.push(product / y.scale);
        weights.extend(q);
    }
    QuantLayer::Weights { weights, bias: biases, multiplier: multipliers }
}

/// Largest error of the factor table, in units of the output.
const FACTOR_ERROR: f64 = 0.1;

/// The smallest factor table whose error stays below [`FACTOR_ERROR`] at every reachable sum.
fn factors(attrs: &Lrn, channels: u32, x: Quant, y: Quant) -> Result<QuantLayer, String> {
    let square = x.scale as f64 * x.scale as f64;
    let step = attrs.alpha as f64 / attrs.size as f64 * square;
    let factor = |sum: u64| (attrs.k as f64 + step * sum as f64).powf(-(attrs.beta as f64));
    let (first, last) = (factor(0), max_sum(attrs.size, channels));
    let grows = factor(last) > first;
    if !first.is_finite() || !factor(last).is_finite() || first <= 0.0 || grows {
        return Err(format!("k {}, alpha {} and beta {} do not give a falling factor", attrs.k, attrs.alpha, attrs.beta));
    }
    let unit = (1u64 << FACTOR_BITS) as f64;
    let multiplier = (x.scale as f64 * first / (unit * y.scale as f64)) as f32;
    for shift in (0..=16u32).rev() {
        let entries = table_len(attrs.size, channels, shift);
        if entries > 1 << 14 {
            break;
        }
        let table: Vec<i32> = (0..entries).map(|i| (factor(i << shift) / first * unit).round() as i32).collect();
        let within = |sum: u64| {
            // |d| of an output is at most the root of its own window's sum.
            let largest = (sum as f64).sqrt().min(255.0) * x.scale as f64 / y.scale as f64;
            let got = interpolate(&table, shift, sum as u32) as f64 / unit * first;
            (got - factor(sum)).abs() * largest <= FACTOR_ERROR
        };
        // The product inside the interpolation is 32 bits wide.
        let fits = table.windows(2).all(|t| (t[1] as i64 - t[0] as i64).abs() << shift < 1 << 30);
        if fits && (0..=last).all(within) {
            return Ok(QuantLayer::Factors { table, shift: shift as u8, multiplier });
        }
    }
    Err("no factor table of at most 16,384 entries is exact enough".into())
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
        let lrn = Lrn { size: 5, alpha: 1e-4, beta: 0.75, k: 2.0 };
        assert!(factors(&lrn, 8, Quant { scale: 0.05, zero_point: 127 }, dead).is_ok());
    }

    #[test]
    fn lrn_tables_are_within_a_tenth_of_a_unit() {
        let attrs = Lrn { size: 5, alpha: 1e-4, beta: 0.75, k: 2.0 };
        let (x, y) = (Quant { scale: 0.05, zero_point: -128 }, Quant { scale: 0.03, zero_point: -128 });
        let Ok(QuantLayer::Factors { table, shift, multiplier }) = factors(&attrs, 64, x, y) else { panic!("no table") };
        for sum in (0..=max_sum(5, 64)).step_by(97) {
            for d in [-255i32, -3, 1, 100, 255] {
                if (d * d) as u64 > sum {
                    continue;
                }
                let real = (2.0 + 1e-4 / 5.0 * 0.05f64 * 0.05 * sum as f64).powf(-0.75) * d as f64 * 0.05 / 0.03;
                let product = d * interpolate(&table, shift as u32, sum as u32);
                assert!((product as f32 * multiplier) as f64 - real < 0.11, "sum {sum} d {d}");
            }
        }
    }

    #[test]
    fn an_lrn_that_grows_is_refused() {
        let attrs = Lrn { size: 5, alpha: 1e-4, beta: -0.75, k: 2.0 };
        let quant = Quant { scale: 0.05, zero_point: 0 };
        assert!(factors(&attrs, 64, quant, quant).is_err());
    }
}
