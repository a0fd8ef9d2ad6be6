//! Winograd's minimal filtering F(4x4, 3x3) for convolutions with a 3x3 window and stride 1.
//!
//! A tile of 4x4 outputs takes 36 multiplications per pair of channels instead of 144 (Lavin and Gray, "Fast Algorithms for
//! Convolutional Neural Networks", 2015): `y = A^T [(G g G^T) * (B^T d B)] A`, where the products of all channels and tiles are
//! 36 matrix products. The way back is the derivative of the very same formula, so it needs no further algorithm. Sums differ
//! from the direct ones by about 1e-5 of the largest output.
//!
//! Pictures are interleaved, `[C, H, W, NB]`, and every transform works on [`LANES`] pictures at once.

use super::super::ConvShape;
use super::super::raw::{Matrix, matmul};

/// Pictures (or, for weights, input channels) that a transform works on at once.
pub(super) const LANES: usize = 8;
/// Side of an output tile.
const OUT: usize = 4;
/// Side of an input tile.
const IN: usize = 6;
/// Products of a tile.
const POINTS: usize = IN * IN;

type Lane = [f32; LANES];

/// `factor_a a + factor_b b`.
fn mix<const N: usize>(terms: [(f32, &Lane); N]) -> Lane {
    let mut sum = [0.0; LANES];
    for (factor, lane) in terms {
        for (s, v) in sum.iter_mut().zip(lane) {
            *s += factor * v;
        }
    }
    sum
}

/// `B^T d`: 6 inputs to 6 points.
fn input_to_points(d: [Lane; IN]) -> [Lane; IN] {
    let [d0, d1, d2, d3, d4, d5] = &d;
    let (even, odd) = (mix([(1.0, d4), (-4.0, d2)]), mix([(1.0, d3), (-4.0, d1)]));
    let (even2, odd2) = (mix([(1.0, d4), (-1.0, d2)]), mix([(2.0, d3), (-2.0, d1)]));
    [
        mix([(4.0, d0), (-5.0, d2), (1.0, d4)]),
        mix([(1.0, &even), (1.0, &odd)]),
        mix([(1.0, &even), (-1.0, &odd)]),
        mix([(1.0, &even2), (1.0, &odd2)]),
        mix([(1.0, &even2), (-1.0, &odd2)]),
        mix([(4.0, d1), (-5.0, d3), (1.0, d5)]),
    ]
}

/// `B p`, the transpose of [`input_to_points`].
fn points_to_input(p: [Lane; IN]) -> [Lane; IN] {
    let [p0, p1, p2, p3, p4, p5] = &p;
    let (sum, difference) = (mix([(1.0, p1), (1.0, p2)]), mix([(1.0, p1), (-1.0, p2)]));
    let (sum2, difference2) = (mix([(1.0, p3), (1.0, p4)]), mix([(1.0, p3), (-1.0, p4)]));
    [
        mix([(4.0, p0)]),
        mix([(-4.0, &difference), (-2.0, &difference2), (4.0, p5)]),
        mix([(-5.0, p0), (-4.0, &sum), (-1.0, &sum2)]),
        mix([(1.0, &difference), (2.0, &difference2), (-5.0, p5)]),
        mix([(1.0, p0), (1.0, &sum), (1.0, &sum2)]),
        *p5,
    ]
}

/// `A^T p`: 6 points to 4 outputs.
fn points_to_output(p: [Lane; IN]) -> [Lane; OUT] {
    let [p0, p1, p2, p3, p4, p5] = &p;
    let (sum, difference) = (mix([(1.0, p1), (1.0, p2)]), mix([(1.0, p1), (-1.0, p2)]));
    let (sum2, difference2) = (mix([(1.0, p3), (1.0, p4)]), mix([(1.0, p3), (-1.0, p4)]));
    [
        mix([(1.0, p0), (1.0, &sum), (1.0, &sum2)]),
        mix([(1.0, &difference), (2.0, &difference2)]),
        mix([(1.0, &sum), (4.0, &sum2)]),
        mix([(1.0, &difference), (8.0, &difference2), (1.0, p5)]),
    ]
}

