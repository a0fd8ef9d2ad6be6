//! Convolution over a batch: pictures are shared out to threads, and go through the column matrix or Winograd's points.

use super::super::raw::simd::Simd;
use super::super::{ConvShape, LayerGrads, Saved};
use super::direct::{self, Direct, bias_gradient};
use super::interleave::{deinterleave, groups, interleave};
use super::pointwise::{Add, Mask, at_least, floor};
use super::product::sized;
use super::winograd::{self, Group, Points};
use rayon::prelude::*;
use std::cell::RefCell;
use std::sync::OnceLock;

/// Buffers a thread keeps from call to call; every use writes them before it reads them.
#[derive(Default)]
struct Scratch {
    input: Vec<f32>,
    output: Vec<f32>,
    input_gradient: Vec<f32>,
    points: winograd::Buffers,
    direct: direct::Buffers,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
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
    /// Pictures that are taken at once.
    pictures: usize,
}

impl Sizes {
    fn of(shape: &ConvShape, threads: usize) -> Self {
        let most = if winograd::applies(shape) { winograd::pictures_per_product(shape) } else { 1 };
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

/// A convolution and its weights, made ready for one direction.
struct Ready<'a> {
    shape: &'a ConvShape,
    sizes: Sizes,
    simd: Simd,
    weight: &'a [f32],
    /// Whether for the way back.
    transposed: bool,
    /// The weights at Winograd's points, where that way is taken.
    points: Option<Points>,
    /// Made when the first pictures come that cannot go through the points.
    direct: OnceLock<Direct<'a>>,
}

impl<'a> Ready<'a> {
    fn new(shape: &'a ConvShape, (simd, threads): (Simd, usize), weight: &'a [f32], transposed: bool) -> Self {
        let sizes = Sizes::of(shape, threads);
        let points = (winograd::applies(shape) && sizes.pictures >= winograd::LANES)
            .then(|| Points::of(simd, weight, sizes.group_in, shape.groups, transposed));
        Ready { shape, sizes, simd, weight, transposed, points, direct: OnceLock::new() }
    }

    fn direct(&self) -> &Direct<'a> {
        self.direct.get_or_init(|| Direct::new(self.shape, self.simd, self.weight, self.transposed))
    }
}

pub(super) fn forward(
    shape: &ConvShape,
    (simd, threads): (Simd, usize),
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
    y: &mut [f32],
) {
    let sizes = Sizes::of(shape, threads);
    assert_eq!((x.len(), y.len()), (shape.batch * sizes.input, shape.batch * sizes.output));
    assert_eq!((weight.len(), bias.len()), (shape.output[0] * sizes.taps, shape.output[0]));
    let this = Ready::new(shape, (simd, threads), weight, false);
    // Several shares a thread even out what else the machine does.
    let share = shape.batch.div_ceil(4 * threads).next_multiple_of(sizes.pictures);
    let shares = x.par_chunks(share * sizes.input).zip(y.par_chunks_mut(share * sizes.output));
    shares.for_each(|(x, y)| {
        SCRATCH.with_borrow_mut(|scratch| {
            for (first, pictures) in groups(x.len() / sizes.input, sizes.pictures) {
                let x = &x[first * sizes.input..][..pictures * sizes.input];
                let y = &mut y[first * sizes.output..][..pictures * sizes.output];
                this.forward(pictures, x, bias, y, scratch);
            }
        });
    });
}

impl Ready<'_> {
    /// As many pictures as are taken at once.
    fn forward(&self, pictures: usize, x: &[f32], bias: &[f32], y: &mut [f32], scratch: &mut Scratch) {
        let Sizes { input, output, plane, group_out, .. } = self.sizes;
        let floor = floor(self.shape.relu);
        let finish = |channel: usize, v: f32| at_least(floor, v + bias[channel]);
        match &self.points {
            Some(weight) if pictures.is_multiple_of(winograd::LANES) => {
                let x = interleaved(self.simd, pictures, x, &mut scratch.input);
                let products = sized(&mut scratch.output, group_out * plane * pictures);
                for group in 0..self.shape.groups {
                    let this = Group { shape: self.shape, simd: self.simd, pictures, group, weight };
                    let planes = group_planes(self.shape, &self.sizes, group, pictures, x);
                    this.forward(planes, products, bias, &mut scratch.points);
                    let y = &mut y[group * group_out * plane..];
                    deinterleave(self.simd, pictures, products, (y, output), false);
                }
            }
            Some(_) | None => {
                let direct = self.direct();
                for (x, y) in x.chunks_exact(input).zip(y.chunks_exact_mut(output)) {
                    direct.forward(x, y, finish, &mut scratch.direct);
                }
            }
        }
    }
}

/// The pictures interleaved.
fn interleaved<'a>(simd: Simd, pictures: usize, x: &[f32], buffer: &'a mut Vec<f32>) -> &'a [f32] {
    let buffer = sized(buffer, x.len());
    interleave(simd, pictures, x, buffer);
    buffer
}

fn group_planes<'a>(shape: &ConvShape, sizes: &Sizes, group: usize, pictures: usize, x: &'a [f32]) -> &'a [f32] {
    let len = sizes.group_in * shape.input[1] * shape.input[2] * pictures;
    &x[group * len..][..len]
}

