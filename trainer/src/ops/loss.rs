//! The loss on the tape.

use super::{Activation, put, take};
use crate::backend::{Backend, DeviceError, LossError};
use crate::loss::Loss;
use crate::targets::Targets;
use dfdx::prelude::*;
use std::sync::Arc;

/// A number on the tape.
pub type Mean<B, T> = Tensor<Rank0, f32, <B as Backend>::Device, T>;

/// Mean of `loss` over a batch, also as a number; `scale` times its gradient goes back. `scores` is `[N, outputs]`; `targets` has N
/// samples.
///
/// # Errors
/// [`LossError::Target`] where a target does not fit, [`LossError::Device`] when memory runs out.
pub fn loss<B: Backend, T: Tape<f32, B::Device>>(
    backend: &Arc<B>,
    loss: &dyn Loss,
    scores: Activation<T, B::Device>,
    targets: &Targets,
    scale: f32,
) -> Result<(Mean<B, T>, f32), LossError> {
    let (_, outputs) = *scores.shape();
    let (scores, mut tape) = scores.split_tape();
    let mut gradient: Activation<NoneTape, B::Device> = scores.device().try_zeros_like(&scores).map_err(DeviceError::of)?;
    let mean = backend.loss(loss, outputs, backend.read(&scores), targets, backend.write(&mut gradient))?;
    let loss = scores.device().try_tensor_from_vec(vec![mean], ()).map_err(DeviceError::of)?;
    if T::OWNS_TAPE {
        let (backend, scores, loss) = (Arc::clone(backend), scores.ghost(), loss.clone());
        tape.add_backward_op(move |grads| {
            let factor = take(backend.as_ref(), grads, &loss)?;
            let place = backend.write_vector(grads.get_or_alloc_mut(&scores)?);
            backend.add_scaled((scale, backend.read_vector(&factor)), backend.read(&gradient), place)?;
            put::<B, _>(grads, &loss, factor)
        });
    }
    Ok((loss.put_tape(tape), mean))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::{CrossEntropy, SigmoidCrossEntropy, SquaredError};
    use crate::ops::gradient_check::{backend, check, normal};

    #[test]
    fn gradients() {
        let backend = backend();
        let weighted = CrossEntropy { smoothing: 0.1, weights: vec![1.0, 2.0, 0.5, 1.0, 3.0] };
        let losses: [&dyn Loss; 4] = [&CrossEntropy::default(), &weighted, &SigmoidCrossEntropy, &SquaredError];
        for kind in losses {
            check(3, normal("x", 15), vec![], |x, _| {
                loss(&backend, kind, x, &Targets::Classes(vec![4, 0, 2]), 1.0).unwrap().0.reshape_like(&(1, 1))
            });
        }
    }

    #[test]
    fn by_hand() {
        let device = Cpu::default();
        let even: Activation = device.tensor_from_vec(vec![1000.0; 8], (2, 4));
        let (loss, value) = loss(&backend(), &CrossEntropy::default(), even, &Targets::Classes(vec![0, 3]), 1.0).unwrap();
        assert_eq!(loss.array(), value);
        let loss = value;
        assert!((loss - 4.0_f32.ln()).abs() < 1e-6, "equal scores give ln(4), not {loss}");
    }

    #[test]
    fn a_class_that_is_none_is_an_error() {
        let scores: Activation = Cpu::default().tensor_from_vec(vec![0.0; 8], (2, 4));
        let error = loss(&backend(), &CrossEntropy::default(), scores, &Targets::Classes(vec![0, 4]), 1.0).unwrap_err();
        assert!(error.to_string().starts_with("the target of sample 1 does not fit"), "{error}");
    }
}