/// `A y`, the transpose of [`points_to_output`].
fn output_to_points(y: [Lane; OUT]) -> [Lane; IN] {
    let [y0, y1, y2, y3] = &y;
    let (even, odd) = (mix([(1.0, y0), (1.0, y2)]), mix([(1.0, y1), (1.0, y3)]));
    let (even2, odd2) = (mix([(1.0, y0), (4.0, y2)]), mix([(2.0, y1), (8.0, y3)]));
    [
        *y0,
        mix([(1.0, &even), (1.0, &odd)]),
        mix([(1.0, &even), (-1.0, &odd)]),
        mix([(1.0, &even2), (1.0, &odd2)]),
        mix([(1.0, &even2), (-1.0, &odd2)]),
        *y3,
    ]
}

/// `G g`: 3 weights to 6 points.
fn weight_to_points(g: [Lane; 3]) -> [Lane; IN] {
    let [g0, g1, g2] = &g;
    let (even, odd) = (mix([(-1.0 / 6.0, g0), (-1.0 / 6.0, g2)]), mix([(1.0 / 6.0, g1)]));
    let (even2, odd2) = (mix([(1.0 / 24.0, g0), (1.0 / 6.0, g2)]), mix([(1.0 / 12.0, g1)]));
    [
        mix([(0.25, g0)]),
        mix([(1.0, &even), (-1.0, &odd)]),
        mix([(1.0, &even), (1.0, &odd)]),
        mix([(1.0, &even2), (1.0, &odd2)]),
        mix([(1.0, &even2), (-1.0, &odd2)]),
        *g2,
    ]
}

/// `G^T p`, the transpose of [`weight_to_points`].
fn points_to_weight(p: [Lane; IN]) -> [Lane; 3] {
    let [p0, p1, p2, p3, p4, p5] = &p;
    let (sum, difference) = (mix([(1.0, p1), (1.0, p2)]), mix([(1.0, p2), (-1.0, p1)]));
    let (sum2, difference2) = (mix([(1.0, p3), (1.0, p4)]), mix([(1.0, p3), (-1.0, p4)]));
    [
        mix([(0.25, p0), (-1.0 / 6.0, &sum), (1.0 / 24.0, &sum2)]),
        mix([(1.0 / 6.0, &difference), (1.0 / 12.0, &difference2)]),
        mix([(-1.0 / 6.0, &sum), (1.0 / 6.0, &sum2), (1.0, p5)]),
    ]
}

/// Applies a transform to the columns of a tile, then to its rows: `T d T^T`.
fn both_axes<const FROM: usize, const TO: usize>(
    tile: &[[Lane; FROM]; FROM],
    transform: impl Fn([Lane; FROM]) -> [Lane; TO],
) -> [[Lane; TO]; TO] {
    // `half[x]` is column `x` transformed.
    let half: [[Lane; TO]; FROM] = std::array::from_fn(|x| transform(std::array::from_fn(|y| tile[y][x])));
    std::array::from_fn(|y| transform(std::array::from_fn(|x| half[x][y])))
}

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

/// The weights of one group at the points.
pub(super) struct Points {
    /// `[O, 36, C]` of all groups, `O` over all of them.
    data: Vec<f32>,
    channels: usize,
}

fn lane(values: &[f32]) -> Lane {
    let mut lane = [0.0; LANES];
    lane[..values.len()].copy_from_slice(values);
    lane
}

impl Points {
    /// Transforms weights `[O, C, 3, 3]`; `C` is the number of channels of a group. Output channels are spread over the current
    /// thread pool.
    pub(super) fn of(weight: &[f32], channels: usize) -> Points {
        use rayon::prelude::*;
        let mut data = vec![0.0; weight.len() / 9 * POINTS];
        let rows = data.par_chunks_exact_mut(POINTS * channels).zip(weight.par_chunks_exact(9 * channels));
        rows.for_each(|(points, weight)| {
            for first in (0..channels).step_by(LANES) {
                let count = LANES.min(channels - first);
                let mut tile = [[[0.0; LANES]; 3]; 3];
                for (i, taps) in weight[9 * first..9 * (first + count)].as_chunks::<9>().0.iter().enumerate() {
                    for (k, tap) in taps.iter().enumerate() {
                        tile[k / 3][k % 3][i] = *tap;
                    }
                }
                // Rows are weighted first here; the order does not matter.
                let half: [[Lane; IN]; 3] = std::array::from_fn(|x| weight_to_points(std::array::from_fn(|y| tile[y][x])));
                for y in 0..IN {
                    for (x, lane) in weight_to_points(std::array::from_fn(|x| half[x][y])).iter().enumerate() {
                        points[(y * IN + x) * channels + first..][..count].copy_from_slice(&lane[..count]);
                    }
                }
            }
        });
        Points { data, channels }
    }

