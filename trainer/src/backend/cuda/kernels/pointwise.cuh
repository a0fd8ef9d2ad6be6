// Element-wise kernels, dropout, and the sums over biases.
#pragma once

#include "common.cuh"

// y = max(x, 0), as a comparison: a NaN stays visible.
extern "C" __global__ void relu_forward(size_t len, const float* __restrict__ x, float* __restrict__ y) {
    for (size_t i = first_element(); i < len; i += elements_at_once()) {
        const float v = x[i];
        y[i] = v < 0.0f ? 0.0f : v;
    }
}

// Passes the gradient on where the output was positive.
extern "C" __global__ void relu_backward(
    size_t len, const float* __restrict__ y, const float* __restrict__ gy, float* __restrict__ gx) {
    for (size_t i = first_element(); i < len; i += elements_at_once()) {
        gx[i] += y[i] > 0.0f ? gy[i] : 0.0f;
    }
}

// gx += scale * factor * gradient, with a factor in the device's memory.
extern "C" __global__ void add_scaled(
    size_t len, float scale, const float* __restrict__ factor, const float* __restrict__ gradient, float* __restrict__ gx) {
    const float by = scale * *factor;
    for (size_t i = first_element(); i < len; i += elements_at_once()) {
        gx[i] += by * gradient[i];
    }
}

// Adds a bias to each column of [N, columns], then, where asked for, max(x, 0).
extern "C" __global__ void bias_relu(
    size_t len, Divider columns, const float* __restrict__ bias, int relu, float* __restrict__ y) {
    for (size_t i = first_element(); i < len; i += elements_at_once()) {
        const unsigned row = columns.quotient((unsigned)i);
        const float v = y[i] + bias[(unsigned)i - row * columns.divisor];
        y[i] = relu && v < 0.0f ? 0.0f : v;
    }
}

// Sums over [N, channels, plane] of each channel, in parts: block (channel, part) sums a part of the pictures' pixels. Where
// there is an output `y` of a fused ReLU, the gradient is first taken away, in place, where it was not positive.
extern "C" __global__ void __launch_bounds__(THREADS) bias_gradient(
    int count, int share, Divider plane, int channels, const float* __restrict__ y, float* gy, float* __restrict__ parts) {
    __shared__ float buffer[THREADS];
    const int channel = (int)blockIdx.x;
    const int begin = (int)blockIdx.y * share;
    const int end = min(begin + share, count);
    float sum = 0.0f;
    for (int i = begin + (int)threadIdx.x; i < end; i += THREADS) {
        const int picture = (int)plane.quotient((unsigned)i);
        const int pixel = i - picture * (int)plane.divisor;
        const size_t at = ((size_t)picture * channels + channel) * plane.divisor + pixel;
        float g = gy[at];
        if (y) {
            g = y[at] > 0.0f ? g : 0.0f;
            gy[at] = g;
        }
        sum += g;
    }
    sum = over_block(sum, buffer, Add());
    if (threadIdx.x == 0) {
        parts[(size_t)blockIdx.y * channels + channel] = sum;
    }
}

// As `bias_gradient` for [N, channels]: a thread sums a part of the rows of one channel.
extern "C" __global__ void bias_gradient_rows(
    int count, int share, int channels, const float* __restrict__ y, float* gy, float* __restrict__ parts) {
    const int channel = (int)first_element();
    if (channel >= channels) {
        return;
    }
    const int begin = (int)blockIdx.y * share;
    const int end = min(begin + share, count);
    float sum = 0.0f;
    for (int row = begin; row < end; ++row) {
        const size_t at = (size_t)row * channels + channel;
        float g = gy[at];
        if (y) {
            g = y[at] > 0.0f ? g : 0.0f;
            gy[at] = g;
        }
        sum += g;
    }
    parts[(size_t)blockIdx.y * channels + channel] = sum;
}

// Number `i` (from 0) of a sequence of splitmix64 that stands at `state`, uniform in [0, 1): as in the trainer's rng.rs.
__device__ __forceinline__ float uniform(unsigned long long state, unsigned long long i) {
    unsigned long long word = state + (i + 1) * 0x9E3779B97F4A7C15ull;
    word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9ull;
    word = (word ^ (word >> 27)) * 0x94D049BB133111EBull;
    word ^= word >> 31;
    return (float)(word >> 40) / 16777216.0f;
}

// Blocks: (samples, pieces of a sample). `scale` is 1 / (1 - ratio).
extern "C" __global__ void dropout_forward(
    size_t sample, const unsigned long long* __restrict__ keys, float ratio, float scale, const float* __restrict__ x,
    float* __restrict__ y) {
    const size_t first = blockIdx.x * sample;
    const unsigned long long key = keys[blockIdx.x];
    for (size_t i = (size_t)blockIdx.y * blockDim.x + threadIdx.x; i < sample; i += (size_t)gridDim.y * blockDim.x) {
        y[first + i] = uniform(key, i) < ratio ? 0.0f : x[first + i] * scale;
    }
}

extern "C" __global__ void dropout_backward(
    size_t sample, const unsigned long long* __restrict__ keys, float ratio, float scale, const float* __restrict__ gy,
    float* __restrict__ gx) {
    const size_t first = blockIdx.x * sample;
    const unsigned long long key = keys[blockIdx.x];
    for (size_t i = (size_t)blockIdx.y * blockDim.x + threadIdx.x; i < sample; i += (size_t)gridDim.y * blockDim.x) {
        gx[first + i] += uniform(key, i) < ratio ? 0.0f : gy[first + i] * scale;
    }
}
