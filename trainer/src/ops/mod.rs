//! Differentiable operations on dfdx's public tape, one file each. They are written once: the kernels come from a [`Backend`].
//!
//! An [`Activation`] is `[N, elements of one sample]` and a [`Weight`] is flat. Channels, height and width stand in the shapes
//! given to each operation (and in the graph), so one tensor type serves every layer and Flatten costs nothing.
//!
//! [`Backend`]: crate::backend::Backend

pub mod conv;
pub mod dropout;
mod layer;
pub mod linear;
pub mod loss;
pub mod lrn;
pub mod pool;
pub mod relu;

use crate::backend::{Backend, Fault, Grads, Vector};
use dfdx::prelude::{Cpu, NoneTape, Shape, Storage, Tensor};

/// A batch of activations, `[N, elements of one sample]`, each sample `[C, H, W]` or `[F]` in row-major order.
pub type Activation<T = NoneTape, D = Cpu> = Tensor<(usize, usize), f32, D, T>;

/// A parameter, flat, in PyTorch's order.
pub type Weight<D = Cpu> = Tensor<(usize,), f32, D>;

/// The parameters of a convolution or a fully connected layer.
#[derive(Debug)]
pub struct LayerParams<'a, D: Storage<f32> = Cpu> {
    /// `[O, C / groups, KH, KW]` or `[O, I]`.
    pub weight: &'a Weight<D>,
    /// `[O]`.
    pub bias: &'a Weight<D>,
}

// Derived, they would ask for devices that can be copied.
impl<D: Storage<f32>> Clone for LayerParams<'_, D> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<D: Storage<f32>> Copy for LayerParams<'_, D> {}

/// Takes the gradient of `tensor` out of its place (zeros where there was none), so that several can be borrowed at once.
pub(crate) fn take<B: Backend, S: Shape>(
    backend: &B,
    grads: &mut Grads<B>,
    tensor: &Tensor<S, f32, B::Device>,
) -> Result<Vector<B>, Fault<B>> {
    let nothing = Storage::<f32>::try_alloc_len(backend.device(), 0)?;
    Ok(std::mem::replace(grads.get_or_alloc_mut(tensor)?, nothing))
}

/// Puts a gradient back into its place.
pub(crate) fn put<B: Backend, S: Shape>(
    grads: &mut Grads<B>,
    tensor: &Tensor<S, f32, B::Device>,
    gradient: Vector<B>,
) -> Result<(), Fault<B>> {
    *grads.get_or_alloc_mut(tensor)? = gradient;
    Ok(())
}

#[cfg(test)]
pub(crate) mod gradient_check {
    //! Central finite differences.
    //!
    //! The objective is `sum(r[i] y[i])` with fixed random `r`, so the gradient of every output differs and a transposed,
    //! scaled or misplaced one cannot pass.

    use super::{Activation, Weight};
    use crate::backend::cpu::CpuBackend;
    use crate::backend::raw;
    use crate::rng::KeyedRng;
    use dfdx::prelude::*;
    use std::sync::Arc;

    pub fn backend() -> Arc<CpuBackend> {
        Arc::new(CpuBackend::new(2).unwrap())
    }

    fn named(name: &str) -> KeyedRng {
        KeyedRng::new(1, 0, name.bytes().fold(0, |n, b| n << 8 | b as u64), 0)
    }

    /// Normal numbers named by `name`.
    pub fn normal(name: &str, len: usize) -> Vec<f32> {
        let mut rng = named(name);
        (0..len).map(|_| rng.normal()).collect()
    }

    /// Numbers at least 0.05 apart, in random order: no maximum changes under a small step.
    pub fn distinct(name: &str, len: usize) -> Vec<f32> {
        let mut rng = named(name);
        let mut order: Vec<(u64, usize)> = (0..len).map(|i| (rng.next_u64(), i)).collect();
        order.sort_unstable();
        order.iter().map(|&(_, i)| (i as f32 - len as f32 / 2.0) * 0.05).collect()
    }

    /// Checks the gradient with respect to `x` (`[batch, ..]`) and to every one of `weights`.
    pub fn check(
        batch: usize,
        x: Vec<f32>,
        weights: Vec<Vec<f32>>,
        op: impl Fn(Activation<OwnedTape<f32, Cpu>>, &[Weight]) -> Activation<OwnedTape<f32, Cpu>>,
    ) {
        let device = Cpu::default();
        let tensors = |values: &[Vec<f32>]| -> (Activation, Vec<Weight>) {
            let x = device.tensor_from_vec(values[0].clone(), (batch, values[0].len() / batch));
            (x, values[1..].iter().map(|w| device.tensor_from_vec(w.clone(), (w.len(),))).collect())
        };
        let values: Vec<Vec<f32>> = std::iter::once(x).chain(weights).collect();
        let (x, weights) = tensors(&values);
        let y = op(x.leaky_trace(), &weights);
        let r = normal("objective", y.shape().num_elements());
        let r_tensor: Activation = device.tensor_from_vec(r.clone(), *y.shape());
        let grads = (y * r_tensor).sum::<Rank0, _>().backward();
        let mut analytic = vec![grads.get(&x).as_vec()];
        analytic.extend(weights.iter().map(|w| grads.get(w).as_vec()));

        let objective = |values: &[Vec<f32>]| -> f64 {
            let (x, weights) = tensors(values);
            let y = op(x.leaky_trace(), &weights);
            raw::slice(&y).iter().zip(&r).map(|(y, r)| *y as f64 * *r as f64).sum()
        };
        const STEP: f32 = 1.0 / 256.0;
        const MOST: usize = 150;
        for which in 0..values.len() {
            // Of long values a part is moved; an odd stride passes every place of a window and every channel.
            let stride = (values[which].len() / MOST) | 1;
            let mut moved = values.clone();
            let numeric: Vec<(usize, f64)> = (0..values[which].len())
                .step_by(stride)
                .map(|i| {
                    let centre = values[which][i];
                    moved[which][i] = centre + STEP;
                    let above = objective(&moved);
                    moved[which][i] = centre - STEP;
                    let below = objective(&moved);
                    moved[which][i] = centre;
                    (i, (above - below) / (2.0 * STEP as f64))
                })
                .collect();
            let largest = numeric.iter().fold(0.0_f64, |m, (_, g)| m.max(g.abs()));
            assert!(largest > 0.05, "the gradient of value {which} vanishes, the check would see nothing");
            for (i, n) in numeric {
                let a = analytic[which][i];
                let error = (a as f64 - n).abs() / largest;
                assert!(error < 1e-2, "value {which} element {i}: gradient {a}, finite difference {n}");
            }
        }
    }
}
