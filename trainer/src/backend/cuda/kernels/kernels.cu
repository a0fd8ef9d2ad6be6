// All kernels of the CUDA backend, one translation unit: `nvcc --ptx -arch=compute_80 -std=c++17 -O3 --fmad=false kernels.cu`.
//
// Tensors are binary32, NCHW, row-major. Every kernel is deterministic: no atomic additions, sums in a fixed order.
// Multiplications and additions stay apart as on the processor, but for the products, which ask for `fmaf` by name.
//
// The tests compile the same file for the host, where `device.h` stands for CUDA (tests/simulated_gpu).

#ifndef STATICNET_SIMULATED_GPU
#include <cuda_fp16.h>
#include <mma.h>
#endif

#include "common.cuh"
#include "direct.cuh"
#include "loss.cuh"
#include "lrn.cuh"
#include "pixels.cuh"
#include "pointwise.cuh"
#include "pool.cuh"
#include "product.cuh"
#include "table.h"
#include "update.cuh"
#include "weights.cuh"
