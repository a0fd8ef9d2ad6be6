//! Operators that move elements: constants, rearrangements, pads, parts, scaling.

use super::*;
use staticnet::kernels::constant::constant;
use staticnet::kernels::pad::pad;
use staticnet::kernels::place::{place, place_table};
use staticnet::kernels::rearrange::rearrange;
use staticnet::kernels::resize::{TAPS_LEN, resize_f32, resize_i8};
use staticnet::op::{Pad, PadMode, Place, Rearrange};

struct Constant<E> {
    shape: Shape,
    values: Vec<E>,
}

impl<E: Number> Kernel<E> for Constant<E> {
    fn inputs(&self) -> Vec<Shape> {
        vec![]
    }

    fn output(&self) -> Shape {
        self.shape
    }

    fn reads(&self, _: usize, _: usize) -> Range<usize> {
        0..0
    }

    fn run(&self, _: &[Rows<E>], y: &mut RowsMut<E>, block: Block) {
        let [_, w, c] = self.shape;
        let pixels = &self.values[block.r0 * w * c..block.r1 * w * c];
        let values: Vec<E> = pixels.chunks(c).flat_map(|pixel| pixel[block.c0..block.c1].to_vec()).collect();
        constant(y, block, &values);
    }
}

#[test]
fn constant_of_both_types() {
    fn one<E: Number>(random: &mut Random) {
        let channels = random.within(1, 16);
        let shape = shape(random, channels);
        let values = numbers::<E>(random, elements(shape));
        let (_, y) = check::<E, E>(random, &Constant { shape, values: values.clone() });
        assert!(same(&values, &y));
    }
    for_seeds("constant", 1000, |random| {
        one::<i8>(random);
        one::<f32>(random);
    });
}

struct Rearranged {
    attrs: Rearrange,
    input: Shape,
    output: Shape,
}

impl Rearranged {
    /// The input's element that output element `j` of row `r` is.
    fn source(&self, r: usize, j: usize) -> i64 {
        let Rearrange { base, row, size, stride } = self.attrs;
        let [_, n1, n2, n3] = size.map(usize::from);
        let place = [j / n3 / n2 / n1, j / n3 / n2 % n1, j / n3 % n2, j % n3];
        base as i64 + r as i64 * row as i64 + (0..4).map(|axis| place[axis] as i64 * stride[axis] as i64).sum::<i64>()
    }
}

impl<E: Number> Kernel<E> for Rearranged {
    fn inputs(&self) -> Vec<Shape> {
        vec![self.input]
    }

    fn output(&self) -> Shape {
        self.output
    }

    fn reads(&self, _: usize, r: usize) -> Range<usize> {
        let len = (self.input[1] * self.input[2]) as i64;
        let lines = |r: usize| (0..self.output[1] * self.output[2]).map(move |j| self.source(r, j) / len);
        let one_line = |r: usize| lines(r).min() == lines(r).max();
        if self.attrs.row as i64 % len == 0 && (0..self.output[0]).all(one_line) {
            let line = lines(r).min().unwrap_or(0) as usize;
            return line..line + 1;
        }
        0..self.input[0]
    }

    fn run(&self, x: &[Rows<E>], y: &mut RowsMut<E>, block: Block) {
        rearrange(&self.attrs, &x[0], y, block);
    }
}

/// Transposes, flips, slices with steps, shuffles and repetitions, as permuted and mirrored walks over the axes of a random input.
fn rearranged(random: &mut Random) -> Rearranged {
    let groups = random.within(1, 3);
    let [h, w, c] = [random.within(1, 8), random.within(1, 8), random.within(1, 5)];
    let input = [h, w, groups * c];
    // Axes as (length, stride): rows, pixels, groups, channels of a group.
    let mut axes = [(h, w * groups * c), (w, groups * c), (groups, c), (c, 1)].map(|(n, stride)| (n, stride as i64));
    if random.one_in(2) {
        // Rows stay rows.
        axes[1..].rotate_left(random.within(0, 2));
    } else {
        axes.rotate_left(random.within(0, 3));
    }
    let mut base = 0;
    for (n, stride) in &mut axes {
        match random.within(0, 5) {
            // Backwards.
            0 => (base, *stride) = (base + (*n as i64 - 1) * *stride, -*stride),
            // Every second from the second on.
            1 if *n >= 2 => (base, *n, *stride) = (base + *stride, *n / 2, 2 * *stride),
            // One of them for all.
            2 => (base, *stride) = (base + random.within(0, *n - 1) as i64 * *stride, 0),
            _ => {}
        }
    }
    let [rows, a, b, d] = axes;
    let attrs = Rearrange {
        base: base as u32,
        row: rows.1 as i32,
        size: [1, a.0 as u16, b.0 as u16, d.0 as u16],
        stride: [random.bits() as i32, a.1 as i32, b.1 as i32, d.1 as i32],
    };
    let channels = random.pick(&[d.0, b.0 * d.0]);
    Rearranged { attrs, input, output: [rows.0, a.0 * b.0 * d.0 / channels, channels] }
}

