//! Products of matrices that are packed into panels, in blocks that stay in the caches.
//!
//! The left factor is packed once, `[panel][depth][height]`. The right factor is packed block by block as it is needed,
//! `[panel][depth][16]`, from wherever its elements lie: a [`Gather`] says where. So the column matrix of a convolution never
//! exists as a whole.

use super::super::raw::simd::{COLUMNS, Panels, Simd, Transposition};
use std::cell::RefCell;
use std::ops::Range;

thread_local! {
    /// The packed block of the right factor, kept from call to call.
    static BLOCK: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// As many elements as asked for, of a buffer that only grows. What they hold is whatever the last use left.
pub(super) fn sized(buffer: &mut Vec<f32>, len: usize) -> &mut [f32] {
    if buffer.len() < len {
        buffer.resize(len, 0.0);
    }
    &mut buffer[..len]
}

vectorised!(PackPanels((View<'a>, usize, &'a mut [f32])) = pack_panels);
vectorised!(PackBlock((&'a [f32], &'a [usize], &'a [usize], &'a mut [f32])) = pack_block);

/// A matrix inside a slice: element `(r, c)` stands at `r * row + c * column`.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) data: &'a [f32],
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) row: usize,
    pub(super) column: usize,
}

impl<'a> View<'a> {
    /// Rows one behind the other.
    pub(super) fn new(data: &'a [f32], rows: usize, columns: usize) -> Self {
        View { data, rows, columns, row: columns, column: 1 }
    }

    /// The transposed matrix; nothing moves.
    pub(super) fn transposed(self) -> Self {
        let View { data, rows, columns, row, column } = self;
        View { data, rows: columns, columns: rows, row: column, column: row }
    }
}

/// A packed left factor.
#[derive(Clone, Copy)]
pub(super) struct Lhs<'a> {
    panels: &'a [f32],
    rows: usize,
    depth: usize,
}

/// A packed left factor that is kept.
pub(super) struct Packed {
    panels: Vec<f32>,
    rows: usize,
    depth: usize,
}

impl Packed {
    pub(super) fn new(simd: Simd, matrix: View<'_>) -> Self {
        let mut panels = Vec::new();
        let Lhs { rows, depth, .. } = pack(simd, matrix, &mut panels);
        Packed { panels, rows, depth }
    }

    pub(super) fn lhs(&self) -> Lhs<'_> {
        Lhs { panels: &self.panels, rows: self.rows, depth: self.depth }
    }
}

/// Elements of a packed left factor.
pub(super) fn packed_len(simd: Simd, rows: usize, depth: usize) -> usize {
    rows.div_ceil(simd.height()) * simd.height() * depth
}

/// Packs a left factor into `buffer`.
pub(super) fn pack<'a>(simd: Simd, matrix: View<'_>, buffer: &'a mut Vec<f32>) -> Lhs<'a> {
    let panels = sized(buffer, packed_len(simd, matrix.rows, matrix.columns));
    pack_into(simd, matrix, panels);
    Lhs { panels, rows: matrix.rows, depth: matrix.columns }
}

/// Packs a left factor into panels of [`packed_len`] elements.
pub(super) fn pack_into(simd: Simd, matrix: View<'_>, panels: &mut [f32]) {
    simd.run(PackPanels((matrix, simd.height(), panels)));
}

/// Packs the transposed of a matrix as a right factor, as deep as its rows are long, into `buffer`.
pub(super) fn pack_right<'a>(simd: Simd, matrix: View<'_>, buffer: &'a mut Vec<f32>) -> &'a [f32] {
    let View { data, rows, columns, row, column } = matrix;
    assert_eq!(column, 1, "rows that lie dense");
    let panels = sized(buffer, rows.div_ceil(COLUMNS) * COLUMNS * columns);
    for (first, to) in (0..rows).step_by(COLUMNS).zip(panels.chunks_exact_mut(COLUMNS * columns)) {
        let (from, rows) = (&data[first * row..], COLUMNS.min(rows - first));
        simd.transpose(Transposition { from, from_stride: row, rows, columns, to, to_stride: COLUMNS, add: false });
    }
    panels
}

