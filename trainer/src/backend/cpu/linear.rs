//! Fully connected layer.

use super::super::raw::{Matrix, matmul};
use super::super::{LayerGrads, LinearShape, Saved};
use super::conv::mask;

pub(super) fn forward(shape: &LinearShape, threads: usize, x: &[f32], weight: &[f32], bias: &[f32], y: &mut [f32]) {
    let (n, i, o) = (shape.batch, shape.inputs, shape.outputs);
    assert_eq!((x.len(), y.len(), weight.len(), bias.len()), (n * i, n * o, o * i, o));
    matmul(y, false, Matrix::new(x, n, i, i), Matrix::new(weight, o, i, i).transposed(), threads);
    let floor = if shape.relu { 0.0 } else { f32::NEG_INFINITY };
    for row in y.chunks_exact_mut(o) {
        for (y, bias) in row.iter_mut().zip(bias) {
            let v = *y + bias;
            *y = if v < floor { floor } else { v };
        }
    }
}

pub(super) fn backward(shape: &LinearShape, threads: usize, saved: Saved<'_>, gy: &mut [f32], grads: LayerGrads<'_>) {
    let (n, i, o) = (shape.batch, shape.inputs, shape.outputs);
    if shape.relu {
        mask(saved.y, gy);
    }
    for row in gy.chunks_exact(o) {
        for (bias, g) in grads.bias.iter_mut().zip(row) {
            *bias += g;
        }
    }
    let gy = Matrix::new(gy, n, o, o);
    matmul(grads.weight, true, gy.transposed(), Matrix::new(saved.x, n, i, i), threads);
    if let Some(gx) = grads.x {
        matmul(gx, true, gy, Matrix::new(saved.weight, o, i, i), threads);
    }
}
