//! The CUDA backend: kernels of our own on dfdx's tensors, products of fully connected layers by cuBLAS.
//!
//! The kernels lie in `kernels/`; `build.rs` compiles them to PTX, which the driver translates for the GPU that is there. They
//! add up in an order that depends on the sizes alone, so a run on one kind of GPU gives the same numbers every time.

mod conv;
mod loss;
mod setup;
mod sizes;
mod taps;
mod update;

#[cfg(test)]
mod tests;

pub use setup::CudaSetupError;

use super::raw::cuda::{self as raw, Buffer, Gpu, Read, Shared, Staged, Staging, THREADS, Write, args};
use super::{
    Backend, Batch, ConvShape, LayerGrads, LinearShape, LossError, LrnSaved, LrnShape, PoolShape, Precision, Saved, Vector,
    Work,
};
use crate::loss::Loss;
use crate::rng::KeyedRng;
use crate::targets::Targets;
use dfdx::prelude::{Cuda, CudaError, Shape, Tensor, ZerosTensor};
use sizes::{Lrn, Pool};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use taps::{Key, Taps};

/// Kernels on an NVIDIA GPU.
#[derive(Debug)]
pub struct CudaBackend {
    device: Shared<Cuda>,
    gpu: Arc<Gpu>,
    staging: Arc<Staging>,
    precision: Precision,
    /// What it is, in words.
    name: String,
    /// The tables of each convolution so far.
    tables: Mutex<HashMap<Key, Arc<Taps>>>,
}

/// Sequences of random numbers on the GPU.
#[derive(Debug)]
pub struct Masks {
    states: Buffer,
    samples: usize,
}

/// Blocks for a thread an element; beyond the most, a thread has several.
fn blocks(elements: usize) -> usize {
    elements.div_ceil(THREADS as usize).min(1 << 23)
}

impl CudaBackend {
    /// A kernel of a thread an element.
    fn each(&self, name: &str, elements: usize, arguments: &[raw::Argument<'_>]) -> Result<(), CudaError> {
        Ok(self.gpu.launch(name, [blocks(elements), 1, 1], arguments)?)
    }

    /// A kernel of dropout: samples, and pieces of a sample.
    fn dropout(&self, name: &str, masks: &Masks, ratio: f32, from: Read<'_>, to: &Write<'_>) -> Result<(), CudaError> {
        assert_eq!((from.len(), from.len() % masks.samples.max(1)), (to.len(), 0), "one sequence a sample");
        let sample = from.len() / masks.samples.max(1);
        let grid = [masks.samples, blocks(sample).min(4096), 1];
        Ok(self.gpu.launch(name, grid, &args![sample, masks.states, ratio, 1.0 / (1.0 - ratio), from, to])?)
    }
}

impl Backend for CudaBackend {
    type Device = Cuda;
    type Read<'a> = Read<'a>;
    type Write<'a> = Write<'a>;
    type Indices = Buffer;
    type Masks = Masks;
    type Staged = Staged;

    const STAGES: bool = true;

    fn device(&self) -> &Cuda {
        &self.device
    }

    fn describe(&self) -> String {
        self.name.clone()
    }

    fn free_memory(&self) -> Result<Option<usize>, CudaError> {
        let (free, _) = self.gpu.memory()?;
        Ok(Some(free))
    }

    fn synchronise(&self) -> Result<(), CudaError> {
        Ok(self.gpu.finish()?)
    }

    fn loses_small_gradients(&self) -> bool {
        self.precision == Precision::F16
    }

