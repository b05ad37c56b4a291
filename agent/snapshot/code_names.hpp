// Names of code addresses out of the symbol tables of mapped files: for coroutines whose promise
// did not say what they are. Coroutine functions are local symbols, which dladdr(3) cannot see.
//
// Threads: watchdog only. Signals: unsafe. Blocks: on the file system of the images.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "agent/symbols/module_map.hpp"

namespace corodump::snapshot {

class code_names {
public:
    /// The cleaned function name, in `out`; empty: unknown.
    virtual std::string_view name_of(std::uint64_t code, std::span<char> out) noexcept = 0;
    /// The address lies in an executable mapping of an image.
    virtual bool is_code(std::uint64_t address) noexcept = 0;
    /// The process's images as last read.
    virtual const symbols::module_map& images() noexcept = 0;
    /// Reads them anew, for an address in none of them. What was there stays valid.
    virtual void refresh() noexcept = 0;

protected:
    ~code_names() = default;
};

}  // namespace corodump::snapshot
