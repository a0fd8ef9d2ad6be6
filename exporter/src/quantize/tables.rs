//! Tables of 256 entries: dequantize, compute, quantize.

use crate::network::Quant;
use staticnet::op::Function;
use staticnet::quant::{dequantize, quantize};

/// The output of each input byte, by the byte read as u8.
pub(super) fn of(function: &Function, x: Quant, y: Quant) -> Vec<i8> {
    let entry = |byte: u8| {
        let v = apply(function, dequantize(byte as i8, x.scale, x.zero_point));
        quantize(v, y.scale, y.zero_point)
    };
    (0..=u8::MAX).map(entry).collect()
}

fn apply(function: &Function, x: f32) -> f32 {
    match *function {
        Function::Identity => x,
        Function::LeakyRelu { alpha } => {
            if x < 0.0 {
                alpha * x
            } else {
                x
            }
        }
        Function::Clip { lo, hi } => x.max(lo).min(hi),
        Function::HardSigmoid { alpha, beta } => (alpha * x + beta).clamp(0.0, 1.0),
        Function::HardSwish => x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
        // In double precision: the table is made once, on the host.
        Function::Sigmoid => (1.0 / (1.0 + (-x as f64).exp())) as f32,
        Function::Tanh => (x as f64).tanh() as f32,
    }
}

/// `exp((i - 255) * scale)`.
pub(super) fn exponentials(scale: f32) -> Vec<f32> {
    (0..256).map(|i| ((i - 255) as f64 * scale as f64).exp() as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_between_equal_grids_changes_nothing() {
        let quant = Quant { scale: 0.037, zero_point: -9 };
        let table = of(&Function::Identity, quant, quant);
        assert!((0..=255u8).all(|byte| table[byte as usize] == byte as i8));
    }

    #[test]
    fn sigmoid_of_zero_is_a_half() {
        let (x, y) = (Quant { scale: 0.1, zero_point: 3 }, Quant { scale: 1.0 / 256.0, zero_point: -128 });
        assert_eq!(of(&Function::Sigmoid, x, y)[3], 0);
    }
}
