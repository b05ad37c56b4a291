#include "agent/symbols/elf_symbols.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <string_view>

#include "agent/symbols/demangle.hpp"

// Internal linkage and no inlining: only .symtab knows it.
namespace {
[[gnu::noinline]] int local_function_to_find(int depth) {
    asm volatile("" : "+r"(depth));
    return depth + 1;
}
}  // namespace

namespace corodump::symbols {
namespace {

std::string own_binary() {
    std::ifstream file("/proc/self/exe", std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

class temporary_file {
public:
    explicit temporary_file(std::string_view bytes) {
        const int fd = ::mkstemp(path_);
        EXPECT_GE(fd, 0);
        ::close(fd);
        write(bytes);
    }
    ~temporary_file() { ::unlink(path_); }
    temporary_file(const temporary_file&) = delete;
    temporary_file& operator=(const temporary_file&) = delete;
    void write(std::string_view bytes) const {
        std::ofstream file(path_, std::ios::binary | std::ios::trunc);
        file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    }
    [[nodiscard]] const char* path() const { return path_; }

private:
    char path_[32] = "/tmp/corodump-elf-XXXXXX";
};

class ElfSymbols : public testing::Test {
protected:
    ElfSymbols() {
        EXPECT_TRUE(memory_.reserve(256 << 20).ok());
        map_ = read_module_map(memory_);
    }
    static std::uint64_t address_of(int (*function)(int)) {
        return reinterpret_cast<std::uint64_t>(function);
    }

    base::arena memory_;
    module_map map_;
    char buffer_[1024];
};

TEST_F(ElfSymbols, NamesALocalFunctionOfTheExecutable) {
    symbolizer all(map_, memory_);
    const symbol found = all.find(address_of(&local_function_to_find), buffer_);
    char name[256];
    EXPECT_EQ(clean_function_name(found.name, name),
              "(anonymous namespace)::local_function_to_find");
    EXPECT_EQ(found.offset, 0U);
    EXPECT_EQ(all.find(address_of(&local_function_to_find) + 1, buffer_).offset, 1U);
    EXPECT_EQ(all.failures(), 0U);
}

TEST_F(ElfSymbols, NamesAFunctionOfALibrary) {
    for (const module_info& one : map_.modules) {
        if (one.path.find("/libstdc++.so") == std::string_view::npos) continue;
        symbol_table table;
        ASSERT_TRUE(table.open(one, memory_).ok());
        EXPECT_GT(table.size(), 1000U);
        return;
    }
    GTEST_SKIP() << "the C++ runtime is linked statically";
}

TEST_F(ElfSymbols, NamesAFunctionOfTheVdso) {
    const auto vdso = ::getauxval(AT_SYSINFO_EHDR);
    if (vdso == 0) GTEST_SKIP() << "no vDSO on this machine";
    const module_info* const image = map_.find(vdso);
    ASSERT_NE(image, nullptr);
    symbol_table table;
    ASSERT_TRUE(table.open(*image, memory_).ok());
    bool any = false;
    for (std::uint64_t at = image->start; at < image->end && !any; at += 16) {
        any = table.find(at, buffer_).name.substr(0, 7) == "__vdso_" ||
              table.find(at, buffer_).name.substr(0, 9) == "__kernel_";
    }
    EXPECT_TRUE(any);
}

TEST_F(ElfSymbols, FindsNothingOutsideOfFunctions) {
    symbolizer all(map_, memory_);
    EXPECT_TRUE(all.find(0, buffer_).name.empty());
    EXPECT_TRUE(all.find(~std::uint64_t{0}, buffer_).name.empty());
    EXPECT_TRUE(all.find(map_.executable()->start, buffer_).name.empty());
}

TEST_F(ElfSymbols, RefusesAFileThatIsNotTheOneLoaded) {
    const module_info* const executable = map_.executable();
    for (const module_info& one : map_.modules) {
        if (&one == executable || one.path[0] != '/' || executable->build_id.empty()) continue;
        module_info wrong = one;
        wrong.build_id = executable->build_id;
        symbol_table table;
        EXPECT_EQ(table.open(wrong, memory_).error(), ESTALE) << one.path;
        return;
    }
    GTEST_SKIP() << "no build ids here";
}

TEST_F(ElfSymbols, RefusesWhatIsNoElfFile) {
    symbol_table table;
    const temporary_file text("#!/bin/sh\n" + std::string(4096, '#'));
    EXPECT_EQ(table.open_file(text.path(), 0, memory_).error(), ENOEXEC);
    EXPECT_EQ(table.open_file("/tmp", 0, memory_).error(), ENOEXEC);
    EXPECT_EQ(table.open_file("/dev/null", 0, memory_).error(), ENOEXEC);
    EXPECT_EQ(table.open_file("/no/such/file", 0, memory_).error(), ENOENT);
    const temporary_file empty("");
    EXPECT_EQ(table.open_file(empty.path(), 0, memory_).error(), ENOEXEC);
}

TEST_F(ElfSymbols, SurvivesTruncationAtAnyPlace) {
    const std::string whole = own_binary();
    const temporary_file file(whole);
    const auto mark = memory_.mark();
    std::size_t opened = 0;
    for (std::size_t step = 0; step <= 64; ++step) {
        const std::size_t size = step < 16 ? step * 5 : whole.size() / 64 * step;
        ASSERT_EQ(::truncate(file.path(), static_cast<off_t>(std::min(size, whole.size()))), 0);
        symbol_table table;
        if (table.open_file(file.path(), 0, memory_).ok()) ++opened;
        static_cast<void>(table.find(0x1234, buffer_));
        memory_.rewind(mark);
        if (step + 1 <= 64) file.write(whole);
    }
    EXPECT_LT(opened, 60U);
}

TEST_F(ElfSymbols, SurvivesAFileCutWhileItIsOpen) {
    const temporary_file file(own_binary());
    symbol_table table;
    ASSERT_TRUE(table.open_file(file.path(), map_.executable()->load_bias, memory_).ok());
    const std::uint64_t at = address_of(&local_function_to_find);
    EXPECT_FALSE(table.find(at, buffer_).name.empty());
    ASSERT_EQ(::truncate(file.path(), 0), 0);
    EXPECT_TRUE(table.find(at, buffer_).name.empty());
}

TEST_F(ElfSymbols, SurvivesHostileHeaders) {
    std::string bytes = own_binary();
    Elf64_Ehdr header;
    std::memcpy(&header, bytes.data(), sizeof header);
    const temporary_file file(bytes);
    const std::size_t sections_size = std::size_t{header.e_shnum} * sizeof(Elf64_Shdr);
    std::mt19937_64 random(7);
    const auto mark = memory_.mark();
    for (int round = 0; round < 300; ++round) {
        // In place: the ELF header, the section headers or the program headers.
        const std::size_t ranges[3][2] = {
            {16, sizeof header - 16}, {header.e_shoff, sections_size}, {header.e_phoff, 512}};
        const auto& range = ranges[random() % 3];
        const std::size_t at = range[0] + random() % (range[1] - 8);
        const std::uint64_t evil[] = {0, ~std::uint64_t{0},  random(),
                                      1, 0x7fffffffffffffff, bytes.size()};
        const std::uint64_t value = evil[random() % 6];
        std::uint64_t before;
        const int fd = ::open(file.path(), O_RDWR | O_CLOEXEC);
        ASSERT_EQ(::pread(fd, &before, 8, static_cast<off_t>(at)), 8);
        ASSERT_EQ(::pwrite(fd, &value, 8, static_cast<off_t>(at)), 8);
        symbol_table table;
        static_cast<void>(table.open_file(file.path(), 0, memory_));
        EXPECT_LE(table.find(random() % bytes.size(), buffer_).name.size(), sizeof buffer_);
        elf_image image;
        if (image.open_file(file.path()).ok()) {
            EXPECT_LE(image.build_id().size(), 128U);
        }
        memory_.rewind(mark);
        ASSERT_EQ(::pwrite(fd, &before, 8, static_cast<off_t>(at)), 8);
        ::close(fd);
    }
}

TEST_F(ElfSymbols, KeepsWhatFitsTheArena) {
    base::arena small;
    ASSERT_TRUE(small.reserve(4096).ok());
    symbol_table table;
    EXPECT_EQ(table.open_file("/proc/self/exe", 0, small).error(), ENOMEM);
    EXPECT_GT(table.size(), 0U);
    EXPECT_LE(table.size(), 256U);
}

TEST_F(ElfSymbols, CutsANameAtTheEndOfTheBuffer) {
    symbolizer all(map_, memory_);
    char small[5];
    EXPECT_EQ(all.find(address_of(&local_function_to_find), small).name.size(), 5U);
}

}  // namespace
}  // namespace corodump::symbols
