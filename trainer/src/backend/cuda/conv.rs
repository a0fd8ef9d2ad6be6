//! Convolution and fully connected layers.

use super::sizes::{Divider, Pixels, Weights, narrow};
use super::taps::{self, Key, SMALL_TILE, TILE, Table, Taps};
use super::{CudaBackend, blocks};
use crate::backend::raw::cuda::{Buffer, Product, Read, Write, args};
use crate::backend::{ConvShape, LayerGrads, LinearShape, Saved};
use cudarc::driver::DriverError;
use dfdx::prelude::CudaError;
use std::sync::{Arc, PoisonError};

/// Large tiles below this number leave many of a GPU's processors idle: then small ones do.
const ENOUGH_TILES: usize = 128;
/// Blocks that a sum over pixels is shared out to.
const ENOUGH_BLOCKS: usize = 256;
/// Pixels of a part of such a sum, at least; shorter parts cost more to add up than they save.
const LEAST_SHARE: usize = 512;
/// And at most: so many sums in a row lose little precision.
const MOST_SHARE: usize = 32768;
/// Rows of a group below which a tile would stand empty.
const FEW_ROWS: usize = 5;
/// Weights of a group below which a tile would stand empty.
const FEW_WEIGHTS: usize = 257;

/// Which tile, and the name it gives the kernel.
fn tile(large: bool) -> (usize, &'static str) {
    if large { (TILE, "") } else { (SMALL_TILE, "small_") }
}

/// How many parts `count` elements are cut into, and how many make one: as many as give `wanted` blocks where one part has
/// `blocks`.
fn parts(count: usize, blocks: usize, wanted: usize) -> (usize, usize) {
    let parts = (wanted / blocks.max(1)).clamp(1, count.div_ceil(LEAST_SHARE).max(1));
    let share = count.div_ceil(parts.max(count.div_ceil(MOST_SHARE))).next_multiple_of(16).max(16);
    (count.div_ceil(share).max(1), share)
}