    /// `[O, C]` of one point and the output channels `[first, first + count)`.
    fn at(&self, point: usize, first: usize, count: usize) -> Matrix<'_> {
        let row = POINTS * self.channels;
        Matrix::new(&self.data[first * row + point * self.channels..], count, self.channels, row)
    }
}

/// Adds the gradient of the weights, given at the points as `[36, O, C]`, to `[O, C, 3, 3]`.
fn add_weight_gradient(points: &[f32], outputs: usize, channels: usize, gradient: &mut [f32]) {
    let plane = outputs * channels;
    for o in 0..outputs {
        for first in (0..channels).step_by(LANES) {
            let count = LANES.min(channels - first);
            let at = |y: usize, x: usize| lane(&points[(y * IN + x) * plane + o * channels + first..][..count]);
            let half: [[Lane; 3]; IN] = std::array::from_fn(|x| points_to_weight(std::array::from_fn(|y| at(y, x))));
            let gradient = &mut gradient[(o * channels + first) * 9..][..count * 9];
            for y in 0..3 {
                for (x, lane) in points_to_weight(std::array::from_fn(|x| half[x][y])).iter().enumerate() {
                    for (i, taps) in gradient.as_chunks_mut::<9>().0.iter_mut().enumerate() {
                        taps[y * 3 + x] += lane[i];
                    }
                }
            }
        }
    }
}

/// Interleaved planes cut into tiles.
struct Tiling {
    /// Height and width of a plane.
    plane: [usize; 2],
    /// Tiles of a plane: rows, columns.
    tiles: [usize; 2],
    /// How far up and left of the plane the first tile begins.
    pads: [usize; 2],
    /// Pictures.
    pictures: usize,
}

impl Tiling {
    fn of_input(shape: &ConvShape, pictures: usize) -> Self {
        let pads = [shape.window.pads[0] as usize, shape.window.pads[1] as usize];
        Tiling { plane: [shape.input[1], shape.input[2]], tiles: tiles(shape), pads, pictures }
    }

    fn of_output(shape: &ConvShape, pictures: usize) -> Self {
        Tiling { plane: [shape.output[1], shape.output[2]], tiles: tiles(shape), pads: [0, 0], pictures }
    }

    /// Columns of the matrix products.
    fn columns(&self) -> usize {
        self.tiles[0] * self.tiles[1] * self.pictures
    }

    /// Calls `visit(place)` for every tile and every [`LANES`] pictures.
    fn each(&self, mut visit: impl FnMut(Place)) {
        for tile_y in 0..self.tiles[0] {
            for tile_x in 0..self.tiles[1] {
                for picture in (0..self.pictures).step_by(LANES) {
                    let column = (tile_y * self.tiles[1] + tile_x) * self.pictures + picture;
                    visit(Place { top: tile_y * OUT, left: tile_x * OUT, picture, column });
                }
            }
        }
    }

    /// Where pixel `(y, x)` of a tile stands in its plane of `[H, W, NB]`, if inside.
    fn pixel(&self, place: &Place, y: usize, x: usize) -> Option<usize> {
        let y = (place.top + y).checked_sub(self.pads[0]).filter(|y| *y < self.plane[0])?;
        let x = (place.left + x).checked_sub(self.pads[1]).filter(|x| *x < self.plane[1])?;
        Some((y * self.plane[1] + x) * self.pictures + place.picture)
    }

    /// The tile; pixels outside are 0.
    fn read<const SIDE: usize>(&self, place: &Place, plane: &[f32]) -> [[Lane; SIDE]; SIDE] {
        let pixel = |y, x| self.pixel(place, y, x).map_or([0.0; LANES], |at| lane(&plane[at..at + LANES]));
        std::array::from_fn(|y| std::array::from_fn(|x| pixel(y, x)))
    }

