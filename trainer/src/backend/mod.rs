//! Forward and backward kernels under the tape wrappers of [`crate::ops`].
//!
//! A [`Backend`] is a dfdx device and kernels on its memory: activations `[N, C, H, W]` row-major, weights as PyTorch stores them,
//! all f32. Forward kernels overwrite their output. Backward kernels **add** to the gradients they are given, because a value may be
//! used more than once, and may use the incoming gradient as scratch: nobody reads it afterwards.
//!
//! Kernels of a device may run later than the call that asked for them, but in the order in which they were asked for; whatever
//! gives numbers to the host waits for them.

pub mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
pub mod device;
mod loss_error;
pub mod open;
pub mod raw;
pub mod update;

use crate::loss::Loss;
use crate::rng::KeyedRng;
use crate::targets::Targets;
pub use device::{Device, DeviceError, Precision, Target};
use dfdx::prelude::{Gradients, HasErr, NoneTape, Shape, Storage, Tensor};
pub use loss_error::LossError;
use staticnet::op::{Lrn, Window};
use std::borrow::Cow;
use std::fmt;
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
pub struct Saved<R> {
    /// Its input.
    pub x: R,
    /// Its weight.
    pub weight: R,
    /// Its output (after a fused ReLU).
    pub y: R,
}

/// What a local response normalisation computed or was given in its forward pass.
#[derive(Clone, Copy, Debug)]
pub struct LrnSaved<R> {
    /// Its input.
    pub x: R,
    /// Its output.
    pub y: R,
    /// `k + alpha / size * sum(x^2)`.
    pub base: R,
}

/// Gradients a layer with parameters adds to.
#[derive(Debug)]
pub struct LayerGrads<W> {
    /// Of the input; absent where nothing before the layer learns.
    pub x: Option<W>,
    /// Of the weight.
    pub weight: W,
    /// Of the bias.
    pub bias: W,
}

/// dfdx's error of a backend's device.
pub type Fault<B> = <<B as Backend>::Device as HasErr>::Err;

/// A vector in a backend's memory: a gradient, or what an optimiser remembers.
pub type Vector<B> = <<B as Backend>::Device as Storage<f32>>::Vec;

/// Gradients in a backend's memory.
pub type Grads<B> = Gradients<f32, <B as Backend>::Device>;

/// An update of one parameter.
pub type Work<'a, B> = (Update, Slots<<B as Backend>::Read<'a>, <B as Backend>::Write<'a>>);

/// A batch of activations in a backend's memory, `[N, elements of one sample]`.
pub type Batch<B, T = NoneTape> = Tensor<(usize, usize), f32, <B as Backend>::Device, T>;