impl CudaBackend {
    fn taps(&self, shape: &ConvShape) -> Result<Arc<Taps>, DriverError> {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taps) = tables.get(&Key::of(shape)) {
            return Ok(Arc::clone(taps));
        }
        let taps = Arc::new(Taps::new(&self.gpu, shape)?);
        tables.insert(Key::of(shape), Arc::clone(&taps));
        Ok(taps)
    }

    pub(super) fn convolve(
        &self,
        shape: &ConvShape,
        x: Read<'_>,
        weight: Read<'_>,
        bias: Read<'_>,
        y: &Write<'_>,
    ) -> Result<(), DriverError> {
        let (input, output): (usize, usize) = (shape.input.iter().product(), shape.output.iter().product());
        assert_eq!((x.len(), y.len()), (shape.batch * input, shape.batch * output));
        let taps = self.taps(shape)?;
        let row = taps.forward.count;
        assert_eq!((weight.len(), bias.len()), (shape.output[0] * row, shape.output[0]));
        let group = shape.output[0] / shape.groups * row;
        let sizes = taps::forward(shape, &taps.forward);
        self.pixels(shape.groups, sizes, x, (weight, group, row), &taps.forward, Some(bias), y)
    }

    /// One launch over pixels. `weight` comes with the elements of a group of it and of a row.
    #[allow(clippy::too_many_arguments)]
    fn pixels(
        &self,
        groups: usize,
        sizes: Pixels,
        from: Read<'_>,
        (weight, group, row): (Read<'_>, usize, usize),
        table: &Table,
        bias: Option<Read<'_>>,
        to: &Write<'_>,
    ) -> Result<(), DriverError> {
        let (count, rows) = (sizes.count.unsigned_abs() as usize, sizes.rows.unsigned_abs() as usize);
        let (group, row) = (narrow(group), narrow(row));
        if rows < FEW_ROWS {
            let grid = [blocks(count), rows, groups];
            return self.gpu.launch("conv_pixels_direct", grid, &args![sizes, from, weight, table.taps, group, row, bias, to]);
        }
        let (packed_rows, depth) = (rows.next_multiple_of(TILE), table.depth());
        let packed = self.gpu.scratch::<f32>(groups * packed_rows * depth)?;
        let grid = [blocks(packed_rows * depth), 1, groups];
        let arguments = args![weight, table.taps, group, row, sizes.rows, sizes.packed_rows, sizes.packed_depth, packed];
        self.gpu.launch("pack_weights", grid, &arguments)?;
        let tiles = |side: usize| rows.div_ceil(side) * count.div_ceil(side);
        let (side, size) = tile(rows > SMALL_TILE && tiles(TILE) * groups >= ENOUGH_TILES);
        let name = format!("conv_pixels_{size}{}", self.precision);
        self.gpu.launch(&name, [tiles(side), 1, groups], &args![sizes, from, packed, table.taps, bias, to])
    }

    pub(super) fn convolve_back(
        &self,
        shape: &ConvShape,
        saved: Saved<Read<'_>>,
        gy: Write<'_>,
        grads: LayerGrads<Write<'_>>,
    ) -> Result<(), DriverError> {
        let taps = self.taps(shape)?;
        let [channels, height, width] = shape.output;
        let y = shape.relu.then_some(saved.y);
        self.bias_gradient((shape.batch, channels, height * width), y, &gy, &grads.bias)?;
        self.weight_gradient(shape, &taps.forward, saved.x, gy.read(), &grads.weight)?;
        let Some(gx) = grads.x else {
            return Ok(());
        };
        let positions = shape.window.kernel.map(usize::from).iter().product();
        let group = shape.output[0] / shape.groups * taps.forward.count;
        for phase in &taps.backward {
            let sizes = taps::backward(shape, phase);
            self.pixels(shape.groups, sizes, gy.read(), (saved.weight, group, positions), &phase.table, None, &gx)?;
        }
        Ok(())
    }

    fn weight_gradient(
        &self,
        shape: &ConvShape,
        table: &Table,
        x: Read<'_>,
        gy: Read<'_>,
        gw: &Write<'_>,
    ) -> Result<(), DriverError> {
        let ([c, h, w], [o, oh, ow], groups) = (shape.input, shape.output, shape.groups);
        let (rows, count) = (o / groups, shape.batch * oh * ow);
        let few = rows * table.count < FEW_WEIGHTS;
        let (side, size) = tile(rows > SMALL_TILE && table.count > SMALL_TILE);
        let tiles = if few { rows * table.count } else { rows.div_ceil(side) * table.count.div_ceil(side) };
        let (parts, share) = parts(count, tiles * groups, if few { 4 * ENOUGH_BLOCKS } else { ENOUGH_BLOCKS });
        let [stride_y, stride_x] = shape.window.stride.map(i32::from);
        let sizes = Weights {
            picture: (c * h * w) as i64,
            group: (c / groups * h * w) as i64,
            gradient_picture: (o * oh * ow) as i64,
            part: gw.len() as i64,
            plane: Divider::new(oh * ow),
            row: Divider::new(ow),
            count: narrow(count),
            share: narrow(share),
            rows: narrow(rows),
            taps: narrow(table.count),
            height: narrow(h),
            width: narrow(w),
            stride_y,
            stride_x,
        };
        let sums = self.gpu.scratch::<f32>(parts * gw.len())?;
        let name = if few { "conv_weights_direct".to_owned() } else { format!("conv_weights_{size}{}", self.precision) };
        self.gpu.launch(&name, [tiles, parts, groups], &args![sizes, x, gy, table.taps, sums])?;
        self.sum_parts(&sums, parts, gw)
    }

    fn sum_parts(&self, sums: &Buffer, parts: usize, to: &Write<'_>) -> Result<(), DriverError> {
        self.gpu.launch("sum_parts", [blocks(to.len()), 1, 1], &args![sums, narrow(parts), to.len(), to])
    }

    /// Of `gy` `[batch, channels, plane]`. With the output `y` of a fused ReLU, what it did not let through is taken away in
    /// `gy`.
    fn bias_gradient(
        &self,
        (batch, channels, plane): (usize, usize, usize),
        y: Option<Read<'_>>,
        gy: &Write<'_>,
        gb: &Write<'_>,
    ) -> Result<(), DriverError> {
        assert_eq!((gy.len(), gb.len()), (batch * channels * plane, channels));
        let (count, channels_32) = (batch * plane, narrow(channels));
        let columns = if plane == 1 { blocks(channels) } else { channels };
        let (parts, share) = parts(count, columns, 4 * ENOUGH_BLOCKS);
        let sums = self.gpu.scratch::<f32>(parts * channels)?;
        let (count, share) = (narrow(count), narrow(share));
        let grid = [columns, parts, 1];
        if plane == 1 {
            self.gpu.launch("bias_gradient_rows", grid, &args![count, share, channels_32, y, gy, sums])?;
        } else {
            self.gpu.launch("bias_gradient", grid, &args![count, share, Divider::new(plane), channels_32, y, gy, sums])?;
        }
        self.sum_parts(&sums, parts, gb)
    }

    pub(super) fn linear(
        &self,
        shape: &LinearShape,
        x: Read<'_>,
        weight: Read<'_>,
        bias: Read<'_>,
        y: &Write<'_>,
    ) -> Result<(), CudaError> {
        let (n, i, o) = (shape.batch, shape.inputs, shape.outputs);
        let product =
            Product { rows: o, columns: n, depth: i, a: (weight, true), b: (x, false), add: false, precision: self.precision };
        self.gpu.multiply(&product, y)?;
        // Elements are counted in 31 bits.
        let len = narrow(y.len()).unsigned_abs() as usize;
        Ok(self.gpu.launch("bias_relu", [blocks(len), 1, 1], &args![len, Divider::new(o), bias, i32::from(shape.relu), y])?)
    }

    pub(super) fn linear_back(
        &self,
        shape: &LinearShape,
        saved: Saved<Read<'_>>,
        gy: Write<'_>,
        grads: LayerGrads<Write<'_>>,
    ) -> Result<(), CudaError> {
        let (n, i, o) = (shape.batch, shape.inputs, shape.outputs);
        self.bias_gradient((n, o, 1), shape.relu.then_some(saved.y), &gy, &grads.bias)?;
        let (gy, precision) = (gy.read(), self.precision);
        let weight = Product { rows: i, columns: o, depth: n, a: (saved.x, false), b: (gy, true), add: true, precision };
        self.gpu.multiply(&weight, &grads.weight)?;
        if let Some(gx) = &grads.x {
            let input =
                Product { rows: i, columns: n, depth: o, a: (saved.weight, false), b: (gy, false), add: true, precision };
            self.gpu.multiply(&input, gx)?;
        }
        Ok(())
    }
}
