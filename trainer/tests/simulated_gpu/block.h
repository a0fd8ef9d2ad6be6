// A block of threads on one thread of the processor: each is a fiber, and the next one runs where one waits.
#pragma once

#include <cstdint>

struct uint3 {
    unsigned x, y, z;
};

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

// Of the thread that runs.
extern uint3 threadIdx;
extern uint3 blockIdx;
extern dim3 blockDim;
extern dim3 gridDim;

namespace simulated {

constexpr int MAX_THREADS = 1024;
constexpr int MAX_WARPS = MAX_THREADS / 32;

// Where the lanes of a warp leave values for each other. There are two in turn, so that a lane which is ahead does not write
// what another one still reads.
struct alignas(64) Exchange {
    uint64_t lanes[32];
    float left[256];
    float right[256];
};

// Waits until all threads of the block, or all lanes of the warp, have come to the same line.
void wait_for_block(const char* file, int line);
void wait_for_warp(unsigned mask, const char* file, int line);

int lane_of_thread();
Exchange& exchange_of_warp();

// Says what is wrong in which kernel, block and thread, and ends the process.
[[noreturn]] void fail(const char* text);

// Runs one block. `call` runs the kernel's code for one thread. Returns whether threads waited for each other.
bool run_block(const char* kernel, void (*call)(void**), void** parameters, bool reverse);

} // namespace simulated
