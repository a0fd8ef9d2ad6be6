//! Max-pool of one channel plane.

use super::super::PoolShape;
use staticnet::op::Window;

vectorised!(Forward((&'a PoolShape, &'a [f32], &'a mut [f32], &'a mut [u32])) = forward);

/// The largest value so far and where it stood.
#[derive(Clone, Copy)]
struct Best {
    value: f32,
    index: usize,
}

impl Best {
    /// The first of equals stays. Written as selections, not as a branch: which tap wins cannot be predicted.
    #[inline(always)]
    fn or(self, value: f32, index: usize) -> Best {
        // Not `value > self.value`: a NaN must not hide behind a pool.
        let stays = value <= self.value;
        Best { value: if stays { self.value } else { value }, index: if stays { self.index } else { index } }
    }
}

/// Input indices along an axis, `dilation` apart, that output `out` looks at inside `len`.
fn taps(window: &Window, axis: usize, out: usize, len: usize) -> std::iter::StepBy<std::ops::Range<usize>> {
    let dilation = window.dilation[axis] as usize;
    let start = out * window.stride[axis] as usize;
    let pad = window.pads[axis] as usize;
    let end = (start + (window.kernel[axis] as usize - 1) * dilation + 1).saturating_sub(pad).min(len);
    // The first tap inside is `skipped` taps after the window's start.
    let skipped = pad.saturating_sub(start).div_ceil(dilation);
    ((start + skipped * dilation - pad).min(end)..end).step_by(dilation)
}

#[inline(always)]
fn forward((shape, x, y, argmax): (&PoolShape, &[f32], &mut [f32], &mut [u32])) {
    let window = &shape.window;
    let plain = window.pads == [0; 4] && window.dilation == [1; 2];
    match (plain, window.kernel) {
        (true, [2, 2]) => square::<2>(shape, x, y, argmax),
        (true, [3, 3]) => square::<3>(shape, x, y, argmax),
        _ => general(shape, x, y, argmax),
    }
}

/// Any window.
fn general(shape: &PoolShape, x: &[f32], y: &mut [f32], argmax: &mut [u32]) {
    let [height, width] = shape.input;
    let mut out = y.iter_mut().zip(argmax);
    for oy in 0..shape.output[0] {
        for (ox, (y, argmax)) in out.by_ref().take(shape.output[1]).enumerate() {
            let mut best = Best { value: f32::NEG_INFINITY, index: 0 };
            for iy in taps(&shape.window, 0, oy, height) {
                for ix in taps(&shape.window, 1, ox, width) {
                    best = best.or(x[iy * width + ix], iy * width + ix);
                }
            }
            (*y, *argmax) = (best.value, best.index as u32);
        }
    }
}

/// A square window that never leaves the plane; its size is known to the compiler.
#[inline(always)]
fn square<const SIDE: usize>(shape: &PoolShape, x: &[f32], y: &mut [f32], argmax: &mut [u32]) {
    let (width, out) = (shape.input[1], shape.output[1]);
    let [stride_y, stride_x] = shape.window.stride.map(usize::from);
    for (oy, (y, argmax)) in y.chunks_exact_mut(out).zip(argmax.chunks_exact_mut(out)).enumerate() {
        let top = oy * stride_y * width;
        let rows: [&[f32]; SIDE] = std::array::from_fn(|k| &x[top + k * width..][..width]);
        for (ox, (y, argmax)) in y.iter_mut().zip(argmax).enumerate() {
            let left = ox * stride_x;
            let mut best = Best { value: f32::NEG_INFINITY, index: top + left };
            for (ky, row) in rows.iter().enumerate() {
                for (kx, v) in row[left..left + SIDE].iter().enumerate() {
                    best = best.or(*v, top + left + ky * width + kx);
                }
            }
            (*y, *argmax) = (best.value, best.index as u32);
        }
    }
}

pub(super) fn backward(argmax: &[u32], gy: &[f32], gx: &mut [f32]) {
    for (&index, gy) in argmax.iter().zip(gy) {
        gx[index as usize] += gy;
    }
}
