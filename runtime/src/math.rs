//! Float functions that `core` lacks: exact through `libm`, or fast through `micromath` behind the feature of that name.
//!
//! With `micromath` the f32 LRN, softmax, sigmoid and tanh differ from the exact ones. Over the bases (1 to 1000) and exponents
//! (-0.75, -0.5, -1) that LRN uses, the relative error of the power stays below 0.3 %, as does that of the exponential between -20
//! and 20; the absolute error of tanh stays below 0.002 (measured by this module's tests, which print the figures). Where
//! `micromath` would overflow, the exact function is taken. No equivalence with the other stages is claimed for it. int8 networks use
//! none of these.

/// `x` to the power of `y`.
#[cfg(not(feature = "micromath"))]
pub(crate) fn powf(x: f32, y: f32) -> f32 {
    libm::powf(x, y)
}

/// `x` to the power of `y`, approximately.
#[cfg(feature = "micromath")]
pub(crate) fn powf(x: f32, y: f32) -> f32 {
    if x > 1e-6 && x < 1e6 && y.abs() < 4.0 { micromath::F32(x).powf(micromath::F32(y)).0 } else { libm::powf(x, y) }
}

/// e to the power of `x`.
#[cfg(not(feature = "micromath"))]
pub(crate) fn exp(x: f32) -> f32 {
    libm::expf(x)
}

/// e to the power of `x`, approximately.
#[cfg(feature = "micromath")]
pub(crate) fn exp(x: f32) -> f32 {
    if x.abs() < 80.0 { micromath::F32(x).exp().0 } else { libm::expf(x) }
}

/// Hyperbolic tangent.
#[cfg(not(feature = "micromath"))]
pub(crate) fn tanh(x: f32) -> f32 {
    libm::tanhf(x)
}

/// Hyperbolic tangent, approximately.
#[cfg(feature = "micromath")]
pub(crate) fn tanh(x: f32) -> f32 {
    // Beyond 9 the nearest f32 is 1.
    1.0 - 2.0 / (exp(2.0 * crate::quant::clamp_f32(x, -9.0, 9.0)) + 1.0)
}

#[cfg(all(test, feature = "micromath"))]
mod tests {
    #[test]
    fn the_error_of_micromath_is_as_stated() {
        let mut worst = 0f32;
        for exponent in [-0.75, -0.5, -1.0f32] {
            let mut base = 1.0f32;
            while base < 1000.0 {
                let exact = libm::powf(base, exponent);
                worst = worst.max((super::powf(base, exponent) - exact).abs() / exact);
                base *= 1.001;
            }
        }
        std::println!("largest relative error of micromath's powf: {worst}");
        assert!(worst < 0.003, "{worst}");
    }
    #[test]
    fn the_error_of_the_exponential_is_as_stated() {
        let (mut of_exp, mut of_tanh) = (0f32, 0f32);
        for i in -20_000..=20_000 {
            let x = i as f32 * 1e-3;
            let exact = libm::expf(x);
            of_exp = of_exp.max((super::exp(x) - exact).abs() / exact);
            of_tanh = of_tanh.max((super::tanh(x) - libm::tanhf(x)).abs());
        }
        std::println!("largest relative error of micromath's exp: {of_exp}; absolute of tanh: {of_tanh}");
        assert!(of_exp < 0.003 && of_tanh < 0.002, "{of_exp} {of_tanh}");
    }

    #[test]
    fn nothing_is_too_large() {
        let values = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, 1e4, 80.0, -79.9, 1e-40, -0.0];
        for x in values {
            let (exp, tanh) = (super::exp(x), super::tanh(x));
            assert!(x.is_nan() || (exp >= 0.0 && (-1.0..=1.0).contains(&tanh)), "{x}: {exp} {tanh}");
            values.iter().for_each(|&y| _ = super::powf(x, y));
        }
    }
}
