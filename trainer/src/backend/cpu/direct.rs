//! Convolution of one picture as a product with its column matrix, which is packed from where the taps lie.

use super::super::ConvShape;
use super::super::raw::simd::Simd;
use super::product::{Blocks, Gather, Packed, View, multiply, pack, sized};
use super::taps::{AddColumns, Frame};

/// Buffers a thread keeps from call to call; every use writes them before it reads them.
#[derive(Default)]
pub(super) struct Buffers {
    frame: Vec<f32>,
    lhs: Vec<f32>,
    columns: Vec<f32>,
}

/// A convolution and its weights, ready to be run picture by picture.
pub(super) struct Direct<'a> {
    shape: &'a ConvShape,
    simd: Simd,
    frame: Frame,
    /// The weights of each group, `[O, C KH KW]`, or transposed for the way back.
    weights: Vec<Packed>,
    /// Channels out of a group, and pixels of their planes.
    outputs: usize,
    plane: usize,
}

impl<'a> Direct<'a> {
    /// For [`Direct::forward`]; with `transposed` for [`Direct::input_gradient`].
    pub(super) fn new(shape: &'a ConvShape, simd: Simd, weight: &[f32], transposed: bool) -> Self {
        let frame = Frame::new(shape);
        let outputs = shape.output[0] / shape.groups;
        let packed = |weight: &[f32]| {
            let matrix = View::new(weight, outputs, frame.taps());
            Packed::new(simd, if transposed { matrix.transposed() } else { matrix })
        };
        let weights = weight.chunks_exact(outputs * frame.taps()).map(packed).collect();
        Direct { shape, simd, weights, outputs, plane: shape.output[1] * shape.output[2], frame }
    }

    /// The planes of each group of a picture.
    fn groups<'x>(&self, x: &'x [f32]) -> std::slice::ChunksExact<'x, f32> {
        x.chunks_exact(x.len() / self.shape.groups)
    }

    /// One picture; `activate(channel, sum)` makes an output of a sum.
    pub(super) fn forward(&self, x: &[f32], y: &mut [f32], activate: impl Fn(usize, f32) -> f32, buffers: &mut Buffers) {
        let outputs = y.chunks_exact_mut(self.outputs * self.plane);
        for ((x, y), weight) in self.groups(x).zip(outputs).zip(&self.weights) {
            let planes = self.frame.planes(x, &mut buffers.frame);
            let columns = self.frame.columns(planes);
            multiply(self.simd, weight.lhs(), &columns, Blocks::USUAL, (y, self.plane), false);
        }
        for (c, y) in y.chunks_exact_mut(self.plane).enumerate() {
            y.iter_mut().for_each(|y| *y = activate(c, *y));
        }
    }

    /// The gradient of the weights by one picture, in the order `[O, KH, KW, C]`; added to `gw`, or in its place.
    pub(super) fn weight_gradient(&self, x: &[f32], gy: &[f32], gw: &mut [f32], add: bool, buffers: &mut Buffers) {
        let taps = self.frame.taps();
        let groups = self.groups(x).zip(self.groups(gy)).zip(gw.chunks_exact_mut(self.outputs * taps));
        for ((x, gy), gw) in groups {
            let lhs = pack(self.simd, View::new(gy, self.outputs, self.plane), &mut buffers.lhs);
            let pixels = self.frame.pixels(x, &mut buffers.frame);
            let columns = self.frame.columns_transposed(pixels);
            multiply(self.simd, lhs, &columns, Blocks::USUAL, (gw, taps), add);
        }
    }

    /// Adds a gradient of the weights in the order of [`Direct::weight_gradient`] to one in the order `[O, C, KH, KW]`.
    pub(super) fn add_weight_gradient(&self, from: &[f32], gw: &mut [f32]) {
        let (taps, positions) = (self.frame.taps(), self.frame.positions());
        let channels = taps / positions;
        for (from, gw) in from.chunks_exact(taps).zip(gw.chunks_exact_mut(taps)) {
            for (position, from) in from.chunks_exact(channels).enumerate() {
                let to = gw.iter_mut().skip(position).step_by(positions);
                to.zip(from).for_each(|(to, g)| *to += g);
            }
        }
    }

    /// Adds the gradient of one picture to `gx`.
    pub(super) fn input_gradient(&self, gy: &[f32], gx: &mut [f32], buffers: &mut Buffers) {
        let (taps, plane, height) = (self.frame.taps(), self.plane, self.simd.height());
        let rows: Vec<usize> = (0..self.outputs).map(|o| o * plane).collect();
        let pixels: Vec<usize> = (0..plane).collect();
        // So many rows of the column matrix as stay in the second cache until they are added.
        let most = (64 * 1024 / plane / height).max(1) * height;
        let inputs = gx.len() / self.shape.groups;
        for ((gy, gx), weight) in self.groups(gy).zip(gx.chunks_exact_mut(inputs)).zip(&self.weights) {
            let rhs = Gather { data: gy, rows: &rows, columns: &pixels };
            let frame = self.frame.empty(&mut buffers.frame);
            for first in (0..taps).step_by(most) {
                let count = most.min(taps - first);
                let columns = sized(&mut buffers.columns, count * plane);
                let lhs = weight.lhs().rows(self.simd, first, count);
                multiply(self.simd, lhs, &rhs, Blocks::USUAL, (&mut *columns, plane), false);
                self.simd.run(AddColumns((&self.frame, first, columns, self.shape.output[2], frame)));
            }
            self.frame.take_off(frame, gx);
        }
    }
}

/// Sum of each plane of `gy`, added to `bias`.
pub(super) fn bias_gradient(gy: &[f32], plane: usize, bias: &mut [f32]) {
    for (row, bias) in gy.chunks_exact(plane).zip(bias) {
        *bias += row.iter().sum::<f32>();
    }
}
