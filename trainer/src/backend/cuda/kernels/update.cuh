// Updates of parameters and sums of squares of gradients; the formulas stand beside `Method` in update.rs.
#pragma once

#include "common.cuh"

// What gradient and parameter go through before any method, and the average of the parameter after it.
struct Common {
    float scale;
    float limit;
    float l2;
    float keep;
    float average_old;
    float average_new;

    // The parameter that is updated, and the gradient that counts.
    __device__ __forceinline__ void begin(float& p, float& g) const {
        p *= keep;
        const float scaled = g * scale;
        // As comparisons: a NaN stays one.
        const float cut = scaled < -limit ? -limit : scaled > limit ? limit : scaled;
        g = cut + l2 * p;
    }

    __device__ __forceinline__ void end(float p, float* average, size_t i) const {
        if (average) {
            average[i] = average_old * average[i] + average_new * p;
        }
    }
};

// Without a velocity `v` the momentum is 0.
extern "C" __global__ void update_sgd(
    size_t len, Common common, float lr, float momentum, int nesterov, float* __restrict__ parameter,
    const float* __restrict__ gradient, float* __restrict__ v, float* __restrict__ average) {
    for (size_t i = first_element(); i < len; i += elements_at_once()) {
        float p = parameter[i];
        float d = gradient[i];
        common.begin(p, d);
        float step = d;
        if (v) {
            const float velocity = momentum * v[i] + d;
            v[i] = velocity;
            step = nesterov ? d + momentum * velocity : velocity;
        }
        p -= lr * step;
        parameter[i] = p;
        common.end(p, average, i);
    }
}

// `unroot` is one over the root of 1 - beta2^t.
extern "C" __global__ void update_adam(
    size_t len, Common common, float rate, float unroot, float new1, float old2, float new2, float epsilon,
    float* __restrict__ parameter, const float* __restrict__ gradient, float* __restrict__ m, float* __restrict__ s,
    float* __restrict__ average) {
    for (size_t i = first_element(); i < len; i += elements_at_once()) {
        float p = parameter[i];
        float d = gradient[i];
        common.begin(p, d);
        const float mean = m[i] + new1 * (d - m[i]);
        const float square = old2 * s[i] + new2 * d * d;
        m[i] = mean;
        s[i] = square;
        p -= rate * mean / (sqrtf(square) * unroot + epsilon);
        parameter[i] = p;
        common.end(p, average, i);
    }
}

// With a mean gradient `m` centred; without a velocity `v` the momentum is 0.
extern "C" __global__ void update_rmsprop(
    size_t len, Common common, float lr, float old, float fresh, float epsilon, float momentum, float* __restrict__ parameter,
    const float* __restrict__ gradient, float* __restrict__ s, float* __restrict__ m, float* __restrict__ v,
    float* __restrict__ average) {
    for (size_t i = first_element(); i < len; i += elements_at_once()) {
        float p = parameter[i];
        float d = gradient[i];
        common.begin(p, d);
        const float square = old * s[i] + fresh * d * d;
        s[i] = square;
        float variance = square;
        if (m) {
            const float mean = m[i] + fresh * (d - m[i]);
            m[i] = mean;
            variance = fmaxf(square - mean * mean, 0.0f);
        }
        d /= sqrtf(variance) + epsilon;
        if (v) {
            d = momentum * v[i] + d;
            v[i] = d;
        }
        p -= lr * d;
        parameter[i] = p;
        common.end(p, average, i);
    }
}

// The sum of the squares of each block's share, in binary64, which holds the square of any binary32 number.
extern "C" __global__ void __launch_bounds__(THREADS) squares(
    size_t len, size_t share, const float* __restrict__ gradient, double* __restrict__ parts) {
    __shared__ double buffer[THREADS];
    const size_t begin = blockIdx.x * share;
    const size_t end = begin + share < len ? begin + share : len;
    double sum = 0.0;
    for (size_t i = begin + threadIdx.x; i < end; i += THREADS) {
        const double g = gradient[i];
        sum += g * g;
    }
    sum = over_block(sum, buffer, Add());
    if (threadIdx.x == 0) {
        parts[blockIdx.x] = sum;
    }
}

// The sum of the parts, by one block.
extern "C" __global__ void __launch_bounds__(THREADS) sum_squares(
    int count, const double* __restrict__ parts, double* __restrict__ result) {
    __shared__ double buffer[THREADS];
    double sum = 0.0;
    for (int i = (int)threadIdx.x; i < count; i += THREADS) {
        sum += parts[i];
    }
    sum = over_block(sum, buffer, Add());
    if (threadIdx.x == 0) {
        *result = sum;
    }
}
