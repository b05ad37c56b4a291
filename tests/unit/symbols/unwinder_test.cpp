#include "agent/symbols/unwinder.hpp"

#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "agent/base/safe_copy.hpp"
#include "agent/symbols/unwind_tables.hpp"
#include "tests/unit/symbols/unwind_oracle.hpp"
#include "tests/unit/symbols/victims/unwind_victims.hpp"

namespace corodump::symbols {
namespace {

using test::named_victims;
using test::victim;

constexpr std::size_t max_frames = 300;

// What the thread source hands to the unwinder: a copy of the stack, and live memory beyond it.
class copied_stack : public stack_memory {
public:
    explicit copied_stack(std::uint64_t sp) : start_(sp) {
        size_ = base::safe_copy(bytes_, sp, sizeof bytes_);
    }
    origin read(std::uint64_t address, std::uint64_t& into) noexcept override {
        if (address >= start_ && address + 8 <= start_ + size_) {
            std::memcpy(&into, bytes_ + (address - start_), 8);
            return origin::copied;
        }
        return base::safe_read(into, address) ? origin::live : origin::none;
    }

private:
    std::uint64_t start_;
    std::size_t size_;
    char bytes_[64 << 10];
};

struct mismatch {
    std::uint64_t pc = 0;
    std::size_t frame = 0;
    std::uint64_t expected = 0;
    std::uint64_t found = 0;
};

/// Compares at every stop; all in static memory, since stops are in signal handlers.
struct comparison {
    std::unique_ptr<unwind_tables> tables;
    std::size_t stops = 0;
    std::size_t frames = 0;
    std::size_t whole = 0;     // stacks that libunwind finds complete
    std::size_t complete = 0;  // and ours, with all registers
    std::size_t wrong = 0;     // ours differ
    std::size_t shorter = 0;
    std::size_t partial_frames = 0;
    std::size_t partial_complete = 0;
    std::size_t partial_inferred = 0;
    std::size_t partial_wrong = 0;
    mismatch first[8];
    std::size_t noted = 0;

    void note(std::uint64_t pc, std::size_t frame, std::uint64_t expected, std::uint64_t found) {
        if (noted < std::size(first)) first[noted++] = {pc, frame, expected, found};
    }

    void compare(const ucontext_t& context) {
        static std::uint64_t expected[max_frames + 8];
        static native_frame found[max_frames];
        bool is_whole = false;
        std::size_t count = test::unwind_oracle::get().unwind(context, expected, is_whole);
        // It forgets that longjmp keeps rbp in r9 for a while, and goes astray.
        const auto* const astray =
            std::find_if(expected, expected + count,
                         [this](std::uint64_t pc) { return !tables->is_code(pc - 1); });
        is_whole = is_whole && astray == expected + count;
        count = static_cast<std::size_t>(astray - expected);
        const std::span<const std::uint64_t> truth(expected, count);
        cpu_state state = cpu_state::from_ucontext(context);
        copied_stack stack(state.sp());
        unwinder one(*tables);
        ++stops;
        whole += is_whole ? 1 : 0;
        const unwound all = one.unwind(state, stack, found);
        frames += all.frames;
        complete += all.end == unwind_end::complete ? 1 : 0;
        check(truth, is_whole, all, found, state.pc());
        const cpu_state little = cpu_state::from_syscall(state.sp(), state.pc());
        const unwound part = one.unwind(little, stack, found);
        partial_frames += part.frames;
        partial_inferred += part.inferred ? 1 : 0;
        partial_complete += part.end == unwind_end::complete ? 1 : 0;
        if (!is_prefix(truth, part, found, state.pc(), is_whole)) ++partial_wrong;
    }

    void check(std::span<const std::uint64_t> truth, bool is_whole, const unwound& result,
               const native_frame* found, std::uint64_t pc) {
        if (!is_prefix(truth, result, found, pc, is_whole)) ++wrong;
        if (is_whole && result.frames < truth.size()) {
            ++shorter;
            note(pc, result.frames, truth[result.frames], static_cast<std::uint64_t>(result.end));
        }
    }

    // What libunwind lost, ours may have; what both have must be the same.
    bool is_prefix(std::span<const std::uint64_t> truth, const unwound& result,
                   const native_frame* found, std::uint64_t pc, bool is_whole) {
        for (std::size_t i = 0; i < result.frames; ++i) {
            if (i >= truth.size() && !is_whole) return true;
            const std::uint64_t expected = i < truth.size() ? truth[i] : 0;
            if (found[i].pc == expected) continue;
            note(pc, i, expected, found[i].pc);
            return false;
        }
        return result.end != unwind_end::complete || !is_whole || result.frames == truth.size();
    }
};

comparison* now = nullptr;

void stop_and_compare() {
    ucontext_t context;
    ::getcontext(&context);
    now->compare(context);
}

void nothing() {}

// Between a system call and whoever reads its errno.
void on_trap(int /*signal*/, siginfo_t* /*info*/, void* context) {
    const int error = errno;
    now->compare(*static_cast<const ucontext_t*>(context));
    errno = error;
}

void raise_here() {
    ::raise(SIGUSR2);
}

// From here on the processor traps behind each instruction.
void single_step(bool on) {
#if defined(__x86_64__)
    constexpr std::uint64_t trap_flag = 0x100;
    const auto flags = __builtin_ia32_readeflags_u64();
    __builtin_ia32_writeeflags_u64(on ? flags | trap_flag : flags & ~trap_flag);
#else
    (void)on;
#endif
}

struct job {
    const named_victims* set = nullptr;
    victim which = victim::plain;
    void (*stop)() = nullptr;
    bool stepping = false;
};

void* run_job(void* argument) {
    const job& one = *static_cast<const job*>(argument);
    if (one.stepping) single_step(true);
    one.set->run(one.which, one.stop);
    if (one.stepping) single_step(false);
    return nullptr;
}

// On a thread of its own: its stack ends in the C library's clone3, and is short.
void run_on_thread(job one) {
    pthread_t thread{};
    ASSERT_EQ(::pthread_create(&thread, nullptr, run_job, &one), 0);
    ASSERT_EQ(::pthread_join(thread, nullptr), 0);
}

class Unwinder : public testing::TestWithParam<named_victims> {
protected:
    void SetUp() override {
        ASSERT_TRUE(test::unwind_oracle::get().usable()) << "libunwind.so.8 is not installed";
        ASSERT_TRUE(memory_.reserve(64 << 20).ok());
        map_ = read_module_map(memory_);
        ASSERT_EQ(map_.error, 0);
        one_.tables = std::make_unique<unwind_tables>(map_, memory_);
        now = &one_;
    }
    void TearDown() override { now = nullptr; }