/// A device and its kernels. Memory has exactly the lengths that shapes say; a kernel panics otherwise. Errors are the device's: memory
/// that runs out, or a device that fails.
pub trait Backend: fmt::Debug + Send + Sync + Sized + 'static {
    /// dfdx's device.
    type Device: dfdx::prelude::Device<f32>;
    /// Numbers in the device's memory, to be read.
    type Read<'a>: Copy;
    /// Numbers in the device's memory, to be written.
    type Write<'a>;
    /// Which tap of a max-pool won, in the device's memory.
    type Indices: 'static;
    /// One sequence of random numbers a sample, in the device's memory.
    type Masks: 'static;
    /// Pictures on their way to the device.
    type Staged: Send;

    /// Whether [`Backend::stage`] does work of its own, which a thread beside the training should do.
    const STAGES: bool;

    /// dfdx's device.
    fn device(&self) -> &Self::Device;

    /// What it is, in words.
    fn describe(&self) -> String;

    /// Bytes of the device's own memory that are free, where it has some.
    ///
    /// # Errors
    /// The device's.
    fn free_memory(&self) -> Result<Option<usize>, Fault<Self>>;

    /// Waits until every kernel asked for so far is done.
    ///
    /// # Errors
    /// The device's.
    fn synchronise(&self) -> Result<(), Fault<Self>>;

    /// Whether small gradients get lost in its number format, so that the loss should be multiplied by a large number.
    fn loses_small_gradients(&self) -> bool {
        false
    }

    /// A tensor's numbers.
    ///
    /// # Panics
    /// Panics where the tensor is not contiguous.
    fn read<'a, S: Shape, T>(&self, tensor: &'a Tensor<S, f32, Self::Device, T>) -> Self::Read<'a>;

    /// A tensor's numbers, to be written. No other tensor may share its memory: it is one just made, or a parameter outside a backward
    /// pass.
    ///
    /// # Panics
    /// Panics where the tensor is not contiguous.
    fn write<'a, S: Shape, T>(&self, tensor: &'a mut Tensor<S, f32, Self::Device, T>) -> Self::Write<'a>;

    /// A vector's numbers.
    fn read_vector<'a>(&self, vector: &'a Vector<Self>) -> Self::Read<'a>;

    /// A vector's numbers, to be written.
    fn write_vector<'a>(&self, vector: &'a mut Vector<Self>) -> Self::Write<'a>;

    /// Numbers for the host to read; waits for the kernels that make them.
    ///
    /// # Errors
    /// The device's.
    fn host<'a>(&self, numbers: Self::Read<'a>) -> Result<Cow<'a, [f32]>, Fault<Self>>;

    /// Copies the host's numbers, as many as there is place for.
    ///
    /// # Errors
    /// The device's.
    fn set(&self, place: Self::Write<'_>, numbers: &[f32]) -> Result<(), Fault<Self>>;

    /// Sends pictures on their way, from whichever thread.
    ///
    /// # Errors
    /// The device's.
    fn stage(&self, images: Vec<f32>) -> Result<Self::Staged, Fault<Self>>;

    /// `count` pictures that were sent on their way, `[count, elements of one]`, for the kernels asked for from now on.
    ///
    /// # Errors
    /// The device's.
    fn arrive(&self, staged: Self::Staged, count: usize) -> Result<Batch<Self>, Fault<Self>>;

    /// `y = x * weight + bias`, cross-correlation as everywhere in deep learning; weight `[O, C / groups, KH, KW]`.
    ///
    /// # Errors
    /// The device's, as of every kernel below.
    fn conv_forward(
        &self,
        shape: &ConvShape,
        x: Self::Read<'_>,
        weight: Self::Read<'_>,
        bias: Self::Read<'_>,
        y: Self::Write<'_>,
    ) -> Result<(), Fault<Self>>;

    /// Gradients of [`Backend::conv_forward`] for the gradient `gy` of its output.
    fn conv_backward(
        &self,
        shape: &ConvShape,
        saved: Saved<Self::Read<'_>>,
        gy: Self::Write<'_>,
        grads: LayerGrads<Self::Write<'_>>,
    ) -> Result<(), Fault<Self>>;

    /// The largest tap inside the input; returns its index within the input plane (the first of equals).
    fn max_pool_forward(&self, shape: &PoolShape, x: Self::Read<'_>, y: Self::Write<'_>) -> Result<Self::Indices, Fault<Self>>;

    /// Routes each output's gradient to the tap that won.
    fn max_pool_backward(
        &self,
        shape: &PoolShape,
        argmax: &Self::Indices,
        gy: Self::Read<'_>,
        gx: Self::Write<'_>,
    ) -> Result<(), Fault<Self>>;

    /// The formula of [`Lrn`]; leaves its base `k + alpha / size * sum(x^2)` in `base`.
    fn lrn_forward(
        &self,
        shape: &LrnShape,
        x: Self::Read<'_>,
        y: Self::Write<'_>,
        base: Self::Write<'_>,
    ) -> Result<(), Fault<Self>>;

    /// Gradient of [`Backend::lrn_forward`], for the gradient `gy` of its output.
    fn lrn_backward(
        &self,
        shape: &LrnShape,
        saved: LrnSaved<Self::Read<'_>>,
        gy: Self::Read<'_>,
        gx: Self::Write<'_>,
    ) -> Result<(), Fault<Self>>;

    /// `y = x weight^T + bias`; weight `[O, I]`.
    fn linear_forward(
        &self,
        shape: &LinearShape,
        x: Self::Read<'_>,
        weight: Self::Read<'_>,
        bias: Self::Read<'_>,
        y: Self::Write<'_>,
    ) -> Result<(), Fault<Self>>;

    /// Gradients of [`Backend::linear_forward`] for the gradient `gy` of its output.
    fn linear_backward(
        &self,
        shape: &LinearShape,
        saved: Saved<Self::Read<'_>>,
        gy: Self::Write<'_>,
        grads: LayerGrads<Self::Write<'_>>,
    ) -> Result<(), Fault<Self>>;

    /// `y = max(x, 0)`.
    fn relu_forward(&self, x: Self::Read<'_>, y: Self::Write<'_>) -> Result<(), Fault<Self>>;

    /// Passes the gradient on where the output was positive.
    fn relu_backward(&self, y: Self::Read<'_>, gy: Self::Read<'_>, gx: Self::Write<'_>) -> Result<(), Fault<Self>>;

    /// Takes over sequences of random numbers, one a sample.
    fn masks(&self, masks: Vec<KeyedRng>) -> Result<Self::Masks, Fault<Self>>;

    /// Zeroes elements of each sample with probability `ratio` and scales the others by `1 / (1 - ratio)`. Which ones go is
    /// decided by the sample's sequence of random numbers, drawn again on the way back.
    fn dropout_forward(
        &self,
        masks: &Self::Masks,
        ratio: f32,
        x: Self::Read<'_>,
        y: Self::Write<'_>,
    ) -> Result<(), Fault<Self>>;

    /// Gradient of [`Backend::dropout_forward`] with the same masks.
    fn dropout_backward(
        &self,
        masks: &Self::Masks,
        ratio: f32,
        gy: Self::Read<'_>,
        gx: Self::Write<'_>,
    ) -> Result<(), Fault<Self>>;

    /// Mean of `loss` over `scores` `[N, outputs]`; leaves its gradient with respect to them in `gradient`.
    ///
    /// # Errors
    /// [`LossError::Target`] where a target does not fit.
    fn loss(
        &self,
        loss: &dyn Loss,
        outputs: usize,
        scores: Self::Read<'_>,
        targets: &Targets,
        gradient: Self::Write<'_>,
    ) -> Result<f32, LossError>;

    /// `gx += scale.0 * scale.1 * gradient`; the second part of `scale` is one number in the device's memory.
    fn add_scaled(
        &self,
        scale: (f32, Self::Read<'_>),
        gradient: Self::Read<'_>,
        gx: Self::Write<'_>,
    ) -> Result<(), Fault<Self>>;

    /// Updates parameters, their state and their averages. Returns the sum of the squares of each gradient as it was given: finite
    /// exactly where all of the gradient is.
    fn update(&self, work: Vec<Work<'_, Self>>) -> Result<Vec<f64>, Fault<Self>>;

    /// The sums of the squares alone.
    fn sums_of_squares(&self, gradients: &[Self::Read<'_>]) -> Result<Vec<f64>, Fault<Self>>;
}
