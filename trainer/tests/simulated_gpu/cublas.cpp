// libcublas.so.13: products of matrices, column-major as cuBLAS has them.

#include "simulated.h"

#include <algorithm>
#include <cstring>
#include <vector>

using namespace simulated;

namespace {

enum Status : int { OK = 0, NO_HANDLE = 1, BAD_VALUE = 7, NOT_SUPPORTED = 15 };

// What the factors are rounded to before they are multiplied.
enum class Rounding { None, Tf32, Half };

// cudaDataType_t
constexpr int R_32F = 0;
constexpr int R_16F = 2;

struct Handle {
    Device* device;
    Stream* stream;
    int math;
};

struct Matrix {
    const void* at;
    int type;
    int distance;
    int64_t stride;
    bool transposed;
};

size_t size_of(int type) { return type == R_16F ? 2 : 4; }

float element(const void* at, int type, size_t i) {
    return type == R_16F ? (float)((const _Float16*)at)[i] : ((const float*)at)[i];
}

float rounded(float v, Rounding rounding) {
    if (rounding == Rounding::Half) {
        return (float)(_Float16)v;
    }
    if (rounding == Rounding::Tf32) {
        uint32_t bits;
        std::memcpy(&bits, &v, sizeof bits);
        if ((bits & 0x7f800000) != 0x7f800000) {
            bits = (bits + 0x1000) & ~0x1fffu;
        }
        std::memcpy(&v, &bits, sizeof bits);
    }
    return v;
}

// Lines of a factor, `WIDE` side by side, tap after tap; zeros fill up the last of them.
template <int WIDE>
std::vector<float> packed(const Matrix& m, int64_t first, int lines, int taps, bool lines_are_columns, Rounding rounding) {
    const int panels = (lines + WIDE - 1) / WIDE;
    std::vector<float> to((size_t)panels * taps * WIDE, 0.0f);
    const bool along = m.transposed != lines_are_columns;
    for (int line = 0; line < lines; ++line) {
        float* panel = to.data() + (size_t)(line / WIDE) * taps * WIDE + line % WIDE;
        for (int tap = 0; tap < taps; ++tap) {
            const size_t at = along ? (size_t)line * m.distance + tap : (size_t)tap * m.distance + line;
            panel[(size_t)tap * WIDE] = rounded(element(m.at, m.type, (size_t)first + at), rounding);
        }
    }
    return to;
}

// Sums that stay in registers: two vectors high.
using Vector = float __attribute__((vector_size(32)));
constexpr int HIGH = 16;
constexpr int WIDE = 4;

// `to = alpha a b + beta to`. With beta 0 what lies in `to` is not read.
void multiply(
    int rows, int columns, int taps, float alpha, const std::vector<float>& a, const std::vector<float>& b, float beta, void* to,
    int type, size_t first, int distance) {
    for (int j = 0; j < columns; j += WIDE) {
        for (int i = 0; i < rows; i += HIGH) {
            const float* left = a.data() + (size_t)i * taps;
            const float* right = b.data() + (size_t)j * taps;
            Vector sums[WIDE][2] = {};
            for (int k = 0; k < taps; ++k, left += HIGH, right += WIDE) {
                Vector column[2];
                std::memcpy(column, left, sizeof column);
                for (int n = 0; n < WIDE; ++n) {
                    sums[n][0] += column[0] * right[n];
                    sums[n][1] += column[1] * right[n];
                }
            }
            for (int n = 0; n < std::min(WIDE, columns - j); ++n) {
                for (int m = 0; m < std::min(HIGH, rows - i); ++m) {
                    const size_t at = first + (size_t)(j + n) * distance + i + m;
                    const float v = alpha * sums[n][m / 8][m % 8] + (beta == 0.0f ? 0.0f : beta * element(to, type, at));
                    if (type == R_16F) {
                        ((_Float16*)to)[at] = (_Float16)v;
                    } else {
                        ((float*)to)[at] = v;
                    }
                }
            }
        }
    }
}

int product(
    Handle* handle, int rows, int columns, int taps, float alpha, Matrix a, Matrix b, float beta, void* to, int type, int distance,
    int64_t stride, int count, Rounding rounding) {
    const std::lock_guard<std::recursive_mutex> guard(lock());
    if (handle == nullptr) {
        return NO_HANDLE;
    }
    const int a_rows = a.transposed ? taps : rows, a_columns = a.transposed ? rows : taps;
    const int b_rows = b.transposed ? columns : taps, b_columns = b.transposed ? taps : columns;
    if (rows < 0 || columns < 0 || taps < 0 || count < 0 || a.distance < std::max(1, a_rows) ||
        b.distance < std::max(1, b_rows) || distance < std::max(1, rows)) {
        return BAD_VALUE;
    }
    if (rows == 0 || columns == 0 || count == 0) {
        return OK;
    }
    const auto check = [device = handle->device, count](
                           const char* name, const void* at, int type, int rows, int columns, int64_t distance, int64_t stride) {
        const int64_t elements = rows == 0 || columns == 0 ? 0 : (columns - 1) * distance + rows + (count - 1) * stride;
        if (!owns(*device, at, (size_t)elements * size_of(type))) {
            die("cublas: matrix %s does not lie within an allocation of its device", name);
        }
    };
    enqueue(handle->stream, "cublas", [=] {
        check("a", a.at, a.type, a_rows, a_columns, a.distance, a.stride);
        check("b", b.at, b.type, b_rows, b_columns, b.distance, b.stride);
        check("c", to, type, rows, columns, distance, stride);
        for (int i = 0; i < count; ++i) {
            const auto left = packed<HIGH>(a, i * a.stride, rows, taps, false, rounding);
            const auto right = packed<WIDE>(b, i * b.stride, columns, taps, true, rounding);
            multiply(rows, columns, taps, alpha, left, right, beta, to, type, (size_t)(i * stride), distance);
        }
    });
    return OK;
}

// Of cublasSgemm: CUBLAS_TF32_TENSOR_OP_MATH allows tf32.
Rounding of_math(const Handle* handle) { return handle != nullptr && (handle->math & 15) == 3 ? Rounding::Tf32 : Rounding::None; }

} // namespace

