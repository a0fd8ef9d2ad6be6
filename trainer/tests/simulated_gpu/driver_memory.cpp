// The functions of CUDA's driver interface for memory. The results of wrong addresses are those of a driver; work that turns out
// wrong later ends the process.

#include "driver.h"

#include <algorithm>
#include <cstring>
#include <vector>

using namespace simulated;

namespace {

int finish_null_stream() {
    ENTER_CONTEXT
    finish(context->null_stream);
    return SUCCESS;
}

} // namespace

EXPORT int cuMemGetInfo_v2(size_t* free, size_t* total) {
    ENTER_CONTEXT
    *total = settings().memory;
    *free = *total - context->used;
    return SUCCESS;
}

EXPORT int cuMemAllocAsync(void** to, size_t bytes, void* stream) {
    ENTER_CONTEXT
    STREAM(on, stream)
    (void)on;
    *to = allocate(*context, bytes);
    if (*to == nullptr) {
        // Perhaps something is only about to be freed.
        finish(*context);
        *to = allocate(*context, bytes);
    }
    return *to == nullptr ? OUT_OF_MEMORY : SUCCESS;
}

EXPORT int cuMemAlloc_v2(void** to, size_t bytes) {
    return bytes == 0 ? (int)INVALID_VALUE : cuMemAllocAsync(to, bytes, nullptr);
}

EXPORT int cuMemFreeAsync(void* at, void* stream) {
    ENTER_CONTEXT
    STREAM(on, stream)
    if (!owns(*context, at, 0)) {
        return INVALID_VALUE;
    }
    enqueue(on, "cuMemFree", [device = context, at] {
        if (!release(*device, at)) {
            die("%p is not allocated", at);
        }
    });
    return SUCCESS;
}

EXPORT int cuMemFree_v2(void* at) {
    ENTER_CONTEXT
    finish(*context);
    return at == nullptr || release(*context, at) ? SUCCESS : INVALID_VALUE;
}

EXPORT int cuMemHostAlloc(void** to, size_t bytes, unsigned) {
    ENTER_CONTEXT
    *to = allocate_host(bytes);
    return *to == nullptr ? OUT_OF_MEMORY : SUCCESS;
}

EXPORT int cuMemAllocHost_v2(void** to, size_t bytes) { return cuMemHostAlloc(to, bytes, 0); }

EXPORT int cuMemFreeHost(void* at) {
    ENTER_CONTEXT
    finish(*context);
    return release_host(at) ? SUCCESS : INVALID_VALUE;
}

EXPORT int cuMemsetD8Async(void* to, unsigned char value, size_t bytes, void* stream) {
    ENTER_CONTEXT
    STREAM(on, stream)
    if (!owns(*context, to, bytes)) {
        return INVALID_VALUE;
    }
    enqueue(on, "cuMemsetD8", [=] { std::memset(to, value, bytes); });
    return SUCCESS;
}

EXPORT int cuMemsetD32Async(void* to, unsigned value, size_t count, void* stream) {
    ENTER_CONTEXT
    STREAM(on, stream)
    if (!owns(*context, to, count * 4)) {
        return INVALID_VALUE;
    }
    enqueue(on, "cuMemsetD32", [=] { std::fill_n((unsigned*)to, count, value); });
    return SUCCESS;
}

EXPORT int cuMemsetD8_v2(void* to, unsigned char value, size_t bytes) { return cuMemsetD8Async(to, value, bytes, nullptr); }
EXPORT int cuMemsetD32_v2(void* to, unsigned value, size_t count) { return cuMemsetD32Async(to, value, count, nullptr); }

// From pageable memory the driver takes a copy before it returns.
EXPORT int cuMemcpyHtoDAsync_v2(void* to, const void* from, size_t bytes, void* stream) {
    ENTER_CONTEXT
    STREAM(on, stream)
    if (!owns(*context, to, bytes) || is_device_memory(from)) {
        return INVALID_VALUE;
    }
    if (is_pinned(from, bytes)) {
        enqueue(on, "cuMemcpyHtoD", [=] { std::memcpy(to, from, bytes); });
    } else {
        std::vector<char> copy((const char*)from, (const char*)from + bytes);
        enqueue(on, "cuMemcpyHtoD", [to, copy = std::move(copy)] { std::memcpy(to, copy.data(), copy.size()); });
    }
    return SUCCESS;
}

// To pageable memory it returns when all is there.
EXPORT int cuMemcpyDtoHAsync_v2(void* to, const void* from, size_t bytes, void* stream) {
    ENTER_CONTEXT
    STREAM(on, stream)
    if (!owns(*context, from, bytes) || is_device_memory(to)) {
        return INVALID_VALUE;
    }
    enqueue(on, "cuMemcpyDtoH", [=] { std::memcpy(to, from, bytes); });
    if (!is_pinned(to, bytes)) {
        finish(on);
    }
    return SUCCESS;
}

EXPORT int cuMemcpyDtoDAsync_v2(void* to, const void* from, size_t bytes, void* stream) {
    ENTER_CONTEXT
    STREAM(on, stream)
    if (!owns(*context, to, bytes) || !owns(*context, from, bytes)) {
        return INVALID_VALUE;
    }
    enqueue(on, "cuMemcpyDtoD", [=] { std::memmove(to, from, bytes); });
    return SUCCESS;
}

EXPORT int cuMemcpyHtoD_v2(void* to, const void* from, size_t bytes) {
    const int result = cuMemcpyHtoDAsync_v2(to, from, bytes, nullptr);
    return result == SUCCESS ? finish_null_stream() : result;
}

EXPORT int cuMemcpyDtoH_v2(void* to, const void* from, size_t bytes) {
    const int result = cuMemcpyDtoHAsync_v2(to, from, bytes, nullptr);
    return result == SUCCESS ? finish_null_stream() : result;
}

EXPORT int cuMemcpyDtoD_v2(void* to, const void* from, size_t bytes) { return cuMemcpyDtoDAsync_v2(to, from, bytes, nullptr); }