    /// Hands every pixel of the tile inside the plane to `put`.
    fn write<const SIDE: usize>(
        &self,
        place: &Place,
        tile: &[[Lane; SIDE]; SIDE],
        plane: &mut [f32],
        put: impl Fn(&mut f32, f32),
    ) {
        for (y, row) in tile.iter().enumerate() {
            for (x, lane) in row.iter().enumerate() {
                if let Some(at) = self.pixel(place, y, x) {
                    for (pixel, value) in plane[at..at + LANES].iter_mut().zip(lane) {
                        put(pixel, *value);
                    }
                }
            }
        }
    }
}

/// A tile and some pictures.
struct Place {
    top: usize,
    left: usize,
    picture: usize,
    /// The first column of the matrix products it stands in.
    column: usize,
}

/// Planes `[C, H, W, NB]` to points `[36, C, columns]`, tiles of `SIDE` pixels by way of `transform`.
fn to_points<const SIDE: usize>(
    tiling: &Tiling,
    planes: &[f32],
    points: &mut [f32],
    transform: impl Fn([Lane; SIDE]) -> [Lane; IN],
) {
    let plane_len = tiling.plane[0] * tiling.plane[1] * tiling.pictures;
    let columns = tiling.columns();
    let stride = planes.len() / plane_len * columns;
    for (c, plane) in planes.chunks_exact(plane_len).enumerate() {
        tiling.each(|place| {
            let tile = both_axes(&tiling.read::<SIDE>(&place, plane), &transform);
            for (point, lane) in tile.as_flattened().iter().enumerate() {
                points[point * stride + c * columns + place.column..][..LANES].copy_from_slice(lane);
            }
        });
    }
}

/// Points `[36, C, columns]` to planes `[C, H, W, NB]`, each pixel handed to `put` with its channel.
fn from_points<const SIDE: usize>(
    tiling: &Tiling,
    points: &[f32],
    planes: &mut [f32],
    transform: impl Fn([Lane; IN]) -> [Lane; SIDE],
    put: impl Fn(usize, &mut f32, f32),
) {
    let plane_len = tiling.plane[0] * tiling.plane[1] * tiling.pictures;
    let columns = tiling.columns();
    let stride = planes.len() / plane_len * columns;
    for (c, plane) in planes.chunks_exact_mut(plane_len).enumerate() {
        tiling.each(|place| {
            let at = |point: usize| lane(&points[point * stride + c * columns + place.column..][..LANES]);
            let tile = std::array::from_fn(|y| std::array::from_fn(|x| at(y * IN + x)));
            tiling.write(&place, &both_axes(&tile, &transform), plane, |pixel, v| put(c, pixel, v));
        });
    }
}

/// Buffers a thread keeps from call to call.
#[derive(Default)]
pub(super) struct Buffers {
    input: Vec<f32>,
    output: Vec<f32>,
    weight: Vec<f32>,
}

fn sized(buffer: &mut Vec<f32>, len: usize) -> &mut [f32] {
    if buffer.len() < len {
        buffer.resize(len, 0.0);
    }
    &mut buffer[..len]
}

/// One group of channels over some interleaved pictures.
pub(super) struct Group<'a> {
    pub(super) shape: &'a ConvShape,
    pub(super) pictures: usize,
    /// The group's number.
    pub(super) group: usize,
    pub(super) weight: &'a Points,
}

