//! The CPU backend: matrix products of packed panels, spread over a pool of threads.
//!
//! Work is cut into shares by the number of threads alone and partial sums are added in the order of the shares, so results
//! are the same on every run with the same number of threads.

/// A type that makes a function of one tuple a [`Loop`](super::raw::simd::Loop).
macro_rules! vectorised {
    ($name:ident($arguments:ty) = $function:path) => {
        pub(super) struct $name<'a>(pub(super) $arguments);

        impl $crate::backend::raw::simd::Loop for $name<'_> {
            #[inline(always)]
            fn run(self) {
                $function(self.0);
            }
        }
    };
}

mod conv;
mod direct;
mod interleave;
mod linear;
mod lrn;
mod pointwise;
mod pool;
mod product;
mod taps;
mod update;
mod winograd;

use super::raw::{self, simd::Simd};
use super::{
    Backend, Batch, ConvShape, LayerGrads, LinearShape, LossError, LrnSaved, LrnShape, PoolShape, Saved, Vector, Work,
};
use crate::loss::Loss;
use crate::rng::KeyedRng;
use crate::targets::Targets;
use dfdx::prelude::{Cache as _, Cpu, CpuError, Shape, Tensor, ZerosTensor};
use rayon::prelude::*;
use std::borrow::Cow;
use std::fmt;

/// Kernels on the processor's cores.
#[derive(Debug)]
pub struct CpuBackend {
    device: Cpu,
    pool: rayon::ThreadPool,
    threads: usize,
    simd: Simd,
}

/// The threads cannot be started.
#[derive(Debug)]
pub struct PoolError(rayon::ThreadPoolBuildError);

impl fmt::Display for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot start the worker threads: {}", self.0)
    }
}

impl std::error::Error for PoolError {}

impl CpuBackend {
    /// A backend on `threads` threads; 0 means as many as the machine has cores.
    ///
    /// # Errors
    /// [`PoolError`] where the operating system refuses the threads.
    pub fn new(threads: usize) -> Result<Self, PoolError> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|i| format!("kernel-{i}"))
            .build()
            .map_err(PoolError)?;
        let device = Cpu::default();
        // Every step allocates the same sizes: dfdx then reuses the buffers of the step before.
        device.enable_cache();
        Ok(CpuBackend { device, threads: pool.current_num_threads(), pool, simd: Simd::detect() })
    }

    /// Number of threads that work on one kernel.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Elements a thread should take at once in element-wise kernels.
    fn chunk(&self, len: usize) -> usize {
        len.div_ceil(self.threads).max(4096)
    }
}

impl Backend for CpuBackend {
    type Device = Cpu;
    type Read<'a> = &'a [f32];
    type Write<'a> = &'a mut [f32];
    type Indices = Vec<u32>;
    type Masks = Vec<KeyedRng>;
    type Staged = Vec<f32>;

    const STAGES: bool = false;

    fn device(&self) -> &Cpu {
        &self.device
    }

    fn describe(&self) -> String {
        format!("the processor, {} thread{}", self.threads, if self.threads == 1 { "" } else { "s" })
    }

    fn free_memory(&self) -> Result<Option<usize>, CpuError> {
        Ok(None)
    }

    fn synchronise(&self) -> Result<(), CpuError> {
        Ok(())
    }

