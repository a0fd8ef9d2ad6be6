//! Operators that look at a window of pixels or channels, and the fully connected layer.

use super::*;
use staticnet::kernels::arch::PIXELS;
use staticnet::kernels::average_pool::{PoolQuant, average_pool_f32, average_pool_i8};
use staticnet::kernels::lp_pool::{lp_pool_f32, lp_pool_i8};
use staticnet::kernels::lrn::{FACTOR_BITS, LrnQuant, lrn_f32, lrn_i8, table_len};
use staticnet::kernels::{BiasClamp, Requantize, conv, linear, max_pool};
use staticnet::op::{AveragePool, Conv2d, LpPool, Lrn, MaxPool, Norm, Window};

/// Input rows between the first and the last tap of output row `r`, those that exist. Also rows that no tap of this row hits: with
/// dilation a later row may come back to them, and rows arrive only once.
fn window_reads(window: &Window, r: usize, input: usize) -> Range<usize> {
    let tap = |k: u16| r as i64 * window.stride[0] as i64 + k as i64 * window.dilation[0] as i64 - window.pads[0] as i64;
    let inside = |row: i64| row.clamp(0, input as i64) as usize;
    inside(tap(0))..inside(tap(window.kernel[0] - 1) + 1)
}

/// Output length, by trying where the window still fits.
fn window_output(window: &Window, axis: usize, input: usize) -> Option<usize> {
    let padded = input + window.pads[axis] as usize + window.pads[axis + 2] as usize;
    let last =
        |o: usize| o * window.stride[axis] as usize + (window.kernel[axis] as usize - 1) * window.dilation[axis] as usize;
    let fitting = (0..padded).take_while(|&o| last(o) < padded).count();
    (fitting > 0).then_some(fitting)
}

/// A window that fits the input, and its output's height and width.
fn fitting_window(random: &mut Random, input: Shape) -> (Window, usize, usize) {
    loop {
        let window = staticnet_testing::window(random);
        if let (Some(h), Some(w)) = (window_output(&window, 0, input[0]), window_output(&window, 1, input[1])) {
            return (window, h, w);
        }
    }
}

/// What a convolution or a fully connected layer has besides its weights.
struct Finish<E> {
    bias_i8: Vec<i32>,
    multiplier: Vec<f32>,
    bias_f32: Vec<f32>,
    zero_point: i8,
    relu: bool,
    weights: Vec<E>,
    row: usize,
}

impl<E: Number> Finish<E> {
    fn new(random: &mut Random, channels: usize, row: usize) -> Self {
        Finish {
            bias_i8: (0..channels).map(|_| random.bits() as i32 >> 16).collect(),
            multiplier: (0..channels).map(|_| 2e-3 * random.real().abs()).collect(),
            bias_f32: random.reals(channels),
            zero_point: random.bits() as i8,
            relu: random.one_in(2),
            weights: numbers(random, channels * row),
            row,
        }
    }

    fn weights(&self, block: Block) -> &[E] {
        &self.weights[block.c0 * self.row..block.c1 * self.row]
    }

    fn i8(&self, block: Block) -> Requantize<'_> {
        let channels = block.c0..block.c1;
        let lo = if self.relu { self.zero_point } else { i8::MIN };
        let (bias, multiplier) = (&self.bias_i8[channels.clone()], &self.multiplier[channels]);
        Requantize { bias, multiplier, zero_point: self.zero_point, lo, hi: i8::MAX }
    }

    fn f32(&self, block: Block) -> BiasClamp<'_> {
        let lo = if self.relu { 0.0 } else { f32::NEG_INFINITY };
        BiasClamp { bias: &self.bias_f32[block.c0..block.c1], lo, hi: f32::INFINITY }
    }
}

struct Convolution<E> {
    attrs: Conv2d,
    input: Shape,
    output: Shape,
    finish: Finish<E>,
    pad: E,
}

impl<E: Number + Element> Convolution<E> {
    fn random(random: &mut Random) -> Self {
        let groups = random.pick(&[1, 1, 2, 3, 4, 8, 16]);
        // One channel in and one or two out of each group is the depthwise case.
        let channels = groups * random.within(1, 16 / groups);
        let input = shape(random, channels);
        let (window, h, w) = fitting_window(random, input);
        let output = [h, w, groups * random.within(1, 16 / groups)];
        let row = window.kernel[0] as usize * window.kernel[1] as usize * (input[2] / groups);
        let finish = Finish::new(random, output[2], row);
        Convolution { attrs: Conv2d { window, groups: groups as u16 }, input, output, finish, pad: E::random(random) }
    }

