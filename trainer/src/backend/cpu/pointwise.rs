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

pub(super) fn softmax_cross_entropy(classes: usize, logits: &[f32], labels: &[u32], gradient: &mut [f32]) -> f32 {
    let batch = labels.len();
    assert_eq!((logits.len(), gradient.len()), (batch * classes, batch * classes));
    let mut loss = 0.0_f64;
    for ((row, gradient), &label) in logits.chunks_exact(classes).zip(gradient.chunks_exact_mut(classes)).zip(labels) {
        let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = row.iter().map(|&v| ((v - top) as f64).exp()).sum();
        loss += sum.ln() - (row[label as usize] - top) as f64;
        for (c, (g, &v)) in gradient.iter_mut().zip(row).enumerate() {
            let probability = ((v - top) as f64).exp() / sum;
            let target = if c == label as usize { 1.0 } else { 0.0 };
            *g = ((probability - target) / batch as f64) as f32;
        }
    }
    (loss / batch as f64) as f32
}
