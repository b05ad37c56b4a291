// libFuzzer on the parser of /proc/<pid>/maps: the same map however the text comes, always sorted.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "agent/base/arena.hpp"
#include "agent/symbols/module_map.hpp"
#include "tests/fuzz/invariant.hpp"

namespace {

using corodump::base::arena;
using corodump::symbols::module_info;
using corodump::symbols::module_map;
using corodump::symbols::module_map_builder;
using corodump::test::must;

module_map build(arena& memory, std::string_view text, std::size_t step) {
    const auto builder = std::make_unique<module_map_builder>(memory);
    for (; !text.empty(); text.remove_prefix(std::min(step, text.size()))) {
        builder->feed(text.substr(0, step));
    }
    return builder->finish();
}

void check(const module_map& map, std::string_view text) {
    std::uint64_t behind = 0;
    for (const module_info& one : map.modules) {
        must(one.start >= behind && one.start < one.end);
        must(one.text_start >= one.start && one.text_start < one.text_end);
        must(one.text_end <= one.end);
        must(!one.path.empty() && one.path.size() <= text.size());
        must(map.find(one.start) == &one && map.find(one.end - 1) == &one);
        behind = one.end;
    }
    const auto lines = std::count(text.begin(), text.end(), '\n') + 1;
    must(map.modules.size() + map.unreadable + map.dropped <= static_cast<std::uint64_t>(lines));
}

bool equal(const module_info& a, const module_info& b) {
    return a.path == b.path && a.start == b.start && a.end == b.end &&
           a.text_start == b.text_start && a.text_end == b.text_end &&
           a.file_offset == b.file_offset && a.deleted == b.deleted;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static arena memory;
    if (memory.capacity() == 0) must(memory.reserve(16 << 20).ok());
    memory.rewind(0);
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const module_map whole = build(memory, text, size);
    check(whole, text);
    const module_map pieces = build(memory, text, 1 + size % 23);
    must(whole.unreadable == pieces.unreadable && whole.dropped == pieces.dropped);
    must(std::equal(whole.modules.begin(), whole.modules.end(), pieces.modules.begin(),
                    pieces.modules.end(), equal));
    return 0;
}
