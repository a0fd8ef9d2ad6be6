//! Opening a GPU, and what can be wrong with it.

use super::CudaBackend;
use crate::backend::Precision;
use crate::backend::raw::cuda::{self as raw, AccessError, OpenFault, Staging};
use cudarc::driver::{DriverError, sys::CUresult};
use dfdx::prelude::{Cache as _, CudaError};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};

/// The kernels, as `build.rs` compiled them.
const PTX: &str = include_str!(concat!(env!("OUT_DIR"), "/kernels.ptx"));

/// Why a GPU cannot be used.
#[derive(Debug)]
pub enum CudaSetupError {
    /// There is no driver, or no GPU that it knows.
    NoDriver(DriverError),
    /// There are fewer GPUs.
    NoSuchDevice {
        /// The one asked for, from 0.
        number: u32,
        /// How many there are.
        count: u32,
    },
    /// Not even the program itself fits into its memory.
    Memory(u32),
    /// Its driver does not take the kernels.
    Kernels {
        /// What it says.
        error: DriverError,
        /// The newest version of CUDA that it knows.
        driver: String,
        /// The version that compiled the kernels.
        needed: String,
    },
    /// dfdx keeps its tensors in another way than the version this program was written for.
    Access(&'static str),
    /// Anything else.
    Device(CudaError),
}

impl fmt::Display for CudaSetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CudaSetupError::NoDriver(error) => {
                write!(f, "there is no NVIDIA GPU to train on ({}): `nvidia-smi` shows what the driver sees", name(error))
            }
            CudaSetupError::NoSuchDevice { number, count } => {
                let (are, gpus) = if *count == 1 { ("is", "GPU") } else { ("are", "GPUs") };
                write!(f, "there is no GPU {number}: there {are} {count} {gpus}, counted from 0")
            }
            CudaSetupError::Memory(number) => {
                write!(f, "too little memory is free on GPU {number}: `nvidia-smi` shows which programs use it")
            }
            CudaSetupError::Kernels { error, driver, needed } if error.0 == CUresult::CUDA_ERROR_UNSUPPORTED_PTX_VERSION => {
                write!(
                    f,
                    "the driver is too old: it knows CUDA {driver}, and this program was built with CUDA {needed}. Install a driver \
                 for CUDA {needed}, or build with an older CUDA (CUDA_PATH=.. scripts/build-cuda)"
                )
            }
            CudaSetupError::Kernels { error, driver, needed } => write!(
                f,
                "the driver does not take the kernels ({}): it knows CUDA {driver}, they were built with CUDA {needed} for GPUs \
                 of compute capability 8.0 (Ampere) or newer",
                name(error)
            ),
            CudaSetupError::Access(what) => write!(
                f,
                "a trial of the tensor library failed ({what}): this program was written for dfdx 0.13.0 and cudarc 0.9, and was \
                 built with another version"
            ),
            CudaSetupError::Device(error) => write!(f, "the GPU does not start ({error})"),
        }
    }
}

impl std::error::Error for CudaSetupError {}

/// The driver's name for an error.
fn name(error: &DriverError) -> String {
    error.error_name().map_or_else(|_| format!("error {}", error.0 as u32), |name| name.to_string_lossy().into_owned())
}

/// The version in "Cuda compilation tools, release 13.0, V13.0.88".
fn compiled_with(ptx: &str) -> String {
    let release = ptx.split_once("release ").and_then(|(_, rest)| rest.split_once(','));
    release.map_or("of unknown version", |(release, _)| release).to_owned()
}

impl CudaBackend {
    /// GPU `number`, from 0, with factors of products rounded to `precision`.
    ///
    /// # Errors
    /// [`CudaSetupError`] where it cannot be used.
    pub fn new(number: u32, precision: Precision) -> Result<Self, CudaSetupError> {
        let (count, version) = raw::count().map_err(CudaSetupError::NoDriver)?;
        if number >= count {
            return Err(CudaSetupError::NoSuchDevice { number, count });
        }
        let device = |error: CudaError| match error {
            CudaError::Driver(DriverError(CUresult::CUDA_ERROR_OUT_OF_MEMORY)) => CudaSetupError::Memory(number),
            error @ (CudaError::Blas(_) | CudaError::Driver(_) | CudaError::Cpu(_)) => CudaSetupError::Device(error),
        };
        let driver = || format!("{}.{}", version / 1000, version % 1000 / 10);
        let (dfdx, gpu) = raw::open(number as usize, PTX).map_err(|fault| match fault {
            OpenFault::Driver(error) => device(error.into()),
            OpenFault::Kernels(error) if error.0 == CUresult::CUDA_ERROR_OUT_OF_MEMORY => CudaSetupError::Memory(number),
            OpenFault::Kernels(error) => CudaSetupError::Kernels { error, driver: driver(), needed: compiled_with(PTX) },
            OpenFault::Blas(error) => device(error.into()),
            OpenFault::Dfdx(error) => device(error),
        })?;
        raw::check_access(&gpu, &dfdx).map_err(|error| match error {
            AccessError::Wrong(what) => CudaSetupError::Access(what),
            AccessError::Device(error) => device(error),
        })?;
        // Every step allocates the same sizes: dfdx then reuses the buffers of the step before.
        dfdx.enable_cache();
        let gpu = Arc::new(gpu);
        let staging = Staging::new(&gpu).map_err(|error| device(error.into()))?;
        let (model, memory) = gpu.name().map_err(|error| device(error.into()))?;
        let name = format!("GPU {number}, {model} with {} MiB, {precision}", memory >> 20);
        Ok(CudaBackend { device: dfdx, gpu, staging, precision, name, tables: Mutex::new(HashMap::new()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kernel_of_the_table_is_compiled() {
        let table = include_str!("kernels/table.h");
        let mut named: Vec<&str> = table.lines().filter_map(|l| l.trim().strip_prefix("X(")?.split(')').next()).collect();
        let mut compiled: Vec<&str> = raw::entries(PTX).map(|(name, _)| name).collect();
        named.sort_unstable();
        compiled.sort_unstable();
        assert_eq!(named, compiled);
        assert!(raw::entries(PTX).all(|(_, sizes)| !sizes.is_empty() && sizes.iter().all(|size| *size > 0)));
        let (_, sizes) = raw::entries(PTX).find(|(name, _)| *name == "cross_entropy").unwrap();
        assert_eq!(sizes, [4, 8, 8, 8, 4, 8, 8, 8, 8]);
        assert!(compiled_with(PTX).contains('.'), "{}", compiled_with(PTX));
    }
}
