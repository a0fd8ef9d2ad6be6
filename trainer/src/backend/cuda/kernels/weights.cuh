// The gradient of a convolution's weights: gradients of outputs x taps, summed over all pixels of all pictures.
//
//     gw[o, (c, ky, kx)] = sum over pixels (n, oy, ox) of gy[n, o, oy, ox] x[n, c, oy sy + ky dy - top, ...]
//
// Few tiles and a very long common axis: the pixels are cut into parts (split-K), each part leaves sums of its own, and
// `sum_parts` adds them up, the first part first.
#pragma once

#include "pixels.cuh"

// Sizes of one launch. Pictures and groups are distances in elements.
struct Weights {
    long long picture;
    long long group;
    long long gradient_picture;
    // Elements of a part: of all weights.
    long long part;
    // Pixels of a picture, and of a row of them.
    Divider plane;
    Divider row;
    // Pixels of all pictures, and of one part.
    int count;
    int share;
    // Outputs of a group, and taps of one.
    int rows;
    int taps;
    // The plane of the input, and how far apart neighbouring pixels look.
    int height;
    int width;
    int stride_y;
    int stride_x;
};

// The pixel of a thread in each slice of a part: neighbouring threads have neighbouring pixels.
template <class P>
struct PixelOfSlice {
    static constexpr int STEP = THREADS / P::depth;
    int next;
    int end;

    __device__ __forceinline__ PixelOfSlice(const Weights& sizes) {
        const int begin = (int)blockIdx.y * sizes.share;
        next = begin + (int)threadIdx.x % P::depth;
        end = min(begin + sizes.share, sizes.count);
    }

    // Whether there is one in the next slice.
    __device__ __forceinline__ bool step(const Weights& sizes, int& picture, int& pixel) {
        const bool exists = next < end;
        const int n = exists ? next : 0;
        picture = (int)sizes.plane.quotient((unsigned)n);
        pixel = n - picture * (int)sizes.plane.divisor;
        next += P::depth;
        return exists;
    }
};

// Loads gradients of outputs: a thread has one pixel a slice and every STEP-th output.
template <class P, class T>
struct GradientsOfPixel {
    static constexpr int STEP = PixelOfSlice<P>::STEP;
    static constexpr int SHARE = T::rows / STEP;
    const Weights& sizes;
    const float* gradient;
    PixelOfSlice<P> pixels;
    int row;
    float held[SHARE];

    __device__ __forceinline__ GradientsOfPixel(const Weights& sizes, const float* group, int first_row)
        : sizes(sizes), pixels(sizes) {
        row = first_row + (int)threadIdx.x / P::depth;
        gradient = group + (long long)row * sizes.plane.divisor;
    }

    __device__ __forceinline__ void load() {
        int picture, pixel;
        const bool exists = pixels.step(sizes, picture, pixel);
        const float* here = gradient + picture * sizes.gradient_picture + pixel;
        const int rows = exists ? sizes.rows - row : 0;
#pragma unroll
        for (int i = 0; i < SHARE; ++i) {
            held[i] = i * STEP < rows ? here[i * STEP * sizes.plane.divisor] : 0.0f;
        }
    }

    __device__ __forceinline__ void keep(typename P::Element* to) const {
        typename P::Element* here = to + (int)threadIdx.x % P::depth * (T::rows + P::PAD) + (int)threadIdx.x / P::depth;
#pragma unroll
        for (int i = 0; i < SHARE; ++i) {
            here[i * STEP] = P::convert(held[i]);
        }
    }
};

// Loads what taps see from a pixel: a thread has one pixel a slice and every STEP-th tap.
template <class P, class T>
struct PixelOfTaps {
    static constexpr int STEP = PixelOfSlice<P>::STEP;
    static constexpr int SHARE = T::columns / STEP;
    const Weights& sizes;
    const float* group;
    const Tap* taps;
    PixelOfSlice<P> pixels;
    float held[SHARE];

