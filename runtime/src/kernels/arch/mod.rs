//! The only architecture-specific code, and the only `unsafe` of the crate.
//!
//! The contract is a handful of primitives. `portable` defines each of them; other files make the same results faster. For int8
//! that means the same bytes (wrapping i32 sums do not depend on their order); for f32 the portable order of summation, eight
//! interleaved partial sums, is part of the contract, so the bytes are the same as well.

#[cfg(staticnet_vectors)]
#[allow(unsafe_code)] // Instructions that `build.rs` knows the core to have.
mod mve;
mod portable;
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)] // Intrinsics, behind a run-time check of the processor.
mod x86;

/// Pixels that are multiplied at once: rows of an im2col panel.
pub const PIXELS: usize = 4;

/// Rows of weights that are multiplied with a panel in one call where their sums need no scratch.
pub const ROWS: usize = if cfg!(target_arch = "x86_64") { 32 } else { 4 };

/// Taps of an int8 convolution that a host gathers at once, on its stack: what is wrapped may be added in any order, and a host
/// has the room. 0 where they are gathered in scratch.
pub const HOST_TAPS: usize = if cfg!(target_arch = "x86_64") { 4096 } else { 0 };

/// Adds to `sums[w][p]` the dot product of row `w` of the weights, which begins at `w * stride`, with row `p` of the panel, wrapping.
/// The panel has [`PIXELS`] rows, each as long as the dot products, at least 1 and at most `stride`.
pub fn add_dots_i8(weights: &[i8], stride: usize, panel: &[i8], sums: &mut [[i32; PIXELS]]) {
    #[cfg(target_arch = "x86_64")]
    if x86::add_dots_i8(weights, stride, panel, sums) {
        return;
    }
    portable::add_dots_i8(weights, stride, panel, sums);
}

/// [`add_dots_i8`] with the rows of the panel wherever they are, all of the same length.
pub fn add_dots_apart_i8(weights: &[i8], stride: usize, rows: [&[i8]; PIXELS], sums: &mut [[i32; PIXELS]]) {
    portable::add_dots_apart_i8(weights, stride, rows, sums);
}

/// Dot product of two rows, wrapping.
pub fn dot_i8(a: &[i8], b: &[i8]) -> i32 {
    #[cfg(target_arch = "x86_64")]
    if let Some(sum) = x86::dot_i8(a, b) {
        return sum;
    }
    portable::dot_i8(a, b)
}

/// [`add_dots_i8`] in f32: each dot product is made, then added.
pub fn add_dots_f32(weights: &[f32], stride: usize, panel: &[f32], sums: &mut [[f32; PIXELS]]) {
    #[cfg(target_arch = "x86_64")]
    if x86::add_dots_f32(weights, stride, panel, sums) {
        return;
    }
    portable::add_dots_f32(weights, stride, panel, sums);
}

/// [`add_dots_f32`] with the rows of the panel wherever they are, all of the same length.
pub fn add_dots_apart_f32(weights: &[f32], stride: usize, rows: [&[f32]; PIXELS], sums: &mut [[f32; PIXELS]]) {
    portable::add_dots_apart_f32(weights, stride, rows, sums);
}

/// Dot product of two rows.
pub fn dot_f32(a: &[f32], b: &[f32]) -> f32 {
    #[cfg(target_arch = "x86_64")]
    if let Some(sum) = x86::dot_f32(a, b) {
        return sum;
    }
    portable::dot_f32(a, b)
}

/// Makes the sums of channels their outputs: those of `sums[i]` with bias and multiplier `i`, by [`requantize`](crate::quant::requantize)
/// onto `zero_point`, at least `lo` and then at most `hi`.
pub fn requantize(sums: &mut [[i32; PIXELS]], bias: &[i32], multiplier: &[f32], zero_point: i8, range: [i8; 2]) {
    #[cfg(staticnet_vectors)]
    mve::requantize(sums, bias, multiplier, zero_point, range);
    #[cfg(not(staticnet_vectors))]
    portable::requantize(sums, bias, multiplier, zero_point, range);
}

