// What the parts of the simulated GPU share: memory (memory.cpp), streams (stream.cpp), launches (launch.cpp), the interfaces
// (driver.cpp, cublas.cpp), and the library of kernels (kernels.cpp).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>

#define SHARED __attribute__((visibility("default")))
#define EXPORT extern "C" SHARED

namespace simulated {

// Error numbers of the driver.
enum Result : int {
    SUCCESS = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    NOT_INITIALIZED = 3,
    NO_DEVICE = 100,
    INVALID_DEVICE = 101,
    INVALID_CONTEXT = 201,
    INVALID_HANDLE = 400,
    NOT_FOUND = 500,
    NOT_READY = 600,
};

struct Stream;
struct Memory;

struct Device {
    int number;
    size_t used;
    Memory* memory;
    Stream* null_stream;
};

// Settings from the environment, see README.md.
struct Settings {
    bool reverse;
    int devices;
    size_t memory;
    int workers;
};
const Settings& settings();

// Everything happens under this lock.
SHARED std::recursive_mutex& lock();

// Prints what is wrong, with what runs, and ends the process.
[[noreturn]] SHARED void die(const char* format, ...) __attribute__((format(printf, 1, 2)));

// The device of the calling thread's context, or null. Exported, as are the others that cublas.cpp calls.
SHARED Device* current();

// Memory.
Device* open_device(int number);
void* allocate(Device& device, size_t bytes);
bool release(Device& device, void* at);
// Whether all of it lies within one allocation.
SHARED bool owns(const Device& device, const void* at, size_t bytes);
// Ends the process where something wrote beside its allocation.
void check_guards(const Device& device);
// In reverse mode only the simulation itself can touch device memory, and that while one of these exists.
struct MemoryIsOpen {
    MemoryIsOpen();
    ~MemoryIsOpen();
};
bool is_device_memory(const void* at);
// Pinned memory of the host.
void* allocate_host(size_t bytes);
bool release_host(void* at);
bool is_pinned(const void* at, size_t bytes);

// Streams. `run` happens at once, or, in reverse mode, as late as it may.
SHARED Stream* stream_of(Device& device, void* handle);
Stream* new_stream(Device& device, bool blocking);
void end_stream(Stream* stream);
SHARED void enqueue(Stream* stream, const char* name, std::function<void()> run);
void finish(Stream* stream);
void finish(Device& device);
// Runs what comes next; whether there was something.
bool step(Stream* stream);

struct Event;
Event* new_event();
void end_event(Event* event);
void record(Event* event, Stream* stream);
void wait(Stream* stream, const Event* event);
void finish(const Event* event);
bool is_done(const Event* event);
// The stream it was recorded on, or null.
Stream* stream_of(const Event* event);
float milliseconds(const Event* from, const Event* to);

// Kernels. The table is the interface between libcuda.so.1 and the library of kernels.
struct Kernel {
    const char* name;
    // How many parameters there are, their sizes, and which are pointers (bit i).
    int parameters;
    const size_t* sizes;
    uint64_t pointers;
};
struct Grid {
    unsigned blocks[3];
    unsigned threads[3];
};
using KernelTable = const Kernel* (*)(size_t* count);
// Runs the blocks from `first` to `last` of a grid.
using KernelRun = void (*)(size_t kernel, void** parameters, const Grid& grid, uint64_t first, uint64_t last, bool reverse);

const Kernel* find_kernel(const char* name);
void launch(Device& device, const Kernel& kernel, const Grid& grid, void** parameters, Stream* stream);
// What the calling thread runs, or null.
extern thread_local const char* running;

} // namespace simulated
