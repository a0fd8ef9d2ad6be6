// What all kernels share: sizes, division by a fixed number, sums over a block.
#pragma once

// Threads of a block, of every kernel.
constexpr int THREADS = 256;

// Far outside of every plane.
constexpr int FAR = -(1 << 30);

// A divisor the host knows, for dividends below 2^31: the quotient is the upper half of a product, corrected by a shift
// (Granlund and Montgomery, "Division by invariant integers using multiplication", 1994).
struct Divider {
    unsigned divisor;
    unsigned multiplier;
    unsigned shift;

    __device__ __forceinline__ unsigned quotient(unsigned n) const {
        const unsigned upper = (unsigned)((unsigned long long)n * multiplier >> 32);
        return (upper + n) >> shift;
    }
};

// The place of this thread among all of the launch, and how many there are.
__device__ __forceinline__ size_t first_element() {
    return (size_t)blockIdx.x * blockDim.x + threadIdx.x;
}

__device__ __forceinline__ size_t elements_at_once() {
    return (size_t)gridDim.x * blockDim.x;
}

struct Add {
    template <class Number>
    __device__ __forceinline__ Number operator()(Number a, Number b) const {
        return a + b;
    }
};

// The larger; a NaN loses against any number.
struct Larger {
    __device__ __forceinline__ float operator()(float a, float b) const {
        return fmaxf(a, b);
    }
};

// Combines one value of each thread, pairwise in a fixed order, and gives all threads the result. `buffer` holds THREADS
// values.
template <class Number, class Combine>
__device__ __forceinline__ Number over_block(Number value, Number* buffer, Combine combine) {
    const int thread = (int)threadIdx.x;
    buffer[thread] = value;
    __syncthreads();
    for (int half = THREADS / 2; half > 0; half /= 2) {
        if (thread < half) {
            buffer[thread] = combine(buffer[thread], buffer[thread + half]);
        }
        __syncthreads();
    }
    const Number result = buffer[0];
    __syncthreads();
    return result;
}
