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

/// Elements of a vector of i16.
const LANES: usize = 16;

/// Whether it was done.
pub(super) fn add_dots_i8(weights: &[i8], stride: usize, panel: &[i8], sums: &mut [[i32; PIXELS]]) -> bool {
    let k = panel.len() / PIXELS;
    // Short rows (a first layer's) gain nothing.
    if k < LANES || k > stride || panel.len() != PIXELS * k || !avx2() {
        return false;
    }
    // SAFETY: AVX2 was detected.
    unsafe { add_dots_i8_avx2(weights, stride, panel, sums) };
    true
}

/// Two rows of weights at a time; the last one without a second is taken twice.
#[target_feature(enable = "avx2")]
fn add_dots_i8_avx2(weights: &[i8], stride: usize, panel: &[i8], sums: &mut [[i32; PIXELS]]) {
    let k = panel.len() / PIXELS;
    // The last vector of a row ends where the row does: what comes twice is multiplied with 0.
    let mut last = [[0; LANES]; PIXELS];
    for (pixel, last) in panel.chunks_exact(k).zip(&mut last) {
        let tail = pixel.as_chunks::<LANES>().1;
        last[LANES - tail.len()..].copy_from_slice(tail);
    }
    let mut rows = weights.chunks(stride);
    let (pairs, single) = sums.as_chunks_mut::<2>();
    for sums in pairs {
        if let (Some(first), Some(second)) = (rows.next(), rows.next()) {
            add_two_rows(&first[..k], &second[..k], panel, &last, sums);
        }
    }
    if let ([sums], Some(row)) = (single, rows.next()) {
        let mut both = [*sums; 2];
        add_two_rows(&row[..k], &row[..k], panel, &last, &mut both);
        *sums = both[0];
    }
}

/// Sixteen products a step: bytes widened to i16, multiplied and added in pairs to i32. Exact, since |a * b| <= 2^14.
#[inline]
#[target_feature(enable = "avx2")]
fn add_two_rows(first: &[i8], second: &[i8], panel: &[i8], last: &[[i8; LANES]; PIXELS], sums: &mut [[i32; PIXELS]; 2]) {
    let k = first.len();
    assert!(k >= LANES && second.len() == k && panel.len() == PIXELS * k);
    let mut acc = [[_mm256_setzero_si256(); PIXELS]; 2];
    let mut step = |at: usize, pixels: [*const i8; PIXELS]| {
        // SAFETY: the callers' `at + LANES` is at most k, the length of both rows; each pixel has LANES elements to read.
        unsafe {
            let a = _mm256_cvtepi8_epi16(_mm_loadu_si128(first.as_ptr().add(at).cast()));
            let b = _mm256_cvtepi8_epi16(_mm_loadu_si128(second.as_ptr().add(at).cast()));
            let [first, second] = &mut acc;
            for ((first, second), pixel) in first.iter_mut().zip(second).zip(pixels) {
                let v = _mm256_cvtepi8_epi16(_mm_loadu_si128(pixel.cast()));
                *first = _mm256_add_epi32(*first, _mm256_madd_epi16(a, v));
                *second = _mm256_add_epi32(*second, _mm256_madd_epi16(b, v));
            }
        }
    };
    let mut at = 0;
    while at + LANES <= k {
        // SAFETY: p * k + at lies in the panel's row p.
        step(at, [0, 1, 2, 3].map(|p| unsafe { panel.as_ptr().add(p * k + at) }));
        at += LANES;
    }
    if at < k {
        step(k - LANES, last.each_ref().map(|pixel| pixel.as_ptr()));
    }
    // Lane by lane, until each half of a row's vector has a part of all four pixels' sums.
    let [u, v] = acc.map(|[a, b, c, d]| {
        let ab = _mm256_add_epi32(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
        let cd = _mm256_add_epi32(_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
        _mm256_add_epi32(_mm256_unpacklo_epi64(ab, cd), _mm256_unpackhi_epi64(ab, cd))
    });
    let dots = _mm256_add_epi32(_mm256_permute2x128_si256::<0x20>(u, v), _mm256_permute2x128_si256::<0x31>(u, v));
    let sums: *mut __m256i = sums.as_mut_ptr().cast();
    // SAFETY: two times four sums of four bytes.
    unsafe { _mm256_storeu_si256(sums, _mm256_add_epi32(_mm256_loadu_si256(sums), dots)) };
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

/// Whether it was done.
pub(super) fn add_dots_f32(weights: &[f32], stride: usize, panel: &[f32], sums: &mut [[f32; PIXELS]]) -> bool {
    #[target_feature(enable = "avx2")]
    fn avx2_instance(weights: &[f32], stride: usize, panel: &[f32], sums: &mut [[f32; PIXELS]]) {
        portable::add_dots_f32(weights, stride, panel, sums);
    }
    if !avx2() {
        return false;
    }
    // SAFETY: AVX2 was detected.
    unsafe { avx2_instance(weights, stride, panel, sums) };
    true
}

pub(super) fn dot_f32(a: &[f32], b: &[f32]) -> Option<f32> {
    #[target_feature(enable = "avx2")]
    fn avx2_instance(a: &[f32], b: &[f32]) -> f32 {
        portable::dot_f32(a, b)
    }
    // SAFETY: AVX2 was detected.
    avx2().then(|| unsafe { avx2_instance(a, b) })
}
