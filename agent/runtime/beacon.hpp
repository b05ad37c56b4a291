// The agent's sign to the outside: one page, mapped from a memfd that names it in /proc/<pid>/maps.
// See model/beacon.hpp for the protocol.
//
// Threads: raise and lower by who installs; the rest by the watchdog. Signals: unsafe.
#pragma once

#include <cstdint>
#include <string_view>

#include "agent/model/beacon.hpp"

namespace corodump::runtime {

class beacon_page {
public:
    constexpr beacon_page() noexcept = default;
    beacon_page(const beacon_page&) = delete;
    beacon_page& operator=(const beacon_page&) = delete;

    /// Maps the page, 0 or an errno. Without a page, the agent works and `corodump trigger` does
    /// not.
    [[nodiscard]] int raise(int signal, std::string_view directory) noexcept;
    /// Of copies of the library that are installed at the same moment one stays: true in that one.
    /// The others are to lower their pages. Blocks: while another decides, at most a second.
    [[nodiscard]] bool settle() noexcept;
    void lower() noexcept;
    /// True where a beacon of this very process is mapped that is not `own` (which may be null):
    /// two copies of the library, from different files or in different link namespaces, share no
    /// variable, but they share the list of mappings. Not for the dump path.
    [[nodiscard]] static bool another_is_raised(const model::beacon* own) noexcept;
    /// nullptr while lowered.
    [[nodiscard]] model::beacon* page() const noexcept { return page_; }

    void show_threads(int signal_tid, int watchdog_tid) noexcept;
    /// The outcome of a dump that answers all requests up to `answered`.
    void show_outcome(int error, std::string_view path, std::string_view text,
                      std::uint64_t answered) noexcept;
    /// In a forked child: the copy speaks for the child from now on.
    void disown() noexcept;

private:
    enum class rival : std::uint8_t { none, weaker, stronger };
    [[nodiscard]] static rival strongest_rival(const model::beacon* own) noexcept;

    model::beacon* page_ = nullptr;
};

}  // namespace corodump::runtime
