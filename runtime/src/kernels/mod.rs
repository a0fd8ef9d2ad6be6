//! One file an operator: portable loops over the primitives of [`arch`].
//!
//! Every kernel computes output rows `[r0, r1)` of channels `[c0, c1)` of one operator ([`Block`](crate::view::Block)) from ring
//! views, with the scratch and the weights it is given. Any slicing of an operator into blocks gives the same bytes. Kernels
//! are total: whatever the weights, they neither panic nor leave their views.

pub mod arch;
pub mod argmax;
pub mod average_pool;
pub mod binary;
pub mod constant;
pub mod conv;
pub mod convert;
mod elementwise;
pub mod linear;
pub mod lp_pool;
pub mod lrn;
pub mod max_pool;
pub mod pad;
pub mod place;
pub mod prelu;
pub mod rearrange;
pub mod relu;
pub mod resize;
pub mod softmax;
pub mod unary;
mod window;

use bytemuck::Pod;

/// An element type that kernels exist for: i8 (int8 networks) or f32.
pub trait Element: Pod + PartialOrd {
    /// What products are summed in: i32 (wrapping) or f32.
    type Sum: Pod + Default + core::fmt::Debug;

    /// Whether sums are the same in any order.
    const ANY_ORDER: bool;

    /// Adds to `sums[w][p]` the dot product of weight row `w` with pixel row `p`. Rows of weights begin `stride` elements apart; the
    /// [`arch::PIXELS`] rows of the panel lie side by side, and their length is that of the dot products, at most `stride`.
    fn add_dots(weights: &[Self], stride: usize, panel: &[Self], sums: &mut [[Self::Sum; arch::PIXELS]]);

    /// [`Element::add_dots`] with the pixel rows wherever they are, all of the same length.
    fn add_dots_apart(weights: &[Self], stride: usize, rows: [&[Self]; arch::PIXELS], sums: &mut [[Self::Sum; arch::PIXELS]]);

    /// The dot product of two rows.
    fn dot(weights: &[Self], x: &[Self]) -> Self::Sum;

    /// The element that a sum has become.
    fn of(finished: Self::Sum) -> Self;

    /// Element-wise `best = max(best, x)`.
    fn max_row(best: &mut [Self], x: &[Self]);
}

impl Element for i8 {
    const ANY_ORDER: bool = true;
    type Sum = i32;

    fn add_dots(weights: &[i8], stride: usize, panel: &[i8], sums: &mut [[i32; arch::PIXELS]]) {
        arch::add_dots_i8(weights, stride, panel, sums);
    }

    fn add_dots_apart(weights: &[i8], stride: usize, rows: [&[i8]; arch::PIXELS], sums: &mut [[i32; arch::PIXELS]]) {
        arch::add_dots_apart_i8(weights, stride, rows, sums);
    }

    fn dot(weights: &[i8], x: &[i8]) -> i32 {
        arch::dot_i8(weights, x)
    }

    fn of(finished: i32) -> i8 {
        finished as i8
    }

    fn max_row(best: &mut [i8], x: &[i8]) {
        arch::max_row_i8(best, x);
    }
}

impl Element for f32 {
    const ANY_ORDER: bool = false;
    type Sum = f32;

    fn add_dots(weights: &[f32], stride: usize, panel: &[f32], sums: &mut [[f32; arch::PIXELS]]) {
        arch::add_dots_f32(weights, stride, panel, sums);
    }

    fn add_dots_apart(weights: &[f32], stride: usize, rows: [&[f32]; arch::PIXELS], sums: &mut [[f32; arch::PIXELS]]) {
        arch::add_dots_apart_f32(weights, stride, rows, sums);
    }

    fn dot(weights: &[f32], x: &[f32]) -> f32 {
        arch::dot_f32(weights, x)
    }

    fn of(finished: f32) -> f32 {
        finished
    }

    fn max_row(best: &mut [f32], x: &[f32]) {
        arch::max_row_f32(best, x);
    }
}

/// How sums become int8 outputs: per-channel bias and multiplier, then [`requantize`](crate::quant::requantize).
#[derive(Clone, Copy, Debug)]
pub struct Requantize<'a> {
    /// Bias of each channel of the block, in units of input scale x weight scale, with the input's zero point folded in.
    pub bias: &'a [i32],
    /// Multiplier of each channel of the block: input scale x weight scale / output scale.
    pub multiplier: &'a [f32],
    /// Zero point of the output.
    pub zero_point: i8,
    /// Smallest output (a fused ReLU makes it the zero point).
    pub lo: i8,
    /// Largest output.
    pub hi: i8,
}

impl Requantize<'_> {
    /// The output of channel `i` of the block.
    pub fn apply(&self, i: usize, sum: i32) -> i8 {
        crate::quant::requantize(sum.wrapping_add(self.bias[i]), self.multiplier[i], self.zero_point, self.lo, self.hi)
    }

    /// Makes the sums of the block's channels from `i` on their outputs. Not inlined, for the stack's sake.
    #[inline(never)]
    pub fn apply_all(&self, i: usize, sums: &mut [[i32; arch::PIXELS]]) {
        arch::requantize(sums, &self.bias[i..], &self.multiplier[i..], self.zero_point, [self.lo, self.hi]);
    }
}

/// How f32 sums become outputs: bias, then a clamp.
#[derive(Clone, Copy, Debug)]
pub struct BiasClamp<'a> {
    /// Bias of each channel of the block.
    pub bias: &'a [f32],
    /// Smallest output (0 for a fused ReLU, else minus infinity).
    pub lo: f32,
    /// Largest output.
    pub hi: f32,
}

impl BiasClamp<'_> {
    /// The output of channel `i` of the block.
    pub fn apply(&self, i: usize, sum: f32) -> f32 {
        self.make(sum, self.bias[i])
    }

    /// Makes the sums of the block's channels from `i` on their outputs.
    pub fn apply_all(&self, i: usize, sums: &mut [[f32; arch::PIXELS]]) {
        for (sums, bias) in sums.iter_mut().zip(&self.bias[i..]) {
            *sums = sums.map(|sum| self.make(sum, *bias));
        }
    }

    fn make(&self, sum: f32, bias: f32) -> f32 {
        // Not `clamp`: it panics on a NaN bound, which a damaged artifact may have.
        (sum + bias).max(self.lo).min(self.hi)
    }
}
