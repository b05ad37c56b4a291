#include "agent/snapshot/native_names.hpp"

namespace corodump::snapshot {

native_names::native_names(base::arena& memory, code_names& code) noexcept
    : memory_(memory), code_(code), cache_(memory.allocate_span<entry>(cache_size)) {}

std::string_view native_names::function_at(std::uint64_t code) noexcept {
    constexpr unsigned max_probes = 8;
    entry* free = nullptr;
    const std::size_t start = static_cast<std::size_t>(code * 0x9e3779b97f4a7c15U >> 40U);
    for (unsigned i = 0; i < max_probes && !cache_.empty() && free == nullptr; ++i) {
        entry& at = cache_[(start + i) % cache_.size()];
        if (at.code == code) return at.function;
        if (at.code == 0) free = &at;
    }
    if (stopped_) return {};
    char name[2048];
    const std::string_view function = memory_.copy(code_.name_of(code, name));
    if (free != nullptr) *free = {code, function};
    return function;
}

model::native_frame native_names::frame_of(const symbols::native_frame& from) noexcept {
    model::native_frame made;
    made.address = from.pc;
    made.live = from.live;
    made.inferred = from.inferred;
    // A return address may be that of the next function, where a call never returns.
    const std::uint64_t code = from.interrupted ? from.pc : from.pc - 1;
    const symbols::module_map& images = code_.images();
    if (const symbols::module_info* const image = images.find(code)) {
        made.module = static_cast<std::uint32_t>(image - images.modules.data());
        made.offset = code - (image->has_bias ? image->load_bias : image->start);
    }
    made.function = function_at(code);
    return made;
}

}  // namespace corodump::snapshot
