#include "agent/cli/show.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>

#include "agent/cli/exit_code.hpp"
#include "tests/golden/golden.hpp"

namespace corodump::cli {
namespace {

using test::golden;
using test::golden_names;
using test::with;

struct shown {
    int code = -1;
    std::string out, problems;

    [[nodiscard]] bool has(std::string_view text) const {
        return out.find(text) != std::string::npos;
    }
    [[nodiscard]] std::size_t at(std::string_view text) const { return out.find(text); }
};

shown show(std::string_view text, show_options options = {}) {
    options.file = "x.json";
    format::memory_source source(text);
    std::ostringstream out;
    std::ostringstream problems;
    shown result;
    result.code = run_show(source, options, out, problems);
    result.out = out.str();
    result.problems = problems.str();
    return result;
}

show_options everything() {
    return {.view = {.all = true}};
}

TEST(Show, PutsTheVerdictBeforeAllCounts) {
    const shown s = show(golden("hung_pool"));
    EXPECT_EQ(s.code, exit_ok);
    EXPECT_EQ(s.problems, "");
    EXPECT_LT(s.at("ERROR: wait cycle"), s.at("WAITED FOR"));
    EXPECT_LT(s.at("WAITED FOR"), s.at("SUMMARY"));
    EXPECT_LT(s.at("SUMMARY"), s.at("TASKS WITH EQUAL CHAINS"));
    EXPECT_TRUE(s.has("4 tasks that hold all 4 connections of pool \"backend\" wait"));
}

TEST(Show, SaysTheVerdictsAloneALineEach) {
    const show_options options{.verdicts = true};
    const shown s = show(golden("hung_pool"), options);
    EXPECT_EQ(s.code, exit_ok);
    EXPECT_TRUE(s.out.starts_with("error: ")) << s.out;
    EXPECT_EQ(std::ranges::count(s.out, '\n'), 1);
    EXPECT_EQ(show(golden("healthy"), options).out, "no verdict\n");
}

TEST(Show, ComparesWithAnOlderDumpOfTheSameProcess) {
    const std::string older =
        with(golden("healthy"), R"("uptime_seconds": 275852.4)", R"("uptime_seconds": 275752.4)");
    format::memory_source then(older);
    const shown s = show(golden("healthy"), {.against = &then});
    EXPECT_EQ(s.code, exit_ok) << s.problems;
    EXPECT_TRUE(s.has("AGAINST")) << s.out;
    EXPECT_TRUE(s.has("0 ended, 0 are new")) << s.out;
}

TEST(Show, RefusesToCompareDumpsOfDifferentProcesses) {
    const std::string other = with(golden("healthy"), R"("pid": 4711)", R"("pid": 4712)");
    format::memory_source then(other);
    const shown s = show(golden("healthy"), {.against_file = "old.json", .against = &then});
    EXPECT_EQ(s.code, exit_problem);
    EXPECT_EQ(s.problems, "corodump: old.json: is not an older dump of the same process\n");
}

TEST(Show, NamesTheObjectItsHoldersAndWhatTheyDo) {
    const shown s = show(golden("hung_pool"));
    EXPECT_TRUE(s.has("300  pool \"backend\"  7f12a4000400"));
    EXPECT_TRUE(s.has("held by 4 tasks: 7f12a4000540.3 \"session 17\""));
    EXPECT_TRUE(s.has("of these 4 wait for pool \"backend\""));
}

TEST(Show, FoldsEqualChainsWithCountAndAges) {
    const shown s = show(golden("hung_pool"));
    EXPECT_TRUE(s.has("#1 4 tasks, pending, suspended 12m 16s … 12m 15s  ◀ verdict 1"));
    EXPECT_TRUE(s.has("#2 296 tasks, pending, suspended 12m 15s … 27s  ◁ behind verdict 1"));
    EXPECT_TRUE(s.has("oldest 7f12a4001940.1 \"session 21\""));
    EXPECT_TRUE(s.has("orders.cpp:88"));
    EXPECT_TRUE(s.has("… 2 library frames (boost::asio)"));
    EXPECT_FALSE(s.has("co_spawn_entry_point"));
}

TEST(Show, ShowsLongestSuspendedFirstWithoutAVerdict) {
    const shown s = show(golden("joins"));
    EXPECT_LT(s.at("suspended 1m 00s"), s.at("suspended 12s"));
    EXPECT_LT(s.at("suspended 12s"), s.at("suspended 500ms"));
    EXPECT_LT(s.at("suspended 500ms"), s.at("not started"));
}

TEST(Show, SaysWhatItHid) {
    const shown folded = show(golden("hung_pool"));
    EXPECT_TRUE(folded.has("hidden: 294 tasks inside groups") || folded.has("tasks inside groups"));
    EXPECT_TRUE(folded.has("4 library frames"));
    EXPECT_TRUE(folded.has("--all shows them"));
    const shown all = show(golden("hung_pool"), everything());
    EXPECT_FALSE(all.has("hidden:"));
    EXPECT_TRUE(all.has("boost::asio::detail::co_spawn_entry_point"));
    EXPECT_TRUE(all.has("\"session 316\""));
    EXPECT_TRUE(all.has("\"session 150\""));
}

TEST(Show, HidesGroupsBeyondTheTenth) {
    std::string text = golden("healthy");
    const std::size_t start = text.find("{\"id\": ", text.find("\"tasks\": ["));
    const std::string first = text.substr(start, text.find('\n', start) - start);
    std::string more;
    for (int i = 0; i < 12; ++i) {
        more += with(with(first, "7f12a4000180.2", "8" + std::to_string(1000 + i) + ".1"),
                     R"(await_chain": [{"function": "orderd::accept_loop)",
                     R"(await_chain": [{"function": "other)" + std::to_string(i)) +
                '\n';
    }
    more = with(text, first, more + first);
    const shown s = show(more);
    EXPECT_TRUE(s.has("#10 "));
    EXPECT_FALSE(s.has("#11 "));
    EXPECT_TRUE(s.has("more groups of"));
}

TEST(Show, ShowsJoinsWithTheirChildren) {
    const shown s = show(golden("joins"));
    EXPECT_TRUE(s.has("joins 3 tasks:"));
    EXPECT_TRUE(s.has(
        "├ 7f12a4000540.1  12s  shop::reserve_stock, awaits shop::async_mutex::lock_awaiter"));
    EXPECT_TRUE(s.has("joined by 7f12a4000180.4 \"checkout 7\""));
}

TEST(Show, FoldsRecursionAndSaysHowDeepItIs) {
    const shown s = show(golden("joins"));
    EXPECT_TRUE(s.has("… the same frame 39 more times"));
    EXPECT_TRUE(s.has("39 repeated frames"));
}

TEST(Show, ShowsLeafDetails) {
    const shown s = show(golden("joins"));
    EXPECT_TRUE(s.has("descriptor 31  local 10.0.0.3:41882  remote 10.0.9.1:443"));
    EXPECT_TRUE(s.has("deadline passed 2.5s ago"));
    EXPECT_TRUE(s.has("cancellation requested"));
    EXPECT_TRUE(s.has("held by 2 tasks: 7f12a4000cc0.9 \"inventory sync\", a task that is gone"));
    EXPECT_TRUE(show(golden("healthy")).has("deadline in 3.8s"));
}

TEST(Show, TellsWhatTheDumpCouldNotSee) {
    const shown s = show(golden("joins"));
    EXPECT_LT(s.at("INCOMPLETE"), s.at("NO VERDICT"));
    EXPECT_TRUE(s.has("2 frames untracked"));
    EXPECT_TRUE(s.has("their translation units were built without it"));
}

TEST(Show, ShowsOneTaskWithLocalsAndLabels) {
    const shown s = show(golden("hung_pool"), {.task = "7f12a4000540.3"});
    EXPECT_EQ(s.code, exit_ok);
    EXPECT_TRUE(s.has("\"session 17\""));
    EXPECT_TRUE(s.has("order = 88120"));
    EXPECT_TRUE(s.has("token = <redacted>"));
    EXPECT_TRUE(s.has("labels route=\"/transfer\""));
    EXPECT_FALSE(s.has("session 18\", pending"));
    EXPECT_FALSE(s.has("SUMMARY"));
}

TEST(Show, FailsForATaskThatIsNotThere) {
    const shown s = show(golden("hung_pool"), {.task = "1.1\x1b"});
    EXPECT_EQ(s.code, exit_problem);
    EXPECT_EQ(s.problems, "corodump: x.json: no task has the id 1.1\\x1b\n");
}

TEST(Show, FiltersByStateAndActivity) {
    const shown s = show(golden("joins"), {.state = "not_started"});
    EXPECT_TRUE(s.has("1 of 9 tasks match"));
    EXPECT_TRUE(s.has("shop::charge_retry"));
    EXPECT_TRUE(show(golden("joins"), {.state = "failed"}).has("shop::audit"));
}

TEST(Show, FiltersByFrameAwaitableNameAndLabel) {
    const std::pair<const char*, const char*> patterns[] = {
        {"place_order", "296 of 302"},     {"transfer\\.cpp$", "4 of 302"},
        {"^route=/transfer$", "4 of 302"}, {"pool::acquire", "300 of 302"},
        {"^session 1[0-9]$", "3 of 302"},  {"co_spawn", "300 of 302"}};
    for (const auto& [pattern, matches] : patterns) {
        EXPECT_TRUE(show(golden("hung_pool"), {.match = pattern}).has(matches)) << pattern;
    }
    EXPECT_EQ(show(golden("hung_pool"), {.match = "nothing like it"}).code, exit_problem);
}

TEST(Show, RefusesABadPattern) {
    const shown s = show(golden("hung_pool"), {.match = "("});
    EXPECT_EQ(s.code, exit_usage);
    EXPECT_EQ(std::count(s.problems.begin(), s.problems.end(), '\n'), 1);
}

TEST(Show, ShowsWhereARunningTaskIs) {
    const shown s = show(golden("threads"));
    EXPECT_LT(s.at("running\n"), s.at("      spin"));
    EXPECT_LT(s.at("      spin"), s.at("THREADS"));
}

TEST(Show, ShowsThreadsThatRunOrAreInsideOfATaskFirst) {
    const shown s = show(golden("threads"));
    EXPECT_TRUE(s.has("THREADS  3 of 8 run, or are inside of a task"));
    EXPECT_LT(s.at("runs, inside of"), s.at("runs\n"));
    EXPECT_TRUE(s.has("hidden: 5 threads"));
    EXPECT_FALSE(s.has("clock_nanosleep"));
}

TEST(Show, ShowsAllThreadsWithAllAndWhyAStackIsNotWhole) {
    const shown s = show(golden("threads"), everything());
    EXPECT_TRUE(s.has("THREADS  8 threads"));
    EXPECT_TRUE(s.has("in clock_nanosleep"));
    EXPECT_TRUE(s.has("(it writes this dump)"));
    EXPECT_FALSE(s.has("hidden: "));
}

TEST(Show, SaysNothingOfThreadsWhereADumpHasNone) {
    EXPECT_FALSE(show(golden("joins")).has("THREADS"));
}

TEST(Show, ShowsTheLoopThatIsBlockedAndWhere) {
    const shown s = show(golden("loops"));
    EXPECT_TRUE(s.has("LOOPS  1 of 2 is, or was, blocked or late"));
    EXPECT_TRUE(s.has("\"main\"  in a callback for 658ms, thread 716, resuming"));
    EXPECT_FALSE(s.has("\"timers\""));
    EXPECT_TRUE(s.has("STALLS  the last 1 of 1"));
    EXPECT_TRUE(s.has("loop \"main\", 654ms and goes on, thread 716, resuming orderd::session"));
    EXPECT_TRUE(s.out.find("orderd::reload_prices", s.at("STALLS")) < s.at("THREADS"));
    EXPECT_TRUE(show(golden("loops"), everything()).has("\"timers\"  waits"));
    EXPECT_FALSE(show(golden("threads")).has("LOOPS"));
}

TEST(Show, FoldsLeaksByThePlaceTheyWereOpenedAt) {
    const shown s = show(golden("resources"));
    EXPECT_TRUE(s.has("RESOURCES  4 are open for longer than allowed")) << s.out;
    EXPECT_TRUE(s.has("  2 of \"connection\"  over 40ms, the oldest 80ms")) << s.out;
    EXPECT_TRUE(s.has("    2  80ms      orderd::acquire  pool.cpp:31")) << s.out;
    EXPECT_TRUE(s.has("\"10.0.0.7:443\", \"10.0.0.8:443\"")) << s.out;
    EXPECT_TRUE(s.has("    2  84ms      socket:\n")) << s.out;
    EXPECT_TRUE(s.has("5 socket:[")) << s.out;
    EXPECT_LT(s.at("2 of \"connection\""), s.at("kind   "));
    EXPECT_TRUE(s.has("descriptors")) << s.out;
    EXPECT_FALSE(show(golden("threads")).has("RESOURCES"));
}

TEST(Show, TellsOfWhichKindsMoreAreOpenThanBefore) {
    const std::string then = with(golden("resources"), R"("live":2,"peak":3,"opened":3)",
                                  R"("live":1,"peak":3,"opened":1)");
    const std::string now =
        with(golden("resources"), R"("uptime_seconds":0.)", R"("uptime_seconds":60.)");
    format::memory_source older(then);
    show_options options;
    options.against = &older;
    const shown s = show(now, options);
    EXPECT_TRUE(s.has("more of \"connection\" are open: 1 then, 2 now, of 2 opened since"))
        << s.out;
    EXPECT_FALSE(s.has("more of \"statement\"")) << s.out;
}

TEST(Show, PrintsNothingThatATerminalObeys) {
    for (const char* name : golden_names) {
        for (const bool all : {false, true}) {
            for (const char c : show(golden(name), {.view = {.all = all}}).out) {
                const auto byte = static_cast<unsigned char>(c);
                ASSERT_TRUE(byte == '\n' || byte >= 0x20) << name;
            }
        }
    }
    const shown s = show(golden("hostile_names"), everything());
    for (const char* hidden :
         {"\u009b", "\u202e", "\u2066", "\u200b", "\ufeff", "\u2028", "\x7f"}) {
        EXPECT_FALSE(s.has(hidden));
    }
    EXPECT_TRUE(s.has("state \\x1b[31mred\\x1b[0m\\n\\nfake line"));
}

TEST(Show, PaintsOnlyOnATerminal) {
    show_options options;
    EXPECT_FALSE(show(golden("hung_pool"), options).has("\x1b["));
    options.view.colours = true;
    EXPECT_TRUE(show(golden("hung_pool"), options).has("\x1b[1;31mERROR: wait cycle"));
}

TEST(Show, KeepsWithinTheWidthOfTheTerminal) {
    for (const char* name : {"hung_pool", "joins", "healthy", "nulls"}) {
        std::istringstream lines(show(golden(name)).out);
        for (std::string line; std::getline(lines, line);) {
            EXPECT_LE(display_width(line), 100U) << line;
        }
    }
}

TEST(Show, EndsInOneLineForABrokenFile) {
    const std::string text = golden("healthy");
    const shown s = show(std::string_view(text).substr(0, 4000));
    EXPECT_EQ(s.code, exit_unreadable);
    EXPECT_EQ(s.out, "");
    EXPECT_EQ(s.problems,
              "corodump: x.json: byte 4000: the file ends in the middle (truncated?)\n");
}

TEST(Show, ShowsWhatItKnowsOfANewerFormat) {
    const shown s =
        show(with(golden("healthy"), R"("format_version": 1)", R"("format_version": 7)"));
    EXPECT_EQ(s.code, exit_ok);
    EXPECT_TRUE(s.has("format version 7 is newer than this corodump"));
    EXPECT_TRUE(s.has("orderd::accept_loop"));
}

TEST(Show, FailsWhereTheOutputCannotBeWritten) {
    const std::string text = golden("healthy");
    format::memory_source source(text);
    std::ostringstream problems;
    std::ostream broken(nullptr);
    EXPECT_EQ(run_show(source, {}, broken, problems), exit_problem);
}

TEST(WithoutTemplateArguments, ShortensOnlyWhatIsTooLong) {
    EXPECT_EQ(without_template_arguments("f<int>", 20), "f<int>");
    EXPECT_EQ(without_template_arguments("ns::f<std::vector<int>>::g<x>", 20), "ns::f<…>::g<…>");
    EXPECT_EQ(without_template_arguments("operator<<some long name", 15), "operator<<some…");
    EXPECT_EQ(without_template_arguments("broken<<<<<<<<<<<<", 10), "broken<<<…");
}

TEST(LibraryOf, TakesTheNamespaces) {
    EXPECT_EQ(library_of("boost::asio::detail::f<a::b::c>"), "boost::asio");
    EXPECT_EQ(library_of("std::generate"), "std");
    EXPECT_EQ(library_of("f"), "");
}

TEST(CommonDirectory, IsTheDeepestOfAllFiles) {
    EXPECT_EQ(common_directory({"/a/b/c.cpp", "/a/b/d.cpp"}), "/a/b/");
    EXPECT_EQ(common_directory({"/a/bc/c.cpp", "/a/bd/d.cpp"}), "/a/");
    EXPECT_EQ(common_directory({"/a/c.cpp", "/b/d.cpp"}), "");
    EXPECT_EQ(common_directory({"a/c.cpp", "a/d.cpp"}), "");
    EXPECT_EQ(common_directory({}), "");
}

}  // namespace
}  // namespace corodump::cli
