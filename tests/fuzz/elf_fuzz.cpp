// libFuzzer on all that reads an image: headers, notes, symbols, names, unwind tables, stacks.
#include <cstddef>
#include <cstdint>

#include "tests/fuzz/elf_walk.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static corodump::test::elf_walk walk;
    (void)walk.run({data, size});
    return 0;
}
