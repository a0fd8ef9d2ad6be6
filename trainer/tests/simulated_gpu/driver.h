// What the functions of the driver's interface begin with.
#pragma once

#include "simulated.h"

namespace simulated {

// Whether cuInit was called.
extern bool initialized;
// The context of the calling thread. A context is its device.
extern thread_local Device* context;

// From now on a fault is explained before the process ends for it, and launches are counted.
void watch();

} // namespace simulated

#define ENTER                                                             \
    const std::lock_guard<std::recursive_mutex> guard(simulated::lock()); \
    if (!simulated::initialized) {                                        \
        return simulated::NOT_INITIALIZED;                                \
    }

#define ENTER_CONTEXT                      \
    ENTER                                  \
    if (simulated::context == nullptr) {   \
        return simulated::INVALID_CONTEXT; \
    }

// Names the stream of a handle.
#define STREAM(name, handle)                                                     \
    simulated::Stream* name = simulated::stream_of(*simulated::context, handle); \
    if (name == nullptr) {                                                       \
        return simulated::INVALID_HANDLE;                                        \
    }
