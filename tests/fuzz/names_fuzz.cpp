// libFuzzer on names: what stands in a symbol table or in __PRETTY_FUNCTION__, made readable.
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "agent/symbols/demangle.hpp"
#include "tests/fuzz/invariant.hpp"

namespace {

using corodump::test::must;

// What comes back lies in the buffer or is a part of the name.
void check(std::string_view shown, std::string_view raw, std::span<const char> buffer) {
    const auto within = [shown](const char* begin, std::size_t size) {
        return shown.data() >= begin && shown.data() + shown.size() <= begin + size;
    };
    must(shown.empty() || within(buffer.data(), buffer.size()) || within(raw.data(), raw.size()));
}

void clean(std::string_view raw, std::span<char> buffer) {
    using namespace corodump::symbols;
    check(clean_function_name(raw, buffer), raw, buffer);
    check(clean_type_name(raw, buffer), raw, buffer);
    check(demangle(raw, buffer), raw, buffer);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view raw(reinterpret_cast<const char*>(data), size);
    static char large[4096];
    char small[9];
    clean(raw, large);
    clean(raw, small);
    return 0;
}
