// Native stacks of a whole process's threads, against gdb's of the same process.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "support_dump.hpp"

namespace {

using nlohmann::json;

struct stack_frame {
    std::string function;  ///< empty: not known
    std::uint64_t pc = 0;  ///< 0: not told
};
using stack = std::vector<stack_frame>;

std::string text_of(const stack& of) {
    std::string text;
    char line[64];
    for (const stack_frame& frame : of) {
        snprintf(line, sizeof line, "  %16llx ", static_cast<unsigned long long>(frame.pc));
        text += line + frame.function + '\n';
    }
    return text;
}

/// One of the zoo's programs, in a directory of its own.
class zoo {
public:
    explicit zoo(const std::string& program, const char* option = nullptr) {
        char pattern[] = "/tmp/corodump-zoo-XXXXXX";
        directory_ = mkdtemp(pattern);
        int to[2], from[2];
        if (pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0) abort();
        pid_ = fork();
        if (pid_ == 0) {
            dup2(to[0], 0);
            dup2(from[1], 1);
            execl(program.c_str(), program.c_str(), directory_.c_str(), option, nullptr);
            _exit(127);
        }
        close(to[0]);
        close(from[1]);
        to_ = fdopen(to[1], "w");
        from_ = fdopen(from[0], "r");
        EXPECT_EQ(line(), "ready") << program;
    }
    zoo(const zoo&) = delete;
    zoo& operator=(const zoo&) = delete;
    ~zoo() {
        kill(pid_, SIGKILL);
        fclose(to_);
        fclose(from_);
        waitpid(pid_, nullptr, 0);
        std::filesystem::remove_all(directory_);
    }

    [[nodiscard]] pid_t pid() const { return pid_; }
    json dump() {
        fputs("dump\n", to_);
        fflush(to_);
        return support::dump_as_json(line());
    }

private:
    std::string line() {
        char text[4096] = {};
        if (fgets(text, sizeof text, from_) == nullptr) return "nothing";
        std::string made(text);
        made.pop_back();
        return made;
    }

