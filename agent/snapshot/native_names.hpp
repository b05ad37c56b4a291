// From what the unwinder found to frames with names: image, offset, function.
//
// Threads wait in few places, so addresses repeat: each is looked up once per dump.
//
// Threads: watchdog only. Signals: unsafe. Blocks: on the file system of the images. Errors: empty
// names. Bounds: cache_size addresses are kept.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "agent/base/arena.hpp"
#include "agent/model/snapshot.hpp"
#include "agent/snapshot/code_names.hpp"
#include "agent/symbols/unwinder.hpp"

namespace corodump::snapshot {

class native_names {
public:
    native_names(base::arena& memory, code_names& code) noexcept;

    [[nodiscard]] model::native_frame frame_of(const symbols::native_frame& from) noexcept;
    /// Of any code address; lives as long as the arena's memory.
    [[nodiscard]] std::string_view function_at(std::uint64_t code) noexcept;
    /// From here on nothing is looked up that is not known.
    void stop() noexcept { stopped_ = true; }

private:
    static constexpr std::size_t cache_size = 8192;  // a power of two
    struct entry {
        std::uint64_t code = 0;  ///< 0: free
        std::string_view function;
    };

    base::arena& memory_;
    code_names& code_;
    std::span<entry> cache_;
    bool stopped_ = false;
};

}  // namespace corodump::snapshot