    fn run_with(&self, (x, y): (&Rows<E>, &mut RowsMut<E>), block: Block, finish: impl Fn(usize, &mut [[E::Sum; PIXELS]])) {
        let (input, channels) = (self.input[2] as u32, block.c1 - block.c0);
        // Exactly what the kernel asks for, in 4-byte words, of noise.
        let bytes = conv::scratch_len(&self.attrs, input, channels as u64, size_of::<E>() as u64) as usize;
        let mut words = vec![0x7fc1_a2b3u32; bytes.div_ceil(4)];
        let bytes = &mut bytemuck::cast_slice_mut(&mut words)[..bytes];
        let scratch = conv::Scratch::split(bytes, &self.attrs, input, channels).expect("as much as was asked for");
        let operands = conv::Operands { weights: self.finish.weights(block), pad: self.pad, scratch };
        conv::conv2d(&self.attrs, x, y, block, operands, finish);
    }
}

/// Shapes and rows of a kernel with a window.
macro_rules! shaped_by_its_window {
    () => {
        fn inputs(&self) -> Vec<Shape> {
            vec![self.input]
        }

        fn output(&self) -> Shape {
            self.output
        }

        fn reads(&self, _: usize, r: usize) -> Range<usize> {
            window_reads(&self.attrs.window, r, self.input[0])
        }
    };
}

impl Kernel<i8> for Convolution<i8> {
    shaped_by_its_window!();

    fn windows(&self, _: Range<usize>) -> Windows {
        Windows { input: None, output: true }
    }

    fn run(&self, x: &[Rows<i8>], y: &mut RowsMut<i8>, block: Block) {
        let quant = self.finish.i8(block);
        self.run_with((&x[0], y), block, |i, sums| quant.apply_all(i, sums));
    }
}

impl Kernel<f32> for Convolution<f32> {
    shaped_by_its_window!();

    fn windows(&self, _: Range<usize>) -> Windows {
        Windows { input: None, output: true }
    }

    fn run(&self, x: &[Rows<f32>], y: &mut RowsMut<f32>, block: Block) {
        let bias = self.finish.f32(block);
        self.run_with((&x[0], y), block, |i, sums| bias.apply_all(i, sums));
    }
}

#[test]
fn convolution_i8() {
    for_seeds("convolution i8", 8000, |random| {
        let kernel = Convolution::<i8>::random(random);
        check(random, &kernel);
    });
}

#[test]
fn convolution_f32() {
    for_seeds("convolution f32", 4000, |random| {
        let kernel = Convolution::<f32>::random(random);
        check(random, &kernel);
    });
}

struct Pool<A, E> {
    attrs: A,
    input: Shape,
    output: Shape,
    /// What a window without taps gives.
    floor: E,
}

impl<E: Number + Element> Kernel<E> for Pool<MaxPool, E> {
    shaped_by_its_window!();
    both_in_windows!();

    fn run(&self, x: &[Rows<E>], y: &mut RowsMut<E>, block: Block) {
        max_pool::max_pool(&self.attrs, &x[0], y, block, self.floor);
    }
}

impl Kernel<f32> for Pool<AveragePool, f32> {
    shaped_by_its_window!();
    both_in_windows!();

    fn run(&self, x: &[Rows<f32>], y: &mut RowsMut<f32>, block: Block) {
        average_pool_f32(&self.attrs, &x[0], y, block, [-0.3, f32::INFINITY]);
    }
}

impl Kernel<i8> for Pool<AveragePool, i8> {
    shaped_by_its_window!();
    both_in_windows!();

    fn run(&self, x: &[Rows<i8>], y: &mut RowsMut<i8>, block: Block) {
        let quant = PoolQuant { multiplier: 1.7, zeros: [self.floor, -9], range: [-100, 127] };
        average_pool_i8(&self.attrs, &x[0], y, block, quant);
    }
}

/// Shapes of a pool with more channels than are summed at once.
fn pooled(random: &mut Random) -> (Window, Shape, Shape) {
    let channels = random.within(1, 40);
    let input = shape(random, channels);
    let (window, h, w) = fitting_window(random, input);
    (window, input, [h, w, channels])
}

#[test]
fn max_pool_of_both_types() {
    for_seeds("max-pool", 4000, |random| {
        let (window, input, output) = pooled(random);
        let attrs = MaxPool { window };
        check::<i8, i8>(random, &Pool { attrs, input, output, floor: i8::MIN });
        check::<f32, f32>(random, &Pool { attrs, input, output, floor: f32::NEG_INFINITY });
    });
}

