//! Where the taps of a convolution lie: pictures laid out so that the column matrix is a [`Gather`] of them.
//!
//! A picture is copied into a frame with its padding around it, so no tap falls outside. Then the place of a tap is a sum of
//! two offsets, one that depends on the output pixel and one that depends on the channel and the kernel's position.

use super::super::ConvShape;
use super::super::raw::simd::COLUMNS;
use super::product::{Gather, sized};

vectorised!(AddColumns((&'a Frame, usize, &'a [f32], usize, &'a mut [f32])) = Frame::add_columns);

/// Sizes of a framed picture of one group of channels, and the offsets within.
pub(super) struct Frame {
    channels: usize,
    /// Height and width of the picture, with and without the padding.
    inner: [usize; 2],
    outer: [usize; 2],
    pads: [usize; 2],
    /// Distance of output pixels, in input columns.
    stride: usize,
    /// Columns of one phase; see [`Frame::planes`].
    phase: usize,
    /// Offset of each output pixel in the planes, and in the pixels.
    plane_pixels: Vec<usize>,
    pixels: Vec<usize>,
    /// Offset of each tap `(channel, ky, kx)` in the planes.
    plane_taps: Vec<usize>,
    /// Offset of each tap `(ky, kx, channel)` in the pixels.
    taps: Vec<usize>,
}

impl Frame {
    pub(super) fn new(shape: &ConvShape) -> Self {
        let window = &shape.window;
        let channels = shape.input[0] / shape.groups;
        let [kernel, stride, dilation] = [window.kernel, window.stride, window.dilation].map(|pair| pair.map(usize::from));
        let pads = window.pads.map(usize::from);
        let inner = [shape.input[1], shape.input[2]];
        let outer = [0, 1].map(|axis| inner[axis] + pads[axis] + pads[axis + 2]);
        let phase = outer[1].div_ceil(stride[1]);
        let row = phase * stride[1];
        let mut frame = Frame {
            channels,
            inner,
            outer,
            pads: [pads[0], pads[1]],
            stride: stride[1],
            phase,
            plane_pixels: Vec::new(),
            pixels: Vec::new(),
            plane_taps: Vec::new(),
            taps: Vec::new(),
        };
        for oy in 0..shape.output[1] {
            for ox in 0..shape.output[2] {
                frame.plane_pixels.push(oy * stride[0] * row + ox);
                frame.pixels.push((oy * stride[0] * outer[1] + ox * stride[1]) * channels);
            }
        }
        let positions = || (0..kernel[0]).flat_map(|ky| (0..kernel[1]).map(move |kx| (ky * dilation[0], kx * dilation[1])));
        for c in 0..channels {
            for (y, x) in positions() {
                frame.plane_taps.push((c * outer[0] + y) * row + x % stride[1] * phase + x / stride[1]);
            }
        }
        for (y, x) in positions() {
            frame.taps.extend((0..channels).map(|c| (y * outer[1] + x) * channels + c));
        }
        frame
    }

    /// Taps of an output pixel.
    pub(super) fn taps(&self) -> usize {
        self.taps.len()
    }

    /// Kernel positions.
    pub(super) fn positions(&self) -> usize {
        self.taps.len() / self.channels
    }

    fn planes_len(&self) -> usize {
        self.channels * self.outer[0] * self.phase * self.stride
    }

    /// Copies planes `[C, H, W]` into a frame `[C, rows, phases, columns of a phase]`: neighbouring output pixels read
    /// neighbouring elements, whatever the stride.
    pub(super) fn planes<'a>(&self, x: &[f32], buffer: &'a mut Vec<f32>) -> &'a [f32] {
        let frame = sized(buffer, self.planes_len() + COLUMNS);
        frame.fill(0.0);
        let [height, width] = self.inner;
        let row_len = self.phase * self.stride;
        for (row, x) in x.chunks_exact(width).enumerate() {
            let at = (row / height * self.outer[0] + row % height + self.pads[0]) * row_len;
            let row = &mut frame[at..at + row_len];
            if self.stride == 1 {
                row[self.pads[1]..][..width].copy_from_slice(x);
            } else {
                for (phase, row) in row.chunks_exact_mut(self.phase).enumerate() {
                    // The first column of this phase inside the picture.
                    let skipped = self.pads[1].saturating_sub(phase).div_ceil(self.stride);
                    let first = skipped * self.stride + phase - self.pads[1];
                    let from = x.iter().skip(first).step_by(self.stride);
                    row[skipped..].iter_mut().zip(from).for_each(|(to, v)| *to = *v);
                }
            }
        }
        frame
    }

    /// The column matrix, taps x output pixels, of what [`Frame::planes`] made.
    pub(super) fn columns<'a>(&'a self, planes: &'a [f32]) -> Gather<'a> {
        Gather { data: planes, rows: &self.plane_taps, columns: &self.plane_pixels }
    }

    /// Copies planes `[C, H, W]` into a frame `[rows, columns, C]`: the taps of a kernel's row are neighbours.
    pub(super) fn pixels<'a>(&self, x: &[f32], buffer: &'a mut Vec<f32>) -> &'a [f32] {
        let channels = self.channels;
        let frame = sized(buffer, self.outer[0] * self.outer[1] * channels + COLUMNS);
        frame.fill(0.0);
        let [height, width] = self.inner;
        for y in 0..height {
            let at = ((y + self.pads[0]) * self.outer[1] + self.pads[1]) * channels;
            let row = &mut frame[at..][..width * channels];
            for (c, plane) in x.chunks_exact(height * width).enumerate() {
                let from = &plane[y * width..][..width];
                row.iter_mut().skip(c).step_by(channels).zip(from).for_each(|(to, v)| *to = *v);
            }
        }
        frame
    }

    /// The column matrix transposed, output pixels x taps in the order `(ky, kx, channel)`, of what [`Frame::pixels`] made.
    pub(super) fn columns_transposed<'a>(&'a self, pixels: &'a [f32]) -> Gather<'a> {
        Gather { data: pixels, rows: &self.pixels, columns: &self.taps }
    }

    /// An empty frame of planes, to add gradients to.
    pub(super) fn empty<'a>(&self, buffer: &'a mut Vec<f32>) -> &'a mut [f32] {
        let frame = sized(buffer, self.planes_len());
        frame.fill(0.0);
        frame
    }

    /// Adds a gradient of the rows of the column matrix from `first` on to a frame of planes.
    #[inline(always)]
    fn add_columns((this, first, gradient, out_width, frame): (&Frame, usize, &[f32], usize, &mut [f32])) {
        let plane = this.plane_pixels.len();
        for (tap, gradient) in this.plane_taps[first..].iter().zip(gradient.chunks_exact(plane)) {
            for (at, from) in this.plane_pixels.iter().step_by(out_width).zip(gradient.chunks_exact(out_width)) {
                let to = &mut frame[tap + at..][..out_width];
                to.iter_mut().zip(from).for_each(|(to, g)| *to += g);
            }
        }
    }

    /// Adds a frame of planes to the gradient of the planes it stands for.
    pub(super) fn take_off(&self, frame: &[f32], gx: &mut [f32]) {
        let [height, width] = self.inner;
        let row_len = self.phase * self.stride;
        for (row, gx) in gx.chunks_exact_mut(width).enumerate() {
            let at = (row / height * self.outer[0] + row % height + self.pads[0]) * row_len;
            let row = &frame[at..at + row_len];
            if self.stride == 1 {
                gx.iter_mut().zip(&row[self.pads[1]..]).for_each(|(gx, g)| *gx += g);
            } else {
                for (x, gx) in gx.iter_mut().enumerate() {
                    let x = x + self.pads[1];
                    *gx += row[x % self.stride * self.phase + x / self.stride];
                }
            }
        }
    }
}
