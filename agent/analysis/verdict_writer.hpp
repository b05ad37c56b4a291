// Where a rule says its verdict: statement, tasks and evidence, piece by piece, so that no rule needs
// memory. The agent's writer puts them into its arena, the reader's into strings.
//
//     to.open("exhausted", severity::warning);
//     to.say("pool '", name, "' is exhausted: ", waiters, " tasks wait");
//     to.about(holder);
//     to.evidence();
//     to.say(task{holder}, " holds it");
//     to.close();
//
// Threads: one owner. Signals: unsafe. Blocks: never. Bounds: what does not fit is cut by the writer.
#pragma once

#include <concepts>
#include <cstdint>
#include <string_view>

namespace corodump::analysis {

enum class severity : std::uint8_t { error, warning, info };

[[nodiscard]] constexpr std::string_view name_of(severity how) noexcept {
    constexpr std::string_view names[] = {"error", "warning", "info"};
    return names[static_cast<unsigned>(how)];
}

/// A task's name, or its function, and its id.
struct task {
    std::uint32_t number;
};
/// Where a task is suspended, and on what: `session::run (session.cpp:42), on async_read`.
struct place_of {
    std::uint32_t number;
};
struct duration {
    double seconds;
};
/// `1 task`, `3 tasks`: the plural by an s.
struct counted_noun {
    std::uint64_t count;
    std::string_view noun;
};

class verdict_writer {
public:
    virtual void open(std::string_view kind, severity how) = 0;
    /// Adds a task to those that the verdict is about.
    virtual void about(std::uint32_t task) = 0;
    /// How many it is about, where `about` did not name them all.
    virtual void about_in_all(std::uint64_t tasks) = 0;
    /// Ends the statement, or the last piece of evidence: what is said next is a new piece.
    virtual void evidence() = 0;
    virtual void close() = 0;

    template <class... Parts>
    void say(const Parts&... parts) {
        (put(parts), ...);
    }

protected:
    ~verdict_writer() = default;

    virtual void put(std::string_view text) = 0;
    virtual void put(task which) = 0;
    virtual void put(place_of which) = 0;

private:
    void put(const char* text) { put(std::string_view(text)); }
    void put(std::unsigned_integral auto number) { put_number(number); }
    void put(duration what);
    void put(counted_noun what) {
        put_number(what.count);
        put(" ");
        put(what.noun);
        if (what.count != 1) put("s");
    }
    void put_number(std::uint64_t number);
};

}  // namespace corodump::analysis
