//! Every kernel in random slices of rows x channels, from rings or parts of just the rows needed into a ring or a part of just the
//! rows made, where it may in windows of channels, against the same kernel run whole: not one byte may differ, and nothing outside
//! the slice may change.

#[path = "slices/convolution.rs"]
mod convolution;
#[path = "slices/elements.rs"]
mod elements;
#[path = "slices/moves.rs"]
mod moves;
#[path = "slices/windows.rs"]
mod windows;

use bytemuck::Pod;
use staticnet::kernels::Element;
use staticnet::view::{Block, Held, Rows, RowsMut};
use staticnet_testing::{Case, Random};
use std::ops::Range;

/// Height, width, channels.
type Shape = [usize; 3];

/// A kernel with its parameters: everything but the activations.
trait Kernel<X, Y = X> {
    /// The shapes it takes.
    fn inputs(&self) -> Vec<Shape>;

    /// The shape it makes.
    fn output(&self) -> Shape;

    /// Rows of input `i` that output row `r` reads, by its definition.
    fn reads(&self, i: usize, r: usize) -> Range<usize>;

    /// The part of the output that it makes.
    fn part(&self) -> Block {
        whole(self.output())
    }

    /// Which of its tensors may be windows of channels, for an output block of these.
    fn windows(&self, _channels: Range<usize>) -> Windows {
        Windows { input: None, output: false }
    }

    /// Runs it.
    fn run(&self, x: &[Rows<X>], y: &mut RowsMut<Y>, block: Block);
}

/// What may be held in part for a block of channels.
struct Windows {
    /// The channels that the input must have, where it may have these alone.
    input: Option<Range<usize>>,
    output: bool,
}

/// Both input and output may be windows of the same channels.
macro_rules! both_in_windows {
    () => {
        fn windows(&self, channels: Range<usize>) -> Windows {
            Windows { input: Some(channels), output: true }
        }
    };
}
use both_in_windows;

/// Elements of the tests: random values, and one that would spoil whatever reads it.
trait Number: Pod {
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

impl Number for i32 {
    fn random(random: &mut Random) -> i32 {
        random.bits() as i32
    }

    fn poison(random: &mut Random) -> i32 {
        random.bits() as i32
    }
}

fn numbers<E: Number>(random: &mut Random, n: usize) -> Vec<E> {
    (0..n).map(|_| E::random(random)).collect()
}

fn poison<E: Number>(random: &mut Random, n: usize) -> Vec<E> {
    (0..n).map(|_| E::poison(random)).collect()
}

fn elements(shape: Shape) -> usize {
    shape.iter().product()
}

fn whole(shape: Shape) -> Block {
    Block { r0: 0, r1: shape[0], c0: 0, c1: shape[2] }
}

/// Random blocks that make up `part`: ranges of rows, and channels within each.
fn blocks(random: &mut Random, part: Block) -> Vec<(Range<usize>, Vec<Range<usize>>)> {
    let shift = |ranges: Vec<Range<usize>>, by: usize| ranges.into_iter().map(|r| r.start + by..r.end + by).collect();
    let rows: Vec<Range<usize>> = shift(random.cuts(part.r1 - part.r0), part.r0);
    rows.into_iter().map(|rows| (rows, shift(random.cuts(part.c1 - part.c0), part.c0))).collect()
}

/// The first and one past the last row of input `i` that any of `rows` reads.
fn needed<X, Y>(kernel: &impl Kernel<X, Y>, i: usize, rows: &Range<usize>) -> Range<usize> {
    let read = rows.clone().map(|r| kernel.reads(i, r)).filter(|rows| !rows.is_empty());
    read.reduce(|all, rows| all.start.min(rows.start)..all.end.max(rows.end)).unwrap_or(0..0)
}

/// A part of a tensor in memory of its own.
struct Part<E> {
    data: Vec<E>,
    held: Held,
    shape: Shape,
}

impl<E: Number> Part<E> {
    /// Memory for `rows` and `channels` of a tensor, full of noise: a ring of `ring` rows, or those rows alone.
    fn new(random: &mut Random, shape: Shape, rows: &Range<usize>, ring: usize, channels: Range<usize>) -> Self {
        let (first_row, rows) = if random.one_in(2) { (0, ring) } else { (rows.start, rows.len()) };
        let held = Held { first_row, rows, c0: channels.start, channels: channels.len() };
        Part { data: poison(random, rows * shape[1] * channels.len()), held, shape }
    }

    /// For each element of a row that it holds: its place in memory and in the tensor.
    fn places(&self, r: usize) -> impl Iterator<Item = (usize, usize)> + use<E> {
        let (Held { first_row, rows, c0, channels: n }, [_, w, c]) = (self.held, self.shape);
        let line = (r - first_row) % rows * w;
        (0..w * n).map(move |i| (line * n + i, (r * w + i / n) * c + c0 + i % n))
    }

    fn fill(&mut self, tensor: &[E], rows: Range<usize>) {
        for r in rows {
            self.places(r).for_each(|(here, there)| self.data[here] = tensor[there]);
        }
    }

