// Streams and events.
//
// Work happens when it is ordered. In reverse mode it happens when somebody waits for it, and no sooner: of all the orders that a
// GPU may choose, these are the first and the last. What relies on more than its streams and events guarantee shows in the latter.

#include "simulated.h"

#include <chrono>
#include <deque>
#include <memory>
#include <set>
#include <utility>
#include <vector>

namespace simulated {
namespace {

using Clock = std::chrono::steady_clock;

// Work that waits longer than this many others is done.
constexpr size_t LONGEST = 4096;

// A place in a stream: after so many orders.
struct Place {
    Stream* stream;
    uint64_t orders;
};

struct Order {
    const char* name;
    std::function<void()> run;
    std::vector<Place> after;
};

} // namespace

struct Stream {
    Device& device;
    bool blocking;
    std::deque<Order> waiting;
    uint64_t done;

    uint64_t orders() const { return done + waiting.size(); }
};

struct Event {
    Place place{nullptr, 0};
    std::shared_ptr<Clock::time_point> time = std::make_shared<Clock::time_point>();
};

namespace {

// Those that are not destroyed. The others stay in memory: an event may name them.
std::set<Stream*>& streams() {
    static auto* all = new std::set<Stream*>;
    return *all;
}

void reach(Place place) {
    while (place.stream->done < place.orders) {
        step(place.stream);
    }
}

} // namespace

thread_local const char* running = nullptr;

bool step(Stream* stream) {
    if (stream->waiting.empty()) {
        return false;
    }
    Order order = std::move(stream->waiting.front());
    for (const Place& place : order.after) {
        reach(place);
    }
    MemoryIsOpen open;
    const char* before = std::exchange(running, order.name);
    order.run();
    check_guards(stream->device);
    running = before;
    stream->waiting.pop_front();
    ++stream->done;
    return true;
}

void finish(Stream* stream) {
    MemoryIsOpen open;
    reach({stream, stream->orders()});
}

void finish(Device& device) {
    MemoryIsOpen open;
    for (Stream* stream : streams()) {
        if (&stream->device == &device) {
            finish(stream);
        }
    }
}

Stream* stream_of(Device& device, void* handle) {
    // The handles 1 and 2 are the null stream under other names.
    if ((uintptr_t)handle <= 2) {
        return device.null_stream;
    }
    const auto found = streams().find((Stream*)handle);
    return found != streams().end() && &(*found)->device == &device ? *found : nullptr;
}

Stream* new_stream(Device& device, bool blocking) { return *streams().insert(new Stream{device, blocking, {}, 0}).first; }

void end_stream(Stream* stream) {
    finish(stream);
    streams().erase(stream);
}

void enqueue(Stream* stream, const char* name, std::function<void()> run) {
    Order order{name, std::move(run), {}};
    // The null stream and the blocking streams wait for each other.
    if (stream->blocking) {
        for (Stream* other : streams()) {
            const bool either = stream == stream->device.null_stream || other == stream->device.null_stream;
            if (other != stream && other->blocking && &other->device == &stream->device && either) {
                order.after.push_back({other, other->orders()});
            }
        }
    }
    stream->waiting.push_back(std::move(order));
    if (!settings().reverse || stream->waiting.size() > LONGEST) {
        finish(stream);
    }
}

Event* new_event() { return new Event; }

void end_event(Event* event) { delete event; }

void record(Event* event, Stream* stream) {
    enqueue(stream, "an event", [time = event->time] { *time = Clock::now(); });
    event->place = {stream, stream->orders()};
}

void wait(Stream* stream, const Event* event) {
    if (event->place.stream != nullptr) {
        enqueue(stream, "a wait for an event", [place = event->place] { reach(place); });
    }
}

void finish(const Event* event) {
    if (event->place.stream != nullptr) {
        MemoryIsOpen open;
        reach(event->place);
    }
}

bool is_done(const Event* event) { return event->place.stream == nullptr || event->place.stream->done >= event->place.orders; }

Stream* stream_of(const Event* event) { return event->place.stream; }

float milliseconds(const Event* from, const Event* to) {
    return std::chrono::duration<float, std::milli>(*to->time - *from->time).count();
}

} // namespace simulated