    fn read<'a, S: Shape, T>(&self, tensor: &'a Tensor<S, f32, Cuda, T>) -> Read<'a> {
        raw::read(tensor)
    }

    fn write<'a, S: Shape, T>(&self, tensor: &'a mut Tensor<S, f32, Cuda, T>) -> Write<'a> {
        raw::write(tensor)
    }

    fn read_vector<'a>(&self, vector: &'a Vector<Self>) -> Read<'a> {
        raw::read_vector(vector)
    }

    fn write_vector<'a>(&self, vector: &'a mut Vector<Self>) -> Write<'a> {
        raw::write_vector(vector)
    }

    fn host<'a>(&self, numbers: Self::Read<'a>) -> Result<Cow<'a, [f32]>, CudaError> {
        Ok(Cow::Owned(self.gpu.host(numbers)?))
    }

    fn set(&self, place: Write<'_>, numbers: &[f32]) -> Result<(), CudaError> {
        Ok(self.gpu.copy_in(&place, numbers)?)
    }

    fn stage(&self, images: Vec<f32>) -> Result<Staged, CudaError> {
        Ok(self.staging.stage(&images)?)
    }

    fn arrive(&self, staged: Staged, count: usize) -> Result<Batch<Self>, CudaError> {
        let mut batch = self.device.try_zeros_like(&(count, staged.len() / count.max(1)))?;
        staged.take(&raw::write(&mut batch))?;
        Ok(batch)
    }

    fn conv_forward(
        &self,
        shape: &ConvShape,
        x: Read<'_>,
        weight: Read<'_>,
        bias: Read<'_>,
        y: Write<'_>,
    ) -> Result<(), CudaError> {
        Ok(self.convolve(shape, x, weight, bias, &y)?)
    }

    fn conv_backward(
        &self,
        shape: &ConvShape,
        saved: Saved<Read<'_>>,
        gy: Write<'_>,
        grads: LayerGrads<Write<'_>>,
    ) -> Result<(), CudaError> {
        Ok(self.convolve_back(shape, saved, gy, grads)?)
    }

    fn max_pool_forward(&self, shape: &PoolShape, x: Read<'_>, y: Write<'_>) -> Result<Buffer, CudaError> {
        let argmax = self.gpu.buffer::<u32>(y.len())?;
        self.each("max_pool_forward", y.len(), &args![Pool::new(shape), y.len(), x, y, argmax])?;
        Ok(argmax)
    }

    fn max_pool_backward(&self, shape: &PoolShape, argmax: &Buffer, gy: Read<'_>, gx: Write<'_>) -> Result<(), CudaError> {
        self.each("max_pool_backward", gx.len(), &args![Pool::new(shape), gx.len(), argmax, gy, gx])
    }

    fn lrn_forward(&self, shape: &LrnShape, x: Read<'_>, y: Write<'_>, base: Write<'_>) -> Result<(), CudaError> {
        self.each("lrn_forward", y.len(), &args![Lrn::new(shape), y.len(), x, y, base])
    }

    fn lrn_backward(&self, shape: &LrnShape, saved: LrnSaved<Read<'_>>, gy: Read<'_>, gx: Write<'_>) -> Result<(), CudaError> {
        let LrnSaved { x, y, base } = saved;
        self.each("lrn_backward", gx.len(), &args![Lrn::new(shape), gx.len(), x, y, base, gy, gx])
    }

    fn linear_forward(
        &self,
        shape: &LinearShape,
        x: Read<'_>,
        weight: Read<'_>,
        bias: Read<'_>,
        y: Write<'_>,
    ) -> Result<(), CudaError> {
        self.linear(shape, x, weight, bias, &y)
    }

    fn linear_backward(
        &self,
        shape: &LinearShape,
        saved: Saved<Read<'_>>,
        gy: Write<'_>,
        grads: LayerGrads<Write<'_>>,
    ) -> Result<(), CudaError> {
        self.linear_back(shape, saved, gy, grads)
    }

    fn relu_forward(&self, x: Read<'_>, y: Write<'_>) -> Result<(), CudaError> {
        self.each("relu_forward", y.len(), &args![y.len(), x, y])
    }

    fn relu_backward(&self, y: Read<'_>, gy: Read<'_>, gx: Write<'_>) -> Result<(), CudaError> {
        self.each("relu_backward", gx.len(), &args![gx.len(), y, gy, gx])
    }

    fn masks(&self, masks: Vec<KeyedRng>) -> Result<Masks, CudaError> {
        let states: Vec<u64> = masks.iter().map(KeyedRng::state).collect();
        Ok(Masks { states: self.gpu.upload(&states)?, samples: states.len() })
    }

    fn dropout_forward(&self, masks: &Masks, ratio: f32, x: Read<'_>, y: Write<'_>) -> Result<(), CudaError> {
        self.dropout("dropout_forward", masks, ratio, x, &y)
    }

    fn dropout_backward(&self, masks: &Masks, ratio: f32, gy: Read<'_>, gx: Write<'_>) -> Result<(), CudaError> {
        self.dropout("dropout_backward", masks, ratio, gy, &gx)
    }

    fn loss(
        &self,
        loss: &dyn Loss,
        outputs: usize,
        scores: Read<'_>,
        targets: &Targets,
        gradient: Write<'_>,
    ) -> Result<f32, LossError> {
        self.mean_loss(loss, outputs, scores, targets, &gradient)
    }

    fn add_scaled(&self, scale: (f32, Read<'_>), gradient: Read<'_>, gx: Write<'_>) -> Result<(), CudaError> {
        let (scale, factor) = scale;
        assert_eq!((factor.len(), gradient.len()), (1, gx.len()));
        self.each("add_scaled", gx.len(), &args![gx.len(), scale, factor, gradient, gx])
    }

    fn update(&self, work: Vec<Work<'_, Self>>) -> Result<Vec<f64>, CudaError> {
        Ok(self.update_all(work)?)
    }

    fn sums_of_squares(&self, gradients: &[Read<'_>]) -> Result<Vec<f64>, CudaError> {
        Ok(self.squares_of(gradients)?)
    }
}
