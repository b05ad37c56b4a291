// How stacks end, and what is never guessed, on stacks and tables that are made by hand.
#include <elf.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "agent/symbols/unwind_tables.hpp"
#include "agent/symbols/unwinder.hpp"

namespace corodump::symbols {
namespace {

constexpr std::uint64_t stack_start = 0x7ffe00000000;

class word_stack : public stack_memory {
public:
    origin read(std::uint64_t address, std::uint64_t& into) noexcept override {
        const auto found = words.find(address);
        if (found == words.end()) return origin::none;
        into = found->second;
        return address >= live_from ? origin::live : origin::copied;
    }

    std::map<std::uint64_t, std::uint64_t> words;
    std::uint64_t live_from = ~std::uint64_t{0};
};

void append(std::string& to, std::uint64_t value, int size) {
    for (int i = 0; i < size; ++i) to.push_back(static_cast<char>(value >> 8 * i & 0xff));
}

/// An image in memory of our own: ELF header, unwind tables, then functions of 256 bytes each.
class image {
public:
    static constexpr std::uint64_t size = 16 << 10;
    static constexpr std::uint64_t code_offset = 8 << 10;
    static constexpr std::uint64_t function_bytes = 256;

    image() {
        void* const at =
            ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        start_ = reinterpret_cast<std::uint64_t>(at);
        std::memset(reinterpret_cast<void*>(start_ + code_offset), 0x90, size - code_offset);
    }
    image(const image&) = delete;
    image& operator=(const image&) = delete;
    ~image() { ::munmap(reinterpret_cast<void*>(start_), size); }

    [[nodiscard]] std::uint64_t function(std::size_t index) const {
        return start_ + code_offset + index * function_bytes;
    }

    /// The next function's CFI program and code, the code from its first byte on.
    void add(std::string_view program, std::string_view code = {}) {
        if (!code.empty()) write(function(programs_.size()) - start_, std::string(code));
        programs_.emplace_back(program);
    }

    /// Writes the tables; `sorted`: with a search table.
    module_info finish(bool sorted = true) {
        constexpr std::uint64_t header_offset = 0x100;
        const std::uint64_t frame_offset = header_offset + 12 + 8 * programs_.size();
        std::string frames;
        std::string pairs;
        // CFA = rsp+8, return address at -8; absolute pointers.
        append_entry(frames, std::string("\0\0\0\0\1\0\1\x78\x10\x0c\x07\x08\x90\x01", 14));
        for (std::size_t i = 0; i < programs_.size(); ++i) {
            const std::uint64_t at = frame_offset + frames.size();
            append(pairs, function(i) - start_ - header_offset, 4);
            append(pairs, at - header_offset, 4);
            std::string content;
            append(content, frames.size() + 4, 4);
            append(content, function(i), 8);
            append(content, function_bytes, 8);
            append_entry(frames, content + programs_[i]);
        }
        append(frames, 0, 4);
        std::string header(sorted ? "\x01\x1b\x03\x3b" : "\x01\x1b\xff\xff", 4);
        append(header, frame_offset - header_offset - 4, 4);
        append(header, programs_.size(), 4);
        write(header_offset, header + pairs + frames);
        write_elf(header_offset);
        module_info made;
        made.path = "/made/by/hand";
        made.start = made.load_bias = start_;
        made.end = start_ + size;
        made.text_start = start_ + code_offset;
        made.text_end = made.end;
        made.has_bias = true;
        return made;
    }

private:
    static void append_entry(std::string& to, const std::string& content) {
        append(to, content.size(), 4);
        to += content;
    }
    void write(std::uint64_t offset, const std::string& bytes) const {
        std::memcpy(reinterpret_cast<void*>(start_ + offset), bytes.data(), bytes.size());
    }
    void write_elf(std::uint64_t header_offset) const {
        Elf64_Ehdr elf{};
        std::memcpy(elf.e_ident, ELFMAG, SELFMAG);
        elf.e_ident[EI_CLASS] = ELFCLASS64;
        elf.e_ident[EI_DATA] = ELFDATA2LSB;
        elf.e_type = ET_DYN;
        elf.e_phoff = sizeof elf;
        elf.e_phentsize = sizeof(Elf64_Phdr);
        elf.e_phnum = 1;
        Elf64_Phdr segment{};
        segment.p_type = PT_GNU_EH_FRAME;
        segment.p_vaddr = header_offset;
        std::memcpy(reinterpret_cast<void*>(start_), &elf, sizeof elf);
        std::memcpy(reinterpret_cast<void*>(start_ + sizeof elf), &segment, sizeof segment);
    }

    std::uint64_t start_ = 0;
    std::vector<std::string> programs_;
};

using namespace std::string_view_literals;

// CFI: nothing but the CIE's row; no caller at all; a frame pointer from byte 4 on.
constexpr auto leaf_cfi = ""sv;
constexpr auto outermost_cfi = "\x07\x10"sv;
constexpr auto frame_cfi = "\x41\x0e\x10\x86\x02\x43\x0d\x06"sv;

#if defined(__x86_64__)

class UnwindEnds : public testing::Test {
protected:
    UnwindEnds() { EXPECT_TRUE(memory_.reserve(16 << 20).ok()); }

