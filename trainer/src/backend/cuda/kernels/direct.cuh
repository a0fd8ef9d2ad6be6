// Convolution where a group has so few rows that a tile of a product would stand empty: depthwise and nearly so. Sizes, taps
// and formulas are those of pixels.cuh and weights.cuh; the weights are not packed.
#pragma once

#include "weights.cuh"

// A thread has an element of the destination. Blocks: (pixels, rows, groups); neighbouring threads have neighbouring pixels.
extern "C" __global__ void __launch_bounds__(THREADS) conv_pixels_direct(
    const Pixels sizes, const float* __restrict__ from, const float* __restrict__ weight, const Tap* __restrict__ taps,
    int group_weights, int row_weights, const float* __restrict__ bias, float* to) {
    const int n = (int)first_element();
    const int row = (int)blockIdx.y;
    const long long group = blockIdx.z;
    if (n >= sizes.count) {
        return;
    }
    int picture, y, x;
    sizes.place(n, picture, y, x);
    y *= sizes.stride_y;
    x *= sizes.stride_x;
    const float* pixel = from + group * sizes.from_group + picture * sizes.from_picture + ((long long)y * sizes.width + x);
    const float* weights = weight + group * group_weights + (long long)row * row_weights;
    float sum = 0.0f;
    for (int i = 0; i < sizes.depth; ++i) {
        const Tap tap = taps[i];
        if ((unsigned)(y + tap.y) < (unsigned)sizes.height && (unsigned)(x + tap.x) < (unsigned)sizes.width) {
            sum = fmaf(pixel[tap.offset], weights[tap.weight], sum);
        }
    }
    const ToPixels store{sizes, bias ? bias + group * sizes.rows : nullptr, to + group * sizes.to_group, 0, 0};
    store.put(row, store.column(n), sum);
}

// A block has a weight and a part of the pixels. Blocks: (taps x rows, parts, groups).
extern "C" __global__ void __launch_bounds__(THREADS) conv_weights_direct(
    const Weights sizes, const float* __restrict__ x, const float* __restrict__ gy, const Tap* __restrict__ taps,
    float* __restrict__ parts) {
    __shared__ float buffer[THREADS];
    const long long group = blockIdx.z;
    const int row = (int)blockIdx.x / sizes.taps;
    const int column = (int)blockIdx.x % sizes.taps;
    const Tap tap = taps[column];
    const float* gradient = gy + (group * sizes.rows + row) * sizes.plane.divisor;
    const float* from = x + group * sizes.group + tap.offset;
    const int begin = (int)blockIdx.y * sizes.share;
    const int end = min(begin + sizes.share, sizes.count);
    float sum = 0.0f;
    for (int n = begin + (int)threadIdx.x; n < end; n += THREADS) {
        const int picture = (int)sizes.plane.quotient((unsigned)n);
        const int pixel = n - picture * (int)sizes.plane.divisor;
        int iy = (int)sizes.row.quotient((unsigned)pixel);
        const int ix = (pixel - iy * (int)sizes.row.divisor) * sizes.stride_x;
        iy *= sizes.stride_y;
        if ((unsigned)(iy + tap.y) < (unsigned)sizes.height && (unsigned)(ix + tap.x) < (unsigned)sizes.width) {
            sum = fmaf(
                gradient[picture * sizes.gradient_picture + pixel],
                from[picture * sizes.picture + ((long long)iy * sizes.width + ix)], sum);
        }
    }
    sum = over_block(sum, buffer, Add());
    if (threadIdx.x == 0) {
        parts[blockIdx.y * sizes.part + (group * sizes.rows + row) * sizes.taps + column] = sum;
    }
}
