// nvcuda::wmma, the product of 16 x 16 sums that a warp makes at once: binary16 with 16 taps, tf32 with 8.
//
// The elements of a fragment are spread over the lanes as on a GPU, in an order of our own. With e = 32 i + lane for element i:
//
//     matrix_a      row 2 (e % 8) + e / 8 % 2 of tap e / 16
//     matrix_b      column e % 16 of tap e / 16
//     accumulator   column lane % 16 of row 2 i + lane / 16
#pragma once

namespace nvcuda::wmma {

struct matrix_a;
struct matrix_b;
struct accumulator;
struct row_major;
struct col_major;

namespace precision {
struct tf32;
}

enum layout_t { mem_row_major, mem_col_major };

template <class T>
struct storage {
    using type = T;
};
template <>
struct storage<precision::tf32> {
    using type = float;
};

template <class Use, int M, int N, int K, class T, class Layout = void>
struct fragment {
    static_assert(M == 16 && N == 16, "only tiles of 16 x 16 sums are simulated");
    static_assert(!std::is_same_v<T, precision::tf32> || K == 8, "tf32 has 8 taps");
    static_assert(!std::is_same_v<T, half> || K == 16, "binary16 has 16 taps");
    using element_type = typename storage<T>::type;
    static constexpr int taps = K;
    static constexpr int num_elements = (std::is_same_v<Use, accumulator> ? 256 : 16 * K) / 32;
    element_type x[num_elements];
};

// Rounds to 10 bits of mantissa, halves away from zero. A NaN remains one.
inline float __float_to_tf32(float v) {
    const unsigned bits = __float_as_uint(v);
    if ((bits & 0x7f800000) == 0x7f800000) {
        return v;
    }
    return __uint_as_float((bits + 0x1000) & ~0x1fffu);
}

// The row and column of an element: of a factor its line and its tap.
struct Place {
    int row;
    int column;
};

template <class Use>
inline Place place_of(int i, int lane) {
    const int e = i * 32 + lane;
    if constexpr (std::is_same_v<Use, matrix_a>) {
        return {e % 8 * 2 + e / 8 % 2, e / 16};
    } else if constexpr (std::is_same_v<Use, matrix_b>) {
        return {e / 16, e % 16};
    } else {
        return {i * 2 + lane / 16, lane % 16};
    }
}

// What a GPU demands of a matrix in memory.
template <class T>
inline void check_matrix(const T* from, unsigned distance) {
    if ((uintptr_t)from % 32 != 0) {
        simulated::fail("a matrix for wmma does not begin at a multiple of 32 bytes");
    }
    if (distance * sizeof(T) % 16 != 0) {
        simulated::fail("the rows of a matrix for wmma do not lie a multiple of 16 bytes apart");
    }
}

template <class Use, int M, int N, int K, class T, class Layout>
inline void fill_fragment(fragment<Use, M, N, K, T, Layout>& to, typename storage<T>::type value) {
    for (auto& x : to.x) {
        x = value;
    }
}

template <class Use, int M, int N, int K, class T, class Layout>
inline void load_matrix_sync(fragment<Use, M, N, K, T, Layout>& to, const typename storage<T>::type* from, unsigned distance) {
    static_assert(!std::is_void_v<Layout>, "a sum is loaded with the order of its matrix");
    check_matrix(from, distance);
    const int lane = simulated::lane_of_thread();
    for (int i = 0; i < to.num_elements; ++i) {
        const Place p = place_of<Use>(i, lane);
        to.x[i] = std::is_same_v<Layout, row_major> ? from[p.row * distance + p.column] : from[p.column * distance + p.row];
    }
}

template <int M, int N, int K, class T>
inline void load_matrix_sync(fragment<accumulator, M, N, K, T>& to, const T* from, unsigned distance, layout_t layout) {
    check_matrix(from, distance);
    const int lane = simulated::lane_of_thread();
    for (int i = 0; i < to.num_elements; ++i) {
        const Place p = place_of<accumulator>(i, lane);
        to.x[i] = layout == mem_row_major ? from[p.row * distance + p.column] : from[p.column * distance + p.row];
    }
}

template <int M, int N, int K, class T>
inline void store_matrix_sync(T* to, const fragment<accumulator, M, N, K, T>& from, unsigned distance, layout_t layout) {
    check_matrix(to, distance);
    const int lane = simulated::lane_of_thread();
    for (int i = 0; i < from.num_elements; ++i) {
        const Place p = place_of<accumulator>(i, lane);
        (layout == mem_row_major ? to[p.row * distance + p.column] : to[p.column * distance + p.row]) = from.x[i];
    }
}

// A factor as the tensor cores see it: of a tf32 number only the upper 19 bits.
inline float factor(half v) { return (float)v; }
inline float factor(float v) { return __uint_as_float(__float_as_uint(v) & ~0x1fffu); }

template <int K, class T, class LayoutA, class LayoutB>
inline void mma_sync(
    fragment<accumulator, 16, 16, K, float>& to, const fragment<matrix_a, 16, 16, K, T, LayoutA>& a,
    const fragment<matrix_b, 16, 16, K, T, LayoutB>& b, const fragment<accumulator, 16, 16, K, float>& c,
    int line = __builtin_LINE(), const char* file = __builtin_FILE()) {
    const int lane = simulated::lane_of_thread();
    simulated::Exchange& exchange = simulated::exchange_of_warp();
    for (int i = 0; i < a.num_elements; ++i) {
        exchange.left[i * 32 + lane] = factor(a.x[i]);
        exchange.right[i * 32 + lane] = factor(b.x[i]);
    }
    simulated::wait_for_warp(~0u, file, line);
    // All eight sums of a lane are of one column and of every other row.
    const float* left = exchange.left + lane / 16 * 8;
    const float* right = exchange.right + lane % 16;
    float sums[8];
    std::memcpy(sums, c.x, sizeof sums);
    for (int k = 0; k < K; ++k) {
        for (int i = 0; i < 8; ++i) {
            sums[i] += left[k * 16 + i] * right[k * 16];
        }
    }
    std::memcpy(to.x, sums, sizeof sums);
}

} // namespace nvcuda::wmma
