// Writes a place in source code, `"function":…,"file":…,"line":…`, from its keys.
//
// Called for each frame of each task, so it goes through the fragment cache; what is not in there
// is asked of the model's details and rendered straight into the output.
//
// Threads: one owner. Signals: unsafe (`details` reads files). Blocks: as long as `details` does.
// Errors:  what is unknown becomes null.
// Bounds:  a text as put_escaped cuts it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "agent/format/fragment_cache.hpp"
#include "agent/format/json_text.hpp"
#include "agent/format/json_writer.hpp"
#include "agent/model/snapshot.hpp"

namespace corodump::format {

class place_writer {
public:
    /// Room for a place out of the cache.
    static constexpr std::size_t cached_room = fragment_cache::max_fragment_bytes;

    /// All three outlive the writer.
    place_writer(json_writer& out, fragment_cache& cache, model::details& details) noexcept
        : out_(out), cache_(cache), details_(details) {}

    /// The place of `key.site`, or of the definition where there is no site. The function's name
    /// comes from the definition where the site does not tell it. Returns whether it is a
    /// library's.
    bool write(const place_key& key) noexcept {
        const fragment known = cache_.find(key);
        if (known.text == nullptr) [[unlikely]]
            return render(key);
        out_.commit(put_padded(out_.reserve(cached_room), known.text, known.size));
        return known.library;
    }

private:
    bool render(const place_key& key) noexcept;
    model::location look_up(std::uint64_t key) noexcept {
        return key == 0 ? model::location{} : details_.where(key);
    }

    json_writer& out_;
    fragment_cache& cache_;
    model::details& details_;
};

}  // namespace corodump::format
