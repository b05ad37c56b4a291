#include "agent/runtime/code_symbols.hpp"

#include "agent/symbols/demangle.hpp"

namespace corodump::runtime {

void code_symbols::begin(base::arena& memory) noexcept {
    memory_ = &memory;
    symbolizer_.reset();
    map_ = {};
    read_ = false;
}

void code_symbols::read() noexcept {
    if (read_) return;
    read_ = true;
    map_ = symbols::read_module_map(*memory_);
    symbolizer_.emplace(map_, *memory_);
}

std::string_view code_symbols::name_of(std::uint64_t code, std::span<char> out) noexcept {
    read();
    char raw[symbols::max_symbol_name];
    const symbols::symbol found = symbolizer_->find(code, raw);
    if (found.name.empty()) return {};
    const std::string_view name = symbols::clean_function_name(found.name, out);
    if (!name.empty() && name.data() >= out.data() && name.data() < out.data() + out.size())
        return name;
    const std::size_t bytes = std::min(name.size(), out.size());
    std::copy_n(name.data(), bytes, out.data());
    return {out.data(), bytes};
}

bool code_symbols::is_code(std::uint64_t address) noexcept {
    read();
    const symbols::module_info* const image = map_.find(address);
    return image != nullptr && address >= image->text_start && address < image->text_end;
}

const symbols::module_map& code_symbols::images() noexcept {
    read();
    return map_;
}

void code_symbols::refresh() noexcept {
    read_ = false;
    read();
}

std::span<const model::module> code_symbols::modules() noexcept {
    read();
    const auto made = memory_->allocate_span<model::module>(map_.modules.size());
    for (std::size_t i = 0; i < made.size(); ++i) {
        const symbols::module_info& from = map_.modules[i];
        made[i] = {from.path, from.build_id, from.start, from.end};
    }
    return made;
}

std::string_view code_symbols::executable_build_id() noexcept {
    read();
    const symbols::module_info* const executable = map_.executable();
    return executable == nullptr ? std::string_view{} : executable->build_id;
}

}  // namespace corodump::runtime