#[inline(always)]
fn pack_panels((matrix, height, panels): (View<'_>, usize, &mut [f32])) {
    let View { data, rows, columns, row, column } = matrix;
    for (first, panel) in (0..rows).step_by(height).zip(panels.chunks_exact_mut(height * columns)) {
        let count = height.min(rows - first);
        if count < height {
            panel.fill(0.0);
        }
        if column == 1 {
            for i in 0..count {
                let from = &data[(first + i) * row..][..columns];
                panel.iter_mut().skip(i).step_by(height).zip(from).for_each(|(to, v)| *to = *v);
            }
        } else {
            for (c, to) in panel.chunks_exact_mut(height).enumerate() {
                let from = data[first * row + c * column..].iter().step_by(row);
                to[..count].iter_mut().zip(from).for_each(|(to, v)| *to = *v);
            }
        }
    }
}

/// A right factor whose element `(r, c)` stands at `rows[r] + columns[c]`.
///
/// Columns that are neighbours in `data` are copied together. Where they are not all neighbours, `data` has [`COLUMNS`]
/// elements more than its last element needs.
#[derive(Clone, Copy)]
pub(super) struct Gather<'a> {
    pub(super) data: &'a [f32],
    pub(super) rows: &'a [usize],
    pub(super) columns: &'a [usize],
}

/// Elements behind a packed block, because short runs are copied with what stands behind them.
const SLACK: usize = COLUMNS;

impl Gather<'_> {
    /// Packs a block as panels `[depth][COLUMNS]`; columns beyond the last hold anything.
    pub(super) fn pack(&self, simd: Simd, depth: Range<usize>, columns: Range<usize>, buffer: &mut Vec<f32>) {
        let len = columns.len().div_ceil(COLUMNS) * COLUMNS * depth.len();
        let block = sized(buffer, len + SLACK);
        simd.run(PackBlock((self.data, &self.rows[depth], &self.columns[columns], block)));
    }
}

#[inline(always)]
fn pack_block((data, rows, columns, block): (&[f32], &[usize], &[usize], &mut [f32])) {
    let panel_len = rows.len() * COLUMNS;
    for (panel, columns) in columns.chunks(COLUMNS).enumerate() {
        // Where in the panel each run of neighbours begins, and in `data`.
        let mut runs = [(0, 0); COLUMNS];
        let mut count = 0;
        for (i, column) in columns.iter().enumerate() {
            if i == 0 || *column != columns[i - 1] + 1 {
                runs[count] = (i, *column);
                count += 1;
            }
        }
        let block = &mut block[panel * panel_len..][..panel_len + SLACK];
        if count == 1 {
            let (column, width) = (runs[0].1, columns.len());
            for (to, row) in block.as_chunks_mut::<COLUMNS>().0.iter_mut().zip(rows) {
                if width == COLUMNS {
                    to.copy_from_slice(&data[row + column..][..COLUMNS]);
                } else {
                    to[..width].iter_mut().zip(&data[row + column..]).for_each(|(to, v)| *to = *v);
                }
            }
        } else {
            for (r, row) in rows.iter().enumerate() {
                // Each run overwrites what the one before it copied too much.
                for (at, column) in &runs[..count] {
                    block[r * COLUMNS + at..][..COLUMNS].copy_from_slice(&data[row + column..][..COLUMNS]);
                }
            }
        }
    }
}

/// How much of the right factor is packed at once.
#[derive(Clone, Copy)]
pub(super) struct Blocks {
    /// Depth, at most.
    pub(super) depth: usize,
    /// Columns, a multiple of [`COLUMNS`].
    pub(super) columns: usize,
}

impl Blocks {
    /// A left factor that is used many times: 256 KiB, half of a usual second-level cache.
    pub(super) const USUAL: Blocks = Blocks { depth: 256, columns: 256 };
    /// Deep enough that most products are written once.
    pub(super) const DEEP: Blocks = Blocks { depth: 512, columns: 128 };
}

