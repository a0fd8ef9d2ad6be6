// The names of all kernels, for whoever needs them one by one: STATICNET_KERNELS(X) writes X(name) for each.
#pragma once

#define STATICNET_KERNELS(X)   \
    X(conv_pixels_f32)         \
    X(conv_pixels_tf32)        \
    X(conv_pixels_f16)         \
    X(conv_pixels_small_f32)   \
    X(conv_pixels_small_tf32)  \
    X(conv_pixels_small_f16)   \
    X(conv_weights_f32)        \
    X(conv_weights_tf32)       \
    X(conv_weights_f16)        \
    X(conv_weights_small_f32)  \
    X(conv_weights_small_tf32) \
    X(conv_weights_small_f16)  \
    X(conv_pixels_direct)      \
    X(conv_weights_direct)     \
    X(pack_weights)            \
    X(sum_parts)               \
    X(bias_gradient)           \
    X(bias_gradient_rows)      \
    X(bias_relu)               \
    X(relu_forward)            \
    X(relu_backward)           \
    X(add_scaled)              \
    X(dropout_forward)         \
    X(dropout_backward)        \
    X(max_pool_forward)        \
    X(max_pool_backward)       \
    X(lrn_forward)             \
    X(lrn_backward)            \
    X(update_sgd)              \
    X(update_adam)             \
    X(update_rmsprop)          \
    X(squares)                 \
    X(sum_squares)             \
    X(cross_entropy)
