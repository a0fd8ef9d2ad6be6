// Launches: the blocks of a grid are shared out to workers, each with its own copy of the library of kernels.

#include "simulated.h"

#include <atomic>
#include <condition_variable>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <memory>
#include <sys/mman.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace simulated {
namespace {

// Fewer threads than this in a grid are not worth waking a worker for.
constexpr uint64_t WORTH = 16384;

struct Copy {
    KernelRun run;
    const Kernel* kernels;
    size_t count;
};

// A file of its own makes the loader map the library once more, with variables of its own.
Copy load() {
    Dl_info here;
    dladdr((void*)&load, &here);
    std::string path = here.dli_fname;
    path = path.substr(0, path.rfind('/') + 1) + "libkernels.so";
    FILE* file = std::fopen(path.c_str(), "rb");
    const int copy = memfd_create("libkernels.so", MFD_CLOEXEC);
    if (file == nullptr || copy < 0) {
        die("there is no %s", path.c_str());
    }
    char buffer[1 << 16];
    for (size_t bytes; (bytes = std::fread(buffer, 1, sizeof buffer, file)) > 0;) {
        if (write(copy, buffer, bytes) != (ssize_t)bytes) {
            die("no memory for a copy of the kernels");
        }
    }
    std::fclose(file);
    const std::string name = "/proc/self/fd/" + std::to_string(copy);
    void* library = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
        die("the kernels cannot be loaded: %s", dlerror());
    }
    // The descriptor stays open: another file under its number would be taken for this library.
    Copy loaded{(KernelRun)dlsym(library, "simulated_run"), nullptr, 0};
    loaded.kernels = ((KernelTable)dlsym(library, "simulated_kernels"))(&loaded.count);
    return loaded;
}

struct Job {
    size_t kernel;
    const char* name;
    void** parameters;
    Grid grid;
    uint64_t blocks;
    std::atomic<uint64_t> next{0};
};

// The caller is one of the workers. The others take blocks of the job while there is one.
class Workers {
  public:
    Workers() : own(load()) {
        for (int i = 1; i < settings().workers; ++i) {
            std::thread(&Workers::work, this, load()).detach();
        }
    }

    Copy own;

    void run(Job& job, bool alone) {
        if (settings().reverse) {
            own.run(job.kernel, job.parameters, job.grid, 0, job.blocks, true);
            return;
        }
        if (!alone) {
            const std::lock_guard<std::mutex> guard(mutex);
            now = &job;
            ++number;
        }
        wake.notify_all();
        take(own, job);
        if (!alone) {
            std::unique_lock<std::mutex> guard(mutex);
            now = nullptr;
            idle.wait(guard, [this] { return busy == 0; });
        }
    }

  private:
    static void take(const Copy& copy, Job& job) {
        running = job.name;
        for (uint64_t block; (block = job.next.fetch_add(1)) < job.blocks;) {
            copy.run(job.kernel, job.parameters, job.grid, block, block + 1, false);
        }
    }

    void work(Copy copy) {
        uint64_t seen = 0;
        std::unique_lock<std::mutex> guard(mutex);
        while (true) {
            wake.wait(guard, [&] { return now != nullptr && number != seen; });
            seen = number;
            Job& job = *now;
            ++busy;
            guard.unlock();
            take(copy, job);
            guard.lock();
            if (--busy == 0) {
                idle.notify_all();
            }
        }
    }

    std::mutex mutex;
    std::condition_variable wake;
    std::condition_variable idle;
    Job* now = nullptr;
    uint64_t number = 0;
    int busy = 0;
};

Workers& workers() {
    static auto* all = new Workers;
    return *all;
}

// How often each kernel was launched.
std::vector<uint64_t>& launches() {
    static auto* all = new std::vector<uint64_t>(workers().own.count);
    return *all;
}

