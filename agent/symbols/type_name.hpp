// The cleaning of types, as the cleaning of functions uses it for their template arguments.
//
// Threads: any. Signals: safe. Blocks: never. Errors: cut text. Bounds: nesting of 64.
#pragma once

#include <cstddef>
#include <string_view>

#include "agent/base/text.hpp"

namespace corodump::symbols {

/// Appends `text` as clean_type_name() would write it. A list of template arguments longer than
/// `longest_list` bytes becomes <...>; 0: no limit.
void append_clean_type(base::text& out, std::string_view text, std::size_t longest_list) noexcept;

}  // namespace corodump::symbols