    unwound unwind(const cpu_state& from, bool sorted = true) {
        modules_[0] = image_.finish(sorted);
        module_map map;
        map.modules = modules_;
        unwind_tables tables(map, memory_);
        return unwinder(tables).unwind(from, stack_, frames_);
    }

    [[nodiscard]] cpu_state at(std::size_t function, std::uint64_t offset = 0) const {
        return cpu_state::from_syscall(stack_start, image_.function(function) + offset);
    }
    // Function `callee` called from `caller`, whose call ends at `offset`.
    void call(std::uint64_t slot, std::size_t caller, std::uint64_t offset) {
        stack_.words[slot] = image_.function(caller) + offset;
    }

    base::arena memory_;
    module_info modules_[1];
    image image_;
    word_stack stack_;
    native_frame frames_[8];
};

TEST_F(UnwindEnds, CompleteWhereTheTablesSayThatThereIsNoCaller) {
    image_.add(leaf_cfi);
    image_.add(outermost_cfi);
    call(stack_start, 1, 0x20);
    for (const bool sorted : {true, false}) {
        const unwound result = unwind(at(0), sorted);
        EXPECT_EQ(result.end, unwind_end::complete);
        ASSERT_EQ(result.frames, 2U);
        EXPECT_EQ(frames_[0].pc, image_.function(0));
        EXPECT_TRUE(frames_[0].interrupted);
        EXPECT_EQ(frames_[1].pc, image_.function(1) + 0x20);
        EXPECT_FALSE(frames_[1].interrupted);
        EXPECT_FALSE(result.inferred);
        EXPECT_FALSE(result.live);
    }
}

TEST_F(UnwindEnds, CompleteAtAZeroReturnAddressOnlyWithAZeroFramePointer) {
    image_.add(leaf_cfi);
    stack_.words[stack_start] = 0;
    cpu_state from = at(0);
    EXPECT_EQ(unwind(from).end, unwind_end::no_cfi);  // rbp unknown
    from.set(frame_pointer_register, 0x1234);
    EXPECT_EQ(unwind(from).end, unwind_end::no_cfi);
    from.set(frame_pointer_register, 0);
    const unwound result = unwind(from);
    EXPECT_EQ(result.end, unwind_end::complete);
    EXPECT_EQ(result.frames, 1U);
}

TEST_F(UnwindEnds, PartialWhereAPcHasNoTables) {
    image_.add(leaf_cfi);
    stack_.words[stack_start] = 0x1234;
    const unwound result = unwind(at(0));
    EXPECT_EQ(result.end, unwind_end::no_cfi);
    ASSERT_EQ(result.frames, 2U);
    EXPECT_EQ(frames_[1].pc, 0x1234U);
}

TEST_F(UnwindEnds, PartialWhereTheStackCannotBeRead) {
    image_.add(leaf_cfi);
    const unwound result = unwind(at(0));
    EXPECT_EQ(result.end, unwind_end::unreadable);
    EXPECT_EQ(result.frames, 1U);
}

TEST_F(UnwindEnds, PartialWhereFramesDoNotRise) {
    image_.add(frame_cfi);
    stack_.words[stack_start - 8] = image_.function(0) + 8;
    cpu_state from = at(0, 8);
    from.set(frame_pointer_register, stack_start - 16);
    const unwound result = unwind(from);
    EXPECT_EQ(result.end, unwind_end::no_progress);
    EXPECT_EQ(result.frames, 1U);
}

// As in vfork, which keeps its return address in the first argument's register.
TEST_F(UnwindEnds, FollowsAReturnAddressInARegisterThatIsKnown) {
    image_.add("\x0e\0\x09\x10\x05"sv);
    image_.add(outermost_cfi);
    EXPECT_EQ(unwind(at(0)).end, unwind_end::unknown_register);
    const std::uint64_t arguments[] = {image_.function(1) + 0x10};
    const cpu_state from = cpu_state::from_syscall(stack_start, image_.function(0), arguments);
    const unwound result = unwind(from);
    EXPECT_EQ(result.end, unwind_end::complete);
    EXPECT_EQ(result.frames, 2U);
}

TEST_F(UnwindEnds, StopsWhereThereIsNoRoom) {
    image_.add(leaf_cfi);
    for (std::uint64_t i = 0; i < 20; ++i) call(stack_start + 8 * i, 0, 0x10);
    const unwound result = unwind(at(0));
    EXPECT_EQ(result.end, unwind_end::bound);
    EXPECT_EQ(result.frames, std::size(frames_));
}

TEST_F(UnwindEnds, MarksWhatComesOfLiveMemory) {
    image_.add(leaf_cfi);
    image_.add(outermost_cfi);
    call(stack_start, 0, 0x10);
    call(stack_start + 8, 0, 0x10);
    call(stack_start + 16, 1, 0x10);
    stack_.live_from = stack_start + 8;
    const unwound result = unwind(at(0));
    EXPECT_EQ(result.end, unwind_end::complete);
    EXPECT_TRUE(result.live);
    ASSERT_EQ(result.frames, 4U);
    EXPECT_FALSE(frames_[1].live);
    EXPECT_TRUE(frames_[2].live);
    EXPECT_TRUE(frames_[3].live);
}

TEST_F(UnwindEnds, NeedsPcAndSp) {
    image_.add(leaf_cfi);
    cpu_state nothing;
    nothing.set(pc_register, image_.function(0));
    const unwound result = unwind(nothing);
    EXPECT_EQ(result.end, unwind_end::unknown_register);
    EXPECT_EQ(result.frames, 0U);
}

// A frame of 0x40 bytes below rbp, in a call to function 0; it was called by function 2.
class InferredFrame : public UnwindEnds {
protected:
    static constexpr std::uint64_t depth = 16 + 0x40;