#[test]
fn rearrangements_of_both_types() {
    fn one<E: Number>(random: &mut Random, kernel: &Rearranged) {
        let (x, y) = check::<E, E>(random, kernel);
        let len = kernel.output[1] * kernel.output[2];
        for (i, y) in y.iter().enumerate() {
            assert!(same(&[*y], &[x[0][kernel.source(i / len, i % len) as usize]]), "element {i} of {:?}", kernel.attrs);
        }
    }
    for_seeds("rearrange", 6000, |random| {
        let kernel = rearranged(random);
        one::<i8>(random, &kernel);
        one::<f32>(random, &kernel);
    });
}

struct Padded<E> {
    attrs: Pad,
    input: Shape,
    output: Shape,
    value: E,
}

impl<E> Padded<E> {
    /// The place in `axis` of the input that output place `i` shows, by walking there from the input's edge.
    fn place(&self, axis: usize, i: usize) -> Option<usize> {
        let (n, i) = (self.input[axis] as i64, i as i64 - self.attrs.before[axis] as i64);
        if (0..n).contains(&i) {
            return Some(i as usize);
        }
        match self.attrs.mode {
            PadMode::Constant => None,
            PadMode::Edge => Some(i.clamp(0, n - 1) as usize),
            PadMode::Wrap => Some((i + 1000 * n) as usize % n as usize),
            PadMode::Reflect => {
                let (mut at, mut step) = (0, if n == 1 { 0 } else { 1 });
                for _ in 0..i.abs() {
                    if at + step < 0 || at + step >= n {
                        step = -step;
                    }
                    at += step;
                }
                // The mirror image of the way to the left is the way to the right.
                Some(at as usize)
            }
        }
    }
}

impl<E: Number> Kernel<E> for Padded<E> {
    fn inputs(&self) -> Vec<Shape> {
        vec![self.input]
    }

    fn output(&self) -> Shape {
        self.output
    }

    fn reads(&self, _: usize, r: usize) -> Range<usize> {
        match self.attrs.mode {
            PadMode::Reflect | PadMode::Wrap => 0..self.input[0],
            PadMode::Constant | PadMode::Edge => self.place(0, r).map_or(0..0, |r| r..r + 1),
        }
    }

    fn run(&self, x: &[Rows<E>], y: &mut RowsMut<E>, block: Block) {
        pad(&self.attrs, &x[0], y, block, self.value);
    }
}

#[test]
fn pads_of_both_types() {
    fn one<E: Number>(random: &mut Random, attrs: Pad, input: Shape, output: Shape) {
        let kernel = Padded { attrs, input, output, value: E::random(random) };
        let (x, y) = check::<E, E>(random, &kernel);
        let [_, w, c] = output;
        for (i, y) in y.iter().enumerate() {
            let place = [kernel.place(0, i / c / w), kernel.place(1, i / c % w), kernel.place(2, i % c)];
            let want = match place {
                [Some(r), Some(p), Some(ch)] => x[0][(r * input[1] + p) * input[2] + ch],
                _ => kernel.value,
            };
            assert!(same(&[*y], &[want]), "element {i}: {attrs:?}, {input:?} to {output:?}");
        }
    }
    for_seeds("pad", 3000, |random| {
        let channels = random.within(1, 8);
        let input = shape(random, channels);
        let before = [0; 3].map(|_: u16| if random.one_in(2) { random.within(0, 5) as u16 } else { 0 });
        let behind = [0; 3].map(|_: usize| if random.one_in(2) { random.within(0, 5) } else { 0 });
        let mode = random.pick(&[PadMode::Constant, PadMode::Reflect, PadMode::Edge, PadMode::Wrap]);
        let output = std::array::from_fn(|axis| before[axis] as usize + input[axis] + behind[axis]);
        let attrs = Pad { before, mode, value: 0.0, value_i8: 0 };
        one::<i8>(random, attrs, input, output);
        one::<f32>(random, attrs, input, output);
    });
}

struct Placed {
    attrs: Place,
    table: [u8; 256],
    input: Shape,
    output: Shape,
}

macro_rules! in_a_part {
    () => {
        fn inputs(&self) -> Vec<Shape> {
            vec![self.input]
        }

        fn output(&self) -> Shape {
            self.output
        }

        fn reads(&self, _: usize, r: usize) -> Range<usize> {
            let r = r - self.attrs.offset[0] as usize;
            r..r + 1
        }

        fn part(&self) -> Block {
            let [top, _, front] = self.attrs.offset.map(usize::from);
            Block { r0: top, r1: top + self.input[0], c0: front, c1: front + self.input[2] }
        }
    };
}

impl Kernel<i8> for Placed {
    in_a_part!();

    fn run(&self, x: &[Rows<i8>], y: &mut RowsMut<i8>, block: Block) {
        if self.attrs.table {
            place_table(&self.attrs, &x[0], y, block, &self.table);
        } else {
            place(&self.attrs, &x[0], y, block);
        }
    }
}

