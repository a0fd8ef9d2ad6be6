// Tests of the simulated GPU: that it computes what a GPU does, and notices what a GPU may not. One test a run: `host NAME`.

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <vector>

extern "C" {
int cuInit(unsigned);
int cuDevicePrimaryCtxRetain(void**, int);
int cuCtxSetCurrent(void*);
int cuCtxSynchronize();
int cuMemAllocAsync(float**, size_t, void*);
int cuMemFreeAsync(void*, void*);
int cuMemHostAlloc(void**, size_t, unsigned);
int cuMemGetInfo_v2(size_t*, size_t*);
int cuMemcpyHtoDAsync_v2(void*, const void*, size_t, void*);
int cuMemcpyDtoHAsync_v2(void*, const void*, size_t, void*);
int cuStreamCreate(void**, unsigned);
int cuStreamSynchronize(void*);
int cuStreamWaitEvent(void*, void*, unsigned);
int cuEventCreate(void**, unsigned);
int cuEventRecord(void*, void*);
int cuEventQuery(void*);
int cuModuleLoadData(void**, const void*);
int cuModuleGetFunction(void**, void*, const char*);
int cuLaunchKernel(void*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void*, void**, void**);
int cuGraphCreate();
int cublasCreate_v2(void**);
int cublasGemmEx(
    void*, int, int, int, int, int, const void*, const void*, int, int, const void*, int, int, const void*, void*, int, int, int,
    int);
}

