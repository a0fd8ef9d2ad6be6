//! Quantization: real = scale * (q - zero_point). The only place where results are rounded.

/// 1.5 * 2^23: adding and subtracting it rounds a binary32 of magnitude below 2^22 to an integer, ties to even, in the default
/// rounding mode, with or without an FPU.
const ROUND: f32 = 12_582_912.0;

/// Values are clamped to this before rounding: far outside i8, far inside the range where `ROUND` works.
const LIMIT: f32 = 65_536.0;

/// Rounds to nearest, ties to even, after clamping to +-65,536. A NaN becomes -65,536.
pub fn round_half_even(v: f32) -> i32 {
    let v = if v >= LIMIT {
        LIMIT
    } else if v > -LIMIT {
        v
    } else {
        -LIMIT
    };
    ((v + ROUND) - ROUND) as i32
}

/// `clamp(round_half_even(f32(acc) * multiplier) + zero_point, lo, hi)`: what onnxruntime's QLinearConv computes, with
/// `multiplier = f32(f32(s_x * s_w) / s_y)`. Total: a non-finite multiplier has a defined result.
pub fn requantize(acc: i32, multiplier: f32, zero_point: i8, lo: i8, hi: i8) -> i8 {
    round_onto(acc as f32 * multiplier, zero_point, lo, hi)
}

/// `clamp(round_half_even(v) + zero_point, lo, hi)`: the end of [`requantize`], for sums that are made in units of the output.
pub fn round_onto(v: f32, zero_point: i8, lo: i8, hi: i8) -> i8 {
    let q = round_half_even(v) + zero_point as i32;
    // `clamp` panics where lo > hi, which only a damaged artifact has; max-then-min is total.
    q.max(lo as i32).min(hi as i32) as i8
}

/// ONNX QuantizeLinear: divides by the scale (it does not multiply by the reciprocal), rounds half to even, saturates.
pub fn quantize(value: f32, scale: f32, zero_point: impl Into<i32>) -> i8 {
    round_half_even(value / scale).saturating_add(zero_point.into()).clamp(-128, 127) as i8
}

/// ONNX DequantizeLinear.
pub fn dequantize(q: i8, scale: f32, zero_point: impl Into<i32>) -> f32 {
    (q as i32).wrapping_sub(zero_point.into()) as f32 * scale
}

/// `min(max(v, lo), hi)` with the same bytes on every target (`f32::max` may give either zero of 0 and -0). A NaN passes.
pub fn clamp_f32(v: f32, lo: f32, hi: f32) -> f32 {
    let v = if v < lo { lo } else { v };
    if v > hi { hi } else { v }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_agrees_with_the_standard_library_on_ties_and_around_them() {
        let mut v = -70_000.0f32;
        while v < 70_000.0 {
            let want = v.clamp(-65_536.0, 65_536.0).round_ties_even() as i32;
            assert_eq!(round_half_even(v), want, "{v}");
            v += 0.25;
        }
        for (v, want) in [(0.5, 0), (1.5, 2), (2.5, 2), (-0.5, 0), (-1.5, -2), (0.49999997, 0), (126.5, 126), (127.5, 128)] {
            assert_eq!(round_half_even(v), want, "{v}");
        }
    }

    #[test]
    fn zero_points_of_any_size_are_total() {
        assert_eq!(quantize(f32::MAX, 1e-30, i32::MAX), 127);
        assert_eq!(quantize(f32::NAN, 1.0, i32::MIN), -128);
        assert_eq!(quantize(1.25, 0.5, -3i8), -1);
        assert_eq!(dequantize(-128, 1.0, i32::MAX), 2_147_483_521.0);
        assert_eq!(dequantize(5, 0.5, -3i8), 4.0);
    }

    #[test]
    fn clamping_floats_keeps_zeros_and_not_a_number() {
        assert!(clamp_f32(-0.0, 0.0, 6.0).is_sign_negative());
        assert_eq!([-1.0, 7.0, 3.0].map(|v| clamp_f32(v, 0.0, 6.0)), [0.0, 6.0, 3.0]);
        assert!(clamp_f32(f32::NAN, 0.0, 6.0).is_nan());
        assert_eq!(clamp_f32(3.0, f32::NAN, f32::NAN), 3.0);
        assert_eq!(clamp_f32(3.0, 5.0, -5.0), -5.0);
    }

    #[test]
    fn requantize_is_total() {
        for m in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, f32::MAX, f32::MIN_POSITIVE] {
            for acc in [i32::MIN, -1, 0, 1, i32::MAX] {
                for zp in [-128, 0, 127] {
                    let q = requantize(acc, m, zp, -100, 100);
                    assert!((-100..=100).contains(&q));
                }
            }
        }
        assert_eq!(requantize(i32::MAX, 1.0, 0, -128, 127), 127);
        assert_eq!(requantize(5, f32::NAN, 0, -128, 127), -128);
        assert_eq!(requantize(3, 0.5, 0, -128, 127), 2);
        assert_eq!(requantize(5, 0.5, 0, -128, 127), 2);
        assert_eq!(requantize(0, 1.0, 0, 5, -5), -5);
    }
}