impl Kernel<f32> for Placed {
    in_a_part!();

    fn run(&self, x: &[Rows<f32>], y: &mut RowsMut<f32>, block: Block) {
        place(&self.attrs, &x[0], y, block);
    }
}

#[test]
fn parts_of_both_types() {
    for_seeds("place", 3000, |random| {
        let channels = random.within(1, 8);
        let input = shape(random, channels);
        let mut spare = || [0; 3].map(|_: usize| if random.one_in(2) { random.within(0, 4) } else { 0 });
        let (offset, behind) = (spare(), spare());
        let output = std::array::from_fn(|axis| offset[axis] + input[axis] + behind[axis]);
        let mut table = [0; 256];
        table.fill_with(|| random.bits() as u8);
        let attrs = Place { offset: offset.map(|n| n as u16), table: random.one_in(2) };
        let kernel = Placed { attrs, table, input, output };
        let at = |i: usize| {
            let place = [i / input[2] / input[1], i / input[2] % input[1], i % input[2]];
            let [y, x, c] = std::array::from_fn(|axis| place[axis] + offset[axis]);
            (y * output[1] + x) * output[2] + c
        };
        let (x, y) = check::<i8, i8>(random, &kernel);
        for (i, &q) in x[0].iter().enumerate() {
            assert_eq!(y[at(i)], if attrs.table { table[q as u8 as usize] as i8 } else { q });
        }
        let (x, y) = check::<f32, f32>(random, &kernel);
        assert!(x[0].iter().enumerate().all(|(i, v)| y[at(i)] == *v));
    });
}

struct Resized {
    input: Shape,
    output: Shape,
    taps: Vec<[u8; TAPS_LEN]>,
}

impl Resized {
    /// The taps of a block: its rows', then all pixels'.
    fn taps(&self, block: Block) -> Vec<[u8; TAPS_LEN]> {
        let (rows, pixels) = self.taps.split_at(self.output[0]);
        [&rows[block.r0..block.r1], pixels].concat()
    }
}

macro_rules! of_the_whole {
    () => {
        fn inputs(&self) -> Vec<Shape> {
            vec![self.input]
        }

        fn output(&self) -> Shape {
            self.output
        }

        fn reads(&self, _: usize, _: usize) -> Range<usize> {
            0..self.input[0]
        }
    };
}

impl Kernel<i8> for Resized {
    of_the_whole!();

    fn run(&self, x: &[Rows<i8>], y: &mut RowsMut<i8>, block: Block) {
        resize_i8(&self.taps(block), &x[0], y, block);
    }
}

impl Kernel<f32> for Resized {
    of_the_whole!();

    fn run(&self, x: &[Rows<f32>], y: &mut RowsMut<f32>, block: Block) {
        resize_f32(&self.taps(block), &x[0], y, block);
    }
}

#[test]
fn resizing_of_both_types() {
    for_seeds("resize", 3000, |random| {
        let channels = random.within(1, 8);
        let (input, output) = (shape(random, channels), shape(random, channels));
        let mut pair = |len: usize| {
            let weight: f32 = if random.one_in(3) { 0.0 } else { random.real().abs() };
            let (first, second) = (random.within(0, len) as u16, random.within(0, len) as u16);
            let ([a, b], [c, d], [w0, w1, w2, w3]) = (first.to_le_bytes(), second.to_le_bytes(), weight.to_le_bytes());
            ([a, b, c, d, w0, w1, w2, w3], [(first, 1.0 - weight as f64), (second, weight as f64)])
        };
        let (taps, reals): (Vec<[u8; 8]>, Vec<_>) =
            (0..output[0]).map(|_| input[0]).chain((0..output[1]).map(|_| input[1])).map(&mut pair).unzip();
        let kernel = Resized { input, output, taps };
        let want = |x: &[f64], i: usize| -> f64 {
            let [_, w, c] = output;
            let (vertical, horizontal) = (reals[i / c / w], reals[output[0] + i / c % w]);
            let clamped = |tap: u16, axis: usize| (tap as usize).min(input[axis] - 1);
            let at = |y: u16, p: u16| x[(clamped(y, 0) * input[1] + clamped(p, 1)) * c + i % c];
            vertical.iter().flat_map(|v| horizontal.iter().map(move |h| v.1 * h.1 * at(v.0, h.0))).sum()
        };
        let (x, y) = check::<i8, i8>(random, &kernel);
        let real: Vec<f64> = x[0].iter().map(|&q| q as f64).collect();
        assert!(y.iter().enumerate().all(|(i, &y)| (y as f64 - want(&real, i)).abs() < 0.5001));
        let (x, y) = check::<f32, f32>(random, &kernel);
        let real: Vec<f64> = x[0].iter().map(|&v| v as f64).collect();
        assert!(y.iter().enumerate().all(|(i, &y)| (y as f64 - want(&real, i)).abs() < 1e-6));
    });
}
