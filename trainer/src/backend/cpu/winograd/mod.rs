//! Winograd's minimal filtering F(4x4, 3x3) for convolutions with a 3x3 window and stride 1.
//!
//! A tile of 4x4 outputs takes 36 multiplications per pair of channels instead of 144 (Lavin and Gray, "Fast Algorithms for
//! Convolutional Neural Networks", 2015): `y = A^T [(G g G^T) * (B^T d B)] A`, where the products of all channels and tiles are
//! 36 matrix products. The way back is the derivative of the very same formula, so it needs no further algorithm. Sums differ
//! from the direct ones by about 1e-5 of the largest output.
//!
//! Pictures are interleaved, `[C, H, W, NB]`, and every transform works on [`LANES`] pictures at once.

mod tiling;
mod transforms;

use super::super::ConvShape;
use super::super::raw::simd::Simd;
use super::pointwise::floor;
use super::product::{Blocks, Gather, Lhs, View, block, multiply, pack, pack_into, pack_right, packed_len, sized};
use rayon::prelude::*;
use std::cell::RefCell;
use tiling::{Finish, FromPoints, Tiling, ToPoints};
pub(super) use transforms::LANES;
use transforms::{IN, InputToPoints, Lane, OUT, OutputToPoints, PointsToInput, PointsToOutput, PointsToWeight};
use transforms::{Transform, WeightToPoints, both_axes};

/// Products of a tile.
const POINTS: usize = IN * IN;

/// Whether a convolution is computed this way: few channels make the transforms dearer than what they save.
pub(super) fn applies(shape: &ConvShape) -> bool {
    let window = &shape.window;
    let square = window.kernel == [3, 3] && window.stride == [1, 1] && window.dilation == [1, 1];
    square && (shape.input[0] / shape.groups).min(shape.output[0] / shape.groups) >= 16
}

/// Tiles of an output plane: rows, columns.
fn tiles(shape: &ConvShape) -> [usize; 2] {
    [shape.output[1].div_ceil(OUT), shape.output[2].div_ceil(OUT)]
}

/// Pictures that share one matrix product: so many that it has 256 columns.
pub(super) fn pictures_per_product(shape: &ConvShape) -> usize {
    let [rows, columns] = tiles(shape);
    256_usize.div_ceil(rows * columns).next_power_of_two().clamp(LANES, 64)
}

/// Elements between the matrices of neighbouring points. Their sizes are multiples of large powers of two, and a transform
/// reads or writes all of them at the same place: without the gap all would want the same few lines of the caches.
const GAP: usize = 80;

thread_local! {
    /// Buffers of weights at the points that are not in use. They are large: fresh memory would cost as much as the transform.
    static SPARE: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// Calls `work` with a buffer, and keeps it for the next one who asks.
fn with_spare<R>(work: impl FnOnce(&mut Vec<f32>) -> R) -> R {
    let mut buffer = SPARE.with_borrow_mut(Vec::pop).unwrap_or_default();
    let result = work(&mut buffer);
    SPARE.with_borrow_mut(|spare| spare.push(buffer));
    result
}

/// The weights at the points, packed once for all pictures.
pub(super) struct Points {
    /// `[rows, depth]` of each group and point, one behind the other.
    panels: Vec<f32>,
    /// Elements of one of them.
    len: usize,
    /// Output channels of a group and channels of a picture's group, or the other way round for the way back.
    rows: usize,
    depth: usize,
}

impl Drop for Points {
    fn drop(&mut self) {
        let panels = std::mem::take(&mut self.panels);
        SPARE.with_borrow_mut(|spare| spare.push(panels));
    }
}

/// As many values as there are, then zeros.
#[inline(always)]
fn lane(values: &[f32]) -> Lane {
    match values.first_chunk() {
        Some(lane) => *lane,
        None => std::array::from_fn(|i| values.get(i).copied().unwrap_or(0.0)),
    }
}

/// The values from `at` on.
#[inline(always)]
fn full_lane(values: &[f32], at: usize) -> Lane {
    let lane: &[f32; LANES] = values[at..].first_chunk().expect("columns and pictures are multiples of a lane");
    *lane
}

impl Points {
    /// Transforms weights `[O, C, 3, 3]`; `C` is the number of channels of a group. The work is spread over the current thread
    /// pool.
    pub(super) fn of(simd: Simd, weight: &[f32], channels: usize, groups: usize, transposed: bool) -> Points {
        let row = POINTS * channels;
        let outputs = weight.len() / 9 / channels / groups;
        let (rows, depth) = if transposed { (channels, outputs) } else { (outputs, channels) };
        let len = packed_len(simd, rows, depth);
        let mut panels = SPARE.with_borrow_mut(Vec::pop).unwrap_or_default();
        with_spare(|buffer| {
            // `[O, 36, C]`, `O` over all groups.
            let data = sized(buffer, weight.len() / 9 * POINTS);
            let each = data.par_chunks_exact_mut(row).zip(weight.par_chunks_exact(9 * channels));
            each.for_each(|(points, weight)| simd.run(WeightPoints((channels, weight, points))));
            let data = &*data;
            let each = sized(&mut panels, groups * POINTS * len).par_chunks_exact_mut(len).enumerate();
            each.for_each(|(i, panels)| {
                let data = &data[i / POINTS * outputs * row + i % POINTS * channels..];
                let matrix = View { data, rows: outputs, columns: channels, row, column: 1 };
                pack_into(simd, if transposed { matrix.transposed() } else { matrix }, panels);
            });
        });
        Points { panels, len, rows, depth }
    }

    fn at(&self, group: usize, point: usize) -> Lhs<'_> {
        Lhs::packed(&self.panels[(group * POINTS + point) * self.len..][..self.len], self.rows, self.depth)
    }
}