    std::string directory_;
    pid_t pid_ = 0;
    FILE* to_ = nullptr;
    FILE* from_ = nullptr;
};

std::map<std::string, json> threads_of(const json& dump) {
    std::map<std::string, json> found;
    for (const json& thread : dump.at("threads")) found[thread.at("name")] = thread;
    return found;
}

stack stack_of(const json& thread) {
    stack made;
    for (const json& frame : thread.at("frames"))
        made.push_back({frame["function"].is_string() ? frame["function"].get<std::string>() : "",
                        std::stoull(frame["address"].get<std::string>(), nullptr, 16)});
    return made;
}

bool has_gdb() {
    return system("gdb --version >/dev/null 2>&1") == 0;
}

/// A line as `#1  0x00007f… in poll () from /lib/…`.
stack_frame gdb_frame(const std::string& line) {
    stack_frame made;
    const std::size_t address = line.find("0x");
    const std::size_t in = line.find(" in ");
    std::size_t name = line.find_first_not_of(" ", line.find(' '));
    if (address == name && in != std::string::npos) {
        made.pc = std::stoull(line.substr(address), nullptr, 16);
        name = in + 4;
    }
    made.function = line.substr(name, line.find(" (", name) - name);
    if (made.function == "??" || line.find("<signal handler called>") != std::string::npos)
        made.function.clear();
    return made;
}

/// By thread name. Without the debug information of libraries, where there is any: gdb would show
/// calls that were inlined, and make up those that were tail calls.
std::map<std::string, stack> gdb_stacks(pid_t pid) {
    const std::string command =
        "gdb -nx -q -batch -iex 'set debug-file-directory /nonexistent' -p " + std::to_string(pid) +
        " -ex 'set print frame-arguments none' -ex 'set width 0' -ex 'set backtrace past-main on'"
        " -ex 'thread apply all bt' 2>/dev/null";
    std::map<std::string, stack> found;
    FILE* const output = popen(command.c_str(), "r");
    stack* now = nullptr;
    for (char text[8192]; fgets(text, sizeof text, output) != nullptr;) {
        const std::string line(text);
        if (line.starts_with("Thread ")) {
            const std::size_t from = line.find('"');
            now = &found[line.substr(from + 1, line.rfind('"') - from - 1)];
        } else if (line.starts_with('#') && now != nullptr) {
            now->push_back(gdb_frame(line));
        }
    }
    pclose(output);
    return found;
}

/// From the frame behind that of `function`, the innermost of this name; all if `function` is
/// empty.
stack beyond(const stack& of, const std::string& function) {
    if (function.empty()) return of;
    for (std::size_t i = 0; i < of.size(); ++i)
        if (of[i].function == function)
            return {of.begin() + static_cast<std::ptrdiff_t>(i) + 1, of.end()};
    ADD_FAILURE() << "no frame of " << function << " in\n" << text_of(of);
    return {};
}

void expect_same(const stack& ours, const stack& gdbs) {
    const std::string both = "corodump:\n" + text_of(ours) + "gdb:\n" + text_of(gdbs);
    ASSERT_EQ(ours.size(), gdbs.size()) << both;
    for (std::size_t i = 0; i < ours.size(); ++i) {
        if (gdbs[i].pc != 0) {
            EXPECT_EQ(ours[i].pc, gdbs[i].pc) << "frame " << i << '\n' << both;
        }
        const bool both_named = !ours[i].function.empty() && !gdbs[i].function.empty();
        if (both_named && gdbs[i].function.starts_with("zoo_")) {
            EXPECT_EQ(ours[i].function, gdbs[i].function) << "frame " << i << '\n' << both;
        }
    }
}

struct expectation {
    const char* thread;
    const char* syscall;  ///< nullptr: it runs
    const char* anchor;   ///< of a thread that runs: the innermost function that stays
};
constexpr expectation expectations[] = {
    {"futex", "futex", ""},        {"epoll_wait", "epoll_wait", ""},
    {"read", "read", ""},          {"nanosleep", "clock_nanosleep", ""},
    {"poll", "poll", ""},          {"recv_timed", "recvfrom", ""},
    {"altstack", "poll", ""},      {"deep", "futex", ""},
    {"qsort", "futex", ""},        {"malloc", nullptr, "zoo_malloc"},
    {"busy", nullptr, "zoo_spin"}, {"clock", nullptr, "zoo_clock"},
};

class ThreadStacks : public testing::TestWithParam<const char*> {
protected:
    [[nodiscard]] static std::string program() {
        return std::string(CORODUMP_TEST_PROGRAMS_DIR "/zoo_") + GetParam();
    }
};

TEST_P(ThreadStacks, AreThoseThatGdbSees) {
    ASSERT_TRUE(has_gdb()) << "this test compares with gdb: install it (./dev setup does)";
    zoo animals(program());
    const json dump = animals.dump();
    ASSERT_TRUE(dump.contains("threads"));
    const auto ours = threads_of(dump);
    const auto gdbs = gdb_stacks(animals.pid());
    int complete = 0;
    for (const expectation& one : expectations) {
        SCOPED_TRACE(one.thread);
        ASSERT_TRUE(ours.contains(one.thread) && gdbs.contains(one.thread));
        const json& thread = ours.at(one.thread);
        const bool partial = thread["stack"]["quality"] == "partial";
        complete += partial ? 0 : 1;
        printf("%-10s %-10s source %s, quality %s, %zu frames\n", GetParam(), one.thread,
               thread["stack"]["source"].get<std::string>().c_str(),
               thread["stack"]["quality"].get<std::string>().c_str(), thread["frames"].size());
        EXPECT_FALSE(partial) << thread["stack"].dump();
        EXPECT_EQ(thread["stack"]["source"], one.syscall == nullptr ? "signal" : "no_signal");
        if (one.syscall != nullptr) {
            EXPECT_EQ(thread["syscall"], one.syscall);
        }
        expect_same(beyond(stack_of(thread), one.anchor), beyond(gdbs.at(one.thread), one.anchor));
    }
    printf("%-10s complete: %d of %zu\n", GetParam(), complete, std::size(expectations));
}

TEST_P(ThreadStacks, SayWhyAThreadHasNone) {
    zoo animals(program());
    const auto threads = threads_of(animals.dump());
    EXPECT_EQ(threads.at("deaf")["stack"]["source"], "none");
    EXPECT_EQ(threads.at("deaf")["stack"]["reason"], "it runs, and blocks the signal for stacks");
    EXPECT_EQ(threads.at("corodump-watch")["stack"]["reason"], "it writes this dump");
    EXPECT_EQ(threads.at("corodump-signal")["stack"]["source"], "no_signal");
}

TEST_P(ThreadStacks, ShowTheParentOfVfork) {
    zoo animals(program(), "vfork");
    const auto threads = threads_of(animals.dump());
    const json& parent = threads.at("vfork");
    EXPECT_EQ(parent["syscall"], "vfork");
    EXPECT_NE(parent["stack"]["quality"], "partial") << parent["stack"].dump();
    const stack frames = stack_of(parent);
    ASSERT_GE(frames.size(), 3U) << text_of(frames);
    EXPECT_EQ(frames[1].function, "zoo_vforks") << text_of(frames);
    EXPECT_EQ(frames[2].function, "zoo_vfork") << text_of(frames);
}

TEST_P(ThreadStacks, ShowWhoAsksForTheDump) {
    zoo animals(program());
    for (int i = 0; i < 3; ++i) {
        const json dump = animals.dump();
        json asking;
        for (const json& thread : dump.at("threads"))
            if (thread["tid"] == animals.pid()) asking = thread;
        ASSERT_TRUE(asking.is_object());
        EXPECT_EQ(asking["syscall"], "futex");
        EXPECT_EQ(asking["stack"]["source"], "no_signal");
        EXPECT_NE(asking["stack"]["quality"], "partial") << asking["stack"].dump();
        const stack frames = stack_of(asking);
        const stack callers = beyond(frames, "corodump_dump_v1");
        const auto at = [&](const char* function) {
            return std::find_if(callers.begin(), callers.end(), [&](const stack_frame& frame) {
                return frame.function == function;
            });
        };
        const auto dumps = at("zoo_dumps");
        ASSERT_LE(dumps - callers.begin(), 1) << text_of(frames);  // dump_now, or inlined
        ASSERT_GE(callers.end() - dumps, 4) << text_of(frames);
        EXPECT_EQ(dumps[1].function, "zoo_asks") << text_of(frames);
        EXPECT_EQ(dumps[2].function, "main") << text_of(frames);
        EXPECT_EQ(frames.back().function, "_start") << text_of(frames);
    }
}

INSTANTIATE_TEST_SUITE_P(Compiled, ThreadStacks, testing::Values("O0", "O2", "O2_pointers"),
                         [](const auto& variant) { return std::string(variant.param); });

}  // namespace
