//! Convolution as matrix products, over column matrices or at Winograd's points.

use super::super::raw::{Matrix, matmul};
use super::super::{ConvShape, LayerGrads, Saved};
use super::columns::{self, col2im_add, deinterleave, groups, im2col, interleave};
use super::pointwise::{add, mask};
use super::winograd::{self, Buffers, Group, Points};
use rayon::prelude::*;
use std::cell::RefCell;

/// Buffers a thread keeps from call to call; every use writes them before it reads them.
#[derive(Default)]
struct Scratch {
    input: Vec<f32>,
    columns: Vec<f32>,
    output: Vec<f32>,
    input_gradient: Vec<f32>,
    points: Buffers,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

fn sized(buffer: &mut Vec<f32>, len: usize) -> &mut [f32] {
    if buffer.len() < len {
        buffer.resize(len, 0.0);
    }
    &mut buffer[..len]
}

/// Sizes that follow from a [`ConvShape`].
#[derive(Clone, Copy)]
struct Sizes {
    /// Elements of one picture's input and output.
    input: usize,
    output: usize,
    /// Pixels of an output plane.
    plane: usize,
    /// Channels in and out of one group.
    group_in: usize,
    group_out: usize,
    /// Taps of one output element: input channels of a group x kernel.
    taps: usize,
    /// Pictures in one matrix product.
    pictures: usize,
}

impl Sizes {
    fn of(shape: &ConvShape, threads: usize) -> Self {
        let most =
            if winograd::applies(shape) { winograd::pictures_per_product(shape) } else { columns::pictures_per_product(shape) };
        // Every thread shall have a share.
        let pictures = most.min(1 << shape.batch.div_ceil(threads).ilog2());
        let [kh, kw] = shape.window.kernel.map(usize::from);
        let group_in = shape.input[0] / shape.groups;
        Sizes {
            input: shape.input.iter().product(),
            output: shape.output.iter().product(),
            plane: shape.output[1] * shape.output[2],
            group_in,
            group_out: shape.output[0] / shape.groups,
            taps: group_in * kh * kw,
            pictures,
        }
    }
}

pub(super) fn forward(shape: &ConvShape, threads: usize, x: &[f32], weight: &[f32], bias: &[f32], y: &mut [f32]) {
    let sizes = Sizes::of(shape, threads);
    assert_eq!((x.len(), y.len()), (shape.batch * sizes.input, shape.batch * sizes.output));
    assert_eq!((weight.len(), bias.len()), (shape.output[0] * sizes.taps, shape.output[0]));
    let points = points(shape, &sizes, weight);
    // Several shares a thread even out what else the machine does.
    let share = shape.batch.div_ceil(4 * threads).next_multiple_of(sizes.pictures);
    let shares = x.par_chunks(share * sizes.input).zip(y.par_chunks_mut(share * sizes.output));
    shares.for_each(|(x, y)| {
        SCRATCH.with_borrow_mut(|scratch| {
            for (first, pictures) in groups(x.len() / sizes.input, sizes.pictures) {
                let x = &x[first * sizes.input..][..pictures * sizes.input];
                let y = &mut y[first * sizes.output..][..pictures * sizes.output];
                match &points {
                    Some(points) if pictures.is_multiple_of(winograd::LANES) => {
                        forward_points(shape, &sizes, pictures, scratch, x, points, bias, y);
                    }
                    Some(_) | None => forward_columns(shape, &sizes, pictures, scratch, x, weight, bias, y),
                }
            }
        });
    });
}

#[allow(clippy::too_many_arguments)]
fn forward_columns(
    shape: &ConvShape,
    sizes: &Sizes,
    pictures: usize,
    scratch: &mut Scratch,
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
    y: &mut [f32],
) {
    let width = sizes.plane * pictures;
    let columns = sized(&mut scratch.columns, sizes.taps * width);
    let output = sized(&mut scratch.output, sizes.group_out * width);
    let x = interleaved(pictures, x, &mut scratch.input);
    let activate = activation(shape);
    for group in 0..shape.groups {
        im2col(shape, pictures, sizes.group_in, group_planes(shape, sizes, group, pictures, x), columns);
        let weight = &weight[group * sizes.group_out * sizes.taps..][..sizes.group_out * sizes.taps];
        let weight = Matrix::new(weight, sizes.group_out, sizes.taps, sizes.taps);
        matmul(output, false, weight, Matrix::new(columns, sizes.taps, width, width), 1);
        for (c, row) in output.chunks_exact(width).enumerate() {
            let channel = group * sizes.group_out + c;
            let bias = bias[channel];
            deinterleave(pictures, row, sizes.output, &mut y[channel * sizes.plane..], |y, v| *y = activate(v + bias));
        }
    }
}

#[allow(clippy::too_many_arguments)]
fn forward_points(
    shape: &ConvShape,
    sizes: &Sizes,
    pictures: usize,
    scratch: &mut Scratch,
    x: &[f32],
    weight: &Points,
    bias: &[f32],
    y: &mut [f32],
) {
    let x = interleaved(pictures, x, &mut scratch.input);
    let output = sized(&mut scratch.output, sizes.group_out * sizes.plane * pictures);
    let activate = activation(shape);
    for group in 0..shape.groups {
        let this = Group { shape, pictures, group, weight };
        let planes = group_planes(shape, sizes, group, pictures, x);
        this.forward(planes, output, |channel, v| activate(v + bias[channel]), &mut scratch.points);
        let y = &mut y[group * sizes.group_out * sizes.plane..];
        deinterleave(pictures, output, sizes.output, y, |y, v| *y = v);
    }
}

/// The ReLU, where there is one.
fn activation(shape: &ConvShape) -> impl Fn(f32) -> f32 + use<> {
    let floor = if shape.relu { 0.0 } else { f32::NEG_INFINITY };
    // A comparison, not `max`, so that a NaN stays visible.
    move |v| if v < floor { floor } else { v }
}

/// The weights at Winograd's points, where that way is taken.
fn points(shape: &ConvShape, sizes: &Sizes, weight: &[f32]) -> Option<Points> {
    (winograd::applies(shape) && sizes.pictures >= winograd::LANES).then(|| Points::of(weight, sizes.group_in))
}

/// The pictures interleaved; one picture alone stays where it is.
fn interleaved<'a>(pictures: usize, x: &'a [f32], buffer: &'a mut Vec<f32>) -> &'a [f32] {
    if pictures == 1 {
        return x;
    }
    let buffer = sized(buffer, x.len());
    interleave(pictures, x, buffer);
    buffer
}

fn group_planes<'a>(shape: &ConvShape, sizes: &Sizes, group: usize, pictures: usize, x: &'a [f32]) -> &'a [f32] {
    let len = sizes.group_in * shape.input[1] * shape.input[2] * pictures;
    &x[group * len..][..len]
}

