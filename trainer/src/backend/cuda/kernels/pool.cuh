// Max-pool over [planes, height, width].
#pragma once

#include "common.cuh"

struct Pool {
    // Pixels of an output plane and of its rows; of an input plane and of its rows.
    Divider to_plane;
    Divider to_row;
    Divider from_plane;
    Divider from_row;
    // Vertical, horizontal.
    int kernel_y;
    int kernel_x;
    int stride_y;
    int stride_x;
    int dilation_y;
    int dilation_x;
    int top;
    int left;
    // Sizes of the planes.
    int height;
    int width;
    int to_height;
    int to_width;
};

// A thread has an output. The first of equal taps wins; a tap in the padding does not exist.
extern "C" __global__ void max_pool_forward(
    const Pool pool, size_t len, const float* __restrict__ x, float* __restrict__ y, unsigned* __restrict__ argmax) {
    for (size_t i = first_element(); i < len; i += elements_at_once()) {
        const unsigned plane = pool.to_plane.quotient((unsigned)i);
        const unsigned pixel = (unsigned)i - plane * pool.to_plane.divisor;
        const int oy = (int)pool.to_row.quotient(pixel);
        const int ox = (int)pixel - oy * pool.to_width;
        const float* from = x + (size_t)plane * pool.from_plane.divisor;
        const int y0 = oy * pool.stride_y - pool.top;
        const int x0 = ox * pool.stride_x - pool.left;
        float best = -INFINITY;
        int index = -1;
        for (int ky = 0; ky < pool.kernel_y; ++ky) {
            const int iy = y0 + ky * pool.dilation_y;
            if (iy < 0 || iy >= pool.height) {
                continue;
            }
            for (int kx = 0; kx < pool.kernel_x; ++kx) {
                const int ix = x0 + kx * pool.dilation_x;
                if (ix < 0 || ix >= pool.width) {
                    continue;
                }
                const int at = iy * pool.width + ix;
                const float v = from[at];
                // Not `v > best`: a NaN must not hide behind a pool.
                if (index < 0 || !(v <= best)) {
                    best = v;
                    index = at;
                }
            }
        }
        y[i] = best;
        argmax[i] = index < 0 ? 0u : (unsigned)index;
    }
}

// A thread has an input, and gathers from the outputs that look at it, in their order.
extern "C" __global__ void max_pool_backward(
    const Pool pool, size_t len, const unsigned* __restrict__ argmax, const float* __restrict__ gy, float* __restrict__ gx) {
    for (size_t i = first_element(); i < len; i += elements_at_once()) {
        const unsigned plane = pool.from_plane.quotient((unsigned)i);
        const unsigned pixel = (unsigned)i - plane * pool.from_plane.divisor;
        const int iy = (int)pool.from_row.quotient(pixel);
        const int ix = (int)pixel - iy * pool.width;
        const size_t first = (size_t)plane * pool.to_plane.divisor;
        float sum = gx[i];
        // The last tap of a kernel belongs to the first output.
        for (int ky = pool.kernel_y - 1; ky >= 0; --ky) {
            const int y = iy + pool.top - ky * pool.dilation_y;
            const int oy = y / pool.stride_y;
            if (y < 0 || oy >= pool.to_height || oy * pool.stride_y != y) {
                continue;
            }
            for (int kx = pool.kernel_x - 1; kx >= 0; --kx) {
                const int x = ix + pool.left - kx * pool.dilation_x;
                const int ox = x / pool.stride_x;
                if (x < 0 || ox >= pool.to_width || ox * pool.stride_x != x) {
                    continue;
                }
                const size_t at = first + oy * pool.to_width + ox;
                if (argmax[at] == pixel) {
                    sum += gy[at];
                }
            }
        }
        gx[i] = sum;
    }
}
