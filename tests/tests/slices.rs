//! Every kernel in random slices of rows x channels, from a ring of just the rows needed into a ring of just the rows made,
//! against the same kernel run whole: not one byte may differ, and nothing outside the slice may change.

mod common;

use bytemuck::Pod;
use common::{Case, Random, networks};
use staticnet::kernels::lrn::{FACTOR_BITS, LrnQuant, lrn_f32, lrn_i8, table_len};
use staticnet::kernels::{BiasClamp, Element, Requantize, conv, linear, max_pool, relu};
use staticnet::op::{Conv2d, Lrn, MaxPool, Window};
use staticnet::view::{Block, Rows, RowsMut};
use std::ops::Range;

/// Height, width, channels.
type Shape = [usize; 3];

/// A kernel with its parameters: everything but the activations.
trait Kernel<E> {
    /// The shape it makes.
    fn output(&self) -> Shape;

    /// Input rows that output row `r` reads, by its definition.
    fn reads(&self, r: usize) -> Range<usize>;

    /// Runs it.
    fn run(&self, x: &Rows<E>, y: &mut RowsMut<E>, block: Block, scratch: &mut Vec<E>);
}

/// Elements of the tests: random values, and one that would spoil whatever reads it.
trait Number: Element + Pod {
    fn random(random: &mut Random) -> Self;
    fn poison(random: &mut Random) -> Self;
}

impl Number for i8 {
    fn random(random: &mut Random) -> i8 {
        random.bits() as i8
    }

    fn poison(random: &mut Random) -> i8 {
        random.bits() as i8
    }
}

impl Number for f32 {
    fn random(random: &mut Random) -> f32 {
        random.real()
    }

    fn poison(_: &mut Random) -> f32 {
        f32::NAN
    }
}

fn numbers<E: Number>(random: &mut Random, n: usize) -> Vec<E> {
    (0..n).map(|_| E::random(random)).collect()
}

fn whole(shape: Shape) -> Block {
    Block { r0: 0, r1: shape[0], c0: 0, c1: shape[2] }
}

/// The kernel run whole, then sliced; `x` has shape `input`.
fn check<E: Number>(random: &mut Random, kernel: &impl Kernel<E>, input: Shape, x: &[E]) {
    let ([h, w, c], [oh, ow, oc]) = (input, kernel.output());
    let mut poison = |n: usize| (0..n).map(|_| E::poison(random)).collect::<Vec<E>>();
    let (mut want, mut got) = (poison(oh * ow * oc), poison(oh * ow * oc));
    let mut scratch = Vec::new();
    let mut output = RowsMut::new(&mut want, oh, ow, oc);
    kernel.run(&Rows::new(x, h, h, w, c), &mut output, whole(kernel.output()), &mut scratch);

    let blocks = random.cuts(oh);
    let needed = |rows: &Range<usize>| {
        rows.clone().map(|r| kernel.reads(r)).filter(|rows| !rows.is_empty()).fold(None, |all: Option<Range<usize>>, rows| {
            Some(all.map_or(rows.clone(), |all| all.start.min(rows.start)..all.end.max(rows.end)))
        })
    };
    let spare = random.within(0, 2);
    let ring = blocks.iter().filter_map(needed).map(|rows| rows.len()).max().unwrap_or(1) + spare;
    let out_ring = blocks.iter().map(|rows| rows.len()).max().unwrap_or(1) + random.within(0, 1);
    let mut x_ring: Vec<E> = (0..ring * w * c).map(|_| E::poison(random)).collect();
    let mut loaded = 0;
    for rows in &blocks {
        // Rows arrive one after the other and push the oldest out.
        let end = needed(rows).map_or(loaded, |rows| rows.end.max(loaded));
        for r in loaded..end {
            x_ring[r % ring * w * c..][..w * c].copy_from_slice(&x[r * w * c..][..w * c]);
        }
        loaded = end;
        let mut y_ring: Vec<E> = (0..out_ring * ow * oc).map(|_| E::poison(random)).collect();
        for channels in random.cuts(oc) {
            let before = y_ring.clone();
            let block = Block { r0: rows.start, r1: rows.end, c0: channels.start, c1: channels.end };
            scratch.fill(E::poison(random));
            let mut output = RowsMut::new(&mut y_ring, out_ring, ow, oc);
            kernel.run(&Rows::new(&x_ring, ring, h, w, c), &mut output, block, &mut scratch);
            let inside = |i: usize| {
                let made = rows.clone().any(|r| r % out_ring == i / (ow * oc));
                made && channels.contains(&(i % oc))
            };
            let kept = (0..before.len()).filter(|&i| !inside(i)).all(|i| same(&before[i..=i], &y_ring[i..=i]));
            assert!(kept, "block {block:?} wrote outside itself");
        }
        for r in rows.clone() {
            got[r * ow * oc..][..ow * oc].copy_from_slice(&y_ring[r % out_ring * ow * oc..][..ow * oc]);
        }
    }
    assert!(same(&want, &got), "sliced and whole differ: blocks {blocks:?}, {input:?} to {:?}", kernel.output());
}

