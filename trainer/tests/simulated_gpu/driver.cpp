// libcuda.so.1: the functions of CUDA's driver interface that the trainer calls, but for memory (driver_memory.cpp). All others end
// the process with their name (`build` writes those).

#include "driver.h"

#include <cctype>
#include <cstdlib>
#include <cstring>
#include <map>
#include <sstream>
#include <vector>

using namespace simulated;

bool simulated::initialized = false;
thread_local Device* simulated::context = nullptr;

namespace {

struct Module {
    Device* device;
    // The text of its kernels; empty where it came compiled.
    std::string text;
};

struct Function {
    Device* device;
    const Kernel* kernel;
};

// What a kernel's text says of its parameters, held against the C++ compiler's opinion.
void check_parameters(const std::string& text, size_t begin, const Kernel& kernel) {
    std::vector<size_t> sizes;
    const size_t end = text.find(')', begin);
    // Such as `.param .align 8 .b8 scale_param_0[24]`: the last type counts, and the number of elements.
    for (size_t at = begin; (at = text.find(".param ", at)) < end; ++at) {
        std::istringstream words(text.substr(at, text.find_first_of(",)", at) - at));
        size_t bytes = 0;
        for (std::string word; words >> word;) {
            const size_t array = word.find('[');
            if (word.size() > 2 && word[0] == '.' && std::isdigit((unsigned char)word[2])) {
                bytes = std::strtoul(word.c_str() + 2, nullptr, 10) / 8;
            } else if (array != std::string::npos) {
                bytes *= std::strtoul(word.c_str() + array + 1, nullptr, 10);
            }
        }
        sizes.push_back(bytes);
    }
    if (sizes.size() != (size_t)kernel.parameters || std::memcmp(sizes.data(), kernel.sizes, sizes.size() * sizeof(size_t)) != 0) {
        die("the parameters of %s differ between the two compilers: the trainer is built from other kernels", kernel.name);
    }
}

} // namespace

Device* simulated::current() { return context; }

EXPORT int cuInit(unsigned) {
    const std::lock_guard<std::recursive_mutex> guard(simulated::lock());
    if (settings().devices == 0) {
        return NO_DEVICE;
    }
    if (!initialized) {
        watch();
    }
    initialized = true;
    return SUCCESS;
}

EXPORT int cuDriverGetVersion(int* version) {
    *version = 13000;
    return SUCCESS;
}

