//! Convolutions of many taps against their definition: sums in blocks of 128 taps.

use super::*;
use staticnet::kernels::arch::{PIXELS, dot_f32};
use staticnet::kernels::conv;
use staticnet::op::{Conv2d, Window};

/// A convolution whose output has few pixels.
struct Deep<E> {
    attrs: Conv2d,
    input: Shape,
    output: Shape,
    x: Vec<E>,
    weights: Vec<E>,
    pad: E,
}

impl<E: Number + Element> Deep<E> {
    /// `[kernel_h, kernel_w, channels of a group]`.
    fn random(random: &mut Random, [kh, kw, n]: Shape) -> Self {
        let groups = random.pick(&[1, 1, 2, 3]);
        let channels = groups * random.pick(&[1, 2, 7, 31, 32, 33, 65]);
        let mut pair = |lo, hi| [random.within(lo, hi) as u16, random.within(lo, hi) as u16];
        let (stride, dilation, [[top, left], [bottom, right]]) = (pair(1, 3), pair(1, 3), [pair(0, 4), pair(0, 4)]);
        let window = Window { kernel: [kh as u16, kw as u16], stride, dilation, pads: [top, left, bottom, right] };
        let [h, w] = [0, 1].map(|axis| {
            let least = (window.extent(axis) as usize).saturating_sub((window.pads[axis] + window.pads[axis + 2]) as usize);
            least.max(1) + random.within(0, 6)
        });
        let out = |axis, n| window.output_len(axis, n as u32).expect("the input is long enough") as usize;
        let (input, output) = ([h, w, groups * n], [out(0, h), out(1, w), channels]);
        Deep {
            attrs: Conv2d { window, groups: groups as u16 },
            input,
            output,
            x: numbers(random, elements(input)),
            weights: numbers(random, channels * kh * kw * n),
            pad: E::random(random),
        }
    }

    /// Runs a block, the weights being those of its channels.
    fn run(&self, block: Block, y: &mut [E], finish: impl Fn(usize, &mut [[E::Sum; PIXELS]])) {
        let [h, w, c] = self.input;
        let (row, channels) = (self.weights.len() / self.output[2], block.c1 - block.c0);
        let bytes = conv::scratch_len(&self.attrs, c as u32, channels as u64, size_of::<E>() as u64) as usize;
        let mut words = vec![0x7fc1_a2b3u32; bytes.div_ceil(4)];
        let bytes = &mut bytemuck::cast_slice_mut(&mut words)[..bytes];
        let scratch = conv::Scratch::split(bytes, &self.attrs, c as u32, channels).expect("as much as was asked for");
        let weights = &self.weights[block.c0 * row..block.c1 * row];
        let operands = conv::Operands { weights, pad: self.pad, scratch };
        let y = &mut RowsMut::new(y, self.output[0], self.output[1], self.output[2]);
        conv::conv2d(&self.attrs, &Rows::new(&self.x, h, h, w, c), y, block, operands, finish);
    }

    /// Runs all of it in blocks of rows x channels.
    fn run_sliced(&self, random: &mut Random, finish: impl Fn(E::Sum) -> E::Sum) -> Vec<E> {
        let mut y = poison(random, elements(self.output));
        for (rows, channels) in blocks(random, whole(self.output)) {
            for channels in channels {
                let block = Block { r0: rows.start, r1: rows.end, c0: channels.start, c1: channels.end };
                self.run(block, &mut y, |_, sums| sums.as_flattened_mut().iter_mut().for_each(|sum| *sum = finish(*sum)));
            }
        }
        y
    }

    /// The taps of an output element, in the order of its weights, and those.
    fn taps(&self, i: usize) -> (Vec<E>, &[E]) {
        let ([h, w, c], [_, ow, oc], window) = (self.input, self.output, &self.attrs.window);
        let (n, row) = (c / self.attrs.groups as usize, self.weights.len() / oc);
        let (oy, ox, oc, group) = (i / oc / ow, i / oc % ow, i % oc, i % oc / (oc / self.attrs.groups as usize));
        let mut taps = vec![];
        for ky in 0..window.kernel[0] as usize {
            for kx in 0..window.kernel[1] as usize {
                let at = |axis: usize, out: usize, k: usize| {
                    out as i64 * window.stride[axis] as i64 + k as i64 * window.dilation[axis] as i64 - window.pads[axis] as i64
                };
                let (iy, ix) = (at(0, oy, ky), at(1, ox, kx));
                let inside = (0..h as i64).contains(&iy) && (0..w as i64).contains(&ix);
                let first = (iy * w as i64 + ix) * c as i64 + (group * n) as i64;
                taps.extend((0..n).map(|j| if inside { self.x[first as usize + j] } else { self.pad }));
            }
        }
        (taps, &self.weights[oc * row..(oc + 1) * row])
    }
}

