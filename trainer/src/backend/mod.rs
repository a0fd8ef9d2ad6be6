//! Forward and backward kernels under the tape wrappers of [`crate::ops`].
//!
//! A [`Backend`] works on plain f32 slices: activations `[N, C, H, W]` row-major, weights as PyTorch stores them. Forward
//! kernels overwrite their output. Backward kernels **add** to the gradients they are given, because a value may be used more
//! than once, and may use the incoming gradient as scratch: nobody reads it afterwards.

pub mod cpu;
pub mod raw;
pub mod update;

use crate::rng::KeyedRng;
use staticnet::op::{Lrn, Window};
use update::{Slots, Update};

/// Sizes of a convolution over a batch.
#[derive(Clone, Copy, Debug)]
pub struct ConvShape {
    /// Pictures in the batch.
    pub batch: usize,
    /// Input `[channels, height, width]`.
    pub input: [usize; 3],
    /// Output `[channels, height, width]`.
    pub output: [usize; 3],
    /// What one output pixel looks at.
    pub window: Window,
    /// Number of groups; divides both channel counts.
    pub groups: usize,
    /// Whether `max(x, 0)` follows within the kernel.
    pub relu: bool,
}

/// Sizes of a max-pool over a batch.
#[derive(Clone, Copy, Debug)]
pub struct PoolShape {
    /// Channel planes: pictures x channels.
    pub planes: usize,
    /// Input `[height, width]`.
    pub input: [usize; 2],
    /// Output `[height, width]`.
    pub output: [usize; 2],
    /// What one output pixel looks at.
    pub window: Window,
}

/// Sizes of a local response normalisation over a batch.
#[derive(Clone, Copy, Debug)]
pub struct LrnShape {
    /// Pictures in the batch.
    pub batch: usize,
    /// Channels.
    pub channels: usize,
    /// Pixels of one channel.
    pub plane: usize,
    /// Size of the window, alpha, beta and k.
    pub attrs: Lrn,
}

/// Sizes of a fully connected layer over a batch.
#[derive(Clone, Copy, Debug)]
pub struct LinearShape {
    /// Samples in the batch.
    pub batch: usize,
    /// Inputs.
    pub inputs: usize,
    /// Outputs.
    pub outputs: usize,
    /// Whether `max(x, 0)` follows within the kernel.
    pub relu: bool,
}

/// What a layer computed or was given in its forward pass.
#[derive(Clone, Copy, Debug)]
pub struct Saved<'a> {
    /// Its input.
    pub x: &'a [f32],
    /// Its weight.
    pub weight: &'a [f32],
    /// Its output (after a fused ReLU).
    pub y: &'a [f32],
}

/// Gradients a layer with parameters adds to.
#[derive(Debug)]
pub struct LayerGrads<'a> {
    /// Of the input; absent where nothing before the layer learns.
    pub x: Option<&'a mut [f32]>,
    /// Of the weight.
    pub weight: &'a mut [f32],
    /// Of the bias.
    pub bias: &'a mut [f32],
}

/// Kernels of a device. Slices have exactly the lengths their shapes say; a kernel panics otherwise.
pub trait Backend: Send + Sync + 'static {
    /// `y = x * weight + bias`, cross-correlation as everywhere in deep learning; weight `[O, C / groups, KH, KW]`.
    fn conv_forward(&self, shape: &ConvShape, x: &[f32], weight: &[f32], bias: &[f32], y: &mut [f32]);

    /// Gradients of [`Backend::conv_forward`] for the gradient `gy` of its output.
    fn conv_backward(&self, shape: &ConvShape, saved: Saved<'_>, gy: &mut [f32], grads: LayerGrads<'_>);

    /// The largest tap inside the input, and in `argmax` its index within the input plane (the first of equals).
    fn max_pool_forward(&self, shape: &PoolShape, x: &[f32], y: &mut [f32], argmax: &mut [u32]);

    /// Routes each output's gradient to the tap that won.
    fn max_pool_backward(&self, shape: &PoolShape, argmax: &[u32], gy: &[f32], gx: &mut [f32]);

    /// The formula of [`Lrn`]; leaves its base `k + alpha / size * sum(x^2)` in `base`.
    fn lrn_forward(&self, shape: &LrnShape, x: &[f32], y: &mut [f32], base: &mut [f32]);

    /// Gradient of [`Backend::lrn_forward`], given its input, output and `base`.
    fn lrn_backward(&self, shape: &LrnShape, x: &[f32], y: &[f32], base: &[f32], gy: &[f32], gx: &mut [f32]);

    /// `y = x weight^T + bias`; weight `[O, I]`.
    fn linear_forward(&self, shape: &LinearShape, x: &[f32], weight: &[f32], bias: &[f32], y: &mut [f32]);

    /// Gradients of [`Backend::linear_forward`] for the gradient `gy` of its output.
    fn linear_backward(&self, shape: &LinearShape, saved: Saved<'_>, gy: &mut [f32], grads: LayerGrads<'_>);

    /// `y = max(x, 0)`.
    fn relu_forward(&self, x: &[f32], y: &mut [f32]);

    /// Passes the gradient on where the output was positive.
    fn relu_backward(&self, y: &[f32], gy: &[f32], gx: &mut [f32]);

    /// Zeroes elements of each sample with probability `ratio` and scales the others by `1 / (1 - ratio)`. Which ones go is
    /// decided by one sequence of random numbers a sample, drawn again on the way back.
    fn dropout_forward(&self, masks: &[KeyedRng], ratio: f32, x: &[f32], y: &mut [f32]);

    /// Gradient of [`Backend::dropout_forward`] with the same masks.
    fn dropout_backward(&self, masks: &[KeyedRng], ratio: f32, gy: &[f32], gx: &mut [f32]);

    /// Mean over the batch of `-ln softmax(logits)[label]`; leaves its gradient with respect to the logits in `gradient`.
    fn softmax_cross_entropy(&self, classes: usize, logits: &[f32], labels: &[u32], gradient: &mut [f32]) -> f32;

    /// `gx += factor * gradient`.
    fn add_scaled(&self, factor: f32, gradient: &[f32], gx: &mut [f32]);

    /// Updates a parameter, its state and its average. Returns the sum of the squares of the gradient as it was given: finite
    /// exactly where all of the gradient is.
    fn update(&self, update: &Update, slots: Slots<'_>) -> f64;

    /// The sum of the squares alone.
    fn sum_of_squares(&self, gradient: &[f32]) -> f64;
}