    // push %rbp; mov %rsp,%rbp; `code`, which ends in a call. Padded with nop.
    unwound with_code(std::string_view code, std::string_view behind = "\xc9\xc3"sv,
                      std::uint64_t actual_depth = depth) {
        const std::string body =
            std::string("\x55\x48\x89\xe5") + std::string(code) + std::string(behind);
        image_.add(leaf_cfi);
        image_.add(frame_cfi, body);
        image_.add(outermost_cfi, caller_code_);
        call(stack_start, 1, 4 + code.size());
        call(stack_start + actual_depth, 2, 0x10);
        return unwind(at(0));
    }

    std::string caller_code_ = std::string(11, '\x90') + std::string("\xe8\0\0\0\0", 5);
};

constexpr auto allocate_and_call = "\x48\x83\xec\x40\xe8\0\0\0\0"sv;

TEST_F(InferredFrame, IsFoundThroughThePrologue) {
    const unwound result = with_code(allocate_and_call);
    EXPECT_EQ(result.end, unwind_end::complete);
    EXPECT_TRUE(result.inferred);
    ASSERT_EQ(result.frames, 3U);
    EXPECT_FALSE(frames_[1].inferred);
    EXPECT_TRUE(frames_[2].inferred);
    EXPECT_EQ(frames_[2].pc, image_.function(2) + 0x10);
}

TEST_F(InferredFrame, IsNotNeededWhereTheFramePointerIsKnown) {
    (void)with_code(allocate_and_call);
    cpu_state from = at(0);
    from.set(frame_pointer_register, stack_start + 8 + 0x40);
    const unwound result = unwind(from);
    EXPECT_EQ(result.end, unwind_end::complete);
    EXPECT_FALSE(result.inferred);
    EXPECT_EQ(result.frames, 3U);
}

TEST_F(InferredFrame, IsRefusedUnlessTheReturnAddressFollowsACall) {
    caller_code_ = std::string(32, '\x90');
    const unwound result = with_code(allocate_and_call);
    EXPECT_EQ(result.end, unwind_end::unknown_register);
    EXPECT_EQ(result.frames, 2U);
}

struct refused_code {
    const char* name;
    std::string_view code;
    std::string_view behind = "\xc9\xc3"sv;
};

class RefusedFrame : public InferredFrame, public testing::WithParamInterface<refused_code> {};

TEST_P(RefusedFrame, EndsTheStack) {
    const unwound result = with_code(GetParam().code, GetParam().behind);
    EXPECT_EQ(result.end, unwind_end::unknown_register);
    EXPECT_EQ(result.frames, 2U);
}

const refused_code refused[] = {
    {"Alloca", "\x48\x83\xec\x40\x48\x29\xc4\xe8\0\0\0\0"sv},
    {"Alignment", "\x48\x83\xe4\xe0\x48\x83\xec\x40\xe8\0\0\0\0"sv},
    {"TwoAllocations", "\x48\x83\xec\x20\x48\x83\xec\x20\xe8\0\0\0\0"sv},
    {"PushedArguments", "\x48\x83\xec\x30\x57\x56\xe8\0\0\0\0"sv},
    {"UnnamedPush", "\x53\x48\x83\xec\x38\xe8\0\0\0\0"sv},
    {"AllocationBehindABranch", "\x74\0\x48\x83\xec\x40\xe8\0\0\0\0"sv},
    {"AllocaBehindTheCall", "\x48\x83\xec\x40\xe8\0\0\0\0"sv, "\x48\x29\xc4\xeb\xf0"sv},
    {"UnknownInstruction", "\x48\x83\xec\x40\xe8\0\0\0\0"sv, "\x06\xc9\xc3"sv},
    {"SecondPrologue", "\x48\x83\xec\x40\xe8\0\0\0\0"sv, "\xc9\xc3\x55\x48\x89\xe5"sv},
    {"CallInAnEpilogue", "\x48\x83\xec\x40\x48\x83\xc4\x08\xe8\0\0\0\0"sv},
    {"NoCall", "\x48\x83\xec\x40\x90"sv},
};

INSTANTIATE_TEST_SUITE_P(Code, RefusedFrame, testing::ValuesIn(refused),
                         [](const auto& one) { return std::string(one.param.name); });

#endif

}  // namespace
}  // namespace corodump::symbols
