// Local response normalisation across channels (Krizhevsky et al., "ImageNet classification with deep convolutional neural
// networks", 2012):
//
//     base[c] = k + alpha / size * sum(x[j]^2) over j from c - (size - 1) / 2 to c + size / 2
//     y[c] = x[c] base[c]^-beta
//
// With t[j] = gy[j] y[j] / base[j]: gx[c] += gy[c] base[c]^-beta - 2 alpha beta / size x[c] sum(t[j]) over the windows j that
// contain c.
#pragma once

#include "common.cuh"

struct Lrn {
    // Pixels of a channel.
    Divider plane;
    // Channels.
    Divider channels;
    int size;
    // alpha / size
    float scale;
    float beta;
    float k;
    // 2 alpha / size beta
    float factor;
};

// base^-beta; the usual beta of 0.75 takes two square roots.
__device__ __forceinline__ float power(float base, float beta) {
    if (beta == 0.75f) {
        const float root = sqrtf(base);
        return 1.0f / (root * sqrtf(root));
    }
    return powf(base, -beta);
}

// The channel of element `i` of a batch.
__device__ __forceinline__ int channel_of(const Lrn& lrn, size_t i) {
    const unsigned plane = lrn.plane.quotient((unsigned)i);
    return (int)(plane - lrn.channels.quotient(plane) * lrn.channels.divisor);
}

extern "C" __global__ void lrn_forward(
    const Lrn lrn, size_t len, const float* __restrict__ x, float* __restrict__ y, float* __restrict__ base) {
    for (size_t i = first_element(); i < len; i += elements_at_once()) {
        const int c = channel_of(lrn, i);
        const int from = max(-((lrn.size - 1) / 2), -c);
        const int to = min(lrn.size / 2, (int)lrn.channels.divisor - 1 - c);
        float sum = 0.0f;
        for (int j = from; j <= to; ++j) {
            const float v = x[(long long)i + (long long)j * lrn.plane.divisor];
            sum += v * v;
        }
        const float b = lrn.k + lrn.scale * sum;
        base[i] = b;
        y[i] = x[i] * power(b, lrn.beta);
    }
}

extern "C" __global__ void lrn_backward(
    const Lrn lrn, size_t len, const float* __restrict__ x, const float* __restrict__ y, const float* __restrict__ base,
    const float* __restrict__ gy, float* __restrict__ gx) {
    for (size_t i = first_element(); i < len; i += elements_at_once()) {
        const int c = channel_of(lrn, i);
        const int from = max(-(lrn.size / 2), -c);
        const int to = min((lrn.size - 1) / 2, (int)lrn.channels.divisor - 1 - c);
        float sum = 0.0f;
        for (int j = from; j <= to; ++j) {
            const long long at = (long long)i + (long long)j * lrn.plane.divisor;
            sum += gy[at] * y[at] / base[at];
        }
        gx[i] += gy[i] * power(base[i], lrn.beta) - lrn.factor * x[i] * sum;
    }
}