namespace {

void expect(bool true_, const char* what) {
    if (!true_) {
        std::fprintf(stderr, "not so: %s\n", what);
        std::exit(1);
    }
}
#define EXPECT(condition) expect(condition, #condition)

using Numbers = std::vector<float>;

float* device(size_t len) {
    float* to = nullptr;
    EXPECT(cuMemAllocAsync(&to, len * 4, nullptr) == 0);
    return to;
}

float* device(const Numbers& from) {
    float* to = device(from.size());
    EXPECT(cuMemcpyHtoDAsync_v2(to, from.data(), from.size() * 4, nullptr) == 0);
    return to;
}

Numbers host(const void* from, size_t len) {
    Numbers to(len);
    EXPECT(cuMemcpyDtoHAsync_v2(to.data(), from, len * 4, nullptr) == 0);
    return to;
}

void* function(const char* name, const char* text = "") {
    void* module;
    void* to = nullptr;
    EXPECT(cuModuleLoadData(&module, text) == 0);
    EXPECT(cuModuleGetFunction(&to, module, name) == 0);
    return to;
}

template <class... A>
void launch(const char* name, unsigned blocks, unsigned threads, void* stream, A... arguments) {
    void* parameters[] = {&arguments...};
    EXPECT(cuLaunchKernel(function(name), blocks, 1, 1, threads, 1, 1, 0, stream, parameters, nullptr) == 0);
}

Numbers random_numbers(size_t len) {
    static uint32_t state = 1;
    Numbers to(len);
    for (float& v : to) {
        state = state * 1664525 + 1013904223;
        v = (float)(state >> 8) / (1 << 24) - 0.5f;
    }
    return to;
}

float tf32(float v) {
    // To 11 bits of precision, with nothing but arithmetic.
    int exponent;
    const float m = std::frexp(v, &exponent);
    return std::ldexp(std::round(m * 2048), exponent - 11);
}
float f16(float v) { return (float)(_Float16)v; }
float same(float v) { return v; }

void places() {
    unsigned* at = (unsigned*)device(2 * 3 * 4 * 4 * 5 * 6);
    void* parameters[] = {&at};
    EXPECT(cuLaunchKernel(function("places"), 2, 3, 4, 4, 5, 6, 0, nullptr, parameters, nullptr) == 0);
    const Numbers got = host(at, 2 * 3 * 4 * 4 * 5 * 6);
    for (unsigned i = 0; i < got.size(); ++i) {
        unsigned v;
        std::memcpy(&v, &got[i], 4);
        EXPECT(v == i * 7 + i % 120 / 20 * 3 + i / 120 / 2 % 3);
    }
}

void block_sums(const char* kernel) {
    const Numbers all = random_numbers(100 * 256);
    float* to = device(100);
    launch(kernel, 100, 256, nullptr, device(all), to);
    const Numbers got = host(to, 100);
    for (int i = 0; i < 100; ++i) {
        double sum = 0;
        for (int j = 0; j < 256; ++j) {
            sum += all[i * 256 + j];
        }
        EXPECT(std::fabs(got[i] - sum) < 1e-4);
    }
}

void shift_unsafe() {
    const Numbers all = random_numbers(256);
    float* to = device(256);
    launch("shift_unsafe", 1, 256, nullptr, device(all), to);
    EXPECT(host(to, 256)[255] == all[254]);
}

void warp_sum() {
    const Numbers all = random_numbers(64);
    float* to = device(2);
    launch("warp_sum", 1, 64, nullptr, device(all), to);
    const Numbers got = host(to, 2);
    for (int i = 0; i < 2; ++i) {
        float sum = 0;
        for (int j = 0; j < 32; ++j) {
            sum += all[i * 32 + j];
        }
        EXPECT(std::fabs(got[i] - sum) < 1e-5);
    }
}

void wmma(const char* kernel, float (*round)(float)) {
    const Numbers a = random_numbers(16 * 32), b = random_numbers(32 * 16);
    float* to = device(256);
    launch(kernel, 1, 32, nullptr, device(a), device(b), to, 32);
    const Numbers got = host(to, 256);
    double apart = 0;
    for (int i = 0; i < 256; ++i) {
        double sum = 0, exact = 0;
        for (int k = 0; k < 32; ++k) {
            sum += 2.0 * round(a[i / 16 * 32 + k]) * round(b[k * 16 + i % 16]);
            exact += 2.0 * a[i / 16 * 32 + k] * b[k * 16 + i % 16];
        }
        EXPECT(std::fabs(got[i] - sum) < 1e-5);
        apart = std::fmax(apart, std::fabs(got[i] - exact));
    }
    EXPECT(apart > 1e-4);
}

// Every product of 37 x 29 sums of 53 taps that cuBLAS can be asked for, in larger matrices.
void products(int compute, float (*round)(float)) {
    void* handle;
    EXPECT(cublasCreate_v2(&handle) == 0);
    const int m = 37, n = 29, k = 53, pad = 3;
    const Numbers a = random_numbers(60 * 60), b = random_numbers(60 * 60), c = random_numbers(60 * 60);
    for (int variant = 0; variant < 8; ++variant) {
        const bool ta = variant & 1, tb = variant & 2;
        const int lda = (ta ? k : m) + pad, ldb = (tb ? n : k) + pad, ldc = m + pad;
        const float alpha = 1.5f, beta = variant & 4 ? -0.5f : 0.0f;
        float* to = device(c);
        EXPECT(cublasGemmEx(
            handle, ta, tb, m, n, k, &alpha, device(a), 0, lda, device(b), 0, ldb, &beta, to, 0, ldc, compute, -1) == 0);
        const Numbers got = host(to, c.size());
        for (int i = 0; i < ldc * n; ++i) {
            const int row = i % ldc, column = i / ldc;
            double sum = 0;
            for (int t = 0; t < k; ++t) {
                sum += (double)round(a[ta ? row * lda + t : t * lda + row]) * round(b[tb ? t * ldb + column : column * ldb + t]);
            }
            const double wanted = row < m ? alpha * sum + beta * c[i] : c[i];
            EXPECT(std::fabs(got[i] - wanted) < 1e-5);
        }
    }
}

void beyond() {
    void* handle;
    EXPECT(cublasCreate_v2(&handle) == 0);
    const float one = 1.0f;
    cublasGemmEx(handle, 0, 0, 8, 8, 8, &one, device(63), 0, 8, device(64), 0, 8, &one, device(64), 0, 8, 68, -1);
    cuCtxSynchronize();
}

void memory() {
    size_t before, after, total;
    EXPECT(cuMemGetInfo_v2(&before, &total) == 0 && before == total);
    float* whole = device(total / 4);
    float* more = nullptr;
    EXPECT(cuMemAllocAsync(&more, 4, nullptr) == 2);
    EXPECT(cuMemFreeAsync(whole, nullptr) == 0);
    EXPECT(cuMemAllocAsync(&more, total / 2, nullptr) == 0);
    EXPECT(cuMemGetInfo_v2(&after, &total) == 0 && after == total - total / 2);
    EXPECT(cuMemFreeAsync(more + 1000000000, nullptr) == 1);
}

// A second stream works on what the first one brings.
void streams(bool event_between) {
    void *first, *second, *event, *pinned;
    EXPECT(cuStreamCreate(&first, 1) == 0 && cuStreamCreate(&second, 1) == 0 && cuEventCreate(&event, 2) == 0);
    EXPECT(cuMemHostAlloc(&pinned, 4000, 0) == 0);
    float* from = (float*)pinned;
    std::fill(from, from + 1000, 2.0f);
    float* at = device(1000);
    EXPECT(cuMemcpyHtoDAsync_v2(at, from, 4000, first) == 0);
    EXPECT(cuEventRecord(event, first) == 0);
    if (event_between) {
        EXPECT(cuStreamWaitEvent(second, event, 0) == 0);
    }
    launch("scale", 4, 64, second, at, (size_t)1000, 3.0f);
    EXPECT(cuStreamSynchronize(second) == 0);
    const Numbers got = host(at, 1000);
    EXPECT(got[999] == 6.0f);
    while (cuEventQuery(event) != 0) {
    }
}

void reused_too_early() {
    void *stream, *pinned;
    EXPECT(cuStreamCreate(&stream, 1) == 0 && cuMemHostAlloc(&pinned, 4, 0) == 0);
    float* at = device(1);
    *(float*)pinned = 1.0f;
    EXPECT(cuMemcpyHtoDAsync_v2(at, pinned, 4, stream) == 0);
    *(float*)pinned = 2.0f;
    EXPECT(cuStreamSynchronize(stream) == 0);
    EXPECT(host(at, 1)[0] == 1.0f);
}

void structs() {
    struct {
        long long first;
        int second;
    } sizes{1000, 24};
    float* to = device(256);
    const char* text =
        ".version 8.0\n.visible .entry stack_of_arrays(\n    .param .align 8 .b8 stack_of_arrays_param_0[16],\n"
        "    .param .u64 .ptr .align 1 stack_of_arrays_param_1\n)\n{ ret; }\n";
    function("stack_of_arrays", text);
    launch("stack_of_arrays", 3, 256, nullptr, sizes, to);
    EXPECT(host(to, 256)[255] == 1024 + 255);
}

const std::map<std::string, std::function<void()>> tests = {
    {"places", places},
    {"block_sum", [] { block_sums("block_sum"); }},
    {"block_sum_unsafe", [] { block_sums("block_sum_unsafe"); }},
    {"shift_unsafe", shift_unsafe},
    {"warp_sum", warp_sum},
    {"product_tf32", [] { wmma("product_tf32", tf32); }},
    {"product_f16", [] { wmma("product_f16", f16); }},
    {"cublas_f32", [] { products(68, same); }},
    {"cublas_tf32", [] { products(77, tf32); }},
    {"cublas_f16", [] { products(74, f16); }},
    {"cublas_beyond", beyond},
    {"memory", memory},
    {"streams", [] { streams(true); }},
    {"streams_apart", [] { streams(false); }},
    {"reused_too_early", reused_too_early},
    {"structs", structs},
    {"fresh_is_zero", [] { EXPECT(host(device(100), 100)[99] == 0.0f); }},
    {"other_parameters", [] { function("scale", ".entry scale(\n .param .u64 scale_param_0,\n .param .u32 scale_param_1)"); }},
    {"write_beside", [] { launch("write_beside", 1, 1, nullptr, device(10), 10); cuCtxSynchronize(); }},
    {"write_before", [] { launch("write_beside", 1, 1, nullptr, device(10), -3); cuCtxSynchronize(); }},
    {"write_far", [] { launch("write_beside", 1, 1, nullptr, (float*)nullptr, 10); cuCtxSynchronize(); }},
    {"host_pointer", [] { float here; launch("write_beside", 1, 1, nullptr, &here, 0); cuCtxSynchronize(); }},
    {"leave_early", [] { launch("leave_early", 1, 64, nullptr, device(64)); cuCtxSynchronize(); }},
    {"wait_apart", [] { launch("wait_apart", 1, 64, nullptr, device(64)); cuCtxSynchronize(); }},
    {"badly_aligned", [] { launch("badly_aligned", 1, 32, nullptr, device(512)); cuCtxSynchronize(); }},
    {"host_reads", [] { std::printf("%f\n", *device(10)); }},
    {"missing", [] { cuGraphCreate(); }},
};

} // namespace

int main(int, char** arguments) {
    const int result = cuInit(0);
    if (std::string(arguments[1]) == "no_device") {
        EXPECT(result == 100);
        return 0;
    }
    void* context;
    EXPECT(result == 0 && cuDevicePrimaryCtxRetain(&context, 0) == 0 && cuCtxSetCurrent(context) == 0);
    tests.at(arguments[1])();
}