/// Bit for bit; a NaN equals itself.
fn same<E: Number>(a: &[E], b: &[E]) -> bool {
    bytemuck::cast_slice::<E, u8>(a) == bytemuck::cast_slice::<E, u8>(b)
}

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

impl<E: Number> Convolution<E> {
    fn run_with(
        &self,
        (x, y): (&Rows<E>, &mut RowsMut<E>),
        block: Block,
        scratch: &mut Vec<E>,
        finish: impl Fn(usize, E::Sum) -> E,
    ) {
        // Exactly what the kernel asks for.
        scratch.resize(conv::scratch_len(&self.attrs, self.input[2] as u32) as usize, self.pad);
        let operands = conv::Operands { weights: self.finish.weights(block), pad: self.pad, scratch };
        conv::conv2d(&self.attrs, x, y, block, operands, finish);
    }
}

impl Kernel<i8> for Convolution<i8> {
    fn output(&self) -> Shape {
        self.output
    }

    fn reads(&self, r: usize) -> Range<usize> {
        window_reads(&self.attrs.window, r, self.input[0])
    }

    fn run(&self, x: &Rows<i8>, y: &mut RowsMut<i8>, block: Block, scratch: &mut Vec<i8>) {
        let quant = self.finish.i8(block);
        self.run_with((x, y), block, scratch, |i, sum| quant.apply(i, sum));
    }
}

impl Kernel<f32> for Convolution<f32> {
    fn output(&self) -> Shape {
        self.output
    }

    fn reads(&self, r: usize) -> Range<usize> {
        window_reads(&self.attrs.window, r, self.input[0])
    }

    fn run(&self, x: &Rows<f32>, y: &mut RowsMut<f32>, block: Block, scratch: &mut Vec<f32>) {
        let bias = self.finish.f32(block);
        self.run_with((x, y), block, scratch, |i, sum| bias.apply(i, sum));
    }
}

struct Pool<E> {
    attrs: MaxPool,
    input: Shape,
    output: Shape,
    floor: E,
}

impl<E: Number> Kernel<E> for Pool<E> {
    fn output(&self) -> Shape {
        self.output
    }

    fn reads(&self, r: usize) -> Range<usize> {
        window_reads(&self.attrs.window, r, self.input[0])
    }

    fn run(&self, x: &Rows<E>, y: &mut RowsMut<E>, block: Block, _: &mut Vec<E>) {
        max_pool::max_pool(&self.attrs, x, y, block, self.floor);
    }
}

struct Normalisation {
    attrs: Lrn,
    shape: Shape,
    table: Vec<i32>,
    shift: u32,
    zeros: [i8; 2],
}

impl Kernel<i8> for Normalisation {
    fn output(&self) -> Shape {
        self.shape
    }

    fn reads(&self, r: usize) -> Range<usize> {
        r..r + 1
    }

    fn run(&self, x: &Rows<i8>, y: &mut RowsMut<i8>, block: Block, _: &mut Vec<i8>) {
        let [zero_x, zero_y] = self.zeros;
        let multiplier = 1.3 / (1u64 << FACTOR_BITS) as f32;
        lrn_i8(&self.attrs, x, y, block, LrnQuant { table: &self.table, shift: self.shift, multiplier, zero_x, zero_y });
    }
}

impl Kernel<f32> for Normalisation {
    fn output(&self) -> Shape {
        self.shape
    }

    fn reads(&self, r: usize) -> Range<usize> {
        r..r + 1
    }

    fn run(&self, x: &Rows<f32>, y: &mut RowsMut<f32>, block: Block, _: &mut Vec<f32>) {
        lrn_f32(&self.attrs, x, y, block);
    }
}

struct Relu<E> {
    shape: Shape,
    zero: E,
}

impl<E: Number> Kernel<E> for Relu<E> {
    fn output(&self) -> Shape {
        self.shape
    }

    fn reads(&self, r: usize) -> Range<usize> {
        r..r + 1
    }

    fn run(&self, x: &Rows<E>, y: &mut RowsMut<E>, block: Block, _: &mut Vec<E>) {
        relu::relu(x, y, block, self.zero);
    }
}

