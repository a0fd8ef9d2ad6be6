//! The only architecture-specific code, and the only `unsafe` of the crate.
//!
//! The contract is a handful of primitives. `portable` defines each of them; other files make the same results faster. For int8
//! that means the same bytes (wrapping i32 sums do not depend on their order); for f32 the portable order of summation, eight
//! interleaved partial sums, is part of the contract, so the bytes are the same as well.

mod portable;
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)] // Intrinsics, behind a run-time check of the processor.
mod x86;

/// Pixels of a tile: a panel of this many im2col rows is multiplied at once.
pub const PIXELS: usize = 4;

/// Dot products of one or two rows of `k` weights with [`PIXELS`] rows of `k` elements: `sums[row][pixel]`, wrapping.
pub fn dot_tile_i8(weights: &[i8], pixels: &[i8], k: usize) -> [[i32; PIXELS]; 2] {
    #[cfg(target_arch = "x86_64")]
    if let Some(sums) = x86::dot_tile_i8(weights, pixels, k) {
        return sums;
    }
    portable::dot_tile_i8(weights, pixels, k)
}

/// Dot product of two rows, wrapping.
pub fn dot_i8(a: &[i8], b: &[i8]) -> i32 {
    #[cfg(target_arch = "x86_64")]
    if let Some(sum) = x86::dot_i8(a, b) {
        return sum;
    }
    portable::dot_i8(a, b)
}

/// Dot products of one or two rows of `k` weights with [`PIXELS`] rows of `k` elements: `sums[row][pixel]`.
pub fn dot_tile_f32(weights: &[f32], pixels: &[f32], k: usize) -> [[f32; PIXELS]; 2] {
    #[cfg(target_arch = "x86_64")]
    if let Some(sums) = x86::dot_tile_f32(weights, pixels, k) {
        return sums;
    }
    portable::dot_tile_f32(weights, pixels, k)
}

/// Dot product of two rows.
pub fn dot_f32(a: &[f32], b: &[f32]) -> f32 {
    #[cfg(target_arch = "x86_64")]
    if let Some(sum) = x86::dot_f32(a, b) {
        return sum;
    }
    portable::dot_f32(a, b)
}

/// Element-wise `best = max(best, x)`.
pub fn max_row<E: Copy + PartialOrd>(best: &mut [E], x: &[E]) {
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
        let mut w = [0i8; 2 * MAX];
        let mut x = [0i8; PIXELS * MAX];
        for k in 0..MAX {
            w.iter_mut().zip(bytes(k as u64, 2 * MAX)).for_each(|(d, s)| *d = s);
            x.iter_mut().zip(bytes(k as u64 + 1000, PIXELS * MAX)).for_each(|(d, s)| *d = s);
            if k % 7 == 0 {
                w.fill(-128);
                x.fill(-128);
            }
            let pixels = &x[..PIXELS * k];
            for rows in 1..=2 {
                let (got, want) = (dot_tile_i8(&w[..rows * k], pixels, k), portable::dot_tile_i8(&w[..rows * k], pixels, k));
                assert_eq!(got[..rows], want[..rows], "k {k}");
                let naive: i32 = (0..k).map(|i| w[(rows - 1) * k + i] as i32 * x[3 * k + i] as i32).sum();
                assert_eq!(got[rows - 1][3], naive, "k {k}");
            }
            assert_eq!(dot_i8(&w[..k], &x[..k]), portable::dot_i8(&w[..k], &x[..k]));
            let wf = w.map(|v| v as f32 * 0.37);
            let xf = x.map(|v| v as f32 * 0.011);
            let (got, want) =
                (dot_tile_f32(&wf[..2 * k], &xf[..PIXELS * k], k), portable::dot_tile_f32(&wf[..2 * k], &xf[..PIXELS * k], k));
            assert_eq!(got, want, "k {k}");
            assert_eq!(dot_f32(&wf[..k], &xf[..k]), want[0][0]);
        }
    }
}
