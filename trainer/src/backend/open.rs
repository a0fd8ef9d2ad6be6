//! A device by its name, for code that is generic over backends.

use super::cpu::{CpuBackend, PoolError};
use super::{Backend, Device, Target};
use std::fmt;
use std::sync::Arc;

/// Something to be done on whichever device. (A closure cannot be generic.)
pub trait OnBackend {
    /// What comes of it.
    type Output;

    /// Does it.
    fn run<B: Backend>(self, backend: Arc<B>) -> Self::Output;
}

/// Why a device cannot be used.
#[derive(Debug)]
pub enum OpenError {
    /// The threads cannot be started.
    Threads(PoolError),
    /// This program was built without the device's kernels.
    NotBuilt(Device),
    /// There are several devices and one process.
    Several(Device),
    /// The GPU cannot be used.
    #[cfg(feature = "cuda")]
    Cuda(super::cuda::CudaSetupError),
}

impl OpenError {
    /// Whether something else should have been asked for.
    pub fn is_usage(&self) -> bool {
        matches!(self, OpenError::NotBuilt(_) | OpenError::Several(_))
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Threads(error) => write!(f, "{error}"),
            OpenError::NotBuilt(device) => write!(
                f,
                "--device {device}: this trainer was built for the CPU alone; scripts/build-cuda builds one for GPUs (see \
                 docs/training-on-gpus.md)"
            ),
            OpenError::Several(device) => write!(
                f,
                "--device {device}: several devices take a process each, which `trainer train` alone starts (see docs/scaling.md); name \
                 one device"
            ),
            #[cfg(feature = "cuda")]
            OpenError::Cuda(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for OpenError {}

/// Does `what` on the device of `target`.
///
/// # Errors
/// [`OpenError`] where the device cannot be used.
pub fn on_device<W: OnBackend>(target: &Target, what: W) -> Result<W::Output, OpenError> {
    let device = &target.device;
    match device {
        Device::Cpu => Ok(what.run(Arc::new(CpuBackend::new(target.threads).map_err(OpenError::Threads)?))),
        Device::Cuda(numbers) => match numbers[..] {
            #[cfg(feature = "cuda")]
            [number] => {
                Ok(what.run(Arc::new(super::cuda::CudaBackend::new(number, target.precision).map_err(OpenError::Cuda)?)))
            }
            #[cfg(not(feature = "cuda"))]
            [_] => Err(OpenError::NotBuilt(device.clone())),
            _ => Err(OpenError::Several(device.clone())),
        },
    }
}
