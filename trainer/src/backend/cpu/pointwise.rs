//! Element-wise kernels.

use crate::rng::KeyedRng;

vectorised!(Mask((&'a [f32], &'a mut [f32])) = mask);
vectorised!(Add((&'a [f32], &'a mut [f32])) = add);
vectorised!(Relu((&'a [f32], &'a mut [f32])) = relu);
vectorised!(ReluBackward((&'a [f32], &'a [f32], &'a mut [f32])) = relu_backward);

/// What outputs are raised to: 0 where a ReLU is fused.
pub(super) fn floor(relu: bool) -> f32 {
    if relu { 0.0 } else { f32::NEG_INFINITY }
}

/// `v`, at least `floor`. A comparison, not `max`, so that a NaN stays visible.
#[inline(always)]
pub(super) fn at_least(floor: f32, v: f32) -> f32 {
    if v < floor { floor } else { v }
}

/// Takes the gradient away where the fused ReLU gave 0.
#[inline(always)]
fn mask((y, gy): (&[f32], &mut [f32])) {
    for (g, y) in gy.iter_mut().zip(y) {
        *g = if *y > 0.0 { *g } else { 0.0 };
    }
}

/// `to += from`.
#[inline(always)]
fn add((from, to): (&[f32], &mut [f32])) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += from;
    }
}

#[inline(always)]
fn relu((x, y): (&[f32], &mut [f32])) {
    for (y, x) in y.iter_mut().zip(x) {
        *y = at_least(0.0, *x);
    }
}

#[inline(always)]
fn relu_backward((y, gy, gx): (&[f32], &[f32], &mut [f32])) {
    for ((gx, gy), y) in gx.iter_mut().zip(gy).zip(y) {
        *gx += if *y > 0.0 { *gy } else { 0.0 };
    }
}

pub(super) fn dropout(mut mask: KeyedRng, ratio: f32, x: &[f32], y: &mut [f32]) {
    let scale = 1.0 / (1.0 - ratio);
    for (y, x) in y.iter_mut().zip(x) {
        *y = if mask.uniform() < ratio { 0.0 } else { x * scale };
    }
}

pub(super) fn dropout_backward(mut mask: KeyedRng, ratio: f32, gy: &[f32], gx: &mut [f32]) {
    let scale = 1.0 / (1.0 - ratio);
    for (gx, gy) in gx.iter_mut().zip(gy) {
        *gx += if mask.uniform() < ratio { 0.0 } else { gy * scale };
    }
}
