// A dump's profile as those who show it want it: one row for each function, a tree of chains with
// what they took altogether, and the difference of two dumps.
//
// Functions of one name and place are one here, however many instantiations of a template there
// were. Of the difference, what was counted before the older dump is taken away; where the counting
// began anew in between, the newer one stands alone.
//
// Threads: one owner. Signals: unsafe. Blocks: never. Errors: std::bad_alloc.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agent/format/dump.hpp"

namespace corodump::cli {

/// Times in nanoseconds; 0 where they were not measured.
struct profile_row {
    std::uint64_t calls = 0, resumes = 0, live = 0;
    std::int64_t running_ns = 0, cpu_ns = 0, suspended_ns = 0, longest_ns = 0;
    /// Suspended while no coroutine that it awaited ran or was suspended itself: so that nothing is
    /// counted twice along a chain. Where several are awaited at once, 0 is the least.
    std::int64_t waiting_ns = 0;

    profile_row& operator+=(const profile_row& other);
    [[nodiscard]] bool empty() const { return resumes == 0 && running_ns == 0 && live == 0; }
};

struct profile_function {
    const format::frame_shape* where;
    profile_row own;
};

struct profile_node {
    static constexpr std::size_t none = ~std::size_t{0};
    std::size_t function = 0;   ///< into profile_tree::functions
    std::size_t parent = none;  ///< into profile_tree::nodes, before this one
    bool cut = false;           ///< what awaited it is not known
    profile_row own;
    std::vector<std::size_t> children;
};

class profile_tree {
public:
    explicit profile_tree(const format::dump& all);
    /// Takes away what the older dump of the same process has. False: they cannot be compared, and
    /// nothing has changed.
    [[nodiscard]] bool subtract(const profile_tree& older);

    [[nodiscard]] const std::vector<profile_function>& functions() const { return functions_; }
    [[nodiscard]] const std::vector<profile_node>& nodes() const { return nodes_; }
    [[nodiscard]] std::string_view clock() const { return clock_; }
    [[nodiscard]] bool times() const { return clock_ != "off"; }
    [[nodiscard]] bool processor_time() const { return clock_ == "cpu"; }
    [[nodiscard]] double seconds() const { return seconds_; }
    [[nodiscard]] bool running() const { return running_; }
    [[nodiscard]] std::uint64_t dropped_resumes() const { return dropped_; }
    /// What all functions took.
    [[nodiscard]] profile_row total() const;

private:
    void find_waiting();

    std::vector<profile_function> functions_;
    std::vector<profile_node> nodes_;
    std::string clock_;
    std::uint64_t session_ = 0;
    double seconds_ = 0;
    bool running_ = false;
    std::uint64_t dropped_ = 0;
};

/// The function's name, or what stands for it.
[[nodiscard]] std::string name_of(const profile_function& function);

}  // namespace corodump::cli