/// `product = lhs rhs`, or `product += lhs rhs` where `add`; row-major, rows `stride` apart.
pub(super) fn multiply(
    simd: Simd,
    lhs: Lhs<'_>,
    rhs: &Gather<'_>,
    blocks: Blocks,
    (product, stride): (&mut [f32], usize),
    add: bool,
) {
    let (depth, columns) = (rhs.rows.len(), rhs.columns.len());
    assert_eq!(depth, lhs.depth, "inner sizes differ");
    // Blocks of the same depth, none of them shallow.
    let block_depth = depth.div_ceil(depth.div_ceil(blocks.depth));
    BLOCK.with_borrow_mut(|buffer| {
        for first in (0..columns).step_by(blocks.columns) {
            let width = blocks.columns.min(columns - first);
            for from in (0..depth).step_by(block_depth) {
                let deep = block_depth.min(depth - from);
                rhs.pack(simd, from..from + deep, first..first + width, buffer);
                let add = add || from > 0;
                block(simd, lhs, from, (buffer, deep, width), (&mut product[first..], stride), add);
            }
        }
    });
}

/// `lhs` from depth `from` on by a packed block `(panels, depth, columns)`, as [`multiply`].
pub(super) fn block(
    simd: Simd,
    lhs: Lhs<'_>,
    from: usize,
    (rhs, depth, columns): (&[f32], usize, usize),
    (product, stride): (&mut [f32], usize),
    add: bool,
) {
    let Lhs { panels, rows, depth: lhs_depth } = lhs;
    simd.multiply(Panels { lhs: panels, rows, lhs_depth, from, rhs, depth, columns, product, stride, add });
}

impl<'a> Lhs<'a> {
    /// A left factor that lies packed in `panels`.
    pub(super) fn packed(panels: &'a [f32], rows: usize, depth: usize) -> Self {
        Lhs { panels, rows, depth }
    }

    /// `count` rows from row `first` on, a multiple of the height of a panel.
    pub(super) fn rows(self, simd: Simd, first: usize, count: usize) -> Lhs<'a> {
        assert!(first.is_multiple_of(simd.height()) && first + count <= self.rows, "rows of whole panels");
        Lhs { panels: &self.panels[first * self.depth..], rows: count, depth: self.depth }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::KeyedRng;

    /// Sums in binary64 of elements read one by one.
    fn expected(a: View<'_>, b: &Gather<'_>) -> Vec<f32> {
        let at = |r: usize, c: usize| -> f32 {
            let terms = (0..a.columns)
                .map(|p| f64::from(a.data[r * a.row + p * a.column]) * f64::from(b.data[b.rows[p] + b.columns[c]]));
            terms.sum::<f64>() as f32
        };
        (0..a.rows).flat_map(|r| (0..b.columns.len()).map(move |c| (r, c))).map(|(r, c)| at(r, c)).collect()
    }

    #[test]
    fn random_shapes_equal_sums_one_by_one() {
        let mut rng = KeyedRng::new(1, 2, 3, 4);
        for simd in Simd::all() {
            for _ in 0..60 {
                let [rows, depth, columns] = [30, 70, 60].map(|most| 1 + rng.below(most) as usize);
                let a: Vec<f32> = (0..rows * depth).map(|_| rng.normal()).collect();
                let data: Vec<f32> = (0..depth + 3 * columns + COLUMNS).map(|_| rng.normal()).collect();
                // Overlapping rows, columns in runs of random lengths.
                let at: Vec<usize> = (0..depth).collect();
                let mut column = 0;
                let runs: Vec<usize> = (0..columns)
                    .map(|_| {
                        column += if rng.below(4) == 0 { 3 } else { 1 };
                        column - 1
                    })
                    .collect();
                let rhs = Gather { data: &data, rows: &at, columns: &runs };
                let transposed = View::new(&a, depth, rows).transposed();
                for matrix in [View::new(&a, rows, depth), transposed] {
                    let mut lhs = Vec::new();
                    let lhs = pack(simd, matrix, &mut lhs);
                    let blocks = Blocks { depth: 1 + rng.below(80) as usize, columns: 16 + 16 * rng.below(3) as usize };
                    // Three elements between the rows, which must stay.
                    let stride = columns + 3;
                    let mut product = vec![7.0; rows * stride];
                    multiply(simd, lhs, &rhs, blocks, (&mut product, stride), false);
                    multiply(simd, lhs, &rhs, blocks, (&mut product, stride), true);
                    for (row, expected) in product.chunks_exact(stride).zip(expected(matrix, &rhs).chunks_exact(columns)) {
                        assert_eq!(row[columns..], [7.0; 3]);
                        assert!(row.iter().zip(expected).all(|(v, e)| (v - 2.0 * e).abs() < 1e-4), "{row:?} {expected:?}");
                    }
                }
            }
        }
    }
}
