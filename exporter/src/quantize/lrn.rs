//! The int8 LRN's factor table: exact to a tenth of a unit at every reachable sum.

use super::Numbers;
use crate::network::Quant;
use crate::payload::Payload;
use staticnet::kernels::lrn::{FACTOR_BITS, interpolate, max_sum, table_len};
use staticnet::op::Lrn;

/// Largest error of the factor table, in units of the output.
const FACTOR_ERROR: f64 = 0.1;

/// The smallest factor table whose error stays below [`FACTOR_ERROR`] at every reachable sum.
pub(super) fn factors(attrs: &Lrn, channels: u32, x: Quant, y: Quant) -> Result<Numbers, String> {
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
            return Ok(Numbers { table_shift: shift as u8, multiplier, ..Payload::Factors(table).into() });
        }
    }
    Err("no factor table of at most 16,384 entries is exact enough".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lrn_tables_are_within_a_tenth_of_a_unit() {
        let attrs = Lrn { size: 5, alpha: 1e-4, beta: 0.75, k: 2.0 };
        let (x, y) = (Quant { scale: 0.05, zero_point: -128 }, Quant { scale: 0.03, zero_point: -128 });
        let Numbers { payload, table_shift: shift, multiplier, .. } = factors(&attrs, 64, x, y).unwrap();
        let Payload::Factors(table) = payload else { panic!("no table") };
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
