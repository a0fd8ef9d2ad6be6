// CUDA's device language for a C++ compiler: what kernels.cu finds instead of NVIDIA's headers.
//
// A thread of a block is a fiber (block.h), so a kernel's code runs as it stands. Variables of a block are static: each worker of
// the simulation has a copy of the whole library. What is missing here is an error of the compiler.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <math.h>
#include <type_traits>

#include "block.h"

#define __global__
#define __device__
#define __host__
#define __constant__
#define __shared__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __align__(bytes) __attribute__((aligned(bytes)))
// CUDA's compiler takes `__shared__ alignas(32) float x`; after `static`, C++ wants an attribute.
#define alignas(bytes) __attribute__((aligned(bytes)))

constexpr int warpSize = 32;

#define SIMULATED_VECTOR2(name, type, bytes)                        \
    struct __align__(bytes) name {                                  \
        type x, y;                                                  \
    };                                                              \
    inline name make_##name(type x, type y) { return name{x, y}; }
#define SIMULATED_VECTOR4(name, type, bytes)                        \
    struct __align__(bytes) name {                                  \
        type x, y, z, w;                                            \
    };                                                              \
    inline name make_##name(type x, type y, type z, type w) { return name{x, y, z, w}; }

SIMULATED_VECTOR2(float2, float, 8)
SIMULATED_VECTOR2(int2, int, 8)
SIMULATED_VECTOR2(uint2, unsigned, 8)
SIMULATED_VECTOR2(double2, double, 16)
SIMULATED_VECTOR4(float4, float, 16)
SIMULATED_VECTOR4(int4, int, 16)
SIMULATED_VECTOR4(uint4, unsigned, 16)

// Barriers. Threads that wait at different places of the text wait for each other forever on some GPUs: an error here.
inline void __syncthreads(int line = __builtin_LINE(), const char* file = __builtin_FILE()) {
    simulated::wait_for_block(file, line);
}

inline void __syncwarp(unsigned mask = ~0u, int line = __builtin_LINE(), const char* file = __builtin_FILE()) {
    simulated::wait_for_warp(mask, file, line);
}

inline void __threadfence() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
inline void __threadfence_block() { __threadfence(); }

// Exchange within a warp. A source outside of a lane's group of `width` lanes leaves it its own value.
namespace simulated {
template <class T>
T from_lane(unsigned mask, T value, int source, int width, const char* file, int line) {
    static_assert(sizeof(T) <= sizeof(uint64_t), "a shuffle moves up to 8 bytes");
    const int lane = lane_of_thread();
    Exchange& exchange = exchange_of_warp();
    std::memcpy(&exchange.lanes[lane], &value, sizeof value);
    wait_for_warp(mask, file, line);
    if (source >= lane / width * width && source < lane / width * width + width) {
        std::memcpy(&value, &exchange.lanes[source], sizeof value);
    }
    return value;
}
} // namespace simulated

#define SIMULATED_SHUFFLE(name, source)                                                                \
    template <class T>                                                                                 \
    T name(                                                                                            \
        unsigned mask, T value, int by, int width = 32, int line = __builtin_LINE(),                   \
        const char* file = __builtin_FILE()) {                                                         \
        const int lane = simulated::lane_of_thread();                                                  \
        return simulated::from_lane(mask, value, source, width, file, line);                           \
    }
SIMULATED_SHUFFLE(__shfl_down_sync, lane + by)
SIMULATED_SHUFFLE(__shfl_up_sync, lane - by)
SIMULATED_SHUFFLE(__shfl_xor_sync, lane ^ by)
SIMULATED_SHUFFLE(__shfl_sync, lane / width * width + by % width)

// Atomic operations: blocks run on several threads of the processor.
template <class T>
T atomicAdd(T* at, T value) {
    T before;
    __atomic_load(at, &before, __ATOMIC_RELAXED);
    T after;
    do {
        after = before + value;
    } while (!__atomic_compare_exchange(at, &before, &after, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    return before;
}

// Arithmetic.
template <class A, class B>
std::common_type_t<A, B> min(A a, B b) {
    using T = std::common_type_t<A, B>;
    if constexpr (std::is_floating_point_v<T>) {
        return std::fmin((T)a, (T)b);
    } else {
        return (T)a < (T)b ? (T)a : (T)b;
    }
}

template <class A, class B>
std::common_type_t<A, B> max(A a, B b) {
    using T = std::common_type_t<A, B>;
    if constexpr (std::is_floating_point_v<T>) {
        return std::fmax((T)a, (T)b);
    } else {
        return (T)a > (T)b ? (T)a : (T)b;
    }
}

template <class T>
T __ldg(const T* at) {
    return *at;
}

using std::isfinite;
using std::isinf;
using std::isnan;

inline float rsqrtf(float v) { return 1.0f / sqrtf(v); }
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((uint64_t)a * b >> 32); }
inline int __popc(unsigned v) { return __builtin_popcount(v); }
inline int __clz(int v) { return v == 0 ? 32 : __builtin_clz((unsigned)v); }

template <class To, class From>
To simulated_bits(From value) {
    static_assert(sizeof(To) == sizeof(From), "the bits of another number");
    To to;
    std::memcpy(&to, &value, sizeof to);
    return to;
}

inline unsigned __float_as_uint(float v) { return simulated_bits<unsigned>(v); }
inline int __float_as_int(float v) { return simulated_bits<int>(v); }
inline float __uint_as_float(unsigned v) { return simulated_bits<float>(v); }
inline float __int_as_float(int v) { return simulated_bits<float>(v); }

// binary16, rounded to the nearest and among equals to even.
using half = _Float16;
using __half = half;
inline half __float2half(float v) { return (half)v; }
inline half __float2half_rn(float v) { return (half)v; }
inline float __half2float(half v) { return (float)v; }

#include "wmma.h"