/// Gradients of weight and bias over one share of the batch.
struct Partial {
    weight: Vec<f32>,
    bias: Vec<f32>,
}

pub(super) fn backward(shape: &ConvShape, threads: usize, saved: Saved<'_>, gy: &mut [f32], grads: LayerGrads<'_>) {
    let sizes = Sizes::of(shape, threads);
    let points = points(shape, &sizes, saved.weight);
    let share = shape.batch.div_ceil(threads);
    let mut gx_shares: Vec<Option<&mut [f32]>> = match grads.x {
        Some(gx) => gx.chunks_mut(share * sizes.input).map(Some).collect(),
        None => (0..shape.batch.div_ceil(share)).map(|_| None).collect(),
    };
    let inputs = saved.x.par_chunks(share * sizes.input).zip(saved.y.par_chunks(share * sizes.output));
    let shares = inputs.zip(gy.par_chunks_mut(share * sizes.output)).zip(gx_shares.par_iter_mut());
    let partials: Vec<Partial> = shares
        .map(|(((x, y), gy), gx)| {
            SCRATCH.with_borrow_mut(|scratch| {
                if shape.relu {
                    mask((y, gy));
                }
                backward_share(shape, &sizes, scratch, x, (saved.weight, points.as_ref()), gy, gx.as_deref_mut())
            })
        })
        .collect();
    if grads.fresh {
        grads.weight.fill(0.0);
        grads.bias.fill(0.0);
    }
    for partial in &partials {
        add((&partial.weight, grads.weight));
        add((&partial.bias, grads.bias));
    }
}

