// The kernels of the simulated GPU's own tests.
#pragma once

#define STATICNET_KERNELS(X) \
    X(places)                \
    X(block_sum)             \
    X(block_sum_unsafe)      \
    X(shift_unsafe)          \
    X(warp_sum)              \
    X(product_tf32)          \
    X(product_f16)           \
    X(scale)                 \
    X(write_beside)          \
    X(leave_early)           \
    X(wait_apart)            \
    X(badly_aligned)         \
    X(stack_of_arrays)
