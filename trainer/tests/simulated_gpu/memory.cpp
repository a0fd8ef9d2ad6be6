// Device memory: addresses of the process, between guard zones.
//
// An address range several times the size of the memory is reserved; how much may be in use is counted. Guard zones hold a pattern
// that is a NaN as binary32: what is read beside an allocation shows in a result, what is written there ends the process.

#include "simulated.h"

#include <cstdlib>
#include <cstring>
#include <map>
#include <sys/mman.h>

namespace simulated {
namespace {

constexpr size_t GUARD = 256;
constexpr size_t UNIT = 512;
constexpr uint32_t PATTERN = 0xffc0beef;

size_t up(size_t bytes) { return (bytes + UNIT - 1) / UNIT * UNIT; }

struct Pattern {
    uint32_t words[(GUARD + UNIT) / 4];
    Pattern() {
        for (uint32_t& word : words) {
            word = PATTERN;
        }
    }
};
const Pattern pattern;

} // namespace

struct Memory {
    char* from;
    size_t reserved;
    // Address and size, of what is allocated and of what is not; an allocation with its guards, rounded up.
    std::map<char*, size_t> allocated;
    std::map<char*, size_t> free;

    // Allocation that begins at or before an address.
    std::map<char*, size_t>::const_iterator before(const void* at) const {
        auto found = allocated.upper_bound((char*)at);
        return found == allocated.begin() ? allocated.end() : std::prev(found);
    }
    static size_t whole(size_t bytes) { return up(2 * GUARD + bytes); }
};

namespace {

// Leaked, because work may go on while the process ends.
std::map<int, Device*>& devices() {
    static auto* all = new std::map<int, Device*>;
    return *all;
}

std::map<char*, size_t>& pinned() {
    static auto* all = new std::map<char*, size_t>;
    return *all;
}

int opened = 0;

void protect(int protection) {
    for (auto& [number, device] : devices()) {
        if (mprotect(device->memory->from, device->memory->reserved, protection) != 0) {
            die("the memory cannot be protected");
        }
    }
}

// The pattern also fills the rest of the last unit, which has bytes of any alignment.
size_t rest(size_t bytes) { return Memory::whole(bytes) - GUARD - bytes; }

bool guarded(const char* at, size_t bytes) {
    const char* end = at + bytes;
    const char* words = (const char*)pattern.words;
    return std::memcmp(at - GUARD, words, GUARD) == 0 && std::memcmp(end, words, rest(bytes)) == 0;
}

} // namespace

MemoryIsOpen::MemoryIsOpen() {
    if (settings().reverse && opened++ == 0) {
        protect(PROT_READ | PROT_WRITE);
    }
}

MemoryIsOpen::~MemoryIsOpen() {
    if (settings().reverse && --opened == 0) {
        protect(PROT_NONE);
    }
}

Device* open_device(int number) {
    Device*& device = devices()[number];
    if (device == nullptr) {
        const size_t reserved = 4 * settings().memory + (64 << 20);
        const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
        void* from = mmap(nullptr, reserved, settings().reverse ? PROT_NONE : PROT_READ | PROT_WRITE, flags, -1, 0);
        if (from == MAP_FAILED) {
            devices().erase(number);
            return nullptr;
        }
        // In reverse mode the protection of all pages changes again and again: better few large ones.
        madvise(from, reserved, MADV_HUGEPAGE);
        device = new Device{number, 0, new Memory{(char*)from, reserved, {}, {}}, nullptr};
        device->memory->free[(char*)from] = reserved;
        device->null_stream = new_stream(*device, true);
    }
    return device;
}

void* allocate(Device& device, size_t bytes) {
    Memory& memory = *device.memory;
    if (bytes > settings().memory || up(bytes) > settings().memory - device.used) {
        return nullptr;
    }
    const size_t whole = Memory::whole(bytes);
    for (auto i = memory.free.begin(); i != memory.free.end(); ++i) {
        const auto [from, size] = *i;
        if (size < whole) {
            continue;
        }
        memory.free.erase(i);
        if (size > whole) {
            memory.free[from + whole] = size - whole;
        }
        char* at = from + GUARD;
        memory.allocated[at] = bytes;
        device.used += up(bytes);
        MemoryIsOpen open;
        std::memcpy(from, pattern.words, GUARD);
        std::memcpy(at + bytes, pattern.words, rest(bytes));
        if (settings().reverse) {
            std::memset(at, 0xff, bytes);
        }
        return at;
    }
    return nullptr;
}

bool release(Device& device, void* at) {
    Memory& memory = *device.memory;
    const auto found = memory.allocated.find((char*)at);
    if (found == memory.allocated.end()) {
        return false;
    }
    const size_t bytes = found->second;
    if (settings().reverse) {
        MemoryIsOpen open;
        std::memset(at, 0xff, bytes);
    }
    memory.allocated.erase(found);
    device.used -= up(bytes);
    auto here = memory.free.emplace((char*)at - GUARD, Memory::whole(bytes)).first;
    const auto next = std::next(here);
    if (next != memory.free.end() && here->first + here->second == next->first) {
        here->second += next->second;
        memory.free.erase(next);
    }
    if (here != memory.free.begin()) {
        const auto previous = std::prev(here);
        if (previous->first + previous->second == here->first) {
            previous->second += here->second;
            memory.free.erase(here);
        }
    }
    return true;
}

bool owns(const Device& device, const void* at, size_t bytes) {
    const auto found = device.memory->before(at);
    return found != device.memory->allocated.end() && bytes <= found->second &&
           (size_t)((const char*)at - found->first) <= found->second - bytes;
}

void check_guards(const Device& device) {
    for (const auto& [at, bytes] : device.memory->allocated) {
        if (!guarded(at, bytes)) {
            die("something was written beside an allocation of %zu bytes", bytes);
        }
    }
}

bool is_device_memory(const void* at) {
    for (const auto& [number, device] : devices()) {
        if (at >= device->memory->from && at < device->memory->from + device->memory->reserved) {
            return true;
        }
    }
    return false;
}

void* allocate_host(size_t bytes) {
    void* at = std::aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
    if (at != nullptr) {
        pinned()[(char*)at] = bytes;
    }
    return at;
}

bool release_host(void* at) {
    if (pinned().erase((char*)at) == 0) {
        return false;
    }
    std::free(at);
    return true;
}

bool is_pinned(const void* at, size_t bytes) {
    auto found = pinned().upper_bound((char*)at);
    if (found == pinned().begin()) {
        return false;
    }
    --found;
    return (const char*)at + bytes <= found->first + found->second;
}

} // namespace simulated