    void handle(int signal, void (*handler)(int, siginfo_t*, void*), int flags) {
        struct sigaction action{};
        action.sa_sigaction = handler;
        action.sa_flags = SA_SIGINFO | flags;
        ASSERT_EQ(::sigaction(signal, &action, nullptr), 0);
    }

    // As addr2line takes it.
    [[nodiscard]] std::string place(std::uint64_t pc) const {
        const module_info* const image = map_.find(pc);
        char text[40];
        std::snprintf(text, sizeof text, "%#lx", image == nullptr ? pc : pc - image->load_bias);
        return (image == nullptr ? "" : std::string(image->path) + " ") + text;
    }

    [[nodiscard]] std::string report() const {
        std::string text;
        for (std::size_t i = 0; i < one_.noted; ++i) {
            const mismatch& m = one_.first[i];
            text += "at " + place(m.pc) + " frame " + std::to_string(m.frame) + ": expected " +
                    place(m.expected) + ", found " + place(m.found) + "\n";
        }
        return text;
    }

    void expect_same(bool every_stack_complete = true) {
        EXPECT_GT(one_.stops, 0U);
        EXPECT_GT(one_.whole, 0U);
        EXPECT_EQ(one_.wrong, 0U) << report();
        EXPECT_EQ(one_.shorter, 0U) << report();
        EXPECT_EQ(one_.partial_wrong, 0U) << report();
        if (every_stack_complete) {
            EXPECT_EQ(one_.complete, one_.stops);
        }
        for (const auto& [name, value] : std::initializer_list<std::pair<const char*, std::size_t>>{
                 {"stops", one_.stops},
                 {"frames", one_.frames},
                 {"complete", one_.complete},
                 {"frames_of_sp_and_pc", one_.partial_frames},
                 {"complete_of_sp_and_pc", one_.partial_complete},
                 {"inferred", one_.partial_inferred}}) {
            RecordProperty(name, std::to_string(value));
        }
    }

    base::arena memory_;
    module_map map_;
    comparison one_;
};

constexpr victim stepped[] = {victim::plain,      victim::frames,    victim::callbacks,
                              victim::formatting, victim::libraries, victim::system_calls};

TEST_P(Unwinder, AgreesWithLibunwindWhereVictimsStop) {
    const named_victims set = GetParam();
    for (const victim which : {victim::plain, victim::deep, victim::frames, victim::callbacks,
                               victim::formatting, victim::exceptions, victim::libraries}) {
        run_on_thread({&set, which, stop_and_compare, false});
        set.run(which, stop_and_compare);
    }
    expect_same();
}

TEST_P(Unwinder, PassesSignalHandlersOnBothKindsOfStack) {
    const named_victims set = GetParam();
    const auto handler = [](int /*signal*/, siginfo_t* /*info*/, void* /*context*/) {
        stop_and_compare();
    };
    handle(SIGUSR2, handler, 0);
    run_on_thread({&set, victim::callbacks, raise_here, false});
    const std::vector<char> other(256 << 10);
    stack_t alternate{};
    alternate.ss_sp = const_cast<char*>(other.data());
    alternate.ss_size = other.size();
    ASSERT_EQ(::sigaltstack(&alternate, nullptr), 0);
    handle(SIGUSR2, handler, SA_ONSTACK);
    set.run(victim::plain, raise_here);
    alternate.ss_flags = SS_DISABLE;
    ASSERT_EQ(::sigaltstack(&alternate, nullptr), 0);
    ::signal(SIGUSR2, SIG_DFL);
    expect_same();
}

#if defined(__x86_64__)
TEST_P(Unwinder, AgreesWithLibunwindAtEveryInstruction) {
    const named_victims set = GetParam();
    handle(SIGTRAP, on_trap, 0);
    for (const victim which : stepped) run_on_thread({&set, which, nothing, true});
    ::signal(SIGTRAP, SIG_DFL);
    expect_same(false);
}
#endif

INSTANTIATE_TEST_SUITE_P(Victims, Unwinder, testing::ValuesIn(test::all_victims),
                         [](const auto& all) { return std::string(all.param.name); });

}  // namespace
}  // namespace corodump::symbols
