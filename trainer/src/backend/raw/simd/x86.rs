//! The code of [`super`] compiled for AVX2 and AVX-512, and what the compiler does not find by itself.

use super::{COLUMNS, Loop, Panels, ROWS, Transposition, multiply, rows_by_panel, tile, transpose_part};
use std::arch::x86_64::{__m256, _mm256_add_ps, _mm256_loadu_ps, _mm256_permute2f128_ps, _mm256_setzero_ps};
use std::arch::x86_64::{_mm256_shuffle_ps, _mm256_storeu_ps, _mm256_unpackhi_ps, _mm256_unpacklo_ps};
use std::arch::x86_64::{_mm512_fmadd_ps, _mm512_loadu_ps, _mm512_set1_ps, _mm512_setzero_ps, _mm512_storeu_ps};

#[target_feature(enable = "avx2,fma")]
pub(super) fn avx2(work: impl Loop) {
    work.run();
}

#[target_feature(enable = "avx512f,avx2,fma")]
pub(super) fn avx512(work: impl Loop) {
    work.run();
}

#[target_feature(enable = "avx2,fma")]
pub(super) fn multiply_avx2(panels: Panels<'_>) {
    multiply(|a, b| tile::<6>(f32::mul_add, a, b), panels);
}

#[target_feature(enable = "avx512f,avx2,fma")]
pub(super) fn multiply_avx512(panels: Panels<'_>) {
    multiply(|a, b| tile_avx512(a, b), panels);
}

/// Side of the blocks that are transposed in registers.
const SIDE: usize = 8;

/// Blocks of 8 x 8; what is left of rows and columns goes one by one.
#[target_feature(enable = "avx2,fma")]
pub(super) fn transpose_avx2(transposition: Transposition<'_>) {
    let Transposition { from, from_stride, rows, columns, to, to_stride, add } = transposition;
    let (whole_rows, whole_columns) = (rows / SIDE * SIDE, columns / SIDE * SIDE);
    let mut block = |r: usize, c: usize| {
        let mut v = [_mm256_setzero_ps(); SIDE];
        for (i, v) in v.iter_mut().enumerate() {
            let from: &[f32] = &from[(r + i) * from_stride + c..][..SIDE];
            // SAFETY: the slice has the 8 elements that are read.
            *v = unsafe { _mm256_loadu_ps(from.as_ptr()) };
        }
        for (i, v) in transpose_block(v).into_iter().enumerate() {
            let to: &mut [f32] = &mut to[(c + i) * to_stride + r..][..SIDE];
            // SAFETY: the slice has the 8 elements that are read and written.
            unsafe {
                let v = if add { _mm256_add_ps(v, _mm256_loadu_ps(to.as_ptr())) } else { v };
                _mm256_storeu_ps(to.as_mut_ptr(), v);
            }
        }
    };
    // The longer axis outside: few lines are open at a time.
    if rows > columns {
        (0..whole_rows).step_by(SIDE).for_each(|r| (0..whole_columns).step_by(SIDE).for_each(|c| block(r, c)));
    } else {
        (0..whole_columns).step_by(SIDE).for_each(|c| (0..whole_rows).step_by(SIDE).for_each(|r| block(r, c)));
    }
    let mut rest = Transposition { from, from_stride, rows, columns, to, to_stride, add };
    transpose_part(&mut rest, 0..whole_rows, whole_columns..columns);
    transpose_part(&mut rest, whole_rows..rows, 0..columns);
}

/// Pairs, then quadruples, then halves change places.
#[target_feature(enable = "avx2,fma")]
fn transpose_block(v: [__m256; SIDE]) -> [__m256; SIDE] {
    let [a, b, c, d, e, f, g, h] = v;
    let (ab, cd) = ((_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b)), (_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d)));
    let (ef, gh) = ((_mm256_unpacklo_ps(e, f), _mm256_unpackhi_ps(e, f)), (_mm256_unpacklo_ps(g, h), _mm256_unpackhi_ps(g, h)));
    let upper = quadruples(ab, cd);
    let lower = quadruples(ef, gh);
    let mut result = v;
    for i in 0..4 {
        result[i] = _mm256_permute2f128_ps::<0x20>(upper[i], lower[i]);
        result[i + 4] = _mm256_permute2f128_ps::<0x31>(upper[i], lower[i]);
    }
    result
}

/// Columns 0 to 3 (and 4 to 7 in the upper halves) of four rows that come as pairs.
#[target_feature(enable = "avx2,fma")]
fn quadruples(ab: (__m256, __m256), cd: (__m256, __m256)) -> [__m256; 4] {
    [
        _mm256_shuffle_ps::<0x44>(ab.0, cd.0),
        _mm256_shuffle_ps::<0xEE>(ab.0, cd.0),
        _mm256_shuffle_ps::<0x44>(ab.1, cd.1),
        _mm256_shuffle_ps::<0xEE>(ab.1, cd.1),
    ]
}

/// As [`tile`] with one register a row; the compiler does not find this by itself.
#[target_feature(enable = "avx512f,avx2,fma")]
fn tile_avx512(a: &[f32], b: &[f32]) -> [[f32; COLUMNS]; 12] {
    let mut sums = [_mm512_setzero_ps(); 12];
    for (a, b) in a.as_chunks::<12>().0.iter().zip(b.as_chunks::<COLUMNS>().0) {
        // SAFETY: `b` has the 16 elements that are read.
        let b = unsafe { _mm512_loadu_ps(b.as_ptr()) };
        for (sum, a) in sums.iter_mut().zip(a) {
            *sum = _mm512_fmadd_ps(_mm512_set1_ps(*a), b, *sum);
        }
    }
    let mut rows = [[0.0; COLUMNS]; 12];
    for (row, sum) in rows.iter_mut().zip(sums) {
        // SAFETY: `row` has the 16 elements that are written.
        unsafe { _mm512_storeu_ps(row.as_mut_ptr(), sum) };
    }
    rows
}

#[target_feature(enable = "avx2,fma")]
pub(super) fn rows_by_panel_avx2(rows: [&[f32]; ROWS], panel: &[f32], sums: &mut [[f32; COLUMNS]; ROWS]) {
    rows_by_panel(f32::mul_add, rows, panel, sums);
}
