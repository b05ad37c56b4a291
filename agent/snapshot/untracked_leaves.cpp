// Which leaves seem to await a coroutine that is not tracked: no record, only what code says of two
// words.
#include <algorithm>

#include "agent/base/safe_copy.hpp"
#include "agent/snapshot/chain_marks.hpp"
#include "agent/snapshot/chains.hpp"
#include "agent/symbols/unwind_tables.hpp"

namespace corodump::snapshot {
namespace {

using model::no_index;

constexpr unsigned max_untracked_leaves = 128;

/// Return addresses on a stack look like a frame's two words too, but lie within functions.
bool begin_functions(std::span<const std::uint64_t> addresses, code_names& code,
                     base::arena& scratch) noexcept {
    const base::arena::mark_type mark = scratch.mark();
    symbols::unwind_tables tables(code.images(), scratch);
    const bool begin = std::ranges::all_of(addresses, [&tables](std::uint64_t address) {
        symbols::function_entry found;
        return !tables.find_function(address, found) || found.fde.begin == address;
    });
    scratch.rewind(mark);
    return begin;
}

/// A std::function's two words begin functions as well, but of different names. Where symbols are
/// stripped, it is taken for a frame.
bool are_of_one_function(std::uint64_t one, std::uint64_t other, code_names& code) noexcept {
    char first[512];
    char second[512];
    const std::string_view name = code.name_of(one, first);
    return name.empty() || name == code.name_of(other, second);
}

}  // namespace

bool chain_builder::is_coroutine(std::uint64_t address, code_names& code,
                                 base::arena& scratch) noexcept {
    std::uint64_t parts[2];  // resume and destroy
    return address >= 4096 && (address & 7U) == 0 &&
           base::safe_copy(parts, address, sizeof parts) == sizeof parts &&
           parts[0] != parts[1] &&  // a std::noop_coroutine's are the same
           code.is_code(parts[0]) && code.is_code(parts[1]) &&
           // A table of virtual functions begins with two destructors; frames lie in no image.
           code.images().find(address) == nullptr && begin_functions(parts, code, scratch) &&
           are_of_one_function(parts[0], parts[1], code);
}

std::uint64_t chain_builder::count_untracked(code_names& code, base::arena& scratch) noexcept {
    std::uint64_t found = 0;
    unsigned looked_at = 0;
    for (const model::frame& f : frames_) {
        if (!waits(f) || f.first_child != no_index || f.state != model::task_state::pending)
            continue;
        if (++looked_at > max_untracked_leaves) break;
        std::uint64_t begin = 0;
        for (const std::uint64_t word : awaiter_words(f, begin)) {
            if (word < 4096 || index_.containing(word) != no_index) continue;
            // A handle, or a promise's address straight behind the two pointers.
            if (!is_coroutine(word, code, scratch) && !is_coroutine(word - 16, code, scratch))
                continue;
            ++found;
            break;
        }
    }
    return found;
}

}  // namespace corodump::snapshot
