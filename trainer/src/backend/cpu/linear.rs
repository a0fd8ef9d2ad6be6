//! Fully connected layer.
//!
//! With few samples it is memory that takes the time: each pass goes over the weights once, in long runs.

use super::super::raw::simd::{COLUMNS, ROWS, Simd};
use super::super::{LayerGrads, LinearShape, Saved};
use super::pointwise::{Add, Mask, at_least, floor};
use super::product::{Blocks, Gather, View, block, multiply, pack};
use rayon::prelude::*;

/// The products of [`ROWS`] outputs and [`COLUMNS`] samples.
type Tile = [[f32; COLUMNS]; ROWS];

/// Inputs that are taken at once: this many of [`COLUMNS`] samples fit the first cache.
const DEPTH: usize = 256;

/// Groups of [`ROWS`] outputs that a thread takes at once.
const GROUPS: usize = 16;

pub(super) fn forward(shape: &LinearShape, simd: Simd, x: &[f32], weight: &[f32], bias: &[f32], y: &mut [f32]) {
    let (n, i, o) = (shape.batch, shape.inputs, shape.outputs);
    assert_eq!((x.len(), y.len(), weight.len(), bias.len()), (n * i, n * o, o * i, o));
    // Samples side by side: `[panel][input][COLUMNS]`, zeros beyond the last.
    let panels = n.div_ceil(COLUMNS);
    let mut samples = vec![0.0; panels * i * COLUMNS];
    samples.par_chunks_exact_mut(i * COLUMNS).zip(x.par_chunks(i * COLUMNS)).for_each(|(panel, x)| {
        for (s, x) in x.chunks_exact(i).enumerate() {
            panel.iter_mut().skip(s).step_by(COLUMNS).zip(x).for_each(|(to, v)| *to = *v);
        }
    });
    // `[group of outputs][panel]`
    let mut sums: Vec<Tile> = vec![[[0.0; COLUMNS]; ROWS]; o.div_ceil(ROWS) * panels];
    sums.par_chunks_mut(GROUPS * panels).enumerate().for_each(|(chunk, sums)| {
        for from in (0..i).step_by(DEPTH) {
            let depth = DEPTH.min(i - from);
            for (group, sums) in sums.chunks_exact_mut(panels).enumerate() {
                let first = (chunk * GROUPS + group) * ROWS;
                // Rows beyond the last are the last again; nobody reads their sums.
                let rows = std::array::from_fn(|r| &weight[(first + r).min(o - 1) * i + from..][..depth]);
                for (sums, panel) in sums.iter_mut().zip(samples.chunks_exact(i * COLUMNS)) {
                    simd.rows_by_panel(rows, &panel[from * COLUMNS..][..depth * COLUMNS], sums);
                }
            }
        }
    });
    let floor = floor(shape.relu);
    for (s, y) in y.chunks_exact_mut(o).enumerate() {
        let groups = sums.iter().skip(s / COLUMNS).step_by(panels);
        let sums = groups.flatten().map(|row| row[s % COLUMNS]);
        for ((y, bias), sum) in y.iter_mut().zip(bias).zip(sums) {
            *y = at_least(floor, sum + bias);
        }
    }
}

pub(super) fn backward(
    shape: &LinearShape,
    (simd, threads): (Simd, usize),
    saved: Saved<&[f32]>,
    gy: &mut [f32],
    grads: LayerGrads<&mut [f32]>,
) {
    let (n, o) = (shape.batch, shape.outputs);
    if shape.relu {
        simd.run(Mask((saved.y, &mut *gy)));
    }
    for row in gy.chunks_exact(o) {
        simd.run(Add((row, grads.bias)));
    }
    let gy = View::new(gy, n, o);
    weight_gradient(shape, simd, saved.x, gy, grads.weight);
    if let Some(gx) = grads.x {
        input_gradient(shape, (simd, threads), saved.weight, gy, gx);
    }
}

/// `gw += gy^T x`, each gradient read and written once.
fn weight_gradient(shape: &LinearShape, simd: Simd, x: &[f32], gy: View<'_>, gw: &mut [f32]) {
    let (n, i) = (shape.batch, shape.inputs);
    let (mut buffer, mut samples) = (Vec::new(), Vec::new());
    let lhs = pack(simd, gy.transposed(), &mut buffer);
    let (rows, columns): (Vec<usize>, Vec<usize>) = ((0..n).map(|s| s * i).collect(), (0..i).collect());
    Gather { data: x, rows: &rows, columns: &columns }.pack(simd, 0..n, 0..i, &mut samples);
    let height = 8 * simd.height();
    gw.par_chunks_mut(height * i).enumerate().for_each(|(chunk, gw)| {
        let lhs = lhs.rows(simd, chunk * height, gw.len() / i);
        // Columns whose samples stay in the second cache.
        let width = ((32 * 1024 / n).max(COLUMNS) / COLUMNS * COLUMNS).min(i.next_multiple_of(COLUMNS));
        for first in (0..i).step_by(width) {
            let rhs = (&samples[first * n..], n, width.min(i - first));
            block(simd, lhs, 0, rhs, (&mut gw[first..], i), true);
        }
    });
}

/// `gx += gy weight`, over shares of the inputs.
fn input_gradient(shape: &LinearShape, (simd, threads): (Simd, usize), weight: &[f32], gy: View<'_>, gx: &mut [f32]) {
    let (n, i, o) = (shape.batch, shape.inputs, shape.outputs);
    let mut buffer = Vec::new();
    let lhs = pack(simd, gy, &mut buffer);
    let rows: Vec<usize> = (0..o).map(|r| r * i).collect();
    // Rows of 4 KiB where there are so many inputs.
    let share = i.div_ceil(4 * threads).next_multiple_of(COLUMNS).max(1024);
    let mut shares = vec![0.0; i.div_ceil(share) * n * share];
    shares.par_chunks_exact_mut(n * share).enumerate().for_each(|(number, to)| {
        let first = number * share;
        let width = share.min(i - first);
        let columns: Vec<usize> = (first..first + width).collect();
        let rhs = Gather { data: weight, rows: &rows, columns: &columns };
        multiply(simd, lhs, &rhs, Blocks { depth: 64, columns: 1024 }, (to, share), false);
    });
    for (s, gx) in gx.chunks_exact_mut(i).enumerate() {
        for (gx, from) in gx.chunks_mut(share).zip(shares.chunks_exact(n * share)) {
            simd.run(Add((&from[s * share..], gx)));
        }
    }
}
