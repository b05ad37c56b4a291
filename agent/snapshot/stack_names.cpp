#include "agent/snapshot/stack_names.hpp"

#include <cstddef>
#include <new>

#include "agent/base/clock.hpp"
#include "agent/sources/births.hpp"
#include "agent/symbols/prologue.hpp"

namespace corodump::snapshot {
namespace {

/// Tables for an image map, in the arena; null: no memory.
symbols::unwind_tables* make_tables(base::arena& memory,
                                    const symbols::module_map& images) noexcept {
    struct alignas(alignof(symbols::unwind_tables)) place {
        std::byte bytes[sizeof(symbols::unwind_tables)];
    };
    const std::span<place> room = memory.allocate_uninitialized<place>(1);
    return room.empty() ? nullptr : new (room.data()) symbols::unwind_tables(images, memory);
}

std::size_t calls_in(std::span<const std::uintptr_t> stack,
                     symbols::unwind_tables& tables) noexcept {
    std::size_t count = 0;
    while (count < stack.size() && symbols::follows_call(tables, stack[count])) ++count;
    return count;
}

}  // namespace

stack_names::stack_names(base::arena& memory, code_names& code, std::int64_t deadline_ns) noexcept
    : memory_(memory),
      tables_(make_tables(memory, code.images())),
      names_(memory, code),
      deadline_ns_(deadline_ns) {}

std::span<const model::native_frame> stack_names::frames_of(std::uint32_t id) noexcept {
    if (deadline_ns_ != 0 && base::monotonic_ns() > deadline_ns_) names_.stop();
    const std::span<const std::uintptr_t> addresses = sources::birth_stack(id);
    const std::size_t count = tables_ == nullptr ? 0 : calls_in(addresses, *tables_);
    const auto frames = memory_.allocate_span<model::native_frame>(count);
    for (std::size_t i = 0; i < frames.size(); ++i)
        frames[i] = names_.frame_of({.pc = addresses[i]});
    return frames;
}

}  // namespace corodump::snapshot
