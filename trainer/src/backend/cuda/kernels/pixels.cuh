// Convolution as a product that is never laid out: rows of weights x taps of pixels ("implicit GEMM").
//
// A column of the right factor is a pixel, a row of it a tap: an element of the source that lies a fixed distance from where
// the pixel looks. The same kernel makes both directions:
//
//     forward     to[n, o, oy, ox] = sum over taps (c, ky, kx) of weight[o, c, ky, kx] x[n, c, oy sy + ky dy - top, ...]
//     backward    to[n, c, iy, ix] += sum over taps (o, ky, kx) of weight[o, c, ky, kx] gy[n, o, oy, ox],
//                 where oy sy = iy + top - ky dy, and so for x
//
// On the way back, pixels whose rows and columns leave the same remainders by the strides have the same taps. The host launches
// once for each such phase: then oy = j + constant for the j-th row of the phase, and no product is wasted on a zero.
//
// The host packs the weights of a call as [group][tap][row], with zeros up to whole tiles (`pack_weights`).
#pragma once

#include "product.cuh"

// Where a tap lies, seen from its pixel: rows and columns away, and the distance in elements within a picture and group.
// `weight` is where its weight lies in the first row, or -1 for a tap that fills a slice up; that one has y == FAR.
struct alignas(16) Tap {
    int offset;
    int y;
    int x;
    int weight;
};

// Sizes of one launch. Pictures and groups are distances in elements.
struct Pixels {
    long long from_picture;
    long long from_group;
    long long to_picture;
    long long to_group;
    // Pixels of a picture, and of a row of them.
    Divider plane;
    Divider row;
    // Pixels of all pictures.
    int count;
    // Rows of weights, of packed weights, and taps.
    int rows;
    int packed_rows;
    int packed_depth;
    int depth;
    // The source plane, and how far apart neighbouring pixels look.
    int height;
    int width;
    int stride_y;
    int stride_x;
    // The destination: its plane and width, the place of pixel (0, 0), and how far apart neighbouring pixels lie.
    int to_plane;
    int to_width;
    int to_y;
    int to_x;
    int to_stride_y;
    int to_stride_x;
    int relu;

    __device__ __forceinline__ void place(int n, int& picture, int& y, int& x) const {
        picture = (int)plane.quotient((unsigned)n);
        const int pixel = n - picture * (int)plane.divisor;
        y = (int)row.quotient((unsigned)pixel);
        x = pixel - y * (int)row.divisor;
    }
};

// Loads packed weights, four rows at once.
template <class P, class T>
struct PackedWeights {
    static constexpr int LINE = T::rows / 4;
    static constexpr int STEP = THREADS / LINE;
    static constexpr int SHARE = P::depth / STEP;
    const float* from;
    int stride;
    float4 held[SHARE];

    __device__ __forceinline__ PackedWeights(const float* tile, int packed_rows) {
        from = tile + (size_t)(threadIdx.x / LINE) * packed_rows + threadIdx.x % LINE * 4;
        stride = packed_rows;
    }

    __device__ __forceinline__ void load() {
#pragma unroll
        for (int i = 0; i < SHARE; ++i) {
            held[i] = *(const float4*)from;
            from += (size_t)STEP * stride;
        }
    }

    __device__ __forceinline__ void keep(typename P::Element* to) const {
        typename P::Element* here = to + (int)threadIdx.x / LINE * (T::rows + P::PAD) + (int)threadIdx.x % LINE * 4;
#pragma unroll
        for (int i = 0; i < SHARE; ++i) {
            typename P::Element* line = here + i * STEP * (T::rows + P::PAD);
            line[0] = P::convert(held[i].x);
            line[1] = P::convert(held[i].y);
            line[2] = P::convert(held[i].z);
            line[3] = P::convert(held[i].w);
        }
    }
};

// Loads taps of pixels: a thread has one pixel and every STEP-th tap of it. Neighbouring threads have neighbouring pixels.
template <class P, class T>
struct TapsOfPixel {
    static constexpr int STEP = THREADS / T::columns;
    static constexpr int SHARE = P::depth / STEP;
    const float* pixel;
    const Tap* taps;
    int y;
    int x;
    int height;
    int width;
    float held[SHARE];

    __device__ __forceinline__ TapsOfPixel(const Pixels& sizes, const float* group, const Tap* all, int first) {
        const int n = first + (int)threadIdx.x % T::columns;
        const bool exists = n < sizes.count;
        int picture;
        sizes.place(exists ? n : 0, picture, y, x);
        y *= sizes.stride_y;
        x *= sizes.stride_x;
        pixel = group + picture * sizes.from_picture + (long long)y * sizes.width + x;
        y = exists ? y : FAR;
        height = sizes.height;
        width = sizes.width;
        taps = all + threadIdx.x / T::columns;
    }

