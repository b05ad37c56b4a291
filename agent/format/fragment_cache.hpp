// Rendered places, by their keys: the `"function":…,"file":…,"line":…` of a `co_await` is escaped
// once per dump, not once per task that is parked there.
//
// Open addressing over memory that the caller hands in. Nothing is evicted: a service has some
// thousand sites, and where they do not all fit, those that come late are rendered each time.
//
//   memory: [ slot | slot | … | slot ][ text, padded | text, padded | … free ]
//              └ offset ────────────────^
//
// Threads: one owner. Signals: safe. Blocks: never.
// Errors:  `insert` drops what does not fit.
// Bounds:  the memory; `max_probes` slots per look-up; `max_fragment_bytes` per text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "agent/format/json_text.hpp"

namespace corodump::format {

/// A place in source code as the model names it; 0 where there is none.
struct place_key {
    std::uint64_t site = 0;
    std::uint64_t definition = 0;

    friend bool operator==(const place_key&, const place_key&) = default;
};

/// `text` can be copied by `put_padded`.
struct fragment {
    const char* text = nullptr;  ///< null: not in the cache
    std::uint32_t size = 0;
    bool library = false;
};

class fragment_cache {
public:
    static constexpr std::size_t max_fragment_bytes = 2048;
    static constexpr unsigned max_probes = 16;

    /// `memory` outlives the cache. Too little of it makes a cache that holds nothing. A cache is
    /// for one dump: keys may mean something else in the next.
    explicit fragment_cache(std::span<std::byte> memory) noexcept;
    fragment_cache(const fragment_cache&) = delete;
    fragment_cache& operator=(const fragment_cache&) = delete;

    [[nodiscard]] fragment find(const place_key& key) const noexcept {
        std::size_t at = hash(key);
        for (unsigned probe = 0; probe < max_probes; ++probe, ++at) {
            const slot& candidate = slots_[at & slot_mask_];
            if (candidate.size == 0) break;
            if (candidate.key == key)
                return {texts_ + candidate.offset, candidate.size, candidate.library};
        }
        return {};
    }

    /// `key` is not in the cache.
    void insert(const place_key& key, std::string_view text, bool library) noexcept;

private:
    struct slot {
        place_key key;
        std::uint32_t offset = 0;
        std::uint16_t size = 0;  ///< 0: free
        bool library = false;
    };

    /// Keys are addresses, alike in their high and low bits: a multiplication spreads the middle.
    [[nodiscard]] static std::size_t hash(const place_key& key) noexcept {
        const std::uint64_t mixed = key.site + key.definition * 0xd6e8feb86659fd93U;
        return static_cast<std::size_t>((mixed * 0x9e3779b97f4a7c15U) >> 40);
    }

    slot nothing_;
    slot* slots_ = &nothing_;
    std::size_t slot_mask_ = 0;
    char* texts_ = nullptr;
    std::size_t text_bytes_ = 0;
    std::size_t used_bytes_ = 0;
};

}  // namespace corodump::format
