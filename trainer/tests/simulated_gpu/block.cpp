// Fibers, and the order in which they run.
//
// A thread runs until it waits or ends. One that ends without ever waiting leaves its stack to the next one, so a kernel without
// barriers is a plain loop. Where a thread waits, the next in order goes on that can; in reverse order from the last to the first.

#include "block.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sys/mman.h>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

// Apart from the variables of blocks, which kernels.cpp fills.
#define STATE __attribute__((section("simulator_state")))

STATE uint3 threadIdx;
STATE uint3 blockIdx;
STATE dim3 blockDim;
STATE dim3 gridDim;

namespace simulated {
namespace {

constexpr size_t STACK = 32 * 1024;
constexpr uint64_t BOTTOM = 0x5ac0bea7f00dcafe;

struct Barrier {
    int arrived = 0;
    unsigned generation = 0;
    const char* file = nullptr;
    int line = 0;
};

struct Thread {
    uint3 index;
    int stack;
    bool finished;
    const Barrier* waits;
    unsigned generation;
};

STATE const char* kernel_name = "";
STATE void (*kernel_call)(void**);
STATE void** kernel_parameters;
STATE bool backwards;
STATE int threads;
STATE int started;
STATE Thread* newest;
STATE int unfinished;
STATE int stacks_used;
STATE Thread all[MAX_THREADS];
STATE Thread* now;
STATE Barrier block_barrier;
STATE Barrier warp_barriers[MAX_WARPS];
STATE Exchange exchanges[MAX_WARPS][2];
STATE char* stacks;

// A context is a stack whose top has the registers that a function call keeps.
#if defined(__x86_64__)
using Context = void*;
extern "C" void simulated_switch(Context* from, Context* to);
asm(R"(
    .text
    .hidden simulated_switch
    .globl simulated_switch
    .type simulated_switch, @function
simulated_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq (%rsi), %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    popq %rdx
    jmp *%rdx
    .size simulated_switch, . - simulated_switch
)");

void prepare(Context& context, char* bottom, char* top, void (*entry)()) {
    void** words = (void**)top - 8;
    std::memset(words, 0, 8 * sizeof *words);
    words[6] = (void*)entry;
    context = words;
    (void)bottom;
}
#else
using Context = ucontext_t;

void simulated_switch(Context* from, Context* to) { swapcontext(from, to); }

void prepare(Context& context, char* bottom, char* top, void (*entry)()) {
    getcontext(&context);
    context.uc_stack.ss_sp = bottom;
    context.uc_stack.ss_size = (size_t)(top - bottom);
    context.uc_link = nullptr;
    makecontext(&context, entry, 0);
}
#endif

STATE Context contexts[MAX_THREADS];
STATE Context host;

// The first thread in the order of execution, the last one, and the one after another.
Thread* first() { return backwards ? all + threads - 1 : all; }
Thread* last() { return backwards ? all : all + threads - 1; }
Thread* after(Thread* thread) { return backwards ? thread - 1 : thread + 1; }

void go_to(Thread* thread) {
    now = thread;
    threadIdx = thread->index;
}

// Starts threads, one after the other, as long as none of them waits.
void run_threads();

Context* new_stack() {
    const int stack = stacks_used++;
    char* bottom = stacks + stack * STACK;
    // Tops of stacks at the same place of a page would all lie in the same lines of the cache.
    char* top = bottom + STACK - stack % 16 * 256;
    std::memcpy(bottom, &BOTTOM, sizeof BOTTOM);
    prepare(contexts[stack], bottom, top, run_threads);
    return &contexts[stack];
}

[[noreturn]] void stuck() {
    char text[512];
    const Barrier* barrier = &block_barrier;
    for (int i = 0; i < threads; ++i) {
        if (!all[i].finished && all[i].waits != nullptr) {
            barrier = all[i].waits;
            threadIdx = all[i].index;
            break;
        }
    }
    std::snprintf(
        text, sizeof text, "%d of %d threads wait at %s:%d, and the others have left or wait elsewhere", barrier->arrived,
        barrier == &block_barrier ? threads : 32, barrier->file, barrier->line);
    fail(text);
}

// Leaves the thread that runs, until it is its turn again; at the end, for good.
void leave(Context* from) {
    Context* to = nullptr;
    if (started < threads) {
        to = new_stack();
    } else if (unfinished == 0) {
        to = &host;
    } else {
        Thread* next = now;
        for (int i = 0; i < threads; ++i) {
            next = next == last() ? first() : after(next);
            if (!next->finished && next->waits->generation != next->generation) {
                go_to(next);
                to = &contexts[next->stack];
                break;
            }
        }
        if (to == nullptr) {
            stuck();
        }
    }
    if (to != from) {
        simulated_switch(from, to);
    }
}

void run_threads() {
    const int stack = stacks_used - 1;
    while (started < threads) {
        Thread* thread = started++ == 0 ? first() : after(newest);
        newest = thread;
        thread->stack = stack;
        go_to(thread);
        kernel_call(kernel_parameters);
        now->finished = true;
        --unfinished;
    }
    leave(&contexts[stack]);
    __builtin_trap();
}

void wait_at(Barrier& barrier, int expected, const char* file, int line) {
    if (barrier.arrived == 0) {
        barrier.file = file;
        barrier.line = line;
    } else if (barrier.line != line || (barrier.file != file && std::strcmp(barrier.file, file) != 0)) {
        char text[512];
        std::snprintf(
            text, sizeof text, "threads of one block or warp wait at different places: %s:%d and %s:%d", barrier.file,
            barrier.line, file, line);
        fail(text);
    }
    if (++barrier.arrived == expected) {
        barrier.arrived = 0;
        ++barrier.generation;
        return;
    }
    Thread* self = now;
    self->waits = &barrier;
    self->generation = barrier.generation;
    leave(&contexts[self->stack]);
}

int number_of_thread() { return (int)(now - all); }

} // namespace

int lane_of_thread() { return number_of_thread() % 32; }

Exchange& exchange_of_warp() {
    const int warp = number_of_thread() / 32;
    return exchanges[warp][warp_barriers[warp].generation % 2];
}

void wait_for_block(const char* file, int line) { wait_at(block_barrier, threads, file, line); }

void wait_for_warp(unsigned mask, const char* file, int line) {
    const int warp = number_of_thread() / 32;
    const int lanes = threads - warp * 32 < 32 ? threads - warp * 32 : 32;
    const unsigned existing = lanes == 32 ? ~0u : (1u << lanes) - 1;
    if ((mask & existing) != existing) {
        fail("a part of a warp waits, which is not simulated");
    }
    wait_at(warp_barriers[warp], lanes, file, line);
}

void fail(const char* text) {
    std::fprintf(
        stderr, "simulated GPU: %s, block (%u, %u, %u), thread (%u, %u, %u): %s\n", kernel_name, blockIdx.x, blockIdx.y,
        blockIdx.z, threadIdx.x, threadIdx.y, threadIdx.z, text);
    std::abort();
}

bool run_block(const char* kernel, void (*call)(void**), void** parameters, bool reverse) {
    if (stacks == nullptr) {
        const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
        void* memory = mmap(nullptr, STACK * MAX_THREADS, PROT_READ | PROT_WRITE, flags, -1, 0);
        if (memory == MAP_FAILED) {
            fail("no memory for stacks");
        }
        stacks = (char*)memory;
        // Many small stacks are a burden to the tables of pages otherwise.
        madvise(memory, STACK * MAX_THREADS, MADV_HUGEPAGE);
    }
    kernel_name = kernel;
    kernel_call = call;
    kernel_parameters = parameters;
    backwards = reverse;
    threads = (int)(blockDim.x * blockDim.y * blockDim.z);
    started = 0;
    unfinished = threads;
    stacks_used = 0;
    Thread* thread = all;
    for (unsigned z = 0; z < blockDim.z; ++z) {
        for (unsigned y = 0; y < blockDim.y; ++y) {
            for (unsigned x = 0; x < blockDim.x; ++x) {
                *thread++ = {{x, y, z}, 0, false, nullptr, 0};
            }
        }
    }
    block_barrier = {};
    for (int i = 0; i < (threads + 31) / 32; ++i) {
        warp_barriers[i] = {};
    }
    simulated_switch(&host, new_stack());
    for (int i = 0; i < stacks_used; ++i) {
        if (std::memcmp(stacks + i * STACK, &BOTTOM, sizeof BOTTOM) != 0) {
            fail("the variables of a thread are larger than its stack");
        }
    }
    return stacks_used > 1;
}

} // namespace simulated
