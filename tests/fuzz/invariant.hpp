// What a fuzz target holds true beyond "it does not crash": a false one stops the program where it
// stands, which libFuzzer reports with its stack and the input.
#pragma once

namespace corodump::test {

inline void must(bool fact) noexcept {
    if (!fact) __builtin_trap();
}

}  // namespace corodump::test
