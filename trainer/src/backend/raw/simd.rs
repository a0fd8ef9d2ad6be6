//! The vector instructions of this processor: loops compiled for them, and the inner loop of matrix products.
//!
//! The program itself is compiled for any processor of its architecture. What is found when it runs decides which copy of a
//! loop is taken. The copies are the same safe code, compiled again; with `fma` a product and its sum are rounded once.

#[cfg(target_arch = "x86_64")]
mod x86;

use std::ops::Range;

/// Columns of a panel of the right factor.
pub const COLUMNS: usize = 16;

/// Rows that [`Simd::rows_by_panel`] takes at once.
pub const ROWS: usize = 6;

/// Vector instructions that this processor has. Only made after asking it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Simd(Level);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

/// A matrix to transpose; see [`Simd::transpose`].
#[derive(Debug)]
pub struct Transposition<'a> {
    /// `rows` x `columns`, row-major.
    pub from: &'a [f32],
    /// Distance of its rows.
    pub from_stride: usize,
    /// Its rows.
    pub rows: usize,
    /// Its columns.
    pub columns: usize,
    /// `columns` x `rows`, row-major.
    pub to: &'a mut [f32],
    /// Distance of its rows.
    pub to_stride: usize,
    /// Whether it is added to what is there, or takes its place.
    pub add: bool,
}

/// A loop that is compiled once for each set of instructions.
///
/// Implementations mark `run` as `inline(always)`, and so they do with all that is called within the loop, but no closure
/// and no function behind `Fn`: what is not inlined is compiled for any processor.
pub trait Loop {
    /// The loop.
    fn run(self);
}

/// Panels to multiply; see [`Simd::multiply`].
#[derive(Debug)]
pub struct Panels<'a> {
    /// Panels of the left factor, `[depth][height]` each, one behind the other.
    pub lhs: &'a [f32],
    /// Its rows; the last panel may have more.
    pub rows: usize,
    /// Depth of its panels.
    pub lhs_depth: usize,
    /// Where in them the product begins. It is as deep as the panels of the right factor.
    pub from: usize,
    /// Panels of the right factor, `[depth][COLUMNS]` each, one behind the other.
    pub rhs: &'a [f32],
    /// Its depth.
    pub depth: usize,
    /// Its columns; the last panel may have more.
    pub columns: usize,
    /// The product, row-major.
    pub product: &'a mut [f32],
    /// Distance of its rows.
    pub stride: usize,
    /// Whether the product is added to what is there, or takes its place.
    pub add: bool,
}

impl Simd {
    /// What this processor has.
    pub fn detect() -> Simd {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                return Simd(Level::Avx512);
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                return Simd(Level::Avx2);
            }
        }
        Simd(Level::Portable)
    }

    /// All that this processor can do, the portable way first.
    pub fn all() -> Vec<Simd> {
        let mut all = vec![Simd(Level::Portable)];
        #[cfg(target_arch = "x86_64")]
        {
            if Simd::detect() == Simd(Level::Avx512) {
                all.push(Simd(Level::Avx2));
            }
            all.push(Simd::detect());
            all.dedup();
        }
        all
    }

    /// Rows of a panel of the left factor: as many as fill the registers.
    pub fn height(self) -> usize {
        match self.0 {
            Level::Portable => 6,
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => 6,
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => 12,
        }
    }

    /// Runs a loop, compiled for these instructions.
    #[inline]
    pub fn run(self, work: impl Loop) {
        match self.0 {
            Level::Portable => work.run(),
            // SAFETY: a `Simd` of this level is only made where the processor has these features.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => unsafe { x86::avx2(work) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => unsafe { x86::avx512(work) },
        }
    }

    /// The product of the panels.
    ///
    /// # Panics
    /// Panics where a slice is too short for its sizes.
    pub fn multiply(self, panels: Panels<'_>) {
        match self.0 {
            Level::Portable => multiply(|a, b| tile::<6>(plain, a, b), panels),
            // SAFETY: as in `run`.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => unsafe { x86::multiply_avx2(panels) },
            // SAFETY: as in `run`.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => unsafe { x86::multiply_avx512(panels) },
        }
    }

    /// Transposes a matrix.
    ///
    /// # Panics
    /// Panics where a slice is too short.
    pub fn transpose(self, transposition: Transposition<'_>) {
        match self.0 {
            Level::Portable => {
                let mut all = transposition;
                let (rows, columns) = (0..all.rows, 0..all.columns);
                transpose_part(&mut all, rows, columns);
            }
            // SAFETY: as in `run`; where there is AVX-512 there is AVX2.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 | Level::Avx512 => unsafe { x86::transpose_avx2(transposition) },
        }
    }

    /// The products of [`ROWS`] rows, which lie anywhere, and a panel `[depth][COLUMNS]` are added to `sums`.
    ///
    /// # Panics
    /// Panics where the rows are shorter than the panel is deep.
    pub fn rows_by_panel(self, rows: [&[f32]; ROWS], panel: &[f32], sums: &mut [[f32; COLUMNS]; ROWS]) {
        match self.0 {
            Level::Portable => rows_by_panel(plain, rows, panel, sums),
            // SAFETY: as in `run`; where there is AVX-512 there is AVX2.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 | Level::Avx512 => unsafe { x86::rows_by_panel_avx2(rows, panel, sums) },
        }
    }
}