void write_launches() {
    FILE* file = std::fopen(std::getenv("STATICNET_GPU_LAUNCHES"), "a");
    if (file == nullptr) {
        die("STATICNET_GPU_LAUNCHES cannot be written");
    }
    for (size_t i = 0; i < workers().own.count; ++i) {
        std::fprintf(file, "%s %llu\n", workers().own.kernels[i].name, (unsigned long long)launches()[i]);
    }
    std::fclose(file);
}

struct sigaction handler_before;

void on_fault(int signal, siginfo_t* info, void*) {
    const char* who = running;
    if (who != nullptr) {
        std::fprintf(stderr, "simulated GPU: %s touches %p, which is not its own or badly aligned\n", who, info->si_addr);
    } else if (is_device_memory(info->si_addr)) {
        std::fprintf(stderr, "simulated GPU: the host touches %p, which is device memory\n", info->si_addr);
    }
    // The instruction is run again, and meets whoever handled this before.
    sigaction(signal, &handler_before, nullptr);
}

size_t number(const char* name, size_t otherwise) {
    const char* text = std::getenv(name);
    if (text == nullptr || *text == '\0') {
        return otherwise;
    }
    char* end;
    const size_t value = std::strtoull(text, &end, 10);
    if (*end != '\0') {
        die("%s is not a number: %s", name, text);
    }
    return value;
}

} // namespace

const Settings& settings() {
    static const Settings all = [] {
        const bool reverse = number("STATICNET_GPU_REVERSE", 0) != 0;
        const size_t processors = std::thread::hardware_concurrency();
        return Settings{
            reverse, (int)number("STATICNET_GPU_COUNT", 1), number("STATICNET_GPU_MEMORY", (size_t)4 << 30),
            (int)number("STATICNET_GPU_THREADS", processors)};
    }();
    return all;
}

std::recursive_mutex& lock() {
    static auto* one = new std::recursive_mutex;
    return *one;
}

void die(const char* format, ...) {
    va_list arguments;
    va_start(arguments, format);
    std::fprintf(stderr, "simulated GPU: %s%s", running != nullptr ? running : "", running != nullptr ? ": " : "");
    std::vfprintf(stderr, format, arguments);
    std::fputc('\n', stderr);
    std::abort();
}

void watch() {
    if (std::getenv("STATICNET_GPU_LAUNCHES") != nullptr) {
        std::atexit(write_launches);
    }
    struct sigaction handler = {};
    handler.sa_sigaction = on_fault;
    handler.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigaction(SIGSEGV, &handler, &handler_before);
}

const Kernel* find_kernel(const char* name) {
    const Copy& own = workers().own;
    for (size_t i = 0; i < own.count; ++i) {
        if (std::strcmp(own.kernels[i].name, name) == 0) {
            return &own.kernels[i];
        }
    }
    return nullptr;
}

void launch(Device& device, const Kernel& kernel, const Grid& grid, void** parameters, Stream* stream) {
    const size_t number = (size_t)(&kernel - workers().own.kernels);
    ++launches()[number];
    // Parameters are copied now, as a driver does.
    auto values = std::make_shared<std::vector<std::vector<char>>>();
    for (int i = 0; i < kernel.parameters; ++i) {
        const char* from = (const char*)parameters[i];
        values->emplace_back(from, from + kernel.sizes[i]);
    }
    enqueue(stream, kernel.name, [&device, &kernel, number, grid, values] {
        std::vector<void*> pointers;
        for (int i = 0; i < kernel.parameters; ++i) {
            pointers.push_back((*values)[i].data());
            void* at;
            if (kernel.pointers >> i & 1) {
                std::memcpy(&at, pointers[i], sizeof at);
                if (at != nullptr && !owns(device, at, 0)) {
                    die("parameter %d is no address of this device's memory: %p", i, at);
                }
            }
        }
        Job job{number, kernel.name, pointers.data(), grid, 1, {}};
        uint64_t threads = 1;
        for (int i = 0; i < 3; ++i) {
            job.blocks *= grid.blocks[i];
            threads *= grid.threads[i];
        }
        workers().run(job, job.blocks == 1 || job.blocks * threads < WORTH);
    });
}

} // namespace simulated