/// The mean by its definition, in f64.
fn mean(attrs: &AveragePool, x: &[f64], [h, w, c]: Shape, [r, o, ch]: [usize; 3]) -> f64 {
    let window = &attrs.window;
    let (mut sum, mut n) = (0.0, 0);
    for ky in 0..window.kernel[0] as i64 {
        for kx in 0..window.kernel[1] as i64 {
            let at = |axis: usize, out: usize, k: i64| {
                out as i64 * window.stride[axis] as i64 + k * window.dilation[axis] as i64 - window.pads[axis] as i64
            };
            let (iy, ix) = (at(0, r, ky), at(1, o, kx));
            let [top, left, bottom, right] = attrs.counted.map(i64::from);
            n += i32::from(iy >= -top && iy < h as i64 + bottom && ix >= -left && ix < w as i64 + right);
            if (0..h as i64).contains(&iy) && (0..w as i64).contains(&ix) {
                sum += x[(iy as usize * w + ix as usize) * c + ch];
            }
        }
    }
    sum / n.max(1) as f64
}

#[test]
fn average_pool_of_both_types_and_its_mean() {
    for_seeds("average pool", 3000, |random| {
        let (window, input, output) = pooled(random);
        let attrs = AveragePool { window, counted: window.pads.map(|pad| random.within(0, pad as usize) as u16) };
        let zero = random.bits() as i8;
        let places = || (0..elements(output)).map(|i| [i / output[2] / output[1], i / output[2] % output[1], i % output[2]]);
        let (x, y) = check::<f32, f32>(random, &Pool { attrs, input, output, floor: 0.0 });
        let real: Vec<f64> = x[0].iter().map(|&v| v as f64).collect();
        for (y, place) in y.iter().zip(places()) {
            let want = mean(&attrs, &real, input, place).max(-0.3f32 as f64);
            assert!((*y as f64 - want).abs() < 1e-6, "{y} {want}");
        }
        let (x, y) = check::<i8, i8>(random, &Pool { attrs, input, output, floor: zero });
        let real: Vec<f64> = x[0].iter().map(|&q| (q as i32 - zero as i32) as f64).collect();
        for (y, place) in y.iter().zip(places()) {
            let want = (1.7 * mean(&attrs, &real, input, place) - 9.0).clamp(-100.0, 127.0);
            assert!((*y as f64 - want).abs() < 0.5001, "{y} {want}");
        }
    });
}

impl Kernel<f32> for Pool<LpPool, f32> {
    shaped_by_its_window!();
    both_in_windows!();

    fn run(&self, x: &[Rows<f32>], y: &mut RowsMut<f32>, block: Block) {
        lp_pool_f32(&self.attrs, &x[0], y, block, [f32::NEG_INFINITY, 3.0]);
    }
}

impl Kernel<i8> for Pool<LpPool, i8> {
    shaped_by_its_window!();
    both_in_windows!();

    fn run(&self, x: &[Rows<i8>], y: &mut RowsMut<i8>, block: Block) {
        let quant = PoolQuant { multiplier: 0.2, zeros: [self.floor, -60], range: [-50, 120] };
        lp_pool_i8(&self.attrs, &x[0], y, block, quant);
    }
}

/// The norm by its definition, in f64.
fn norm(attrs: &LpPool, x: &[f64], [h, w, c]: Shape, [r, o, ch]: [usize; 3]) -> f64 {
    let window = &attrs.window;
    let mut sum = 0.0;
    for ky in 0..window.kernel[0] as i64 {
        for kx in 0..window.kernel[1] as i64 {
            let at = |axis: usize, out: usize, k: i64| {
                out as i64 * window.stride[axis] as i64 + k * window.dilation[axis] as i64 - window.pads[axis] as i64
            };
            let (iy, ix) = (at(0, r, ky), at(1, o, kx));
            if (0..h as i64).contains(&iy) && (0..w as i64).contains(&ix) {
                sum += x[(iy as usize * w + ix as usize) * c + ch].abs().powi(attrs.norm as i32);
            }
        }
    }
    sum.powf(1.0 / attrs.norm as i32 as f64)
}