/// Some rows and columns, one by one.
fn transpose_part(transposition: &mut Transposition<'_>, rows: Range<usize>, columns: Range<usize>) {
    let Transposition { from, from_stride, to, to_stride, add, .. } = transposition;
    for r in rows {
        for c in columns.clone() {
            let (v, to) = (from[r * *from_stride + c], &mut to[c * *to_stride + r]);
            *to = if *add { *to + v } else { v };
        }
    }
}

/// `a b + c`, in one instruction where every processor of the architecture has it.
#[inline(always)]
fn plain(a: f32, b: f32, c: f32) -> f32 {
    if cfg!(target_arch = "aarch64") { a.mul_add(b, c) } else { a * b + c }
}

/// The sums of one panel by another stay in registers.
#[inline(always)]
fn tile<const HEIGHT: usize>(mul_add: impl Fn(f32, f32, f32) -> f32, a: &[f32], b: &[f32]) -> [[f32; COLUMNS]; HEIGHT] {
    let mut sums = [[0.0; COLUMNS]; HEIGHT];
    for (a, b) in a.as_chunks::<HEIGHT>().0.iter().zip(b.as_chunks::<COLUMNS>().0) {
        for i in 0..HEIGHT {
            for j in 0..COLUMNS {
                sums[i][j] = mul_add(a[i], b[j], sums[i][j]);
            }
        }
    }
    sums
}

#[inline(always)]
fn multiply<const HEIGHT: usize>(tile: impl Fn(&[f32], &[f32]) -> [[f32; COLUMNS]; HEIGHT], panels: Panels<'_>) {
    let Panels { lhs, rows, lhs_depth, from, rhs, depth, columns, product, stride, add } = panels;
    assert!(from + depth <= lhs_depth && columns <= stride, "panels do not fit");
    assert!(lhs.len() >= rows.div_ceil(HEIGHT) * HEIGHT * lhs_depth, "the left panels are too short");
    assert!(rhs.len() >= columns.div_ceil(COLUMNS) * COLUMNS * depth, "the right panels are too short");
    for (row, a) in (0..rows).step_by(HEIGHT).zip(lhs.chunks_exact(HEIGHT * lhs_depth)) {
        let a = &a[HEIGHT * from..HEIGHT * (from + depth)];
        let height = HEIGHT.min(rows - row);
        for (column, b) in (0..columns).step_by(COLUMNS).zip(rhs.chunks_exact(COLUMNS * depth)) {
            let sums = tile(a, b);
            let width = COLUMNS.min(columns - column);
            for (i, sums) in sums.iter().enumerate().take(height) {
                let to = &mut product[(row + i) * stride + column..][..width];
                match (<&mut [f32; COLUMNS]>::try_from(&mut *to), add) {
                    (Ok(to), true) => to.iter_mut().zip(sums).for_each(|(to, sum)| *to += sum),
                    (Ok(to), false) => *to = *sums,
                    (Err(_), true) => to.iter_mut().zip(sums).for_each(|(to, sum)| *to += sum),
                    (Err(_), false) => to.iter_mut().zip(sums).for_each(|(to, sum)| *to = *sum),
                }
            }
        }
    }
}

#[inline(always)]
fn rows_by_panel(
    mul_add: impl Fn(f32, f32, f32) -> f32,
    rows: [&[f32]; ROWS],
    panel: &[f32],
    sums: &mut [[f32; COLUMNS]; ROWS],
) {
    let panel = panel.as_chunks::<COLUMNS>().0;
    let [r0, r1, r2, r3, r4, r5] = rows.map(|row| &row[..panel.len()]);
    let mut local = [[0.0; COLUMNS]; ROWS];
    for p in 0..panel.len() {
        let (a, b) = ([r0[p], r1[p], r2[p], r3[p], r4[p], r5[p]], &panel[p]);
        for i in 0..ROWS {
            for j in 0..COLUMNS {
                local[i][j] = mul_add(a[i], b[j], local[i][j]);
            }
        }
    }
    for (sums, local) in sums.iter_mut().zip(&local) {
        sums.iter_mut().zip(local).for_each(|(sum, v)| *sum += v);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_changes_its_place() {
        for simd in Simd::all() {
            for (rows, columns) in [(1, 1), (8, 8), (5, 23), (24, 17), (16, 40), (33, 8)] {
                let (from_stride, to_stride) = (columns + 2, rows + 3);
                let from: Vec<f32> = (0..rows * from_stride).map(|i| i as f32).collect();
                for add in [false, true] {
                    let mut to = vec![0.5; columns * to_stride];
                    simd.transpose(Transposition { from: &from, from_stride, rows, columns, to: &mut to, to_stride, add });
                    for (c, to) in to.chunks_exact(to_stride).enumerate() {
                        assert_eq!(to[rows..], [0.5; 3], "what stands between the rows stays");
                        for (r, v) in to[..rows].iter().enumerate() {
                            let expected = (r * from_stride + c) as f32 + if add { 0.5 } else { 0.0 };
                            assert_eq!(*v, expected, "{simd:?}, {rows} x {columns}");
                        }
                    }
                }
            }
        }
    }
}
