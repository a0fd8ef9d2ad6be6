//! The CPU backend: im2col and matrix products of the crate `gemm`, spread over a pool of threads.
//!
//! Work is cut into shares by the number of threads alone and partial sums are added in the order of the shares, so results
//! are the same on every run with the same number of threads.

mod columns;
mod conv;
mod linear;
mod lrn;
mod pointwise;
mod pool;
mod update;
mod winograd;

use super::update::{Slots, Update};
use super::{Backend, ConvShape, LayerGrads, LinearShape, LrnShape, PoolShape, Saved};
use crate::rng::KeyedRng;
use rayon::prelude::*;
use std::fmt;

/// Kernels on the processor's cores.
#[derive(Debug)]
pub struct CpuBackend {
    pool: rayon::ThreadPool,
    threads: usize,
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
        Ok(CpuBackend { threads: pool.current_num_threads(), pool })
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
    fn conv_forward(&self, shape: &ConvShape, x: &[f32], weight: &[f32], bias: &[f32], y: &mut [f32]) {
        self.pool.install(|| conv::forward(shape, self.threads, x, weight, bias, y));
    }

    fn conv_backward(&self, shape: &ConvShape, saved: Saved<'_>, gy: &mut [f32], grads: LayerGrads<'_>) {
        self.pool.install(|| conv::backward(shape, self.threads, saved, gy, grads));
    }

    fn max_pool_forward(&self, shape: &PoolShape, x: &[f32], y: &mut [f32], argmax: &mut [u32]) {
        let (input, output) = (shape.input.iter().product(), shape.output.iter().product());
        self.pool.install(|| {
            let planes = x.par_chunks_exact(input).zip(y.par_chunks_exact_mut(output)).zip(argmax.par_chunks_exact_mut(output));
            planes.with_min_len(16).for_each(|((x, y), argmax)| pool::forward(shape, x, y, argmax));
        });
    }

    fn max_pool_backward(&self, shape: &PoolShape, argmax: &[u32], gy: &[f32], gx: &mut [f32]) {
        let (input, output) = (shape.input.iter().product(), shape.output.iter().product());
        self.pool.install(|| {
            let planes = argmax.par_chunks_exact(output).zip(gy.par_chunks_exact(output)).zip(gx.par_chunks_exact_mut(input));
            planes.with_min_len(16).for_each(|((argmax, gy), gx)| pool::backward(argmax, gy, gx));
        });
    }

    fn lrn_forward(&self, shape: &LrnShape, x: &[f32], y: &mut [f32], base: &mut [f32]) {
        let sample = shape.channels * shape.plane;
        self.pool.install(|| {
            let samples = x.par_chunks_exact(sample).zip(y.par_chunks_exact_mut(sample)).zip(base.par_chunks_exact_mut(sample));
            samples.for_each(|((x, y), base)| lrn::forward(shape, x, y, base));
        });
    }

    fn lrn_backward(&self, shape: &LrnShape, x: &[f32], y: &[f32], base: &[f32], gy: &[f32], gx: &mut [f32]) {
        let sample = shape.channels * shape.plane;
        self.pool.install(|| {
            let saved = x.par_chunks_exact(sample).zip(y.par_chunks_exact(sample)).zip(base.par_chunks_exact(sample));
            let grads = gy.par_chunks_exact(sample).zip(gx.par_chunks_exact_mut(sample));
            saved.zip(grads).for_each(|(((x, y), base), (gy, gx))| lrn::backward(shape, x, y, base, gy, gx));
        });
    }

    fn linear_forward(&self, shape: &LinearShape, x: &[f32], weight: &[f32], bias: &[f32], y: &mut [f32]) {
        self.pool.install(|| linear::forward(shape, self.threads, x, weight, bias, y));
    }

    fn linear_backward(&self, shape: &LinearShape, saved: Saved<'_>, gy: &mut [f32], grads: LayerGrads<'_>) {
        self.pool.install(|| linear::backward(shape, self.threads, saved, gy, grads));
    }

    fn relu_forward(&self, x: &[f32], y: &mut [f32]) {
        let n = self.chunk(y.len());
        self.pool.install(|| x.par_chunks(n).zip(y.par_chunks_mut(n)).for_each(|(x, y)| pointwise::relu(x, y)));
    }

    fn relu_backward(&self, y: &[f32], gy: &[f32], gx: &mut [f32]) {
        let n = self.chunk(y.len());
        self.pool.install(|| {
            let chunks = y.par_chunks(n).zip(gy.par_chunks(n)).zip(gx.par_chunks_mut(n));
            chunks.for_each(|((y, gy), gx)| pointwise::relu_backward(y, gy, gx));
        });
    }

    fn dropout_forward(&self, masks: &[KeyedRng], ratio: f32, x: &[f32], y: &mut [f32]) {
        let sample = x.len() / masks.len();
        self.pool.install(|| {
            let samples = masks.par_iter().zip(x.par_chunks_exact(sample)).zip(y.par_chunks_exact_mut(sample));
            samples.for_each(|((mask, x), y)| pointwise::dropout(mask.clone(), ratio, x, y));
        });
    }

    fn dropout_backward(&self, masks: &[KeyedRng], ratio: f32, gy: &[f32], gx: &mut [f32]) {
        let sample = gx.len() / masks.len();
        self.pool.install(|| {
            let samples = masks.par_iter().zip(gy.par_chunks_exact(sample)).zip(gx.par_chunks_exact_mut(sample));
            samples.for_each(|((mask, gy), gx)| pointwise::dropout_backward(mask.clone(), ratio, gy, gx));
        });
    }

    fn softmax_cross_entropy(&self, classes: usize, logits: &[f32], labels: &[u32], gradient: &mut [f32]) -> f32 {
        pointwise::softmax_cross_entropy(classes, logits, labels, gradient)
    }

    fn add_scaled(&self, factor: f32, gradient: &[f32], gx: &mut [f32]) {
        for (gx, g) in gx.iter_mut().zip(gradient) {
            *gx += factor * g;
        }
    }

    fn update(&self, update: &Update, slots: Slots<'_>) -> f64 {
        self.pool.install(|| update::update(update, slots))
    }

    fn sum_of_squares(&self, gradient: &[f32]) -> f64 {
        self.pool.install(|| update::sum_of_squares(gradient))
    }
}