#[test]
fn norms_of_both_types_and_their_values() {
    for_seeds("norm", 3000, |random| {
        let (window, input, output) = pooled(random);
        let attrs = LpPool { window, norm: random.pick(&[Norm::Sum, Norm::Root]) };
        let zero = random.bits() as i8;
        let places = || (0..elements(output)).map(|i| [i / output[2] / output[1], i / output[2] % output[1], i % output[2]]);
        let (x, y) = check::<f32, f32>(random, &Pool { attrs, input, output, floor: 0.0 });
        let real: Vec<f64> = x[0].iter().map(|&v| v as f64).collect();
        for (y, place) in y.iter().zip(places()) {
            let want = norm(&attrs, &real, input, place).min(3.0);
            assert!((*y as f64 - want).abs() < 1e-5, "{y} {want}");
        }
        let (x, y) = check::<i8, i8>(random, &Pool { attrs, input, output, floor: zero });
        let real: Vec<f64> = x[0].iter().map(|&q| (q as i32 - zero as i32) as f64).collect();
        for (y, place) in y.iter().zip(places()) {
            let want = (0.2 * norm(&attrs, &real, input, place) - 60.0).clamp(-50.0, 120.0);
            assert!((*y as f64 - want).abs() < 0.5001, "{y} {want}");
        }
    });
}

struct Normalisation {
    attrs: Lrn,
    shape: Shape,
    table: Vec<i32>,
    shift: u32,
    zeros: [i8; 2],
}

impl Normalisation {
    /// Channels that those of the output look at.
    fn needed(&self, channels: Range<usize>) -> Range<usize> {
        let size = self.attrs.size as usize;
        channels.start.saturating_sub((size - 1) / 2)..(channels.end + size / 2).min(self.shape[2])
    }
}

macro_rules! row_by_row {
    () => {
        fn inputs(&self) -> Vec<Shape> {
            vec![self.shape]
        }

        fn output(&self) -> Shape {
            self.shape
        }

        fn reads(&self, _: usize, r: usize) -> Range<usize> {
            r..r + 1
        }
    };
}
pub(super) use row_by_row;

impl Kernel<i8> for Normalisation {
    row_by_row!();

    fn windows(&self, channels: Range<usize>) -> Windows {
        Windows { input: Some(self.needed(channels)), output: true }
    }

    fn run(&self, x: &[Rows<i8>], y: &mut RowsMut<i8>, block: Block) {
        let [zero_x, zero_y] = self.zeros;
        let multiplier = 1.3 / (1u64 << FACTOR_BITS) as f32;
        let quant = LrnQuant { table: &self.table, shift: self.shift, multiplier, zero_x, zero_y };
        lrn_i8(&self.attrs, &x[0], y, block, quant);
    }
}

impl Kernel<f32> for Normalisation {
    row_by_row!();

    fn windows(&self, channels: Range<usize>) -> Windows {
        Windows { input: Some(self.needed(channels)), output: true }
    }

    fn run(&self, x: &[Rows<f32>], y: &mut RowsMut<f32>, block: Block) {
        lrn_f32(&self.attrs, &x[0], y, block);
    }
}

#[test]
fn lrn_of_both_types() {
    for_seeds("LRN", 3000, |random| {
        let channels = random.within(1, 16);
        let shape = shape(random, channels);
        let attrs = Lrn { size: random.within(1, 9) as u16, alpha: 0.3, beta: 0.75, k: 1.5 };
        let shift = random.within(4, 12) as u32;
        let entries = table_len(attrs.size, channels as u32, shift);
        let table = (0..entries).map(|i| (1 << FACTOR_BITS) - (i as i32 * ((1 << FACTOR_BITS) / entries as i32))).collect();
        let kernel = Normalisation { attrs, shape, table, shift, zeros: [random.bits() as i8, random.bits() as i8] };
        check::<i8, i8>(random, &kernel);
        check::<f32, f32>(random, &kernel);
    });
}

#[test]
fn linear_of_both_types_in_channel_blocks() {
    fn sliced<E: Number>(random: &mut Random, make: impl Fn(&[E], &mut [E], Block, &Finish<E>)) {
        let (row, channels) = (random.within(1, 200), random.within(1, 24));
        let x: Vec<E> = numbers(random, row);
        let finish = Finish::new(random, channels, row);
        let (mut want, mut got) = (poison(random, channels), poison(random, channels));
        make(&x, &mut want, whole([1, 1, channels]), &finish);
        for range in random.cuts(channels) {
            make(&x, &mut got, Block { r0: 0, r1: 1, c0: range.start, c1: range.end }, &finish);
        }
        assert!(same(&want, &got), "{row} to {channels}");
    }
    for_seeds("linear", 3000, |random| {
        sliced::<i8>(random, |x, y, block, finish| {
            let quant = finish.i8(block);
            linear::linear(x, y, block, finish.weights(block), |i, sum| quant.apply(i, sum));
        });
        sliced::<f32>(random, |x, y, block, finish| {
            let bias = finish.f32(block);
            linear::linear(x, y, block, finish.weights(block), |i, sum| bias.apply(i, sum));
        });
    });
}