vectorised!(WeightPoints((usize, &'a [f32], &'a mut [f32])) = weight_points);
vectorised!(AddWeightGradient((&'a [f32], usize, usize, &'a mut [f32])) = add_weight_gradient);

/// Weights `[C, 3, 3]` of an output channel to points `[36, C]`.
#[inline(always)]
fn weight_points((channels, weight, points): (usize, &[f32], &mut [f32])) {
    for first in (0..channels).step_by(LANES) {
        let count = LANES.min(channels - first);
        let mut tile = [[[0.0; LANES]; 3]; 3];
        for (i, taps) in weight[9 * first..9 * (first + count)].as_chunks::<9>().0.iter().enumerate() {
            for (k, tap) in taps.iter().enumerate() {
                tile[k / 3][k % 3][i] = *tap;
            }
        }
        let mut lanes = [[[0.0; LANES]; IN]; IN];
        both_axes(&tile, &mut lanes, WeightToPoints);
        for (point, lane) in lanes.as_flattened().iter().enumerate() {
            let to = &mut points[point * channels + first..][..count];
            to.iter_mut().zip(lane).for_each(|(to, v)| *to = *v);
        }
    }
}

/// Adds the gradient of the weights, given at the points as `[36, O, C]` with gaps, to `[O, C, 3, 3]`.
#[inline(always)]
fn add_weight_gradient((points, outputs, channels, gradient): (&[f32], usize, usize, &mut [f32])) {
    let plane = outputs * channels + GAP;
    for o in 0..outputs {
        for first in (0..channels).step_by(LANES) {
            let count = LANES.min(channels - first);
            let mut tile = [[[0.0; LANES]; IN]; IN];
            for (point, to) in tile.as_flattened_mut().iter_mut().enumerate() {
                *to = lane(&points[point * plane + o * channels + first..][..count]);
            }
            let mut taps = [[[0.0; LANES]; 3]; 3];
            both_axes(&tile, &mut taps, PointsToWeight);
            let gradient = &mut gradient[(o * channels + first) * 9..][..count * 9];
            for (k, lane) in taps.as_flattened().iter().enumerate() {
                for (gradient, g) in gradient.as_chunks_mut::<9>().0.iter_mut().zip(lane) {
                    gradient[k] += g;
                }
            }
        }
    }
}

/// Buffers a thread keeps from call to call.
#[derive(Default)]
pub(super) struct Buffers {
    input: Vec<f32>,
    output: Vec<f32>,
    weight: Vec<f32>,
    lhs: Vec<f32>,
    rhs: Vec<f32>,
}

/// One group of channels over some interleaved pictures.
pub(super) struct Group<'a> {
    pub(super) shape: &'a ConvShape,
    pub(super) simd: Simd,
    pub(super) pictures: usize,
    /// The group's number.
    pub(super) group: usize,
    pub(super) weight: &'a Points,
}

