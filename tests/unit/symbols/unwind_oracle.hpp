// libunwind as the oracle of the unwinder's tests: the stack of a context as it sees it.
//
// Loaded with dlopen and RTLD_LOCAL, so that the _Unwind_* functions it exports do not take the
// place of libgcc's in this program.
#pragma once

#define UNW_LOCAL_ONLY
#include <dlfcn.h>
#include <libunwind.h>

#include <cstddef>
#include <cstdint>
#include <span>

namespace corodump::test {

#define CORODUMP_TEXT_OF(name) #name
#define CORODUMP_TEXT(name) CORODUMP_TEXT_OF(name)

class unwind_oracle {
public:
    static unwind_oracle& get() {
        static unwind_oracle one;
        return one;
    }

    [[nodiscard]] bool usable() const { return get_ != nullptr; }

    /// The number of frames; `whole`: up to an end that the tables tell, each frame by its tables.
    std::size_t unwind(const ucontext_t& context, std::span<std::uint64_t> pcs, bool& whole) {
        unw_cursor_t cursor;
        whole = false;
        auto* const from = const_cast<unw_context_t*>(static_cast<const unw_context_t*>(&context));
        if (init_(&cursor, from, UNW_INIT_SIGNAL_FRAME) != 0) return 0;
        std::size_t count = 0;
        while (count < pcs.size()) {
            unw_word_t pc = 0;
            if (get_(&cursor, UNW_REG_IP, &pc) != 0 || pc == 0) break;
            pcs[count++] = pc;
            const int further = step_(&cursor);
            whole = further == 0;
            if (further <= 0) break;
        }
        return count;
    }

private:
    unwind_oracle() {
        void* const library = ::dlopen("libunwind.so.8", RTLD_NOW | RTLD_LOCAL);
        if (library == nullptr) return;
        init_ = reinterpret_cast<decltype(init_)>(
            ::dlsym(library, CORODUMP_TEXT(UNW_OBJ(init_local2))));
        step_ = reinterpret_cast<decltype(step_)>(::dlsym(library, CORODUMP_TEXT(UNW_OBJ(step))));
        const auto set_policy = reinterpret_cast<int (*)(unw_addr_space_t, unw_caching_policy_t)>(
            ::dlsym(library, CORODUMP_TEXT(UNW_OBJ(set_caching_policy))));
        auto* const space = static_cast<unw_addr_space_t*>(
            ::dlsym(library, CORODUMP_TEXT(UNW_OBJ(local_addr_space))));
        if (set_policy == nullptr || space == nullptr || set_policy(*space, UNW_CACHE_NONE) != 0) {
            return;
        }
        get_ = reinterpret_cast<decltype(get_)>(::dlsym(library, CORODUMP_TEXT(UNW_OBJ(get_reg))));
    }

    int (*init_)(unw_cursor_t*, unw_context_t*, int) = nullptr;
    int (*step_)(unw_cursor_t*) = nullptr;
    int (*get_)(unw_cursor_t*, int, unw_word_t*) = nullptr;
};

}  // namespace corodump::test