    __device__ __forceinline__ void load() {
#pragma unroll
        for (int i = 0; i < SHARE; ++i) {
            const Tap tap = taps[i * STEP];
            const bool inside = (unsigned)(y + tap.y) < (unsigned)height && (unsigned)(x + tap.x) < (unsigned)width;
            held[i] = inside ? pixel[tap.offset] : 0.0f;
        }
        taps += P::depth;
    }

    __device__ __forceinline__ void keep(typename P::Element* to) const {
        typename P::Element* here = to + (int)threadIdx.x / T::columns * (T::columns + P::PAD) + (int)threadIdx.x % T::columns;
#pragma unroll
        for (int i = 0; i < SHARE; ++i) {
            here[i * STEP * (T::columns + P::PAD)] = P::convert(held[i]);
        }
    }
};

// Writes sums with their bias and ReLU, or, without a bias, adds them.
struct ToPixels {
    const Pixels& sizes;
    const float* bias;
    float* to;
    int first_row;
    int first;

    __device__ __forceinline__ long long column(int column) const {
        const int n = first + column;
        if (n >= sizes.count) {
            return -1;
        }
        int picture, y, x;
        sizes.place(n, picture, y, x);
        const int within = (y * sizes.to_stride_y + sizes.to_y) * sizes.to_width + x * sizes.to_stride_x + sizes.to_x;
        return picture * sizes.to_picture + within;
    }

    __device__ __forceinline__ void put(int row, long long at, float sum) const {
        const int m = first_row + row;
        if (m < sizes.rows) {
            float* here = to + at + (long long)m * sizes.to_plane;
            if (bias) {
                const float v = sum + bias[m];
                // A comparison, not a maximum: a NaN stays visible.
                *here = sizes.relu && v < 0.0f ? 0.0f : v;
            } else {
                *here += sum;
            }
        }
    }
};

// Blocks: (tiles, 1, groups), the tiles of a column of them next to each other.
template <class P, class T>
__device__ __forceinline__ void conv_pixels(
    const Pixels& sizes, const float* from, const float* packed, const Tap* taps, const float* bias, float* to) {
    const int down = (sizes.rows + T::rows - 1) / T::rows;
    const int first_row = (int)blockIdx.x % down * T::rows;
    const int first = (int)blockIdx.x / down * T::columns;
    const long long group = blockIdx.z;
    PackedWeights<P, T> left(packed + group * sizes.packed_depth * sizes.packed_rows + first_row, sizes.packed_rows);
    TapsOfPixel<P, T> right(sizes, from + group * sizes.from_group, taps, first);
    const ToPixels store{sizes, bias ? bias + group * sizes.rows : nullptr, to + group * sizes.to_group, first_row, first};
    product<P, T>(left, right, (sizes.depth + P::depth - 1) / P::depth, store);
}

#define CONV_PIXELS(name, precision, tile)                                                                                  \
    extern "C" __global__ void __launch_bounds__(THREADS, 2) name(                                                          \
        const Pixels sizes, const float* __restrict__ from, const float* __restrict__ packed, const Tap* __restrict__ taps, \
        const float* __restrict__ bias, float* to) {                                                                        \
        conv_pixels<precision, tile>(sizes, from, packed, taps, bias, to);                                                  \
    }

using Large = Tile<128, 128>;
using Small = Tile<64, 64>;

CONV_PIXELS(conv_pixels_f32, F32, Large)
CONV_PIXELS(conv_pixels_tf32, Tf32, Large)
CONV_PIXELS(conv_pixels_f16, F16, Large)
CONV_PIXELS(conv_pixels_small_f32, F32, Small)
CONV_PIXELS(conv_pixels_small_tf32, Tf32, Small)
CONV_PIXELS(conv_pixels_small_f16, F16, Small)

// Brings the weights of each group into the order [tap][row]: one thread an element, groups along the blocks' z axis.
extern "C" __global__ void pack_weights(
    const float* __restrict__ weight, const Tap* __restrict__ taps, int group_weights, int row_weights, int rows,
    int packed_rows, int packed_depth, float* __restrict__ packed) {
    const long long group = blockIdx.z;
    const size_t all = (size_t)packed_depth * packed_rows;
    for (size_t i = first_element(); i < all; i += elements_at_once()) {
        const int tap = (int)(i / packed_rows);
        const int row = (int)(i % packed_rows);
        const int at = taps[tap].weight;
        const bool exists = row < rows && at >= 0;
        packed[group * all + i] = exists ? weight[group * group_weights + (long long)row * row_weights + at] : 0.0f;
    }
}