/// Gradients of weight and bias over one share of the batch.
struct Partial {
    /// `[O, C, KH, KW]`, of pictures that went through Winograd's points.
    weight: Option<Vec<f32>>,
    /// `[O, KH, KW, C]`, of the others.
    direct: Option<Vec<f32>>,
    bias: Vec<f32>,
}

pub(super) fn backward(
    shape: &ConvShape,
    (simd, threads): (Simd, usize),
    saved: Saved<&[f32]>,
    gy: &mut [f32],
    grads: LayerGrads<&mut [f32]>,
) {
    let this = Ready::new(shape, (simd, threads), saved.weight, true);
    let sizes = this.sizes;
    let share = shape.batch.div_ceil(threads);
    let mut gx_shares: Vec<Option<&mut [f32]>> = match grads.x {
        Some(gx) => gx.chunks_mut(share * sizes.input).map(Some).collect(),
        None => (0..shape.batch.div_ceil(share)).map(|_| None).collect(),
    };
    let inputs = saved.x.par_chunks(share * sizes.input).zip(saved.y.par_chunks(share * sizes.output));
    let shares = inputs.zip(gy.par_chunks_mut(share * sizes.output)).zip(gx_shares.par_iter_mut());
    let partials: Vec<Partial> = shares
        .map(|(((x, y), gy), gx)| {
            if shape.relu {
                simd.run(Mask((y, &mut *gy)));
            }
            SCRATCH.with_borrow_mut(|scratch| this.backward(x, gy, gx.as_deref_mut(), scratch))
        })
        .collect();
    for partial in &partials {
        if let Some(weight) = &partial.weight {
            simd.run(Add((weight, grads.weight)));
        }
        if let Some(weight) = &partial.direct {
            this.direct().add_weight_gradient(weight, grads.weight);
        }
        simd.run(Add((&partial.bias, grads.bias)));
    }
}

impl Ready<'_> {
    /// Gradients over one share of the batch.
    fn backward(&self, x: &[f32], gy: &[f32], mut gx: Option<&mut [f32]>, scratch: &mut Scratch) -> Partial {
        let Sizes { input, output, .. } = self.sizes;
        let len = self.shape.output[0] * self.sizes.taps;
        let mut partial = Partial { weight: None, direct: None, bias: vec![0.0; self.shape.output[0]] };
        for (first, pictures) in groups(x.len() / input, self.sizes.pictures) {
            let x = &x[first * input..][..pictures * input];
            let gy = &gy[first * output..][..pictures * output];
            let mut gx = gx.as_deref_mut().map(|gx| &mut gx[first * input..][..pictures * input]);
            match &self.points {
                Some(points) if pictures.is_multiple_of(winograd::LANES) => {
                    let gw = partial.weight.get_or_insert_with(|| vec![0.0; len]);
                    self.backward_through_points(points, pictures, (x, gy), (gw, &mut partial.bias), gx, scratch);
                }
                Some(_) | None => {
                    let direct = self.direct();
                    for (i, (x, gy)) in x.chunks_exact(input).zip(gy.chunks_exact(output)).enumerate() {
                        bias_gradient(gy, self.sizes.plane, &mut partial.bias);
                        let add = partial.direct.is_some();
                        let gw = partial.direct.get_or_insert_with(|| vec![0.0; len]);
                        direct.weight_gradient(x, gy, gw, add, &mut scratch.direct);
                        if let Some(gx) = &mut gx {
                            direct.input_gradient(gy, &mut gx[i * input..][..input], &mut scratch.direct);
                        }
                    }
                }
            }
        }
        partial
    }

    fn backward_through_points(
        &self,
        weight: &Points,
        pictures: usize,
        (x, gy): (&[f32], &[f32]),
        (gw, bias): (&mut [f32], &mut [f32]),
        mut gx: Option<&mut [f32]>,
        scratch: &mut Scratch,
    ) {
        let Sizes { input, plane, group_in, group_out, taps, .. } = self.sizes;
        let width = plane * pictures;
        let x = interleaved(self.simd, pictures, x, &mut scratch.input);
        let gy = interleaved(self.simd, pictures, gy, &mut scratch.output);
        bias_gradient(gy, width, bias);
        let planes = group_in * self.shape.input[1] * self.shape.input[2];
        for group in 0..self.shape.groups {
            let gy = &gy[group * group_out * width..][..group_out * width];
            let gw = &mut gw[group * group_out * taps..][..group_out * taps];
            let x = group_planes(self.shape, &self.sizes, group, pictures, x);
            let this = Group { shape: self.shape, simd: self.simd, pictures, group, weight };
            match gx.as_deref_mut() {
                Some(gx) => {
                    let mixed = sized(&mut scratch.input_gradient, planes * pictures);
                    mixed.fill(0.0);
                    this.backward(x, gy, gw, Some(&mut *mixed), &mut scratch.points);
                    let out = &mut gx[group * planes..];
                    deinterleave(self.simd, pictures, mixed, (out, input), true);
                }
                None => this.backward(x, gy, gw, None, &mut scratch.points),
            }
        }
    }
}
