// What the headers wrote down about promise and awaiter types, copied out of images that may have
// been unloaded since, checked, and cached by address.
//
// Threads: watchdog only. Signals: unsafe. Blocks: never.
// Bounds: 1,024 types of each sort are cached; further ones are read each time.
#pragma once

#include <cstdint>
#include <string_view>

#include "agent/base/arena.hpp"

namespace corodump::sources {

struct promise_facts {
    bool known = false;
    std::uint16_t promise_offset = 16;
    std::uint16_t flags = 0;
    std::uint32_t promise_bytes = 0;
    std::int32_t continuation_offset = -1;
    std::uint32_t description_offset = 0;
    std::uint32_t offsets_offset = 0;
    std::uint32_t references_offset = 0;
    std::uint32_t value_count = 0;
    std::uint32_t tag_offset = 0;
    std::uint32_t handler_offset = 0;
    std::uint32_t handler_bytes = 0;
    std::uint64_t values = 0;
};

struct awaitable_facts {
    bool known = false;
    bool is_reference = false;
    std::uint32_t kind = 0;
    std::uint32_t size_bytes = 0;
    std::uint32_t description_offset = 0;
    std::uint32_t object_offset = 0;
    std::uint32_t name_bytes = 0;
    std::uint64_t name = 0;
};

class type_facts {
public:
    explicit type_facts(base::arena& memory) noexcept;

    /// Facts with `known` false when the address cannot be read or has another layout version.
    [[nodiscard]] const promise_facts& promise(std::uint64_t address) noexcept;
    [[nodiscard]] const awaitable_facts& awaitable(std::uint64_t address) noexcept;

private:
    static constexpr std::size_t places = 2048;
    template <class Facts>
    struct entry {
        std::uint64_t address;
        Facts facts;
    };
    template <class Facts, class Read>
    const Facts& find(std::span<entry<Facts>> table, std::uint32_t& used, entry<Facts>& last,
                      std::uint64_t address, Read read) noexcept;

    std::span<entry<promise_facts>> promises_;
    std::span<entry<awaitable_facts>> awaitables_;
    entry<promise_facts> last_promise_{};
    entry<awaitable_facts> last_awaitable_{};
    std::uint32_t promises_used_ = 0;
    std::uint32_t awaitables_used_ = 0;
};

}  // namespace corodump::sources
