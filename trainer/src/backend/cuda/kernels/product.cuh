// The matrix product under the convolutions: one tile of it a block.
//
// Both factors are cut into slices along their common axis. While the block multiplies one slice in shared memory, each thread
// has its share of the next one on the way in registers; two buffers in turn make one barrier a slice enough. Where the
// elements of a slice come from is the business of two loaders, where the sums go that of a store:
//
//     loader.load()                 the next slice, global memory to registers
//     loader.keep(shared)           registers to shared memory, element [k][line] at shared[k * (lines + PAD) + line]
//     store.column(n)               what is common to a column: an offset, or -1 where the column lies outside
//     store.put(m, offset, sum)     takes one sum
//
// The order in which products are added depends on the sizes alone.
#pragma once

#include "common.cuh"

template <int ROWS, int COLUMNS>
struct Tile {
    static constexpr int rows = ROWS;
    static constexpr int columns = COLUMNS;
};

// Four neighbours at once, from a place that is a multiple of four.
__device__ __forceinline__ void load_four(const float* from, float* to) {
    const float4 v = *(const float4*)from;
    to[0] = v.x;
    to[1] = v.y;
    to[2] = v.z;
    to[3] = v.w;
}

// Products and sums in binary32.
struct F32 {
    using Element = float;
    static constexpr int depth = 16;
    static constexpr int PAD = 4;

    static __device__ __forceinline__ float convert(float v) {
        return v;
    }

    // Each thread has blocks of 4 x 4 sums, 64 rows and columns apart.
    template <class T>
    struct Sums {
        static constexpr int HIGH = T::rows / 64;
        static constexpr int WIDE = T::columns / 64;
        float sums[HIGH * 4][WIDE * 4];

        __device__ __forceinline__ Sums() {
#pragma unroll
            for (int i = 0; i < HIGH * 4; ++i) {
#pragma unroll
                for (int j = 0; j < WIDE * 4; ++j) {
                    sums[i][j] = 0.0f;
                }
            }
        }

        __device__ __forceinline__ void multiply(const float* a, const float* b) {
            const int row = (int)threadIdx.x / 16 * 4;
            const int column = (int)threadIdx.x % 16 * 4;
#pragma unroll
            for (int k = 0; k < depth; ++k) {
                float left[HIGH * 4];
                float right[WIDE * 4];
#pragma unroll
                for (int i = 0; i < HIGH; ++i) {
                    load_four(a + k * (T::rows + PAD) + i * 64 + row, left + i * 4);
                }
#pragma unroll
                for (int j = 0; j < WIDE; ++j) {
                    load_four(b + k * (T::columns + PAD) + j * 64 + column, right + j * 4);
                }
#pragma unroll
                for (int i = 0; i < HIGH * 4; ++i) {
#pragma unroll
                    for (int j = 0; j < WIDE * 4; ++j) {
                        sums[i][j] = fmaf(left[i], right[j], sums[i][j]);
                    }
                }
            }
        }

        template <class Store>
        __device__ __forceinline__ void put(const Store& store) const {
            const int row = (int)threadIdx.x / 16 * 4;
            const int column = (int)threadIdx.x % 16 * 4;
#pragma unroll
            for (int j = 0; j < WIDE * 4; ++j) {
                const long long at = store.column(j / 4 * 64 + column + j % 4);
                if (at >= 0) {
#pragma unroll
                    for (int i = 0; i < HIGH * 4; ++i) {
                        store.put(i / 4 * 64 + row + i % 4, at, sums[i][j]);
                    }
                }
            }
        }
    };
};

// Sums in the fragments of the tensor cores. Eight warps, four down and two across, share the tile.
template <class Precision, class T>
struct FragmentSums {
    using Element = typename Precision::Element;
    static constexpr int HIGH = T::rows / 64;
    static constexpr int WIDE = T::columns / 32;
    static constexpr int STEP = Precision::step;
    nvcuda::wmma::fragment<nvcuda::wmma::accumulator, 16, 16, STEP, float> sums[HIGH][WIDE];

    static __device__ __forceinline__ int first_row() {
        return (int)threadIdx.x / 32 / 2 * (HIGH * 16);
    }

    static __device__ __forceinline__ int first_column() {
        return (int)threadIdx.x / 32 % 2 * (WIDE * 16);
    }