EXPORT int cublasCreate_v2(Handle** to) {
    const std::lock_guard<std::recursive_mutex> guard(lock());
    if (current() == nullptr) {
        return NO_HANDLE;
    }
    *to = new Handle{current(), stream_of(*current(), nullptr), 0};
    return OK;
}

EXPORT int cublasDestroy_v2(Handle* handle) {
    delete handle;
    return OK;
}

EXPORT int cublasGetVersion_v2(Handle*, int* version) {
    *version = 130000;
    return OK;
}

EXPORT int cublasSetStream_v2(Handle* handle, void* stream) {
    const std::lock_guard<std::recursive_mutex> guard(lock());
    Stream* on = stream_of(*handle->device, stream);
    if (on == nullptr) {
        return BAD_VALUE;
    }
    handle->stream = on;
    return OK;
}

EXPORT int cublasSetMathMode(Handle* handle, int math) {
    handle->math = math;
    return OK;
}

EXPORT int cublasGetMathMode(Handle* handle, int* math) {
    *math = handle->math;
    return OK;
}

// A place to work in, which this has no use for.
EXPORT int cublasSetWorkspace_v2(Handle*, void*, size_t) { return OK; }

EXPORT int cublasSetPointerMode_v2(Handle*, int mode) { return mode == 0 ? OK : NOT_SUPPORTED; }

EXPORT int cublasSgemmStridedBatched(
    Handle* handle, int trans_a, int trans_b, int rows, int columns, int taps, const float* alpha, const float* a, int lda,
    long long stride_a, const float* b, int ldb, long long stride_b, const float* beta, float* c, int ldc, long long stride_c,
    int count) {
    const Matrix left{a, R_32F, lda, stride_a, trans_a != 0}, right{b, R_32F, ldb, stride_b, trans_b != 0};
    return product(handle, rows, columns, taps, *alpha, left, right, *beta, c, R_32F, ldc, stride_c, count, of_math(handle));
}

EXPORT int cublasSgemm_v2(
    Handle* handle, int trans_a, int trans_b, int rows, int columns, int taps, const float* alpha, const float* a, int lda,
    const float* b, int ldb, const float* beta, float* c, int ldc) {
    return cublasSgemmStridedBatched(
        handle, trans_a, trans_b, rows, columns, taps, alpha, a, lda, 0, b, ldb, 0, beta, c, ldc, 0, 1);
}

EXPORT int cublasGemmStridedBatchedEx(
    Handle* handle, int trans_a, int trans_b, int rows, int columns, int taps, const void* alpha, const void* a, int type_a,
    int lda, long long stride_a, const void* b, int type_b, int ldb, long long stride_b, const void* beta, void* c, int type_c,
    int ldc, long long stride_c, int count, int compute, int) {
    const auto known = [](int type) { return type == R_32F || type == R_16F; };
    Rounding rounding;
    switch (compute) {
        case 68: // CUBLAS_COMPUTE_32F
        case 69: // and pedantic
            rounding = compute == 68 && type_a == R_32F ? of_math(handle) : Rounding::None;
            break;
        case 74: // CUBLAS_COMPUTE_32F_FAST_16F
            rounding = Rounding::Half;
            break;
        case 77: // CUBLAS_COMPUTE_32F_FAST_TF32
            rounding = Rounding::Tf32;
            break;
        default: return NOT_SUPPORTED;
    }
    // cuBLAS has products of two equal types only, into the same or into binary32.
    if (!known(type_a) || type_a != type_b || !known(type_c) || (type_a == R_32F && type_c != R_32F)) {
        return NOT_SUPPORTED;
    }
    const Matrix left{a, type_a, lda, stride_a, trans_a != 0}, right{b, type_b, ldb, stride_b, trans_b != 0};
    const float scale = *(const float*)alpha, keep = *(const float*)beta;
    return product(handle, rows, columns, taps, scale, left, right, keep, c, type_c, ldc, stride_c, count, rounding);
}

EXPORT int cublasGemmEx(
    Handle* handle, int trans_a, int trans_b, int rows, int columns, int taps, const void* alpha, const void* a, int type_a,
    int lda, const void* b, int type_b, int ldb, const void* beta, void* c, int type_c, int ldc, int compute, int algorithm) {
    return cublasGemmStridedBatchedEx(
        handle, trans_a, trans_b, rows, columns, taps, alpha, a, type_a, lda, 0, b, type_b, ldb, 0, beta, c, type_c, ldc, 0, 1,
        compute, algorithm);
}

// A vector with elements `distance` apart is a matrix of one row.
EXPORT int cublasSgemv_v2(
    Handle* handle, int trans, int rows, int columns, const float* alpha, const float* a, int lda, const float* x, int distance_x,
    const float* beta, float* y, int distance_y) {
    const int to = trans != 0 ? columns : rows, from = trans != 0 ? rows : columns;
    if (distance_x <= 0 || distance_y <= 0) {
        return NOT_SUPPORTED;
    }
    return cublasSgemm_v2(handle, 0, trans == 0, 1, to, from, alpha, x, distance_x, a, lda, beta, y, distance_y);
}