fn backward_share(
    shape: &ConvShape,
    sizes: &Sizes,
    scratch: &mut Scratch,
    x: &[f32],
    (weight, points): (&[f32], Option<&Points>),
    gy: &[f32],
    mut gx: Option<&mut [f32]>,
) -> Partial {
    let mut partial = Partial { weight: vec![0.0; weight.len()], bias: vec![0.0; shape.output[0]] };
    for (first, pictures) in groups(x.len() / sizes.input, sizes.pictures) {
        let width = sizes.plane * pictures;
        let x = interleaved(pictures, &x[first * sizes.input..][..pictures * sizes.input], &mut scratch.input);
        let gy = &gy[first * sizes.output..][..pictures * sizes.output];
        let gy = interleaved(pictures, gy, &mut scratch.output);
        for (row, bias) in gy.chunks_exact(width).zip(&mut partial.bias) {
            *bias += row.iter().sum::<f32>();
        }
        let planes = sizes.group_in * shape.input[1] * shape.input[2];
        for group in 0..shape.groups {
            let gy = &gy[group * sizes.group_out * width..][..sizes.group_out * width];
            let span = group * sizes.group_out * sizes.taps..(group + 1) * sizes.group_out * sizes.taps;
            let x = group_planes(shape, sizes, group, pictures, x);
            let gw = &mut partial.weight[span.clone()];
            let mixed = if gx.is_some() {
                let mixed = sized(&mut scratch.input_gradient, planes * pictures);
                mixed.fill(0.0);
                Some(mixed)
            } else {
                None
            };
            match points {
                Some(weight) if pictures.is_multiple_of(winograd::LANES) => {
                    let this = Group { shape, pictures, group, weight };
                    this.backward(x, gy, gw, mixed, &mut scratch.points);
                }
                Some(_) | None => {
                    let columns = sized(&mut scratch.columns, sizes.taps * width);
                    backward_columns(shape, sizes, pictures, columns, x, &weight[span], gy, gw, mixed);
                }
            }
            if let Some(gx) = gx.as_deref_mut() {
                let gx = &mut gx[first * sizes.input + group * planes..];
                deinterleave(pictures, &scratch.input_gradient[..planes * pictures], sizes.input, gx, |gx, g| *gx += g);
            }
        }
    }
    partial
}

/// One group of channels over some interleaved pictures.
#[allow(clippy::too_many_arguments)]
fn backward_columns(
    shape: &ConvShape,
    sizes: &Sizes,
    pictures: usize,
    columns: &mut [f32],
    x: &[f32],
    weight: &[f32],
    gy: &[f32],
    gw: &mut [f32],
    gx: Option<&mut [f32]>,
) {
    let width = sizes.plane * pictures;
    let gy = Matrix::new(gy, sizes.group_out, width, width);
    im2col(shape, pictures, sizes.group_in, x, columns);
    matmul(gw, true, gy, Matrix::new(columns, sizes.taps, width, width).transposed(), 1);
    if let Some(gx) = gx {
        let weight = Matrix::new(weight, sizes.group_out, sizes.taps, sizes.taps);
        matmul(columns, false, weight.transposed(), gy, 1);
        col2im_add(shape, pictures, sizes.group_in, columns, gx);
    }
}