    __device__ __forceinline__ PixelOfTaps(const Weights& sizes, const float* group, const Tap* all, int first)
        : sizes(sizes), group(group), pixels(sizes) {
        __shared__ Tap tile[T::columns];
        if (threadIdx.x < T::columns) {
            tile[threadIdx.x] = all[first + threadIdx.x];
        }
        __syncthreads();
        taps = tile + threadIdx.x / P::depth;
    }

    __device__ __forceinline__ void load() {
        int picture, pixel;
        const bool exists = pixels.step(sizes, picture, pixel);
        int y = (int)sizes.row.quotient((unsigned)pixel);
        const int x = (pixel - y * (int)sizes.row.divisor) * sizes.stride_x;
        y *= sizes.stride_y;
        const float* here = group + picture * sizes.picture + (long long)y * sizes.width + x;
        y = exists ? y : FAR;
#pragma unroll
        for (int i = 0; i < SHARE; ++i) {
            const Tap tap = taps[i * STEP];
            const bool inside = (unsigned)(y + tap.y) < (unsigned)sizes.height && (unsigned)(x + tap.x) < (unsigned)sizes.width;
            held[i] = inside ? here[tap.offset] : 0.0f;
        }
    }

    __device__ __forceinline__ void keep(typename P::Element* to) const {
        typename P::Element* here = to + (int)(threadIdx.x % P::depth * (T::columns + P::PAD) + threadIdx.x / P::depth);
#pragma unroll
        for (int i = 0; i < SHARE; ++i) {
            here[i * STEP] = P::convert(held[i]);
        }
    }
};

struct ToPart {
    const Weights& sizes;
    float* part;
    int first_row;
    int first;

    __device__ __forceinline__ long long column(int column) const {
        return first + column < sizes.taps ? first + column : -1;
    }

    __device__ __forceinline__ void put(int row, long long at, float sum) const {
        if (first_row + row < sizes.rows) {
            part[(long long)(first_row + row) * sizes.taps + at] = sum;
        }
    }
};

// Blocks: (tiles, parts, groups).
template <class P, class T>
__device__ __forceinline__ void conv_weights(
    const Weights& sizes, const float* x, const float* gy, const Tap* taps, float* parts) {
    const int down = (sizes.rows + T::rows - 1) / T::rows;
    const int first_row = (int)blockIdx.x % down * T::rows;
    const int first = (int)blockIdx.x / down * T::columns;
    const long long group = blockIdx.z;
    const int pixels = min(sizes.share, sizes.count - (int)blockIdx.y * sizes.share);
    const int slices = (pixels + P::depth - 1) / P::depth;
    GradientsOfPixel<P, T> left(sizes, gy + group * sizes.rows * sizes.plane.divisor, first_row);
    PixelOfTaps<P, T> right(sizes, x + group * sizes.group, taps, first);
    float* part = parts + blockIdx.y * sizes.part + group * sizes.rows * sizes.taps;
    product<P, T>(left, right, slices, ToPart{sizes, part, first_row, first});
}

#define CONV_WEIGHTS(name, precision, tile)                                                             \
    extern "C" __global__ void __launch_bounds__(THREADS, 2) name(                                      \
        const Weights sizes, const float* __restrict__ x, const float* __restrict__ gy,                 \
        const Tap* __restrict__ taps, float* __restrict__ parts) {                                      \
        conv_weights<precision, tile>(sizes, x, gy, taps, parts);                                       \
    }

CONV_WEIGHTS(conv_weights_f32, F32, Large)
CONV_WEIGHTS(conv_weights_tf32, Tf32, Large)
CONV_WEIGHTS(conv_weights_f16, F16, Large)
CONV_WEIGHTS(conv_weights_small_f32, F32, Small)
CONV_WEIGHTS(conv_weights_small_tf32, Tf32, Small)
CONV_WEIGHTS(conv_weights_small_f16, F16, Small)

// to[i] += the sum of part[i] over the parts, the first part first.
extern "C" __global__ void sum_parts(const float* __restrict__ parts, int count, size_t len, float* __restrict__ to) {
    for (size_t i = first_element(); i < len; i += elements_at_once()) {
        float sum = 0.0f;
        for (int part = 0; part < count; ++part) {
            sum += parts[part * len + i];
        }
        to[i] += sum;
    }
}