    fn read<'a, S: Shape, T>(&self, tensor: &'a Tensor<S, f32, Cpu, T>) -> &'a [f32] {
        raw::slice(tensor)
    }

    fn write<'a, S: Shape, T>(&self, tensor: &'a mut Tensor<S, f32, Cpu, T>) -> &'a mut [f32] {
        raw::slice_mut(tensor)
    }

    fn read_vector<'a>(&self, vector: &'a Vector<Self>) -> &'a [f32] {
        vector
    }

    fn write_vector<'a>(&self, vector: &'a mut Vector<Self>) -> &'a mut [f32] {
        vector
    }

    fn host<'a>(&self, numbers: Self::Read<'a>) -> Result<Cow<'a, [f32]>, CpuError> {
        Ok(Cow::Borrowed(numbers))
    }

    fn set(&self, place: &mut [f32], numbers: &[f32]) -> Result<(), CpuError> {
        place.copy_from_slice(numbers);
        Ok(())
    }

    fn stage(&self, images: Vec<f32>) -> Result<Vec<f32>, CpuError> {
        Ok(images)
    }

    fn arrive(&self, staged: Vec<f32>, count: usize) -> Result<Batch<Self>, CpuError> {
        // The device keeps the buffer of a dropped tensor for the next of its size. One that it did not hand out itself would never be
        // asked for again: each batch would stay in memory.
        let mut batch = self.device.try_zeros_like(&(count, staged.len() / count))?;
        batch.copy_from(&staged);
        Ok(batch)
    }

    fn conv_forward(&self, shape: &ConvShape, x: &[f32], weight: &[f32], bias: &[f32], y: &mut [f32]) -> Result<(), CpuError> {
        self.pool.install(|| conv::forward(shape, (self.simd, self.threads), x, weight, bias, y));
        Ok(())
    }

    fn conv_backward(
        &self,
        shape: &ConvShape,
        saved: Saved<&[f32]>,
        gy: &mut [f32],
        grads: LayerGrads<&mut [f32]>,
    ) -> Result<(), CpuError> {
        self.pool.install(|| conv::backward(shape, (self.simd, self.threads), saved, gy, grads));
        Ok(())
    }

    fn max_pool_forward(&self, shape: &PoolShape, x: &[f32], y: &mut [f32]) -> Result<Vec<u32>, CpuError> {
        let (input, output) = (shape.input.iter().product(), shape.output.iter().product());
        let mut argmax = vec![0; y.len()];
        self.pool.install(|| {
            let planes = x.par_chunks_exact(input).zip(y.par_chunks_exact_mut(output)).zip(argmax.par_chunks_exact_mut(output));
            planes.with_min_len(16).for_each(|((x, y), argmax)| self.simd.run(pool::Forward((shape, x, y, argmax))));
        });
        Ok(argmax)
    }

    fn max_pool_backward(&self, shape: &PoolShape, argmax: &Vec<u32>, gy: &[f32], gx: &mut [f32]) -> Result<(), CpuError> {
        let (input, output) = (shape.input.iter().product(), shape.output.iter().product());
        self.pool.install(|| {
            let planes = argmax.par_chunks_exact(output).zip(gy.par_chunks_exact(output)).zip(gx.par_chunks_exact_mut(input));
            planes.with_min_len(16).for_each(|((argmax, gy), gx)| pool::backward(argmax, gy, gx));
        });
        Ok(())
    }

    fn lrn_forward(&self, shape: &LrnShape, x: &[f32], y: &mut [f32], base: &mut [f32]) -> Result<(), CpuError> {
        let sample = shape.channels * shape.plane;
        self.pool.install(|| {
            let samples = x.par_chunks_exact(sample).zip(y.par_chunks_exact_mut(sample)).zip(base.par_chunks_exact_mut(sample));
            samples.for_each(|((x, y), base)| self.simd.run(lrn::Forward((shape, x, y, base))));
        });
        Ok(())
    }

    fn lrn_backward(&self, shape: &LrnShape, saved: LrnSaved<&[f32]>, gy: &[f32], gx: &mut [f32]) -> Result<(), CpuError> {
        let sample = shape.channels * shape.plane;
        let LrnSaved { x, y, base } = saved;
        self.pool.install(|| {
            let saved = x.par_chunks_exact(sample).zip(y.par_chunks_exact(sample)).zip(base.par_chunks_exact(sample));
            let grads = gy.par_chunks_exact(sample).zip(gx.par_chunks_exact_mut(sample));
            saved.zip(grads).for_each(|(((x, y), base), (gy, gx))| self.simd.run(lrn::Backward((shape, [x, y, base, gy], gx))));
        });
        Ok(())
    }

    fn linear_forward(
        &self,
        shape: &LinearShape,
        x: &[f32],
        weight: &[f32],
        bias: &[f32],
        y: &mut [f32],
    ) -> Result<(), CpuError> {
        self.pool.install(|| linear::forward(shape, self.simd, x, weight, bias, y));
        Ok(())
    }

    fn linear_backward(
        &self,
        shape: &LinearShape,
        saved: Saved<&[f32]>,
        gy: &mut [f32],
        grads: LayerGrads<&mut [f32]>,
    ) -> Result<(), CpuError> {
        self.pool.install(|| linear::backward(shape, (self.simd, self.threads), saved, gy, grads));
        Ok(())
    }

    fn relu_forward(&self, x: &[f32], y: &mut [f32]) -> Result<(), CpuError> {
        let n = self.chunk(y.len());
        self.pool
            .install(|| x.par_chunks(n).zip(y.par_chunks_mut(n)).for_each(|(x, y)| self.simd.run(pointwise::Relu((x, y)))));
        Ok(())
    }

    fn relu_backward(&self, y: &[f32], gy: &[f32], gx: &mut [f32]) -> Result<(), CpuError> {
        let n = self.chunk(y.len());
        self.pool.install(|| {
            let chunks = y.par_chunks(n).zip(gy.par_chunks(n)).zip(gx.par_chunks_mut(n));
            chunks.for_each(|((y, gy), gx)| self.simd.run(pointwise::ReluBackward((y, gy, gx))));
        });
        Ok(())
    }

    fn masks(&self, masks: Vec<KeyedRng>) -> Result<Vec<KeyedRng>, CpuError> {
        Ok(masks)
    }

    fn dropout_forward(&self, masks: &Vec<KeyedRng>, ratio: f32, x: &[f32], y: &mut [f32]) -> Result<(), CpuError> {
        let sample = x.len() / masks.len();
        self.pool.install(|| {
            let samples = masks.par_iter().zip(x.par_chunks_exact(sample)).zip(y.par_chunks_exact_mut(sample));
            samples.for_each(|((mask, x), y)| pointwise::dropout(mask.clone(), ratio, x, y));
        });
        Ok(())
    }

    fn dropout_backward(&self, masks: &Vec<KeyedRng>, ratio: f32, gy: &[f32], gx: &mut [f32]) -> Result<(), CpuError> {
        let sample = gx.len() / masks.len();
        self.pool.install(|| {
            let samples = masks.par_iter().zip(gy.par_chunks_exact(sample)).zip(gx.par_chunks_exact_mut(sample));
            samples.for_each(|((mask, gy), gx)| pointwise::dropout_backward(mask.clone(), ratio, gy, gx));
        });
        Ok(())
    }

    fn loss(
        &self,
        loss: &dyn Loss,
        outputs: usize,
        scores: &[f32],
        targets: &Targets,
        gradient: &mut [f32],
    ) -> Result<f32, LossError> {
        Ok(loss.loss(outputs, scores, targets, gradient)?)
    }

    fn add_scaled(&self, (scale, factor): (f32, &[f32]), gradient: &[f32], gx: &mut [f32]) -> Result<(), CpuError> {
        let factor = scale * factor[0];
        for (gx, g) in gx.iter_mut().zip(gradient) {
            *gx += factor * g;
        }
        Ok(())
    }

    fn update(&self, work: Vec<Work<'_, Self>>) -> Result<Vec<f64>, CpuError> {
        let each = work.into_iter().map(|(update, slots)| update::update(self.simd, &update, slots));
        Ok(self.pool.install(|| each.collect()))
    }

    fn sums_of_squares(&self, gradients: &[&[f32]]) -> Result<Vec<f64>, CpuError> {
        Ok(self.pool.install(|| gradients.iter().map(|g| update::sum_of_squares(self.simd, g)).collect()))
    }
}
