#include "agent/cli/beacon_reader.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "agent/cli/exit_code.hpp"
#include "agent/model/beacon.hpp"

// offsetof on a struct with atomics is conditionally supported; both compilers lay it out as C
// does.
static_assert(std::is_standard_layout_v<corodump::model::beacon>);

namespace corodump::cli {

namespace {

using model::beacon;
using page = std::array<std::byte, sizeof(beacon)>;

template <class Value>
Value value_at(const page& bytes, std::size_t offset) {
    Value value{};
    std::memcpy(&value, bytes.data() + offset, sizeof value);
    return value;
}

/// A string of a fixed field; the other side may have forgotten its terminator.
std::string text_at(const page& bytes, std::size_t offset, std::size_t size) {
    const char* const start = reinterpret_cast<const char*>(bytes.data() + offset);
    return {start, ::strnlen(start, size)};
}

beacon_view view_of(const page& bytes) {
    beacon_view view;
    view.pid = value_at<std::int32_t>(bytes, offsetof(beacon, pid));
    view.signal = value_at<std::int32_t>(bytes, offsetof(beacon, signal));
    view.signal_tid = value_at<std::int32_t>(bytes, offsetof(beacon, signal_tid));
    view.watchdog_tid = value_at<std::int32_t>(bytes, offsetof(beacon, watchdog_tid));
    view.last_error = value_at<std::int32_t>(bytes, offsetof(beacon, last_error));
    view.requests = value_at<std::uint64_t>(bytes, offsetof(beacon, requests));
    view.answered = value_at<std::uint64_t>(bytes, offsetof(beacon, answered));
    view.dumps = value_at<std::uint64_t>(bytes, offsetof(beacon, dumps));
    view.directory = text_at(bytes, offsetof(beacon, directory), sizeof(beacon::directory));
    view.last_path = text_at(bytes, offsetof(beacon, last_path), sizeof(beacon::last_path));
    view.last_error_text =
        text_at(bytes, offsetof(beacon, last_error_text), sizeof(beacon::last_error_text));
    return view;
}

}  // namespace

beacon_reader::beacon_reader(const target_process& target, const process_status& status)
    : target_(target) {
    for (const memory_range& range : target.beacons()) {
        const bool large_enough = range.end - range.start >= sizeof(beacon);
        if (large_enough && accept(range.start, status)) {
            address_ = range.start;
            rejected_.clear();
            return;
        }
    }
}

bool beacon_reader::accept(std::uint64_t address, const process_status& status) {
    page bytes{};
    if (!target_.read_memory(address, bytes.data(), bytes.size())) return false;
    if (std::memcmp(bytes.data(), "corodump", sizeof(beacon::magic)) != 0) return false;
    const auto version = value_at<std::uint32_t>(bytes, offsetof(beacon, version));
    if (version != beacon::current_version ||
        value_at<std::uint32_t>(bytes, offsetof(beacon, size_bytes)) < sizeof(beacon)) {
        rejected_ = "its agent's beacon has version " + std::to_string(version) +
                    ", this corodump knows version " + std::to_string(beacon::current_version);
        return false;
    }
    const auto pid = value_at<std::int32_t>(bytes, offsetof(beacon, pid));
    const auto signal = value_at<std::int32_t>(bytes, offsetof(beacon, signal));
    if (pid != status.own_pid(target_.pid())) {
        rejected_ = "it was forked from a process with an agent (pid " + std::to_string(pid) +
                    "), but no agent runs in it";
        return false;
    }
    return signal > 0 && signal <= 64;
}

std::uint64_t beacon_reader::word_at(std::size_t offset) const {
    std::uint64_t word = 0;
    if (!target_.read_memory(address_ + offset, &word, sizeof word)) {
        throw trigger_error(exit_problem,
                            target_.alive()
                                ? "the agent is gone from process " + std::to_string(target_.pid())
                                : "process " + std::to_string(target_.pid()) + " has ended");
    }
    return word;
}

std::uint64_t beacon_reader::answered() const {
    return word_at(offsetof(beacon, answered));
}

std::uint64_t beacon_reader::requests() const {
    return word_at(offsetof(beacon, requests));
}

beacon_view beacon_reader::read() const {
    constexpr int tries = 100;
    page bytes{};
    for (int i = 0; i < tries; ++i) {
        // Partner of the agent's stores to `revision` around its changes. Each call into the kernel
        // orders the reads.
        const std::uint64_t before = word_at(offsetof(beacon, revision));
        const bool copied = target_.read_memory(address_, bytes.data(), bytes.size());
        const bool still =
            copied && before % 2 == 0 && word_at(offsetof(beacon, revision)) == before;
        if (still) return view_of(bytes);
        if (target_.wait_for_death(std::chrono::milliseconds(1))) break;
    }
    throw trigger_error(exit_no_answer, "the agent of process " + std::to_string(target_.pid()) +
                                            " does not finish writing its beacon");
}

}  // namespace corodump::cli
