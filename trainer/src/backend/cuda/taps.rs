//! The taps of a convolution, as tables that the kernels walk through; see pixels.cuh.

use super::sizes::{Divider, Pixels, narrow};
use crate::backend::ConvShape;
use crate::backend::raw::cuda::{Buffer, Gpu};
use cudarc::driver::DriverError;
use std::sync::Arc;

/// Rows and taps of packed weights fill up tiles of so many.
pub(super) const TILE: usize = 128;
/// Rows and columns of the small tile.
pub(super) const SMALL_TILE: usize = 64;
/// Far outside of every plane; as in common.cuh.
const FAR: i32 = -(1 << 30);

/// What the tables depend on: all of a shape but the batch and the ReLU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key([usize; 6], [u16; 10], usize);

impl Key {
    pub(super) fn of(shape: &ConvShape) -> Self {
        let ([c, h, w], [o, oh, ow], window) = (shape.input, shape.output, &shape.window);
        let ([kh, kw], [sy, sx], [dy, dx], [t, l, b, r]) = (window.kernel, window.stride, window.dilation, window.pads);
        Key([c, h, w, o, oh, ow], [kh, kw, sy, sx, dy, dx, t, l, b, r], shape.groups)
    }
}

/// A table on the GPU: `Tap`s of pixels.cuh, filled up to whole tiles.
#[derive(Debug)]
pub(super) struct Table {
    pub taps: Buffer,
    /// Taps that are none of the filling.
    pub count: usize,
}

impl Table {
    fn new(gpu: &Arc<Gpu>, mut taps: Vec<[i32; 4]>) -> Result<Self, DriverError> {
        let count = taps.len();
        taps.resize(count.next_multiple_of(TILE), [0, FAR, 0, -1]);
        Ok(Table { taps: gpu.upload(&taps)?, count })
    }

    /// The filling included.
    pub(super) fn depth(&self) -> usize {
        self.count.next_multiple_of(TILE)
    }
}

/// The pixels of the input that leave the same remainders by the strides, and their taps in the output.
#[derive(Debug)]
pub(super) struct Phase {
    pub table: Table,
    /// The first row and column.
    pub first: [usize; 2],
    /// Rows and columns.
    pub size: [usize; 2],
}

/// The tables of a convolution.
#[derive(Debug)]
pub(super) struct Taps {
    /// Taps of an output pixel in the input.
    pub forward: Table,
    /// Taps of input pixels in the output; phases without taps are left out.
    pub backward: Vec<Phase>,
}

impl Taps {
    pub(super) fn new(gpu: &Arc<Gpu>, shape: &ConvShape) -> Result<Self, DriverError> {
        let [height, width] = [shape.input[1], shape.input[2]].map(narrow);
        let out = [shape.output[1], shape.output[2]].map(narrow);
        let window = &shape.window;
        let [kernel, stride, dilation] = [window.kernel, window.stride, window.dilation].map(|pair| pair.map(i32::from));
        let [top, left] = [window.pads[0], window.pads[1]].map(i32::from);
        let positions = kernel[0] * kernel[1];
        let (group_in, group_out) = (narrow(shape.input[0] / shape.groups), narrow(shape.output[0] / shape.groups));
        let places = || (0..kernel[0]).flat_map(|ky| (0..kernel[1]).map(move |kx| (ky, kx)));

        let forward = (0..group_in).flat_map(|c| {
            places().map(move |(ky, kx)| {
                let (y, x) = (ky * dilation[0] - top, kx * dilation[1] - left);
                [(c * height + y) * width + x, y, x, c * positions + ky * kernel[1] + kx]
            })
        });
        let mut taps = Taps { forward: Table::new(gpu, forward.collect())?, backward: Vec::new() };
        for first_y in 0..stride[0].min(height) {
            for first_x in 0..stride[1].min(width) {
                let table = (0..group_out).flat_map(|o| {
                    places().filter_map(move |(ky, kx)| {
                        let (y, x) = (first_y + top - ky * dilation[0], first_x + left - kx * dilation[1]);
                        let hit = y % stride[0] == 0 && x % stride[1] == 0;
                        let (y, x) = (y / stride[0], x / stride[1]);
                        let weight = o * group_in * positions + ky * kernel[1] + kx;
                        hit.then_some([(o * out[0] + y) * out[1] + x, y, x, weight])
                    })
                });
                let table: Vec<[i32; 4]> = table.collect();
                if !table.is_empty() {
                    let count =
                        |len: i32, first: i32, stride: i32| ((len - first + stride - 1) / stride).unsigned_abs() as usize;
                    taps.backward.push(Phase {
                        table: Table::new(gpu, table)?,
                        first: [first_y, first_x].map(|n| n.unsigned_abs() as usize),
                        size: [count(height, first_y, stride[0]), count(width, first_x, stride[1])],
                    });
                }
            }
        }
        Ok(taps)
    }
}

/// Sizes of the forward pass.
pub(super) fn forward(shape: &ConvShape, table: &Table) -> Pixels {
    let ([c, h, w], [o, oh, ow]) = (shape.input, shape.output);
    let rows = o / shape.groups;
    let [stride_y, stride_x] = shape.window.stride.map(i32::from);
    Pixels {
        from_picture: (c * h * w) as i64,
        from_group: (c / shape.groups * h * w) as i64,
        to_picture: (o * oh * ow) as i64,
        to_group: (rows * oh * ow) as i64,
        plane: Divider::new(oh * ow),
        row: Divider::new(ow),
        count: narrow(shape.batch * oh * ow),
        rows: narrow(rows),
        packed_rows: narrow(rows.next_multiple_of(TILE)),
        packed_depth: narrow(table.depth()),
        depth: narrow(table.count),
        height: narrow(h),
        width: narrow(w),
        stride_y,
        stride_x,
        to_plane: narrow(oh * ow),
        to_width: narrow(ow),
        to_y: 0,
        to_x: 0,
        to_stride_y: 1,
        to_stride_x: 1,
        relu: i32::from(shape.relu),
    }
}

/// Sizes of one phase of the way back.
pub(super) fn backward(shape: &ConvShape, phase: &Phase) -> Pixels {
    let ([c, h, w], [o, oh, ow]) = (shape.input, shape.output);
    let rows = c / shape.groups;
    let [height, width] = phase.size;
    let [to_y, to_x] = phase.first.map(narrow);
    let [to_stride_y, to_stride_x] = shape.window.stride.map(i32::from);
    Pixels {
        from_picture: (o * oh * ow) as i64,
        from_group: (o / shape.groups * oh * ow) as i64,
        to_picture: (c * h * w) as i64,
        to_group: (rows * h * w) as i64,
        plane: Divider::new(height * width),
        row: Divider::new(width),
        count: narrow(shape.batch * height * width),
        rows: narrow(rows),
        packed_rows: narrow(rows.next_multiple_of(TILE)),
        packed_depth: narrow(phase.table.depth()),
        depth: narrow(phase.table.count),
        height: narrow(oh),
        width: narrow(ow),
        stride_y: 1,
        stride_x: 1,
        to_plane: narrow(h * w),
        to_width: narrow(w),
        to_y,
        to_x,
        to_stride_y,
        to_stride_x,
        relu: 0,
    }
}
