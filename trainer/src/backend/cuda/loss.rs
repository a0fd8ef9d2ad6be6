//! The loss: cross-entropy of classes on the GPU; any other one by the host, from a copy of the scores.

use super::CudaBackend;
use super::sizes::narrow;
use crate::backend::raw::cuda::{Read, Write, args};
use crate::backend::{DeviceError, LossError};
use crate::loss::{CrossEntropy, Loss, Misfit, TargetError};
use crate::targets::Targets;
use cudarc::driver::DriverError;

impl CudaBackend {
    pub(super) fn mean_loss(
        &self,
        loss: &dyn Loss,
        outputs: usize,
        scores: Read<'_>,
        targets: &Targets,
        gradient: &Write<'_>,
    ) -> Result<f32, LossError> {
        match (loss.as_cross_entropy(), targets) {
            (Some(loss), Targets::Classes(classes)) => {
                let factor = loss.mean_factor(targets);
                self.cross_entropy(loss, outputs, scores, classes, (gradient, factor))
            }
            _ => {
                let scores = self.gpu.host(scores).map_err(device)?;
                let mut host = vec![0.0; scores.len()];
                let mean = loss.loss(outputs, &scores, targets, &mut host)?;
                self.gpu.copy_in(gradient, &host).map_err(device)?;
                Ok(mean)
            }
        }
    }

    fn cross_entropy(
        &self,
        loss: &CrossEntropy,
        outputs: usize,
        scores: Read<'_>,
        classes: &[u32],
        (gradient, factor): (&Write<'_>, f64),
    ) -> Result<f32, LossError> {
        assert_eq!(scores.len(), gradient.len(), "one derivative a score");
        if outputs == 0 || scores.len() != classes.len() * outputs {
            return Err(TargetError::Count { scores: scores.len(), outputs, targets: classes.len() }.into());
        }
        if let Some(sample) = classes.iter().position(|class| *class as usize >= outputs) {
            let misfit = Misfit::Class { class: classes[sample] as usize, outputs };
            return Err(TargetError::Sample { sample, misfit }.into());
        }
        let losses = self.losses(loss, outputs, scores, classes, gradient, factor).map_err(device)?;
        Ok((losses.iter().sum::<f64>() * factor) as f32)
    }

    /// The loss of each sample; leaves `factor` times its gradient in `gradient`.
    fn losses(
        &self,
        loss: &CrossEntropy,
        outputs: usize,
        scores: Read<'_>,
        classes: &[u32],
        gradient: &Write<'_>,
        factor: f64,
    ) -> Result<Vec<f64>, DriverError> {
        let samples = classes.len();
        let (classes, weights) = (self.gpu.upload(classes)?, self.gpu.upload(&loss.weights)?);
        let losses = self.gpu.scratch::<f64>(samples)?;
        let (outputs, weighted) = (narrow(outputs), narrow(loss.weights.len()));
        let arguments = args![outputs, scores, classes, weights, weighted, loss.smoothing, factor, gradient, losses];
        self.gpu.launch("cross_entropy", [samples, 1, 1], &arguments)?;
        losses.to_host(samples)
    }
}

fn device(error: DriverError) -> LossError {
    LossError::Device(DeviceError::of(dfdx::prelude::CudaError::from(error)))
}