/// What a lane's sum is multiplied with for each word: an odd number without regularity (2^32 over the golden ratio).
pub(crate) const FACTOR: u32 = 0x9E37_79B1;

/// A sum with one word more.
#[inline(always)]
pub(crate) const fn add_word(sum: u32, word: u32) -> u32 {
    sum.wrapping_mul(FACTOR).wrapping_add(word)
}

/// Adds words to the sums of four lanes as [`checksum`](crate::checksum) does, wrapping: for each lane of each element, in order,
/// `sum = FACTOR * sum + word`.
pub fn add_words(words: &[[u32; 4]], sums: &mut [u32; 4]) {
    #[cfg(staticnet_vectors)]
    mve::add_words(words, sums);
    #[cfg(not(staticnet_vectors))]
    portable::add_words(words, sums);
}

/// Element-wise `best = max(best, x)`.
pub fn max_row_i8(best: &mut [i8], x: &[i8]) {
    #[cfg(staticnet_vectors)]
    mve::max_row(best, x);
    #[cfg(not(staticnet_vectors))]
    portable::max_row(best, x);
}

/// Element-wise `best = max(best, x)`; what is not a number is not larger.
pub fn max_row_f32(best: &mut [f32], x: &[f32]) {
    portable::max_row(best, x);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small linear congruential generator: the same numbers on every run.
    fn bytes(seed: u64, n: usize) -> impl Iterator<Item = i8> {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        (0..n).map(move |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as i8
        })
    }

    #[test]
    fn arch_and_portable_agree_to_the_byte() {
        const MAX: usize = 150;
        const ROWS: usize = 5;
        let mut w = [0i8; ROWS * (MAX + 3)];
        let mut x = [0i8; PIXELS * MAX];
        for k in 1..MAX {
            w.iter_mut().zip(bytes(k as u64, ROWS * (MAX + 3))).for_each(|(d, s)| *d = s);
            x.iter_mut().zip(bytes(k as u64 + 1000, PIXELS * MAX)).for_each(|(d, s)| *d = s);
            if k % 7 == 0 {
                w.fill(-128);
                x.fill(-128);
            }
            let (wf, xf) = (w.map(|v| v as f32 * 0.37), x.map(|v| v as f32 * 0.011));
            for (rows, stride) in [(1, k), (2, k), (2, k + 3), (3, k), (ROWS, k + 2)] {
                // The last row of weights may end where the dot product does.
                let weights = (rows - 1) * stride + k;
                let (mut got, mut want) = ([[7; PIXELS]; ROWS], [[7; PIXELS]; ROWS]);
                add_dots_i8(&w[..weights], stride, &x[..PIXELS * k], &mut got[..rows]);
                portable::add_dots_i8(&w[..weights], stride, &x[..PIXELS * k], &mut want[..rows]);
                assert_eq!(got, want, "k {k}, {rows} rows {stride} apart");
                let naive: i32 = (0..k).map(|i| w[(rows - 1) * stride + i] as i32 * x[3 * k + i] as i32).sum();
                assert_eq!(got[rows - 1][3], naive + 7, "k {k}, {rows} rows {stride} apart");

                let (mut got, mut want) = ([[0.3; PIXELS]; ROWS], [[0.3; PIXELS]; ROWS]);
                add_dots_f32(&wf[..weights], stride, &xf[..PIXELS * k], &mut got[..rows]);
                portable::add_dots_f32(&wf[..weights], stride, &xf[..PIXELS * k], &mut want[..rows]);
                assert_eq!(got, want, "k {k}, {rows} rows {stride} apart");
                let alone = dot_f32(&wf[(rows - 1) * stride..weights], &xf[3 * k..4 * k]);
                assert_eq!(got[rows - 1][3], 0.3 + alone, "k {k}, {rows} rows {stride} apart");
            }
            assert_eq!(dot_i8(&w[..k], &x[..k]), portable::dot_i8(&w[..k], &x[..k]));
            assert_eq!(dot_f32(&wf[..k], &xf[..k]), portable::dot_f32(&wf[..k], &xf[..k]));
        }
    }
}