    __device__ __forceinline__ FragmentSums() {
#pragma unroll
        for (int i = 0; i < HIGH; ++i) {
#pragma unroll
            for (int j = 0; j < WIDE; ++j) {
                nvcuda::wmma::fill_fragment(sums[i][j], 0.0f);
            }
        }
    }

    __device__ __forceinline__ void multiply(const Element* a, const Element* b) {
        using Kind = typename Precision::Kind;
        constexpr int A = T::rows + Precision::PAD;
        constexpr int B = T::columns + Precision::PAD;
#pragma unroll 1
        for (int k = 0; k < Precision::depth; k += STEP) {
            nvcuda::wmma::fragment<nvcuda::wmma::matrix_a, 16, 16, STEP, Kind, nvcuda::wmma::col_major> left[HIGH];
            nvcuda::wmma::fragment<nvcuda::wmma::matrix_b, 16, 16, STEP, Kind, nvcuda::wmma::row_major> right;
#pragma unroll
            for (int i = 0; i < HIGH; ++i) {
                nvcuda::wmma::load_matrix_sync(left[i], a + k * A + first_row() + i * 16, A);
            }
#pragma unroll
            for (int j = 0; j < WIDE; ++j) {
                nvcuda::wmma::load_matrix_sync(right, b + k * B + first_column() + j * 16, B);
#pragma unroll
                for (int i = 0; i < HIGH; ++i) {
                    nvcuda::wmma::mma_sync(sums[i][j], left[i], right, sums[i][j]);
                }
            }
        }
    }

    // Which element of a fragment a thread holds is not specified: one fragment a warp goes through shared memory at a time.
    template <class Store>
    __device__ __forceinline__ void put(const Store& store) const {
        alignas(32) __shared__ float passage[THREADS / 32][256];
        const int warp = (int)threadIdx.x / 32;
        const int lane = (int)threadIdx.x % 32;
#pragma unroll
        for (int j = 0; j < WIDE; ++j) {
            const long long at = store.column(first_column() + j * 16 + lane % 16);
#pragma unroll
            for (int i = 0; i < HIGH; ++i) {
                nvcuda::wmma::store_matrix_sync(passage[warp], sums[i][j], 16, nvcuda::wmma::mem_row_major);
                __syncthreads();
                if (at >= 0) {
                    for (int row = lane / 16; row < 16; row += 2) {
                        store.put(first_row() + i * 16 + row, at, passage[warp][row * 16 + lane % 16]);
                    }
                }
                __syncthreads();
            }
        }
    }
};

// Products of numbers rounded to 10 bits of mantissa, sums in binary32.
struct Tf32 {
    using Element = float;
    using Kind = nvcuda::wmma::precision::tf32;
    static constexpr int depth = 16;
    static constexpr int step = 8;
    static constexpr int PAD = 4;
    template <class T>
    using Sums = FragmentSums<Tf32, T>;

    static __device__ __forceinline__ float convert(float v) {
        return nvcuda::wmma::__float_to_tf32(v);
    }
};

// Products of binary16 numbers, sums in binary32.
struct F16 {
    using Element = half;
    using Kind = half;
    static constexpr int depth = 16;
    static constexpr int step = 16;
    static constexpr int PAD = 8;
    template <class T>
    using Sums = FragmentSums<F16, T>;

    static __device__ __forceinline__ half convert(float v) {
        return __float2half_rn(v);
    }
};

// One tile of the product of so many slices.
template <class Precision, class T, class Left, class Right, class Store>
__device__ __forceinline__ void product(Left& left, Right& right, int slices, const Store& store) {
    using Element = typename Precision::Element;
    alignas(32) __shared__ Element a[2][Precision::depth * (T::rows + Precision::PAD)];
    alignas(32) __shared__ Element b[2][Precision::depth * (T::columns + Precision::PAD)];
    typename Precision::template Sums<T> sums;
    left.load();
    right.load();
    left.keep(a[0]);
    right.keep(b[0]);
    __syncthreads();
    for (int slice = 0; slice < slices; ++slice) {
        const int now = slice % 2;
        const bool more = slice + 1 < slices;
        if (more) {
            left.load();
            right.load();
        }
        sums.multiply(a[now], b[now]);
        if (more) {
            left.keep(a[1 - now]);
            right.keep(b[1 - now]);
        }
        __syncthreads();
    }
    sums.put(store);
}
