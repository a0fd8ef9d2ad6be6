//! Every kernel in random slices of rows x channels, from rings of just the rows needed into a ring of just the rows made,
//! against the same kernel run whole: not one byte may differ, and nothing outside the slice may change.

mod common;
#[path = "slices/elements.rs"]
mod elements;
#[path = "slices/moves.rs"]
mod moves;
#[path = "slices/windows.rs"]
mod windows;

use bytemuck::Pod;
use common::{Case, Random};
use staticnet::kernels::Element;
use staticnet::view::{Block, Rows, RowsMut};
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

    /// Runs it.
    fn run(&self, x: &[Rows<X>], y: &mut RowsMut<Y>, block: Block, scratch: &mut Vec<X>);
}

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

/// The kernel on random inputs, run whole, then sliced. Returns the inputs and the output.
fn check<X: Number, Y: Number>(random: &mut Random, kernel: &impl Kernel<X, Y>) -> (Vec<Vec<X>>, Vec<Y>) {
    let inputs: Vec<Vec<X>> = kernel.inputs().into_iter().map(|shape| numbers(random, elements(shape))).collect();
    let [oh, ow, oc] = kernel.output();
    let mut want: Vec<Y> = poison(random, oh * ow * oc);
    let mut got = want.clone();
    let mut scratch = Vec::new();
    let views: Vec<Rows<X>> = inputs.iter().zip(kernel.inputs()).map(|(x, [h, w, c])| Rows::new(x, h, h, w, c)).collect();
    kernel.run(&views, &mut RowsMut::new(&mut want, oh, ow, oc), kernel.part(), &mut scratch);

    let blocks = blocks(random, kernel.part());
    let spare = random.within(0, 2);
    let longest = |i: usize| blocks.iter().map(|(rows, _)| needed(kernel, i, rows).len()).max().unwrap_or(0);
    // As in an artifact: at least one row, at most all.
    let rings: Vec<usize> =
        kernel.inputs().iter().enumerate().map(|(i, [h, _, _])| (longest(i) + spare).clamp(1, *h)).collect();
    let out_ring = blocks.iter().map(|(rows, _)| rows.len()).max().unwrap_or(1) + random.within(0, 1);
    for (rows, channels) in &blocks {
        let held: Vec<Vec<X>> = (0..inputs.len())
            .map(|i| {
                let [_, w, c] = kernel.inputs()[i];
                let mut held = poison(random, rings[i] * w * c);
                for r in needed(kernel, i, rows) {
                    held[r % rings[i] * w * c..][..w * c].copy_from_slice(&inputs[i][r * w * c..][..w * c]);
                }
                held
            })
            .collect();
        let views: Vec<Rows<X>> = (held.iter().zip(&rings).zip(kernel.inputs()))
            .map(|((held, ring), [h, w, c])| Rows::new(held, *ring, h, w, c))
            .collect();
        let mut y_ring: Vec<Y> = poison(random, out_ring * ow * oc);
        // What the part leaves of its rows was there before.
        for r in rows.clone() {
            y_ring[r % out_ring * ow * oc..][..ow * oc].copy_from_slice(&got[r * ow * oc..][..ow * oc]);
        }
        for channels in channels {
            let before = y_ring.clone();
            let block = Block { r0: rows.start, r1: rows.end, c0: channels.start, c1: channels.end };
            scratch.fill(X::poison(random));
            kernel.run(&views, &mut RowsMut::new(&mut y_ring, out_ring, ow, oc), block, &mut scratch);
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
    assert!(same(&want, &got), "sliced and whole differ: {blocks:?}, {:?} to {:?}", kernel.inputs(), kernel.output());
    (inputs, want)
}

/// The kernel in place, block by block, against the output from one buffer to another.
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
            run(&mut RowsMut::new(&mut got, h, w, c), block);
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
