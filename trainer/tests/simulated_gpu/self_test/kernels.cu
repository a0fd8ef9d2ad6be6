// Kernels that are right, and kernels with one mistake each.

// Every thread says where it is.
extern "C" __global__ void places(unsigned* to) {
    const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    const unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
    const unsigned i = block * blockDim.x * blockDim.y * blockDim.z + thread;
    to[i] = i * 7 + threadIdx.z * 3 + blockIdx.y;
}

template <bool SAFE>
__device__ void sum(const float* from, float* to) {
    __shared__ float buffer[256];
    const int thread = (int)threadIdx.x;
    buffer[thread] = from[blockIdx.x * 256 + thread];
    if (SAFE) {
        __syncthreads();
    }
    for (int half = 128; half > 0; half /= 2) {
        if (thread < half) {
            buffer[thread] += buffer[thread + half];
        }
        if (SAFE) {
            __syncthreads();
        }
    }
    if (thread == 0) {
        to[blockIdx.x] = buffer[0];
    }
}

extern "C" __global__ void block_sum(const float* from, float* to) {
    sum<true>(from, to);
}

extern "C" __global__ void block_sum_unsafe(const float* from, float* to) {
    sum<false>(from, to);
}

// Each thread takes over its left neighbour's value.
extern "C" __global__ void shift_unsafe(const float* from, float* to) {
    __shared__ float buffer[256];
    buffer[threadIdx.x] = from[threadIdx.x];
    to[threadIdx.x] = buffer[threadIdx.x > 0 ? threadIdx.x - 1 : 0];
}

extern "C" __global__ void warp_sum(const float* from, float* to) {
    float v = from[threadIdx.x];
    for (int by = 16; by > 0; by /= 2) {
        v += __shfl_down_sync(0xffffffffu, v, by);
    }
    if (threadIdx.x % 32 == 0) {
        to[threadIdx.x / 32] = v;
    }
}

// One warp: c = 2 a b, with a of 16 rows and b of 16 columns.
template <class Kind, class Element, int STEP, class Convert>
__device__ void product(const float* a, const float* b, float* c, int taps, Convert convert) {
    using namespace nvcuda;
    __shared__ __align__(32) Element left[16 * STEP];
    __shared__ __align__(32) Element right[STEP * 16];
    wmma::fragment<wmma::accumulator, 16, 16, STEP, float> sums;
    wmma::fill_fragment(sums, 0.0f);
    for (int k = 0; k < taps; k += STEP) {
        for (int i = (int)threadIdx.x; i < 16 * STEP; i += 32) {
            left[i] = convert(a[i / STEP * taps + k + i % STEP]);
            right[i] = convert(b[k * 16 + i]);
        }
        __syncwarp();
        wmma::fragment<wmma::matrix_a, 16, 16, STEP, Kind, wmma::row_major> l;
        wmma::fragment<wmma::matrix_b, 16, 16, STEP, Kind, wmma::row_major> r;
        wmma::load_matrix_sync(l, left, STEP);
        wmma::load_matrix_sync(r, right, 16);
        wmma::mma_sync(sums, l, r, sums);
        __syncwarp();
    }
    for (int i = 0; i < sums.num_elements; ++i) {
        sums.x[i] *= 2.0f;
    }
    wmma::store_matrix_sync(c, sums, 16, wmma::mem_row_major);
}

extern "C" __global__ void product_tf32(const float* a, const float* b, float* c, int taps) {
    product<nvcuda::wmma::precision::tf32, float, 8>(a, b, c, taps, nvcuda::wmma::__float_to_tf32);
}

extern "C" __global__ void product_f16(const float* a, const float* b, float* c, int taps) {
    product<half, half, 16>(a, b, c, taps, __float2half_rn);
}

extern "C" __global__ void scale(float* at, size_t len, float by) {
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < len; i += (size_t)gridDim.x * blockDim.x) {
        at[i] *= by;
    }
}

extern "C" __global__ void write_beside(float* at, int i) {
    at[i] = 1.0f;
}

extern "C" __global__ void leave_early(float* at) {
    if (threadIdx.x == 3) {
        return;
    }
    __syncthreads();
    at[threadIdx.x] = 1.0f;
}

extern "C" __global__ void wait_apart(float* at) {
    if (threadIdx.x < 32) {
        __syncthreads();
    } else {
        __syncthreads();
    }
    at[threadIdx.x] = 1.0f;
}

extern "C" __global__ void badly_aligned(float* at) {
    nvcuda::wmma::fragment<nvcuda::wmma::accumulator, 16, 16, 8, float> sums;
    nvcuda::wmma::load_matrix_sync(sums, at + 1, 16, nvcuda::wmma::mem_row_major);
}

// Parameters by value, and stacks that are more than a page.
struct Sizes {
    long long first;
    int second;
};

extern "C" __global__ void stack_of_arrays(const Sizes sizes, float* to) {
    float many[2048];
    for (int i = 0; i < 2048; ++i) {
        many[i] = (float)(i + (int)threadIdx.x);
    }
    __syncthreads();
    to[threadIdx.x] = many[(sizes.first + sizes.second) % 2048];
}
