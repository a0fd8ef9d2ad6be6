//! Element-wise kernels, and the loss.

use crate::rng::KeyedRng;

pub(super) fn relu(x: &[f32], y: &mut [f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y = if *x < 0.0 { 0.0 } else { *x };
    }
}

pub(super) fn relu_backward(y: &[f32], gy: &[f32], gx: &mut [f32]) {
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