    fn rows(&self) -> Rows<'_, E> {
        Rows::part(&self.data, self.held, self.shape)
    }

    fn rows_mut(&mut self) -> RowsMut<'_, E> {
        RowsMut::part(&mut self.data, self.held, [self.shape[1], self.shape[2]])
    }

    /// Puts what a block made into the tensor. Whatever else is in memory must be as `before`.
    fn give(&self, before: &[E], tensor: &mut [E], block: Block) {
        let mut made = vec![false; self.data.len()];
        for (here, there) in (block.r0..block.r1).flat_map(|r| self.places(r)) {
            if (block.c0..block.c1).contains(&(there % self.shape[2])) {
                (made[here], tensor[there]) = (true, self.data[here]);
            }
        }
        let kept = (0..made.len()).filter(|&i| !made[i]).all(|i| same(&before[i..=i], &self.data[i..=i]));
        assert!(kept, "block {block:?} wrote outside itself into {:?}", self.held);
    }
}

/// `channels`, or some more of `all`.
fn around(random: &mut Random, channels: Range<usize>, all: usize) -> Range<usize> {
    random.within(0, channels.start)..random.within(channels.end, all)
}

/// The kernel on random inputs, run whole, then sliced. Returns the inputs and the output.
fn check<X: Number, Y: Number>(random: &mut Random, kernel: &impl Kernel<X, Y>) -> (Vec<Vec<X>>, Vec<Y>) {
    let inputs: Vec<Vec<X>> = kernel.inputs().into_iter().map(|shape| numbers(random, elements(shape))).collect();
    let [oh, ow, oc] = kernel.output();
    let mut want: Vec<Y> = poison(random, oh * ow * oc);
    let mut got = want.clone();
    let views: Vec<Rows<X>> = inputs.iter().zip(kernel.inputs()).map(|(x, [h, w, c])| Rows::new(x, h, h, w, c)).collect();
    kernel.run(&views, &mut RowsMut::new(&mut want, oh, ow, oc), kernel.part());

    let blocks = blocks(random, kernel.part());
    let spare = random.within(0, 2);
    let longest = |i: usize| blocks.iter().map(|(rows, _)| needed(kernel, i, rows).len()).max().unwrap_or(0);
    // As in an artifact: at least one row, at most all.
    let rings: Vec<usize> =
        kernel.inputs().iter().enumerate().map(|(i, [h, _, _])| (longest(i) + spare).clamp(1, *h)).collect();
    let out_ring = blocks.iter().map(|(rows, _)| rows.len()).max().unwrap_or(1) + random.within(0, 1);
    for (rows, channels) in &blocks {
        for channels in channels {
            let block = Block { r0: rows.start, r1: rows.end, c0: channels.start, c1: channels.end };
            let windows = kernel.windows(channels.clone());
            let held: Vec<Part<X>> = (0..inputs.len())
                .map(|i| {
                    let (shape, rows) = (kernel.inputs()[i], needed(kernel, i, rows));
                    let window = windows.input.clone().map(|needed| around(random, needed, shape[2]));
                    let mut part = Part::new(random, shape, &rows, rings[i], window.unwrap_or(0..shape[2]));
                    part.fill(&inputs[i], rows);
                    part
                })
                .collect();
            let window = if windows.output { around(random, channels.clone(), oc) } else { 0..oc };
            let mut y = Part::new(random, kernel.output(), rows, out_ring, window);
            // What the part leaves of its rows was there before.
            y.fill(&got, rows.clone());
            let before = y.data.clone();
            let views: Vec<Rows<X>> = held.iter().map(Part::rows).collect();
            kernel.run(&views, &mut y.rows_mut(), block);
            y.give(&before, &mut got, block);
        }
    }
    assert!(same(&want, &got), "sliced and whole differ: {blocks:?}, {:?} to {:?}", kernel.inputs(), kernel.output());
    (inputs, want)
}

/// The kernel in place, block by block in windows, against the output from one buffer to another.
fn check_in_place<E: Number>(
    random: &mut Random,
    kernel: &impl Kernel<E>,
    run: impl Fn(&mut RowsMut<E>, Block),
) -> (Vec<E>, Vec<E>) {
    let (inputs, want) = check::<E, E>(random, kernel);
    let ([h, w, c], mut got) = (kernel.output(), inputs[0].clone());
    for (rows, channels) in blocks(random, whole([h, w, c])) {
        for channels in channels {
            let block = Block { r0: rows.start, r1: rows.end, c0: channels.start, c1: channels.end };
            let window = around(random, channels, c);
            let mut part = Part::new(random, [h, w, c], &rows, rows.len(), window);
            part.fill(&got, rows.clone());
            let before = part.data.clone();
            run(&mut part.rows_mut(), block);
            part.give(&before, &mut got, block);
        }
    }
    assert!(same(&want, &got), "in place differs");
    (inputs.into_iter().next().unwrap_or_default(), want)
}

/// Bit for bit; a NaN equals itself.
fn same<E: Pod>(a: &[E], b: &[E]) -> bool {
    bytemuck::cast_slice::<E, u8>(a) == bytemuck::cast_slice::<E, u8>(b)
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
