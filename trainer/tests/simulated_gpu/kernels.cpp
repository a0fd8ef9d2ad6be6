// The library of kernels: the trainer's kernels.cu as it stands, and how one of its kernels is called.
#include "device.h"
#include "simulated.h"

#include <tuple>
#include <utility>

#include "kernels.cu"
#include "table.h"

// Where the variables of blocks lie: the library has no others without a value.
extern "C" {
extern char __bss_start[] __attribute__((visibility("hidden")));
extern char _end[] __attribute__((visibility("hidden")));
}

namespace simulated {
namespace {

// Parameters as the driver gets them: a pointer to each.
template <class... A>
struct Parameters {
    static constexpr size_t sizes[] = {sizeof(A)..., 0};

    static constexpr uint64_t pointers() {
        constexpr bool each[] = {std::is_pointer_v<A>..., false};
        uint64_t bits = 0;
        for (size_t i = 0; i < sizeof...(A); ++i) {
            bits |= (uint64_t)each[i] << i;
        }
        return bits;
    }

    template <size_t... I>
    static void call(void (*kernel)(A...), void** parameters, std::index_sequence<I...>) {
        kernel(*static_cast<std::remove_const_t<A>*>(parameters[I])...);
    }
};

template <class... A>
constexpr Kernel describe(const char* name, void (*)(A...)) {
    return {name, sizeof...(A), Parameters<A...>::sizes, Parameters<A...>::pointers()};
}

template <class... A>
void call(void (*kernel)(A...), void** parameters) {
    Parameters<A...>::call(kernel, parameters, std::index_sequence_for<A...>());
}

#define DESCRIBE(name) describe(#name, name),
constexpr Kernel table[] = {STATICNET_KERNELS(DESCRIBE)};

#define CALL(name) [](void** parameters) { call(name, parameters); },
void (*const calls[])(void**) = {STATICNET_KERNELS(CALL)};

} // namespace
} // namespace simulated

EXPORT const simulated::Kernel* simulated_kernels(size_t* count) {
    *count = sizeof simulated::table / sizeof *simulated::table;
    return simulated::table;
}

EXPORT void simulated_run(
    size_t kernel, void** parameters, const simulated::Grid& grid, uint64_t first, uint64_t last, bool reverse) {
    gridDim = dim3(grid.blocks[0], grid.blocks[1], grid.blocks[2]);
    blockDim = dim3(grid.threads[0], grid.threads[1], grid.threads[2]);
    bool used = true;
    for (uint64_t i = first; i < last; ++i) {
        const uint64_t block = reverse ? first + last - 1 - i : i;
        blockIdx.x = (unsigned)(block % gridDim.x);
        blockIdx.y = (unsigned)(block / gridDim.x % gridDim.y);
        blockIdx.z = (unsigned)(block / gridDim.x / gridDim.y);
        if (reverse && used) {
            // What an earlier block has left there means nothing. Without barriers nothing is shared.
            std::memset(__bss_start, 0xff, (size_t)(_end - __bss_start));
        }
        used = simulated::run_block(simulated::table[kernel].name, simulated::calls[kernel], parameters, reverse);
    }
}
