//! x86-64 with AVX2, chosen at run time: what makes calibration and evaluation on the host fast.

use super::{PIXELS, portable};
use core::arch::x86_64::*;
use core::sync::atomic::{AtomicU8, Ordering};

/// 0 unknown, 1 no AVX2, 2 AVX2.
static LEVEL: AtomicU8 = AtomicU8::new(0);

/// Whether processor and operating system both support AVX2. `core` has no `is_x86_feature_detected!`, so this asks as the
/// vendor manuals say: OSXSAVE and AVX in leaf 1, XMM and YMM state in XCR0, AVX2 in leaf 7.
fn avx2() -> bool {
    match LEVEL.load(Ordering::Relaxed) {
        0 => {
            let found = detect();
            LEVEL.store(1 + found as u8, Ordering::Relaxed);
            found
        }
        level => level == 2,
    }
}

fn detect() -> bool {
    #[target_feature(enable = "xsave")]
    fn xcr0() -> u64 {
        // SAFETY: only called after leaf 1 reported OSXSAVE, which makes XGETBV available.
        unsafe { _xgetbv(0) }
    }
    let (leaf0, leaf1) = (__cpuid(0), __cpuid(1));
    let osxsave_and_avx = (1 << 27) | (1 << 28);
    if leaf0.eax < 7 || leaf1.ecx & osxsave_and_avx != osxsave_and_avx {
        return false;
    }
    // SAFETY: leaf 1 reported OSXSAVE.
    let state = unsafe { xcr0() };
    state & 6 == 6 && __cpuid_count(7, 0).ebx & (1 << 5) != 0
}

pub(super) fn dot_tile_i8(weights: &[i8], pixels: &[i8], k: usize) -> Option<[[i32; PIXELS]; 2]> {
    // Short rows (a first layer's) gain nothing.
    if k < 16 || !avx2() || pixels.len() < PIXELS * k || weights.len() < k {
        return None;
    }
    // SAFETY: AVX2 was detected; the slices hold PIXELS rows and one or two rows of k elements (checked above; the second
    // row of weights falls back on the first where there is only one).
    Some(unsafe { dot_tile_i8_avx2(weights, pixels, k) })
}

/// Sixteen products a step: bytes widened to i16, multiplied and added in pairs to i32. Exact, since |a * b| <= 2^14.
#[target_feature(enable = "avx2")]
unsafe fn dot_tile_i8_avx2(weights: &[i8], pixels: &[i8], k: usize) -> [[i32; PIXELS]; 2] {
    let w1 = if weights.len() >= 2 * k { k } else { 0 };
    let (w, x) = (weights.as_ptr(), pixels.as_ptr());
    let mut acc = [[_mm256_setzero_si256(); PIXELS]; 2];
    let whole = k & !15;
    let mut i = 0;
    while i < whole {
        // SAFETY: i + 16 <= k, and every row that is read here has k elements inside its slice.
        unsafe {
            let a = _mm256_cvtepi8_epi16(_mm_loadu_si128(w.add(i).cast()));
            let b = _mm256_cvtepi8_epi16(_mm_loadu_si128(w.add(w1 + i).cast()));
            let [first, second] = &mut acc;
            for (p, (first, second)) in first.iter_mut().zip(second).enumerate() {
                let v = _mm256_cvtepi8_epi16(_mm_loadu_si128(x.add(p * k + i).cast()));
                *first = _mm256_add_epi32(*first, _mm256_madd_epi16(a, v));
                *second = _mm256_add_epi32(*second, _mm256_madd_epi16(b, v));
            }
        }
        i += 16;
    }
    let mut sums = [[0i32; PIXELS]; 2];
    for (row, (sums, acc)) in sums.iter_mut().zip(&acc).enumerate() {
        let weights = &weights[row * w1..row * w1 + k];
        for (p, (sum, acc)) in sums.iter_mut().zip(acc).enumerate() {
            let tail = portable::dot_i8(&weights[whole..], &pixels[p * k + whole..p * k + k]);
            *sum = horizontal_sum(*acc).wrapping_add(tail);
        }
    }
    sums
}

#[target_feature(enable = "avx2")]
fn horizontal_sum(v: __m256i) -> i32 {
    let v = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256::<1>(v));
    let v = _mm_add_epi32(v, _mm_shuffle_epi32::<0b01_00_11_10>(v));
    let v = _mm_add_epi32(v, _mm_shuffle_epi32::<0b10_11_00_01>(v));
    _mm_cvtsi128_si32(v)
}

pub(super) fn dot_i8(a: &[i8], b: &[i8]) -> Option<i32> {
    let k = a.len().min(b.len());
    if k < 16 || !avx2() {
        return None;
    }
    // SAFETY: AVX2 was detected.
    Some(unsafe { dot_i8_avx2(&a[..k], &b[..k]) })
}

#[target_feature(enable = "avx2")]
fn dot_i8_avx2(a: &[i8], b: &[i8]) -> i32 {
    let (a, a_tail) = a.as_chunks::<16>();
    let (b, b_tail) = b.as_chunks::<16>();
    let mut acc = _mm256_setzero_si256();
    for (a, b) in a.iter().zip(b) {
        // SAFETY: both point to 16 readable bytes.
        let (a, b) = unsafe { (_mm_loadu_si128(a.as_ptr().cast()), _mm_loadu_si128(b.as_ptr().cast())) };
        acc = _mm256_add_epi32(acc, _mm256_madd_epi16(_mm256_cvtepi8_epi16(a), _mm256_cvtepi8_epi16(b)));
    }
    horizontal_sum(acc).wrapping_add(portable::dot_i8(a_tail, b_tail))
}

pub(super) fn dot_tile_f32(weights: &[f32], pixels: &[f32], k: usize) -> Option<[[f32; PIXELS]; 2]> {
    #[target_feature(enable = "avx2")]
    fn avx2_instance(weights: &[f32], pixels: &[f32], k: usize) -> [[f32; PIXELS]; 2] {
        portable::dot_tile_f32(weights, pixels, k)
    }
    // SAFETY: AVX2 was detected.
    avx2().then(|| unsafe { avx2_instance(weights, pixels, k) })
}

pub(super) fn dot_f32(a: &[f32], b: &[f32]) -> Option<f32> {
    #[target_feature(enable = "avx2")]
    fn avx2_instance(a: &[f32], b: &[f32]) -> f32 {
        portable::dot_f32(a, b)
    }
    // SAFETY: AVX2 was detected.
    avx2().then(|| unsafe { avx2_instance(a, b) })
}