/// Kernels and channels of a group around the blocks of taps: 127, 128, 129, 255, 256, 257, 1000 and more; 9 for what has no blocks.
const SHAPES: [Shape; 14] = [
    [1, 1, 127],
    [1, 127, 1],
    [1, 1, 128],
    [2, 2, 32],
    [3, 1, 43],
    [3, 43, 1],
    [5, 3, 17],
    [4, 4, 16],
    [1, 1, 257],
    [5, 5, 40],
    [2, 4, 125],
    [3, 3, 1],
    [9, 9, 7],
    [3, 3, 456],
];

#[test]
fn int8_sums_of_many_taps_are_those_of_the_integers() {
    for_seeds("deep convolution i8", 400, |random| {
        let shape = random.pick(&SHAPES);
        let kernel = Deep::<i8>::random(random, shape);
        // Byte by byte, so that the whole sum is seen.
        let bytes: [Vec<i8>; 4] = std::array::from_fn(|byte| kernel.run_sliced(random, |sum| sum >> (8 * byte)));
        let [a, b, c, d] = bytes.map(|bytes| bytes.into_iter().map(|byte| byte as u8));
        for (i, (((a, b), c), d)) in a.zip(b).zip(c).zip(d).enumerate() {
            let (taps, weights) = kernel.taps(i);
            let want = taps.iter().zip(weights).fold(0i32, |sum, (&x, &w)| sum + x as i32 * w as i32);
            let got = i32::from_le_bytes([a, b, c, d]);
            assert_eq!(got, want, "element {i} of {:?}, {:?} to {:?}", kernel.attrs, kernel.input, kernel.output);
        }
    });
}

#[test]
fn f32_sums_of_many_taps_are_those_of_their_blocks_in_order() {
    for_seeds("deep convolution f32", 400, |random| {
        let shape = random.pick(&SHAPES);
        let kernel = Deep::<f32>::random(random, shape);
        let y = kernel.run_sliced(random, |sum| sum);
        for (i, y) in y.iter().enumerate() {
            let (taps, weights) = kernel.taps(i);
            let blocks = taps.chunks(128).zip(weights.chunks(128));
            let want = blocks.map(|(x, w)| dot_f32(w, x)).reduce(|sum, dot| sum + dot);
            assert!(same(&[*y], &[want.unwrap_or(0.0)]), "element {i} of {:?}, {:?}", kernel.attrs, kernel.input);
        }
    });
}

#[test]
fn scratch_that_is_too_short_or_askew_is_refused() {
    let attrs = Conv2d { window: Window::square(3, 1, 1), groups: 1 };
    for (channels, in_channels, element, want) in
        [(5, 3, 1, 4 * 27), (5, 3, 4, 4 * 4 * 27), (5, 64, 1, 16 * 5 + 512), (90, 64, 4, 16 * 32 + 2048), (32, 15, 1, 1024)]
    {
        assert_eq!(conv::scratch_len(&attrs, in_channels, channels, element), want);
    }
    let mut words = [0u32; 200];
    let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
    assert!(conv::Scratch::<i8>::split(&mut bytes[..592], &attrs, 64, 5).is_some());
    assert!(conv::Scratch::<i8>::split(&mut bytes[..591], &attrs, 64, 5).is_none());
    assert!(conv::Scratch::<i8>::split(&mut bytes[..79], &attrs, 64, 5).is_none());
    assert!(conv::Scratch::<i8>::split(&mut bytes[1..], &attrs, 64, 5).is_none());
    assert!(conv::Scratch::<f32>::split(&mut bytes[2..], &attrs, 3, 5).is_none());
}
