// Damaged files: whatever an ELF file says, the readers of modules, symbols and unwind tables end,
// and read nothing that is not there. A real file is damaged, so that most of it is still
// understood.
#include <elf.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "tests/fuzz/elf_walk.hpp"

namespace corodump::symbols {
namespace {

using bytes = std::vector<std::uint8_t>;
using test::elf_walk;

class HostileElf : public testing::TestWithParam<const char*> {
protected:
    HostileElf() {
        std::ifstream file(CORODUMP_SOURCE_DIR "/tests/fuzz/corpus/elf/" + std::string(GetParam()),
                           std::ios::binary);
        real_.assign(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
        EXPECT_GT(real_.size(), 2048U);
    }

    template <class T>
    T& at(bytes& in, std::uint64_t offset) {
        EXPECT_LE(offset + sizeof(T), in.size());
        return reinterpret_cast<T&>(in[offset]);
    }

    bytes real_;
    elf_walk walk_;
};

TEST_P(HostileElf, WalkUnderstandsTheRealFile) {
    const elf_walk::counts counts = walk_.run(real_);
    EXPECT_EQ(counts.opened, 1U);
    EXPECT_GT(counts.symbols, 0U);
    EXPECT_GT(counts.functions, 0U);
    EXPECT_GT(counts.rows, 0U);
    EXPECT_GT(counts.frames, counts.rows);
}

TEST_P(HostileElf, EveryTruncationEndsTheWalk) {
    std::uint64_t opened = 0;
    std::size_t sizes = 0;
    for (std::size_t size = 0; size < real_.size(); size += 64) {
        // In memory of its own, so that AddressSanitizer sees a read beyond the end.
        const bytes cut(real_.begin(), real_.begin() + static_cast<std::ptrdiff_t>(size));
        opened += walk_.run(cut).opened;
        ++sizes;
    }
    EXPECT_GT(opened, 0U);
    EXPECT_LT(opened, sizes);
}

TEST_P(HostileElf, EachFlippedByteDoesNoHarm) {
    std::uint64_t rows = 0;
    bytes damaged = real_;
    for (std::size_t i = 0; i < damaged.size(); i += i < sizeof(Elf64_Ehdr) ? 1 : 5) {
        damaged[i] ^= 0xff;
        rows += walk_.run(damaged).rows;
        damaged[i] ^= 0xff;
    }
    EXPECT_GT(rows, 100U);
}

TEST_P(HostileElf, DamageAllOverDoesNoHarm) {
    std::mt19937_64 random(20261122);
    std::uint64_t opened = 0;
    for (int round = 0; round < 500; ++round) {
        bytes damaged = real_;
        for (std::uint64_t flips = 1 + random() % 60; flips > 0; --flips) {
            damaged[random() % damaged.size()] = static_cast<std::uint8_t>(random());
        }
        opened += walk_.run(damaged).opened;
    }
    EXPECT_GT(opened, 100U);
}

TEST_P(HostileElf, HasNoBuildIdInASegmentWithoutBytes) {
    const auto header = at<Elf64_Ehdr>(real_, 0);
    for (unsigned i = 0; i < header.e_phnum; ++i) {
        auto& segment = at<Elf64_Phdr>(real_, header.e_phoff + i * sizeof(Elf64_Phdr));
        if (segment.p_type != PT_NOTE) continue;
        segment.p_filesz = 0;
    }
    elf_image image;
    const auto where = reinterpret_cast<std::uint64_t>(real_.data());
    ASSERT_TRUE(image.open_memory(where, real_.size()).ok());
    EXPECT_TRUE(image.build_id().empty());
    // At offset 0 too, where there is no copy of the head to take nothing from.
    for (unsigned i = 0; i < header.e_phnum; ++i) {
        auto& segment = at<Elf64_Phdr>(real_, header.e_phoff + i * sizeof(Elf64_Phdr));
        if (segment.p_type == PT_NOTE) segment.p_offset = 0;
    }
    EXPECT_TRUE(image.build_id().empty());
}

INSTANTIATE_TEST_SUITE_P(Files, HostileElf, testing::Values("tiny-gcc.so", "tiny-clang-19.so"));

}  // namespace
}  // namespace corodump::symbols
