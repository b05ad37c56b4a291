// Damaged tables: nothing may crash, hang or read outside of the bytes. Real tables are damaged, so
// that most of a program is still understood.
#include <gtest/gtest.h>
#include <link.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <random>
#include <span>
#include <vector>

#include "agent/symbols/eh_frame.hpp"
#include "tests/fuzz/eh_frame_walk.hpp"

namespace corodump::symbols {
namespace {

using test::eh_frame_walk;

struct real_table {
    std::uint64_t address = 0;
    std::vector<std::uint8_t> bytes;
};

// The beginning of this program's own .eh_frame, copied so that it ends where it ends.
real_table own_table(std::size_t size) {
    real_table found;
    const auto look = [](dl_phdr_info* info, std::size_t, void* into) {
        for (int i = 0; i < info->dlpi_phnum; ++i) {
            const auto& segment = info->dlpi_phdr[i];
            if (segment.p_type != PT_GNU_EH_FRAME) continue;
            const std::uint64_t at = info->dlpi_addr + segment.p_vaddr;
            search_table table;
            const auto* const bytes = reinterpret_cast<const std::uint8_t*>(at);
            if (!parse_search_header({bytes, max_search_header}, at, table)) return 1;
            static_cast<real_table*>(into)->address = table.eh_frame;
        }
        return 1;  // the first is the program
    };
    ::dl_iterate_phdr(look, &found);
    if (found.address == 0) return found;
    const auto* const from = reinterpret_cast<const std::uint8_t*>(found.address);
    found.bytes.assign(from, from + size);
    return found;
}

constexpr std::size_t table_bytes = 24 << 10;

TEST(HostileTables, WalkUnderstandsARealTable) {
    const real_table real = own_table(table_bytes);
    ASSERT_EQ(real.bytes.size(), table_bytes);
    const eh_frame_walk::counts counts = eh_frame_walk(real.bytes, real.address).run();
    EXPECT_GT(counts.entries, 200U);
    EXPECT_GT(counts.functions, 200U);
    EXPECT_GT(counts.rows, 2000U);
}

TEST(HostileTables, EveryTruncationEndsTheWalk) {
    const real_table real = own_table(4 << 10);
    ASSERT_FALSE(real.bytes.empty());
    const std::uint64_t whole = eh_frame_walk(real.bytes, real.address).run().functions;
    for (std::size_t size = 0; size < real.bytes.size(); ++size) {
        // In memory of its own, so that AddressSanitizer sees a read beyond the end.
        const std::vector<std::uint8_t> cut(real.bytes.begin(),
                                            real.bytes.begin() + static_cast<std::ptrdiff_t>(size));
        EXPECT_LE(eh_frame_walk(cut, real.address).run().functions, whole);
    }
}

TEST(HostileTables, FlippedBytesDoNoHarm) {
    const real_table real = own_table(table_bytes);
    ASSERT_FALSE(real.bytes.empty());
    std::mt19937_64 random(20261122);
    std::uint64_t functions = 0;
    for (int round = 0; round < 300; ++round) {
        std::vector<std::uint8_t> damaged = real.bytes;
        for (std::uint64_t flips = 1 + random() % 200; flips > 0; --flips) {
            damaged[random() % damaged.size()] = static_cast<std::uint8_t>(random());
        }
        functions += eh_frame_walk(damaged, real.address).run().functions;
    }
    EXPECT_GT(functions, 1000U);  // damage does not end every walk at once
}

TEST(HostileTables, RandomBytesDoNoHarm) {
    std::mt19937_64 random(7);
    std::uint64_t instructions = 0;
    for (int round = 0; round < 2000; ++round) {
        std::vector<std::uint8_t> noise(random() % 400);
        for (std::uint8_t& byte : noise) byte = static_cast<std::uint8_t>(random());
        instructions += eh_frame_walk(noise, 0x10000).run().instructions;
    }
    EXPECT_GT(instructions, 2000U);
}

}  // namespace
}  // namespace corodump::symbols