impl Group<'_> {
    fn channels(&self) -> (usize, usize) {
        (self.shape.input[0] / self.shape.groups, self.shape.output[0] / self.shape.groups)
    }

    fn input_points<'a>(&self, x: &[f32], buffer: &'a mut Vec<f32>) -> &'a mut [f32] {
        let tiling = Tiling::of_input(self.shape, self.pictures);
        let points = sized(buffer, POINTS * self.channels().0 * tiling.columns());
        to_points::<IN>(&tiling, x, points, input_to_points);
        points
    }

    /// Planes `[C, H, W, NB]` of the group to its outputs `[O, OH, OW, NB]`, each finished by `activate(channel, sum)`.
    pub(super) fn forward(&self, x: &[f32], y: &mut [f32], activate: impl Fn(usize, f32) -> f32, buffers: &mut Buffers) {
        let (inputs, outputs) = self.channels();
        let tiling = Tiling::of_output(self.shape, self.pictures);
        let columns = tiling.columns();
        let points = self.input_points(x, &mut buffers.input);
        let products = sized(&mut buffers.output, POINTS * outputs * columns);
        for (point, product) in products.chunks_exact_mut(outputs * columns).enumerate() {
            let input = Matrix::new(&points[point * inputs * columns..], inputs, columns, columns);
            matmul(product, false, self.weight.at(point, self.group * outputs, outputs), input, 1);
        }
        let put = |c: usize, y: &mut f32, v: f32| *y = activate(self.group * outputs + c, v);
        from_points::<OUT>(&tiling, products, y, points_to_output, put);
    }

    /// Adds to the gradient `gw` of the group's weights `[O, C, 3, 3]` and, where asked for, to that of its planes.
    pub(super) fn backward(&self, x: &[f32], gy: &[f32], gw: &mut [f32], gx: Option<&mut [f32]>, buffers: &mut Buffers) {
        let (inputs, outputs) = self.channels();
        let tiling = Tiling::of_output(self.shape, self.pictures);
        let columns = tiling.columns();
        let products = sized(&mut buffers.output, POINTS * outputs * columns);
        to_points::<OUT>(&tiling, gy, products, output_to_points);
        let points = self.input_points(x, &mut buffers.input);
        let weight = sized(&mut buffers.weight, POINTS * outputs * inputs);
        for (point, product) in products.chunks_exact(outputs * columns).enumerate() {
            let product = Matrix::new(product, outputs, columns, columns);
            let input = &mut points[point * inputs * columns..][..inputs * columns];
            let gradient = &mut weight[point * outputs * inputs..][..outputs * inputs];
            matmul(gradient, false, product, Matrix::new(input, inputs, columns, columns).transposed(), 1);
            if gx.is_some() {
                // The input at this point has done its part: its gradient takes its place.
                matmul(input, false, self.weight.at(point, self.group * outputs, outputs).transposed(), product, 1);
            }
        }
        add_weight_gradient(weight, outputs, inputs, gw);
        if let Some(gx) = gx {
            let tiling = Tiling::of_input(self.shape, self.pictures);
            from_points::<IN>(&tiling, points, gx, points_to_input, |_, gx, g| *gx += g);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One dimension, by hand: `A^T [(G g) * (B^T d)]` is the correlation of 6 inputs with 3 weights.
    #[test]
    fn four_outputs_of_a_row() {
        let splat = |v: f32| [v; LANES];
        let (d, g) = ([1.0, -2.0, 3.0, 0.5, 4.0, -1.0], [0.5, 2.0, -1.0]);
        let (points, weights) = (input_to_points(d.map(splat)), weight_to_points(g.map(splat)));
        let products = std::array::from_fn(|i| splat(points[i][0] * weights[i][0]));
        let y = points_to_output(products).map(|lane| lane[0]);
        // 0.5 d[i] + 2 d[i + 1] - d[i + 2]
        for (y, expected) in y.iter().zip([-6.5, 4.5, -1.5, 9.25]) {
            assert!((y - expected).abs() < 1e-5, "{y} instead of {expected}");
        }
    }

    /// A transform and its transpose: `<T a, b> = <a, T^T b>` for all unit vectors.
    fn transposed<const N: usize, const M: usize>(
        forward: impl Fn([Lane; N]) -> [Lane; M],
        backward: impl Fn([Lane; M]) -> [Lane; N],
    ) {
        for i in 0..N {
            for j in 0..M {
                let a = std::array::from_fn(|k| [if k == i { 1.0 } else { 0.0 }; LANES]);
                let b = std::array::from_fn(|k| [if k == j { 1.0 } else { 0.0 }; LANES]);
                let (there, back) = (forward(a)[j][0], backward(b)[i][0]);
                assert!((there - back).abs() < 1e-6, "element ({j}, {i}) is {there}, in the transpose {back}");
            }
        }
    }

    #[test]
    fn the_ways_back_are_transposes() {
        transposed(input_to_points, points_to_input);
        transposed(output_to_points, points_to_output);
        transposed(weight_to_points, points_to_weight);
    }
}
