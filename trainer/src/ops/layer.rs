//! What layers with a weight and a bias share: how their gradients are taken, and put back.

use super::{Activation, LayerParams, put, take};
use crate::backend::{Backend, Fault, LayerGrads, Saved};
use dfdx::prelude::*;
use std::sync::Arc;

/// The sizes of such a layer, and its kernels.
pub(super) trait Layer<B: Backend>: Copy + 'static {
    /// Samples of the batch, and outputs of each.
    fn outputs(&self) -> (usize, usize);

    /// Leaves the output in `y`.
    fn forward(&self, backend: &B, x: B::Read<'_>, params: (B::Read<'_>, B::Read<'_>), y: B::Write<'_>)
    -> Result<(), Fault<B>>;

    /// Adds to the gradients.
    fn backward(
        &self,
        backend: &B,
        saved: Saved<B::Read<'_>>,
        gy: B::Write<'_>,
        grads: LayerGrads<B::Write<'_>>,
    ) -> Result<(), Fault<B>>;
}

/// `x` through a layer. `input_learns` is false where nothing before it has parameters: then no gradient of `x` is computed.
pub(super) fn apply<B: Backend, T: Tape<f32, B::Device>>(
    backend: &Arc<B>,
    layer: impl Layer<B>,
    x: Activation<T, B::Device>,
    params: LayerParams<'_, B::Device>,
    input_learns: bool,
) -> Result<Activation<T, B::Device>, Fault<B>> {
    let (x, mut tape) = x.split_tape();
    let mut y: Activation<NoneTape, B::Device> = x.device().try_zeros_like(&layer.outputs())?;
    let numbers = (backend.read(params.weight), backend.read(params.bias));
    layer.forward(backend, backend.read(&x), numbers, backend.write(&mut y))?;
    if T::OWNS_TAPE {
        let backend = Arc::clone(backend);
        let (weight, bias, y) = (params.weight.clone(), params.bias.clone(), y.clone());
        tape.add_backward_op(move |grads| {
            let backend = backend.as_ref();
            let mut gy = take(backend, grads, &y)?;
            let (mut gw, mut gb) = (take(backend, grads, &weight)?, take(backend, grads, &bias)?);
            let mut gx = if input_learns { Some(take(backend, grads, &x)?) } else { None };
            let saved = Saved { x: backend.read(&x), weight: backend.read(&weight), y: backend.read(&y) };
            let places = LayerGrads {
                x: gx.as_mut().map(|gx| backend.write_vector(gx)),
                weight: backend.write_vector(&mut gw),
                bias: backend.write_vector(&mut gb),
            };
            layer.backward(backend, saved, backend.write_vector(&mut gy), places)?;
            if let Some(gx) = gx {
                put::<B, _>(grads, &x, gx)?;
            }
            put::<B, _>(grads, &weight, gw)?;
            put::<B, _>(grads, &bias, gb)?;
            put::<B, _>(grads, &y, gy)
        });
    }
    Ok(y.put_tape(tape))
}
