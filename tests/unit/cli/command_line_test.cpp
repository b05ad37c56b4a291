#include "agent/cli/command_line.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "agent/cli/exit_code.hpp"
#include "agent/cli/version.hpp"
#include "tests/golden/golden.hpp"

namespace corodump::cli {
namespace {

struct outcome {
    int code = -1;
    std::string out, problems;
};

outcome run(std::vector<const char*> arguments) {
    arguments.insert(arguments.begin(), "corodump");
    std::ostringstream out;
    std::ostringstream problems;
    outcome result;
    result.code =
        run_command_line(static_cast<int>(arguments.size()), arguments.data(), out, problems);
    result.out = out.str();
    result.problems = problems.str();
    return result;
}

bool is_one_line(const std::string& text) {
    return std::count(text.begin(), text.end(), '\n') == 1 && text.starts_with("corodump: ");
}

class temporary_directory {
public:
    temporary_directory() : path_(::testing::TempDir() + "corodump-cli-XXXXXX") {
        if (::mkdtemp(path_.data()) == nullptr) std::abort();
    }
    ~temporary_directory() {
        ::unlink((path_ + "/file").c_str());
        ::rmdir(path_.c_str());
    }
    temporary_directory(const temporary_directory&) = delete;
    temporary_directory& operator=(const temporary_directory&) = delete;
    [[nodiscard]] std::string file() const { return path_ + "/file"; }
    [[nodiscard]] const std::string& path() const { return path_; }

private:
    std::string path_;
};

TEST(CommandLine, TellsItsVersion) {
    const outcome o = run({"--version"});
    EXPECT_EQ(o.code, exit_ok);
    EXPECT_EQ(o.out, std::string("corodump ") + CORODUMP_VERSION + '\n');
}

TEST(CommandLine, DocumentsTheExitCodes) {
    for (const auto& arguments : std::vector<std::vector<const char*>>{
             {"--help"}, {"show", "--help"}, {"validate", "--help"}, {"trigger", "--help"}}) {
        const outcome o = run(arguments);
        EXPECT_EQ(o.code, exit_ok);
        EXPECT_NE(o.out.find("Exit codes:"), std::string::npos);
        EXPECT_EQ(o.problems, "");
    }
}

TEST(CommandLine, AnswersNonsenseInOneLine) {
    for (const auto& arguments :
         std::vector<std::vector<const char*>>{{},
                                               {"frobnicate"},
                                               {"show"},
                                               {"show", "a", "--state", "sleepy"},
                                               {"show", "a", "--task", "1.1", "--match", "x"},
                                               {"show", "a", "--\x1b[31m"},
                                               {"trigger", "abc"},
                                               {"trigger", "-5"},
                                               {"trigger", "0"},
                                               {"trigger", "99999999999999"},
                                               {"trigger", "1", "--timeout", "-1"}}) {
        const outcome o = run(arguments);
        EXPECT_EQ(o.code, exit_usage);
        EXPECT_TRUE(is_one_line(o.problems)) << o.problems;
        EXPECT_EQ(o.problems.find('\x1b'), std::string::npos);
    }
}

TEST(CommandLine, ShowsAndValidatesAFile) {
    const std::string path = test::golden_path("hung_pool");
    EXPECT_EQ(run({"show", path.c_str()}).code, exit_ok);
    EXPECT_EQ(run({"show", path.c_str(), "--match", "transfer"}).code, exit_ok);
    const outcome valid = run({"validate", path.c_str()});
    EXPECT_EQ(valid.code, exit_ok);
    EXPECT_EQ(valid.out, path + ": valid, format 1, 302 tasks\n");
}

TEST(CommandLine, TellsOfEachProblemWithItsPointer) {
    const temporary_directory directory;
    std::ofstream(directory.file())
        << test::with(test::golden("healthy"), R"("uid": 998)", R"("uid": "root")");
    const outcome o = run({"validate", directory.file().c_str()});
    EXPECT_EQ(o.code, exit_problem);
    EXPECT_NE(o.problems.find("(/process/uid)"), std::string::npos);
    EXPECT_NE(o.problems.find("not valid, 1 problem\n"), std::string::npos) << o.problems;
}

TEST(CommandLine, RefusesWhatIsNoFile) {
    const temporary_directory directory;
    for (const char* command : {"show", "validate"}) {
        const outcome missing = run({command, directory.file().c_str()});
        EXPECT_EQ(missing.code, exit_unreadable);
        EXPECT_NE(missing.problems.find("No such file"), std::string::npos);
        const outcome folder = run({command, directory.path().c_str()});
        EXPECT_EQ(folder.code, exit_unreadable);
        EXPECT_NE(folder.problems.find("is a directory"), std::string::npos);
        EXPECT_EQ(run({command, "/dev/null"}).code, exit_unreadable);
    }
}

TEST(CommandLine, RefusesAFifoWithoutWaitingForAWriter) {
    const temporary_directory directory;
    ASSERT_EQ(::mkfifo(directory.file().c_str(), 0600), 0);
    const outcome o = run({"show", directory.file().c_str()});
    EXPECT_EQ(o.code, exit_unreadable);
    EXPECT_TRUE(is_one_line(o.problems));
    EXPECT_NE(o.problems.find("is a FIFO"), std::string::npos);
}

TEST(CommandLine, RefusesAFileOverTheLimit) {
    const std::string path = test::golden_path("hung_pool");
    const outcome o = run({"show", path.c_str(), "--max-bytes", "1000"});
    EXPECT_EQ(o.code, exit_unreadable);
    EXPECT_TRUE(is_one_line(o.problems));
}

}  // namespace
}  // namespace corodump::cli
