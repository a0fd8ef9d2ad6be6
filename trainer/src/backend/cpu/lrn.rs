//! Local response normalisation of one picture.

use super::super::LrnShape;

vectorised!(Forward((&'a LrnShape, &'a [f32], &'a mut [f32], &'a mut [f32])) = forward);
vectorised!(Backward((&'a LrnShape, [&'a [f32]; 4], &'a mut [f32])) = backward);

/// `base^-beta`; the usual beta of 0.75 takes two square roots.
#[inline(always)]
fn power(base: f32, beta: f32) -> f32 {
    if beta == 0.75 {
        let root = base.sqrt();
        1.0 / (root * root.sqrt())
    } else {
        base.powf(-beta)
    }
}

/// Channels `[c - before, c + after]` that exist.
#[inline(always)]
fn window(c: usize, before: usize, after: usize, channels: usize) -> std::ops::Range<usize> {
    c.saturating_sub(before)..(c + after + 1).min(channels)
}

#[inline(always)]
fn forward((shape, x, y, base): (&LrnShape, &[f32], &mut [f32], &mut [f32])) {
    let (size, plane) = (shape.attrs.size as usize, shape.plane);
    let scale = shape.attrs.alpha / size as f32;
    for (c, (y, base)) in y.chunks_exact_mut(plane).zip(base.chunks_exact_mut(plane)).enumerate() {
        base.fill(0.0);
        for j in window(c, (size - 1) / 2, size / 2, shape.channels) {
            for (sum, x) in base.iter_mut().zip(&x[j * plane..]) {
                *sum += x * x;
            }
        }
        for ((y, base), x) in y.iter_mut().zip(base).zip(&x[c * plane..]) {
            *base = shape.attrs.k + scale * *base;
            *y = x * power(*base, shape.attrs.beta);
        }
    }
}

/// With `t[j] = gy[j] y[j] / base[j]`: `gx[c] += gy[c] base[c]^-beta - 2 alpha beta / size x[c] sum(t[j])`, over the windows `j`
/// that contain `c`.
#[inline(always)]
fn backward((shape, [x, y, base, gy], gx): (&LrnShape, [&[f32]; 4], &mut [f32])) {
    let (size, plane, beta) = (shape.attrs.size as usize, shape.plane, shape.attrs.beta);
    let factor = 2.0 * shape.attrs.alpha / size as f32 * beta;
    let shares: Vec<f32> = gy.iter().zip(y).zip(base).map(|((gy, y), base)| gy * y / base).collect();
    let mut sum = vec![0.0; plane];
    for (c, gx) in gx.chunks_exact_mut(plane).enumerate() {
        sum.fill(0.0);
        for j in window(c, size / 2, (size - 1) / 2, shape.channels) {
            for (sum, share) in sum.iter_mut().zip(&shares[j * plane..]) {
                *sum += share;
            }
        }
        let at = c * plane..(c + 1) * plane;
        let here = gx.iter_mut().zip(&sum).zip(&x[at.clone()]).zip(&gy[at.clone()]).zip(&base[at]);
        for ((((gx, sum), x), gy), base) in here {
            *gx += gy * power(*base, beta) - factor * x * sum;
        }
    }
}