impl Group<'_> {
    fn channels(&self) -> (usize, usize) {
        (self.shape.input[0] / self.shape.groups, self.shape.output[0] / self.shape.groups)
    }

    /// `transform` of planes `[C, H, W, NB]`.
    fn points<'b, T: Transform<SIDE, IN>, const SIDE: usize>(
        &self,
        tiling: &Tiling,
        planes: &[f32],
        transform: T,
        buffer: &'b mut Vec<f32>,
    ) -> &'b mut [f32] {
        let channels = planes.len() / (tiling.plane[0] * tiling.plane[1] * self.pictures);
        let points = sized(buffer, POINTS * (channels * tiling.columns() + GAP));
        self.simd.run(ToPoints { tiling, planes, points: &mut *points, transform });
        points
    }

    /// Planes `[C, H, W, NB]` of the group to its outputs `[O, OH, OW, NB]`, with bias and, where there is one, the ReLU.
    pub(super) fn forward(&self, x: &[f32], y: &mut [f32], bias: &[f32], buffers: &mut Buffers) {
        let (inputs, outputs) = self.channels();
        let (simd, tiling) = (self.simd, Tiling::of_output(self.shape, self.pictures));
        let (columns, places) = (tiling.columns(), Places::new(inputs, tiling.columns()));
        let points = self.points(&Tiling::of_input(self.shape, self.pictures), x, InputToPoints, &mut buffers.input);
        let products = sized(&mut buffers.output, POINTS * (outputs * columns + GAP));
        let matrices = points.chunks_exact(inputs * columns + GAP).zip(products.chunks_exact_mut(outputs * columns + GAP));
        for (point, (input, product)) in matrices.enumerate() {
            let weight = self.weight.at(self.group, point);
            multiply(simd, weight, &places.gather(input), Blocks::DEEP, (product, columns), false);
        }
        let bias = &bias[self.group * outputs..];
        let finish = Finish::Activate { bias, floor: floor(self.shape.relu) };
        simd.run(FromPoints { tiling: &tiling, points: products, planes: y, finish, transform: PointsToOutput });
    }

    /// Adds to the gradient `gw` of the group's weights `[O, C, 3, 3]` and, where asked for, to that of its planes; the weights
    /// are given transposed.
    pub(super) fn backward(&self, x: &[f32], gy: &[f32], gw: &mut [f32], gx: Option<&mut [f32]>, buffers: &mut Buffers) {
        let (inputs, outputs) = self.channels();
        let (simd, tiling) = (self.simd, Tiling::of_input(self.shape, self.pictures));
        let (columns, places) = (tiling.columns(), Places::new(outputs, tiling.columns()));
        let of_output = Tiling::of_output(self.shape, self.pictures);
        let products = self.points(&of_output, gy, OutputToPoints, &mut buffers.output);
        let points = self.points(&tiling, x, InputToPoints, &mut buffers.input);
        let weight = sized(&mut buffers.weight, POINTS * (outputs * inputs + GAP));
        let matrices = points.chunks_exact_mut(inputs * columns + GAP).zip(products.chunks_exact(outputs * columns + GAP));
        for (point, (input, product)) in matrices.enumerate() {
            let gradient = &mut weight[point * (outputs * inputs + GAP)..][..outputs * inputs];
            let lhs = pack(simd, View::new(product, outputs, columns), &mut buffers.lhs);
            // Channels whose points stay in the second cache.
            for first in (0..inputs).step_by(CHANNELS) {
                let count = CHANNELS.min(inputs - first);
                let taken = View::new(&input[first * columns..], count, columns);
                let rhs = (pack_right(simd, taken, &mut buffers.rhs), columns, count);
                block(simd, lhs, 0, rhs, (&mut gradient[first..], inputs), false);
            }
            if gx.is_some() {
                // The input at this point has done its part: its gradient takes its place.
                let weight = self.weight.at(self.group, point);
                multiply(simd, weight, &places.gather(product), Blocks::DEEP, (input, columns), false);
            }
        }
        simd.run(AddWeightGradient((weight, outputs, inputs, gw)));
        if let Some(planes) = gx {
            let finish = Finish::Add;
            simd.run(FromPoints { tiling: &tiling, points, planes, finish, transform: PointsToInput });
        }
    }
}

/// Channels whose points are a right factor at once.
const CHANNELS: usize = 128;

/// Where the elements of a row-major matrix lie.
struct Places {
    rows: Vec<usize>,
    columns: Vec<usize>,
}

impl Places {
    fn new(rows: usize, columns: usize) -> Self {
        Places { rows: (0..rows).map(|r| r * columns).collect(), columns: (0..columns).collect() }
    }

    fn gather<'a>(&'a self, data: &'a [f32]) -> Gather<'a> {
        Gather { data, rows: &self.rows, columns: &self.columns }
    }
}