EXPORT int cuGetErrorName(int error, const char** name) {
    static const std::map<int, const char*> names = {
        {SUCCESS, "CUDA_SUCCESS"},
        {INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE"},
        {OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY"},
        {NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED"},
        {NO_DEVICE, "CUDA_ERROR_NO_DEVICE"},
        {INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE"},
        {INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT"},
        {INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE"},
        {NOT_FOUND, "CUDA_ERROR_NOT_FOUND"},
        {NOT_READY, "CUDA_ERROR_NOT_READY"},
    };
    const auto found = names.find(error);
    *name = found == names.end() ? nullptr : found->second;
    return *name == nullptr ? INVALID_VALUE : SUCCESS;
}

EXPORT int cuGetErrorString(int error, const char** text) { return cuGetErrorName(error, text); }

// Devices and contexts. A context is its device.

EXPORT int cuDeviceGetCount(int* count) {
    ENTER
    *count = settings().devices;
    return SUCCESS;
}

EXPORT int cuDeviceGet(int* device, int ordinal) {
    ENTER
    *device = ordinal;
    return ordinal >= 0 && ordinal < settings().devices ? SUCCESS : INVALID_DEVICE;
}

EXPORT int cuDeviceGetName(char* name, int length, int) {
    ENTER
    std::strncpy(name, "simulated GPU", (size_t)length);
    return SUCCESS;
}

EXPORT int cuDeviceTotalMem_v2(size_t* bytes, int) {
    ENTER
    *bytes = settings().memory;
    return SUCCESS;
}

EXPORT int cuDeviceGetAttribute(int* value, int attribute, int) {
    ENTER
    static const std::map<int, int> values = {
        {1, 1024},        // threads of a block
        {2, 1024},        // and along x
        {3, 1024},        // along y
        {4, 64},          // along z
        {5, 2147483647},  // blocks of a grid along x
        {6, 65535},       // along y
        {7, 65535},       // along z
        {8, 49152},       // shared memory of a block
        {10, 32},         // threads of a warp
        {12, 65536},      // registers of a block
        {13, 1980000},    // kHz
        {16, 132},        // multiprocessors
        {39, 2048},       // threads of each
        {41, 1},          // one address space
        {75, 9},          // compute capability, upper number
        {76, 0},          // lower number
        {115, 1},         // memory in the order of a stream
    };
    const auto found = values.find(attribute);
    *value = found == values.end() ? 0 : found->second;
    return SUCCESS;
}

EXPORT int cuDevicePrimaryCtxRetain(Device** to, int device) {
    ENTER
    if (device < 0 || device >= settings().devices) {
        return INVALID_DEVICE;
    }
    *to = open_device(device);
    return *to == nullptr ? OUT_OF_MEMORY : SUCCESS;
}

EXPORT int cuDevicePrimaryCtxRelease_v2(int device) {
    ENTER
    finish(*open_device(device));
    return SUCCESS;
}

EXPORT int cuCtxSetCurrent(Device* to) {
    ENTER
    context = to;
    return SUCCESS;
}

EXPORT int cuCtxGetCurrent(Device** to) {
    ENTER
    *to = context;
    return SUCCESS;
}

EXPORT int cuCtxSynchronize() {
    ENTER_CONTEXT
    finish(*context);
    return SUCCESS;
}

// Streams and events.

EXPORT int cuStreamCreate(Stream** to, unsigned flags) {
    ENTER_CONTEXT
    *to = new_stream(*context, (flags & 1) == 0);
    return SUCCESS;
}

EXPORT int cuStreamDestroy_v2(void* stream) {
    ENTER_CONTEXT
    STREAM(on, stream)
    if (on == context->null_stream) {
        return INVALID_HANDLE;
    }
    end_stream(on);
    return SUCCESS;
}

EXPORT int cuStreamSynchronize(void* stream) {
    ENTER_CONTEXT
    STREAM(on, stream)
    finish(on);
    return SUCCESS;
}

EXPORT int cuStreamQuery(void* stream) {
    ENTER_CONTEXT
    STREAM(on, stream)
    return step(on) ? NOT_READY : SUCCESS;
}

EXPORT int cuStreamWaitEvent(void* stream, const Event* event, unsigned) {
    ENTER_CONTEXT
    STREAM(on, stream)
    simulated::wait(on, event);
    return SUCCESS;
}

EXPORT int cuEventCreate(Event** to, unsigned) {
    ENTER_CONTEXT
    *to = new_event();
    return SUCCESS;
}

EXPORT int cuEventDestroy_v2(Event* event) {
    ENTER
    end_event(event);
    return SUCCESS;
}

EXPORT int cuEventRecord(Event* event, void* stream) {
    ENTER_CONTEXT
    STREAM(on, stream)
    record(event, on);
    return SUCCESS;
}

EXPORT int cuEventSynchronize(const Event* event) {
    ENTER
    finish(event);
    return SUCCESS;
}

EXPORT int cuEventQuery(const Event* event) {
    ENTER
    if (is_done(event)) {
        return SUCCESS;
    }
    step(stream_of(event));
    return NOT_READY;
}

EXPORT int cuEventElapsedTime(float* between, const Event* from, const Event* to) {
    ENTER
    if (stream_of(from) == nullptr || stream_of(to) == nullptr) {
        return INVALID_HANDLE;
    }
    *between = milliseconds(from, to);
    return is_done(from) && is_done(to) ? SUCCESS : NOT_READY;
}

// Kernels.

EXPORT int cuModuleLoadData(Module** to, const void* image) {
    ENTER_CONTEXT
    // Text has no byte of the marks that compiled modules begin with.
    const char* text = (const char*)image;
    const bool compiled = std::memcmp(text, "\x7f" "ELF", 4) == 0 || !std::isprint((unsigned char)text[0]);
    *to = new Module{context, compiled && !std::isspace((unsigned char)text[0]) ? "" : text};
    return SUCCESS;
}

EXPORT int cuModuleUnload(Module* module) {
    ENTER
    delete module;
    return SUCCESS;
}

EXPORT int cuModuleGetFunction(Function** to, Module* module, const char* name) {
    ENTER
    const Kernel* kernel = find_kernel(name);
    if (kernel == nullptr) {
        return NOT_FOUND;
    }
    if (!module->text.empty()) {
        const size_t begin = module->text.find(".entry " + std::string(name) + "(");
        if (begin == std::string::npos) {
            return NOT_FOUND;
        }
        check_parameters(module->text, begin, *kernel);
    }
    // As long as its module on a GPU; here for good.
    *to = new Function{module->device, kernel};
    return SUCCESS;
}

EXPORT int cuLaunchKernel(
    const Function* function, unsigned blocks_x, unsigned blocks_y, unsigned blocks_z, unsigned threads_x, unsigned threads_y,
    unsigned threads_z, unsigned shared, void* stream, void** parameters, void** extra) {
    ENTER_CONTEXT
    STREAM(on, stream)
    if (function->device != context) {
        return INVALID_HANDLE;
    }
    const Grid grid{{blocks_x, blocks_y, blocks_z}, {threads_x, threads_y, threads_z}};
    const unsigned limits[6] = {2147483647, 65535, 65535, 1024, 1024, 64};
    for (int i = 0; i < 3; ++i) {
        if (grid.blocks[i] - 1 >= limits[i] || grid.threads[i] - 1 >= limits[i + 3]) {
            return INVALID_VALUE;
        }
    }
    if (threads_x * threads_y * threads_z > 1024) {
        return INVALID_VALUE;
    }
    if (shared != 0 || extra != nullptr) {
        die("%s: shared memory of a size that the launch chooses is not simulated", function->kernel->name);
    }
    launch(*context, *function->kernel, grid, parameters, on);
    return SUCCESS;
}
