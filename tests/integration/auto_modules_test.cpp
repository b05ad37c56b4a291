// Several images in one process: shared libraries, and a module that is unloaded again.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <corodump/agent.hpp>
#include <cstdio>
#include <fstream>
#include <memory>
#include <string>

#include "programs/modules.hpp"
#include "support_dump.hpp"

namespace {

constexpr const char* plugin_path = CORODUMP_TEST_PROGRAMS_DIR "/auto_plugin_waits.so";

bool is_mapped(const std::string& file) {
    std::ifstream maps("/proc/self/maps");
    for (std::string line; std::getline(maps, line);)
        if (line.ends_with(file)) return true;
    return false;
}

struct closes {
    void operator()(void* library) const { dlclose(library); }
};
using library = std::unique_ptr<void, closes>;

library load_plugin(modules::plugin_function*& entry) {
    library loaded(dlopen(plugin_path, RTLD_NOW | RTLD_LOCAL));
    EXPECT_NE(loaded, nullptr) << dlerror();
    if (loaded)
        entry = reinterpret_cast<modules::plugin_function*>(
            dlsym(loaded.get(), "corodump_test_plugin"));
    return loaded;
}

TEST(Modules, OneChainThroughAnExecutableAndTwoLibraries) {
    FILE* const program = popen(CORODUMP_TEST_PROGRAMS_DIR "/auto_uses_shared_both", "r");
    ASSERT_NE(program, nullptr);
    char path[1024] = {};
    int own = 0;
    int first = 0;
    int second = 0;
    EXPECT_EQ(fscanf(program, "%1023s %d %d %d", path, &own, &first, &second), 4);
    EXPECT_EQ(pclose(program), 0);
    support::expect_valid(path);
    const auto dump = support::read_dump(path);
    support::expect_chain(dump,
                          {{"(anonymous namespace)::own", own},
                           {"modules::first", first},
                           {"modules::second", second}},
                          "synced::event::awaiter");
    EXPECT_EQ(dump.frames, 3U) << dump.chains();
    unlink(path);
}

TEST(Modules, PluginIsTrackedAndUnloaded) {
    const corodump::agent agent;
    synced::event until;
    modules::plugin_function* start = nullptr;
    library plugin = load_plugin(start);
    ASSERT_NE(start, nullptr);
    int line = 0;
    int done = 0;
    start(until, line, done);
    const auto dump = support::take_dump();
    ASSERT_EQ(dump.tasks.size(), 1U) << dump.chains();
    EXPECT_TRUE(dump.tasks[0].last().function.starts_with("plugin::waits"));
    EXPECT_EQ(dump.tasks[0].last().line, line);
    until.set();
    EXPECT_EQ(done, 1);
    plugin.reset();
    EXPECT_FALSE(is_mapped("auto_plugin_waits.so")) << "something of the tracking's pins it";
    support::expect_no_frames();
}

// The frame outlives its code: nothing may be read from where the image was. Its names are lost.
TEST(Modules, DumpAfterThePluginOfALiveFrameIsGone) {
    const corodump::agent agent;
    static synced::event never;
    modules::plugin_function* start = nullptr;
    library plugin = load_plugin(start);
    ASSERT_NE(start, nullptr);
    static int line = 0;
    static int done = 0;
    start(never, line, done);
    plugin.reset();
    ASSERT_FALSE(is_mapped("auto_plugin_waits.so"));
    const auto dump = support::take_moving_dump();
    EXPECT_EQ(dump.frames, 1U);
    EXPECT_EQ(dump.text.find("plugin::waits"), std::string::npos);
}

}  // namespace
