// The process's images, and the names of its code, for one dump at a time: read when first asked
// for, in the dump's arena.
//
// Threads: watchdog only. Signals: unsafe. Blocks: on the file system of the images.
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "agent/base/arena.hpp"
#include "agent/model/snapshot.hpp"
#include "agent/snapshot/code_names.hpp"
#include "agent/symbols/elf_symbols.hpp"
#include "agent/symbols/module_map.hpp"

namespace corodump::runtime {

class code_symbols final : public snapshot::code_names {
public:
    /// Forgets the last dump's images, whose memory is about to be reused.
    void begin(base::arena& memory) noexcept;

    std::string_view name_of(std::uint64_t code, std::span<char> out) noexcept override;
    bool is_code(std::uint64_t address) noexcept override;
    const symbols::module_map& images() noexcept override;
    void refresh() noexcept override;
    [[nodiscard]] std::span<const model::module> modules() noexcept;
    /// Of the process's executable; empty: unknown.
    [[nodiscard]] std::string_view executable_build_id() noexcept;

private:
    void read() noexcept;

    base::arena* memory_ = nullptr;
    bool read_ = false;
    symbols::module_map map_;
    std::optional<symbols::symbolizer> symbolizer_;
};

}  // namespace corodump::runtime