/// Runs `body` for seeds from 0 on.
fn for_seeds(name: &'static str, n: u64, body: impl Fn(&mut Random)) {
    for seed in 0..n {
        let _case = Case(name, seed);
        body(&mut Random(seed));
    }
}

fn shape(random: &mut Random, channels: usize) -> Shape {
    [random.within(1, 12), random.within(1, 12), channels]
}

/// A window that fits the input, and its output's height and width.
fn fitting_window(random: &mut Random, input: Shape) -> (Window, usize, usize) {
    loop {
        let window = networks::window(random);
        if let (Some(h), Some(w)) = (window_output(&window, 0, input[0]), window_output(&window, 1, input[1])) {
            return (window, h, w);
        }
    }
}

fn convolution<E: Number>(random: &mut Random) -> (Convolution<E>, Vec<E>) {
    let groups = random.pick(&[1, 1, 2, 3, 4, 8, 16]);
    // One channel in and one or two out of each group is the depthwise case.
    let channels = groups * random.within(1, 16 / groups);
    let input = shape(random, channels);
    let (window, h, w) = fitting_window(random, input);
    let output = [h, w, groups * random.within(1, 16 / groups)];
    let row = window.kernel[0] as usize * window.kernel[1] as usize * (input[2] / groups);
    let finish = Finish::new(random, output[2], row);
    let x = numbers(random, input.iter().product());
    (Convolution { attrs: Conv2d { window, groups: groups as u16 }, input, output, finish, pad: E::random(random) }, x)
}

#[test]
fn convolution_i8() {
    for_seeds("convolution i8", 8000, |random| {
        let (kernel, x) = convolution::<i8>(random);
        check(random, &kernel, kernel.input, &x);
    });
}

#[test]
fn convolution_f32() {
    for_seeds("convolution f32", 4000, |random| {
        let (kernel, x) = convolution::<f32>(random);
        check(random, &kernel, kernel.input, &x);
    });
}

fn pool<E: Number>(random: &mut Random, floor: E) {
    let channels = random.within(1, 16);
    let input = shape(random, channels);
    let (window, h, w) = fitting_window(random, input);
    let x: Vec<E> = numbers(random, input.iter().product());
    check(random, &Pool { attrs: MaxPool { window }, input, output: [h, w, channels], floor }, input, &x);
}

#[test]
fn max_pool_of_both_types() {
    for_seeds("max-pool", 4000, |random| {
        pool(random, i8::MIN);
        pool(random, f32::NEG_INFINITY);
    });
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
        let elements = shape.iter().product();
        check::<i8>(random, &kernel, shape, &numbers(&mut random.clone(), elements));
        check::<f32>(random, &kernel, shape, &numbers(&mut random.clone(), elements));
    });
}

fn relu_both_ways<E: Number>(random: &mut Random, zero: E) {
    let channels = random.within(1, 16);
    let shape = shape(random, channels);
    let x: Vec<E> = numbers(random, shape.iter().product());
    check(random, &Relu { shape, zero }, shape, &x);
    // In place, block by block, over the tensor held whole: as from one buffer to another.
    let mut want = x.clone();
    let [h, w, c] = shape;
    relu::relu(&Rows::new(&x, h, h, w, c), &mut RowsMut::new(&mut want, h, w, c), whole(shape), zero);
    let mut got = x;
    for rows in random.cuts(h) {
        for channels in random.cuts(c) {
            let block = Block { r0: rows.start, r1: rows.end, c0: channels.start, c1: channels.end };
            relu::relu_in_place(&mut RowsMut::new(&mut got, h, w, c), block, zero);
        }
    }
    assert!(same(&want, &got), "in place differs");
    assert!(want.iter().all(|v| *v >= zero), "a ReLU left something below zero");
}

#[test]
fn relu_of_both_types_in_place_and_not() {
    for_seeds("ReLU", 1000, |random| {
        let zero = random.bits() as i8;
        relu_both_ways(random, zero);
        relu_both_ways(random, 0f32);
    });
}

#[test]
fn linear_of_both_types_in_channel_blocks() {
    fn sliced<E: Number>(random: &mut Random, make: impl Fn(&[E], &mut [E], Block, &Finish<E>)) {
        let (row, channels) = (random.within(1, 200), random.within(1, 24));
        let x: Vec<E> = numbers(random, row);
        let finish = Finish::new(random, channels, row);
        let mut poison = || (0..channels).map(|_| E::poison(random)).collect::<Vec<E>>();
        let (mut want, mut got) = (poison(), poison());
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
