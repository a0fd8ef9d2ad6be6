//! The primitives in plain Rust: their definition, and what runs where nothing faster is compiled in.

use super::{PIXELS, add_word};

/// Interleaved partial sums of an f32 dot product.
pub(super) const LANES: usize = 8;

pub(super) fn dot_i8(a: &[i8], b: &[i8]) -> i32 {
    // A product of two i8 fits i16 x i16 -> i32 instructions; the wrapping sum is what makes the kernel total.
    a.iter().zip(b).fold(0i32, |sum, (&a, &b)| sum.wrapping_add(a as i32 * b as i32))
}

/// The rows of a panel.
#[inline(always)]
fn pixels<E>(panel: &[E]) -> [&[E]; PIXELS] {
    let (ab, cd) = panel.split_at(panel.len() / PIXELS * 2);
    let ((a, b), (c, d)) = (ab.split_at(ab.len() / 2), cd.split_at(ab.len() / 2));
    [a, b, c, d]
}

pub(super) fn add_dots_i8(weights: &[i8], stride: usize, panel: &[i8], sums: &mut [[i32; PIXELS]]) {
    add_dots_apart_i8(weights, stride, pixels(panel), sums);
}

// Where it is inlined, its five pointers and four sums leave the registers.
#[inline(never)]
pub(super) fn add_dots_apart_i8(weights: &[i8], stride: usize, pixels: [&[i8]; PIXELS], sums: &mut [[i32; PIXELS]]) {
    // One length that the compiler knows of all five rows: its vectors then have one end, and not a mask made of five.
    let k = pixels.iter().fold(usize::MAX, |k, pixel| k.min(pixel.len()));
    let pixels = pixels.map(|pixel| &pixel[..k]);
    for (row, sums) in weights.chunks(stride.max(1)).zip(sums) {
        let Some(row) = row.get(..k) else { break };
        if cfg!(staticnet_vectors) {
            *sums = add_taps(row, pixels, *sums);
            continue;
        }
        // Where there are none, four taps at a time find them at offsets from five pointers that move together.
        let (row, last) = row.as_chunks::<4>();
        let [(p0, _), (p1, _), (p2, _), (p3, _)] = pixels.map(|pixel| pixel.as_chunks::<4>());
        for ((((row, a), b), c), d) in row.iter().zip(p0).zip(p1).zip(p2).zip(p3) {
            *sums = add_taps(row, [a, b, c, d], *sums);
        }
        *sums = add_taps(last, pixels.map(|pixel| pixel.as_chunks::<4>().1), *sums);
    }
}

/// One pass over the weights serves four pixels.
#[inline(always)]
fn add_taps(row: &[i8], [p0, p1, p2, p3]: [&[i8]; PIXELS], [mut s0, mut s1, mut s2, mut s3]: [i32; PIXELS]) -> [i32; PIXELS] {
    for ((((&w, &a), &b), &c), &d) in row.iter().zip(p0).zip(p1).zip(p2).zip(p3) {
        let w = w as i32;
        s0 = s0.wrapping_add(w * a as i32);
        s1 = s1.wrapping_add(w * b as i32);
        s2 = s2.wrapping_add(w * c as i32);
        s3 = s3.wrapping_add(w * d as i32);
    }
    [s0, s1, s2, s3]
}

/// Adds the eight partial sums pairwise.
#[inline(always)]
pub(super) fn reduce(lanes: [f32; LANES]) -> f32 {
    let [a, b, c, d, e, f, g, h] = lanes;
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}

/// `inline(always)` so that an architecture's file can instantiate it with more instructions enabled.
#[inline(always)]
pub(super) fn dot_f32(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0f32; LANES];
    let (a, a_tail) = a.as_chunks::<LANES>();
    let (b, b_tail) = b.as_chunks::<LANES>();
    for (a, b) in a.iter().zip(b) {
        for i in 0..LANES {
            lanes[i] += a[i] * b[i];
        }
    }
    for ((lane, a), b) in lanes.iter_mut().zip(a_tail).zip(b_tail) {
        *lane += a * b;
    }
    reduce(lanes)
}

/// `inline(always)` so that an architecture's file can instantiate it with more instructions enabled.
#[inline(always)]
pub(super) fn add_dots_f32(weights: &[f32], stride: usize, panel: &[f32], sums: &mut [[f32; PIXELS]]) {
    add_dots_apart_f32(weights, stride, pixels(panel), sums);
}

#[inline(always)]
pub(super) fn add_dots_apart_f32(weights: &[f32], stride: usize, pixels: [&[f32]; PIXELS], sums: &mut [[f32; PIXELS]]) {
    let [(b0, _), (b1, _), (b2, _), (b3, _)] = pixels.map(|pixel| pixel.as_chunks::<LANES>());
    let tails = pixels.map(|pixel| pixel.as_chunks::<LANES>().1);
    for (row, sums) in weights.chunks(stride.max(1)).zip(sums) {
        // A row goes on behind the dot product.
        let (row, row_tail) = row.split_at(b0.as_flattened().len().min(row.len()));
        let mut lanes = [[0f32; LANES]; PIXELS];
        let [l0, l1, l2, l3] = &mut lanes;
        for ((((w, a), b), c), d) in row.as_chunks::<LANES>().0.iter().zip(b0).zip(b1).zip(b2).zip(b3) {
            for i in 0..LANES {
                l0[i] += w[i] * a[i];
                l1[i] += w[i] * b[i];
                l2[i] += w[i] * c[i];
                l3[i] += w[i] * d[i];
            }
        }
        for ((lanes, tail), sum) in lanes.iter_mut().zip(tails).zip(sums) {
            for ((lane, w), x) in lanes.iter_mut().zip(row_tail).zip(tail) {
                *lane += w * x;
            }
            *sum += reduce(*lanes);
        }
    }
}

#[cfg_attr(staticnet_vectors, allow(dead_code))]
pub(super) fn requantize(sums: &mut [[i32; PIXELS]], bias: &[i32], multiplier: &[f32], zero_point: i8, [lo, hi]: [i8; 2]) {
    for ((sums, bias), multiplier) in sums.iter_mut().zip(bias).zip(multiplier) {
        *sums = sums.map(|sum| crate::quant::requantize(sum.wrapping_add(*bias), *multiplier, zero_point, lo, hi).into());
    }
}

pub(super) fn add_words(words: &[[u32; 4]], sums: &mut [u32; 4]) {
    // A copy stays in registers; two at a time take half the branches.
    let mut lanes = *sums;
    let mut add = |words: &[u32; 4]| {
        for (sum, word) in lanes.iter_mut().zip(words) {
            *sum = add_word(*sum, u32::from_le(*word));
        }
    };
    let (pairs, last) = words.as_chunks::<2>();
    for [first, second] in pairs {
        add(first);
        add(second);
    }
    last.iter().for_each(add);
    *sums = lanes;
}

pub(super) fn max_row<E: Copy + PartialOrd>(best: &mut [E], x: &[E]) {
    for (best, x) in best.iter_mut().zip(x) {
        if *x > *best {
            *best = *x;
        }
    }
}
