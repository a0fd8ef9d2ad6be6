//! Products of matrices by cuBLAS.

use super::{Gpu, Read, Write, locked};
use crate::backend::Precision;
use cudarc::cublas::{result as blas, sys as blas_sys};
use dfdx::prelude::CudaError;
use std::ffi::c_void;

/// `c = a b`, or `c += a b`, of matrices in column-major order: `a` is `rows` x `depth` and `b` `depth` x `columns`, either of
/// them the transpose of what lies in memory.
#[derive(Debug)]
pub struct Product<'a> {
    /// Rows of the product.
    pub rows: usize,
    /// Its columns.
    pub columns: usize,
    /// Products in each of its sums.
    pub depth: usize,
    /// The left factor, and whether it is transposed.
    pub a: (Read<'a>, bool),
    /// The right factor, and whether it is transposed.
    pub b: (Read<'a>, bool),
    /// Whether it is added to what is there.
    pub add: bool,
    /// What the factors are rounded to.
    pub precision: Precision,
}

impl Gpu {
    /// Multiplies.
    ///
    /// # Errors
    /// cuBLAS's.
    ///
    /// # Panics
    /// Panics where the vectors have other sizes.
    pub fn multiply(&self, product: &Product<'_>, c: &Write<'_>) -> Result<(), CudaError> {
        use blas_sys::cublasComputeType_t as Compute;
        use blas_sys::cublasOperation_t::{CUBLAS_OP_N, CUBLAS_OP_T};
        let Product { rows, columns, depth, a, b, add, precision } = *product;
        assert_eq!((a.0.len, b.0.len, c.len), (rows * depth, depth * columns, rows * columns), "factors and product");
        if c.len == 0 {
            return Ok(());
        }
        let compute = match precision {
            Precision::F32 => Compute::CUBLAS_COMPUTE_32F,
            Precision::Tf32 => Compute::CUBLAS_COMPUTE_32F_FAST_TF32,
            Precision::F16 => Compute::CUBLAS_COMPUTE_32F_FAST_16F,
        };
        let number = |n: usize| i32::try_from(n).expect("a matrix too large for cuBLAS");
        let operation = |transposed| if transposed { CUBLAS_OP_T } else { CUBLAS_OP_N };
        let (alpha, beta) = (1.0_f32, if add { 1.0_f32 } else { 0.0 });
        let kind = blas_sys::cudaDataType_t::CUDA_R_32F;
        self.device.bind_to_thread()?;
        let handle = locked(&self.blas);
        // SAFETY: the vectors are as long as the matrices, which the distances between columns describe; alpha and beta are
        // read before the call returns.
        unsafe {
            blas::gemm_ex(
                *handle.handle(),
                operation(a.1),
                operation(b.1),
                number(rows),
                number(columns),
                number(depth),
                (&raw const alpha).cast(),
                a.0.address as *const c_void,
                kind,
                number(if a.1 { depth } else { rows }),
                b.0.address as *const c_void,
                kind,
                number(if b.1 { columns } else { depth }),
                (&raw const beta).cast(),
                c.address as *mut c_void,
                kind,
                number(rows),
                compute,
                blas_sys::cublasGemmAlgo_t::CUBLAS_GEMM_DFALT,
            )
        }?;
        Ok(())
    }
}
