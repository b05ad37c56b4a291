// libFuzzer on the readers of .eh_frame and .eh_frame_hdr, CFI programs, expressions and code.
#include <cstddef>
#include <cstdint>

#include "tests/fuzz/eh_frame_walk.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    constexpr std::uint64_t somewhere = 0x7f0012340000;
    corodump::test::eh_frame_walk({data, size}, somewhere).run();
    return 0;
}
