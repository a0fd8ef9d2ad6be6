// Cross-entropy of a softmax, the formula of the trainer's loss/cross_entropy.rs, in binary64.
//
// With t = (1 - smoothing) [c is the sample's class] + smoothing / classes and the weights w of the classes:
//
//     loss = -sum(w[c] t[c] ln softmax(scores)[c])
//     gradient[c] = factor (sum(w t) softmax(scores)[c] - w[c] t[c])
#pragma once

#include "common.cuh"

// A block has a sample. `weights` has one number for each of the first `weighted` classes; the others count 1.
extern "C" __global__ void __launch_bounds__(THREADS) cross_entropy(
    int outputs, const float* __restrict__ scores, const unsigned* __restrict__ classes, const double* __restrict__ weights,
    int weighted, double smoothing, double factor, float* __restrict__ gradient, double* __restrict__ losses) {
    __shared__ float tops[THREADS];
    __shared__ double buffer[THREADS];
    const float* row = scores + (size_t)blockIdx.x * outputs;
    float* row_gradient = gradient + (size_t)blockIdx.x * outputs;
    const int wanted = (int)classes[blockIdx.x];
    const int thread = (int)threadIdx.x;

    float largest = -INFINITY;
    for (int c = thread; c < outputs; c += THREADS) {
        largest = fmaxf(largest, row[c]);
    }
    const double top = over_block(largest, tops, Larger());

    double share = 0.0;
    for (int c = thread; c < outputs; c += THREADS) {
        share += exp((double)row[c] - top);
    }
    const double sum = over_block(share, buffer, Add());
    const double logarithm = log(sum);

    const double even = smoothing / outputs;
    double mass = 0.0;
    double loss = 0.0;
    for (int c = thread; c < outputs; c += THREADS) {
        const double aim = (c < weighted ? weights[c] : 1.0) * ((1.0 - smoothing) * (c == wanted ? 1.0 : 0.0) + even);
        mass += aim;
        // A class of no weight may have the probability 0.
        if (aim != 0.0) {
            loss += aim * (logarithm - ((double)row[c] - top));
        }
    }
    mass = over_block(mass, buffer, Add());
    loss = over_block(loss, buffer, Add());
    for (int c = thread; c < outputs; c += THREADS) {
        const double aim = (c < weighted ? weights[c] : 1.0) * ((1.0 - smoothing) * (c == wanted ? 1.0 : 0.0) + even);
        row_gradient[c] = (float)(factor * (mass * (exp((double)row[c] - top) / sum) - aim));
    }
    if (thread == 0) {
        // What a network that is not finite any more says must not vanish with a weight of 0.
        losses[blockIdx.x] = isnan(sum) ? sum : loss;
    }
}
