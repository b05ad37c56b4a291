#include "agent/symbols/module_map.hpp"

#include <gtest/gtest.h>
#include <link.h>
#include <sys/auxv.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

namespace corodump::symbols {
namespace {

class ModuleMap : public testing::Test {
protected:
    ModuleMap() { EXPECT_TRUE(memory_.reserve(64 << 20).ok()); }

    // In pieces of `step` bytes, as a file of /proc may come.
    module_map build(std::string_view text, std::size_t step = 7) {
        module_map_builder builder(memory_);
        for (; !text.empty(); text.remove_prefix(std::min(step, text.size()))) {
            builder.feed(text.substr(0, step));
        }
        return builder.finish();
    }

    base::arena memory_;
};

TEST_F(ModuleMap, JoinsTheLinesOfOneFile) {
    const module_map map = build(
        "10000-12000 r--p 00000000 fe:01 42                         /usr/lib/libx.so.1\n"
        "12000-18000 r-xp 00002000 fe:01 42                         /usr/lib/libx.so.1\n"
        "18000-1a000 r--p 00008000 fe:01 42                         /usr/lib/libx.so.1\n"
        "1a000-1b000 rw-p 0000a000 fe:01 42                         /usr/lib/libx.so.1\n"
        "1b000-1d000 rw-p 00000000 00:00 0 \n"
        "20000-21000 r--s 00000000 fe:01 43                         /var/cache/data\n"
        "30000-31000 rw-p 00000000 00:00 0                          [heap]\n");
    ASSERT_EQ(map.modules.size(), 1U);
    const module_info& one = map.modules[0];
    EXPECT_EQ(one.path, "/usr/lib/libx.so.1");
    EXPECT_EQ(one.start, 0x10000U);
    EXPECT_EQ(one.end, 0x1b000U);
    EXPECT_EQ(one.text_start, 0x12000U);
    EXPECT_EQ(one.text_end, 0x18000U);
    EXPECT_FALSE(one.deleted);
    EXPECT_EQ(map.dropped, 0U);
    EXPECT_EQ(map.unreadable, 0U);
}

TEST_F(ModuleMap, KeepsTwoLoadsOfOneFileApart) {
    const module_map map = build(
        "10000-12000 r--p 00000000 fe:01 42 /lib/x.so\n12000-13000 r-xp 00002000 fe:01 42 "
        "/lib/x.so\n"
        "13000-15000 r--p 00000000 fe:01 42 /lib/x.so\n15000-16000 r-xp 00002000 fe:01 42 "
        "/lib/x.so\n");
    ASSERT_EQ(map.modules.size(), 2U);
    EXPECT_EQ(map.modules[0].end, 0x13000U);
    EXPECT_EQ(map.modules[1].start, 0x13000U);
}

TEST_F(ModuleMap, ReadsPathsWithSpacesLineBreaksAndDeletion) {
    const module_map map = build(
        "10000-12000 r-xp 00000000 fe:01 42                         /opt/my app/a\\012b.so "
        "(deleted)\n",
        1);
    ASSERT_EQ(map.modules.size(), 1U);
    EXPECT_EQ(map.modules[0].path, "/opt/my app/a\nb.so");
    EXPECT_TRUE(map.modules[0].deleted);
}

TEST_F(ModuleMap, CountsLinesThatAreNone) {
    const module_map map = build("garbage\n10000-0fff0 r-xp 0 fe:01 42 /x\n" +
                                     std::string(20000, 'a') + "\n\n10000-12000 r-xp 0 fe:01 42 /y",
                                 4096);
    EXPECT_EQ(map.unreadable, 4U);
    ASSERT_EQ(map.modules.size(), 1U);
    EXPECT_EQ(map.modules[0].path, "/y");
}

TEST_F(ModuleMap, CountsALineThatIsTooLongAndTheLast) {
    const std::string line = "10000-12000 r-xp 0 fe:01 42 /" + std::string(20000, 'a');
    for (const std::size_t step : {std::size_t{7}, line.size()}) {
        const module_map map = build(line, step);
        EXPECT_EQ(map.unreadable, 1U) << step;
        EXPECT_TRUE(map.modules.empty());
    }
}

TEST_F(ModuleMap, IsSortedWhateverTheLines) {
    const module_map map = build(
        "30000-32000 r-xp 0 fe:01 42 /late\n"
        "10000-12000 r-xp 0 fe:01 43 /early\n"
        "31000-33000 r-xp 0 fe:01 42 /late\n"
        "32000-33000 r-xp 0 fe:01 44 /last\n");
    EXPECT_EQ(map.unreadable, 2U);
    ASSERT_EQ(map.modules.size(), 2U);
    EXPECT_EQ(map.find(0x30000)->path, "/late");
    EXPECT_EQ(map.find(0x32000)->path, "/last");
    EXPECT_EQ(map.find(0x10000), nullptr);
}

TEST_F(ModuleMap, CountsImagesOverItsBound) {
    std::string text;
    for (unsigned i = 1; i <= max_modules + 10; ++i) {
        char line[128];
        std::snprintf(line, sizeof line, "%x000-%x800 r-xp 00000000 fe:01 %u /lib/%u.so\n", i, i, i,
                      i);
        text += line;
    }
    const module_map map = build(text, 4096);
    EXPECT_EQ(map.modules.size(), max_modules);
    EXPECT_EQ(map.dropped, 10U);
    EXPECT_EQ(map.find(0x5400)->path, "/lib/5.so");
    EXPECT_EQ(map.find(0x5900), nullptr);
    EXPECT_EQ(map.find(0), nullptr);
    EXPECT_EQ(map.find(~std::uint64_t{0}), nullptr);
}

TEST_F(ModuleMap, LivesWithAnArenaThatIsTooSmall) {
    base::arena none;
    EXPECT_TRUE(none.reserve(4096).ok());
    module_map_builder builder(none);
    builder.feed("10000-12000 r-xp 00000000 fe:01 42 /x\n");
    const module_map map = builder.finish();
    EXPECT_EQ(map.modules.size() + map.dropped, 1U);
}

// What the loader says, which is not asked on the dump path.
struct loaded {
    std::string path, build_id;
    std::uint64_t bias = 0;
};
int collect(dl_phdr_info* info, std::size_t /*size*/, void* into) {
    loaded one{info->dlpi_name, "", info->dlpi_addr};
    for (unsigned i = 0; i < info->dlpi_phnum; ++i) {
        if (info->dlpi_phdr[i].p_type != PT_NOTE) continue;
        const char* at =
            reinterpret_cast<const char*>(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
        const auto* note = reinterpret_cast<const ElfW(Nhdr)*>(at);
        if (note->n_type != NT_GNU_BUILD_ID) continue;
        for (unsigned b = 0; b < note->n_descsz; ++b) {
            char hex[3];
            std::snprintf(hex, sizeof hex, "%02x", static_cast<unsigned char>(at[16 + b]));
            one.build_id += hex;
        }
    }
    static_cast<std::vector<loaded>*>(into)->push_back(one);
    return 0;
}

TEST_F(ModuleMap, AgreesWithTheLoaderOnThisProcess) {
    const module_map map = read_module_map(memory_);
    EXPECT_EQ(map.error, 0);
    std::vector<loaded> images;
    ::dl_iterate_phdr(collect, &images);
    ASSERT_GE(images.size(), 3U);
    for (const loaded& one : images) {
        if (one.path.empty() || one.path[0] != '/') continue;
        const auto found = std::find_if(map.modules.begin(), map.modules.end(), [&](const auto& m) {
            return m.has_bias && m.load_bias == one.bias;
        });
        ASSERT_NE(found, map.modules.end()) << one.path;
        if (!one.build_id.empty()) {
            EXPECT_EQ(found->build_id, one.build_id) << one.path;
        }
    }
}

TEST_F(ModuleMap, FindsTheExecutableAndTheVdso) {
    const module_map map = read_module_map(memory_);
    const module_info* const executable = map.executable();
    ASSERT_NE(executable, nullptr);
    char path[4096];
    const ssize_t size = ::readlink("/proc/self/exe", path, sizeof path);
    ASSERT_GT(size, 0);
    EXPECT_EQ(executable->path, std::string_view(path, static_cast<std::size_t>(size)));
    EXPECT_EQ(map.find(reinterpret_cast<std::uint64_t>(&collect)), executable);
    if (const auto vdso = ::getauxval(AT_SYSINFO_EHDR); vdso != 0) {
        ASSERT_NE(map.find(vdso), nullptr);
        EXPECT_EQ(map.find(vdso)->path, "[vdso]");
        EXPECT_FALSE(map.find(vdso)->build_id.empty());
    }
}

}  // namespace
}  // namespace corodump::symbols
