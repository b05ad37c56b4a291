// The dump path owns everything it uses: hosts are dumped in all ways under a preloaded library
// that aborts when the watchdog calls the allocator, the loader, stdio, or a lock.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <string>

#include "tests/chaos/chaos_host.hpp"

namespace {

chaos::setup under_the_shim() {
    chaos::setup with;
    with.preload = {chaos::program("forbid_shim.so")};
    return with;
}

/// The whole dump of the host's own tasks: names, values, holders, endpoints.
void expect_everything(const support::dump& in) {
    ASSERT_NE(in.ending_in("app::inner"), nullptr) << in.chains();
    const support::task* const buyer = in.with_name("buyer 1");
    ASSERT_NE(buyer, nullptr) << in.chains();
    EXPECT_EQ(buyer->labels.at("item"), "turbine");
    EXPECT_EQ(buyer->labels.at("password"), "<redacted>");
    EXPECT_EQ(buyer->last().locals.at("price").value, "\"100 cents\"");
    EXPECT_EQ(buyer->last().locals.at("item").value, "\"turbine\"");
    ASSERT_TRUE(buyer->awaits.has_value());
    EXPECT_EQ(buyer->awaits->kind, "pool");
    EXPECT_EQ(buyer->awaits->name, "backend \"one\"");
    EXPECT_EQ(buyer->awaits->owners.size(), 2U);
    EXPECT_NE(in.text.find("\"remote_endpoint\":\"127.0.0.1:"), std::string::npos);
    ASSERT_EQ(in.verdicts.size(), 1U);
    EXPECT_EQ(in.verdicts[0].kind, "wait_cycle");
}

std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    std::size_t begin = 0;
    for (std::size_t end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1)
        lines.push_back(text.substr(begin, end - begin));
    return lines;
}

std::string what_is_called(const std::string& function) {
    return function == "operator new" ? "malloc" : function;
}

TEST(Forbidden, TheShimAbortsAtEachFunctionAndOnTheWatchdogAlone) {
    const std::string program = chaos::program("plain_calls_forbidden");
    const auto functions = lines_of(chaos::run({program}).output);
    EXPECT_GT(functions.size(), 40U);
    for (const std::string& function : functions) {
        chaos::host fires(program, {"corodump-watch", function}, under_the_shim());
        EXPECT_EQ(fires.wait(), -SIGABRT) << function;
        EXPECT_EQ(fires.errors(), "forbidden on the watchdog: " + what_is_called(function) + '\n');
        chaos::host passes(program, {"another", function}, under_the_shim());
        EXPECT_EQ(passes.wait(), 0) << function << passes.errors();
    }
}

TEST(Forbidden, NothingOfItByASignal) {
    chaos::host host(chaos::program("auto_dumped_all_ways"), {}, under_the_shim());
    host.await_ready();
    EXPECT_NE(host.of_process("maps").find("forbid_shim.so"), std::string::npos);
    for (int i = 0; i < 3; ++i) {
        expect_everything(host.signal_and_await_dump());
        EXPECT_NE(host.await_error("-" + std::to_string(i + 1) + ".json in "), "");
    }
    host.expect_answers();
}

TEST(Forbidden, NothingOfItWithAllThatCanBeNoted) {
    chaos::setup with = under_the_shim();
    with.environment = {{"CORODUMP_CREATION_STACKS", "all"}, {"CORODUMP_CREATORS", "1"},
                        {"CORODUMP_COUNT_CALLBACKS", "1"},   {"CORODUMP_FINISHED", "all"},
                        {"CORODUMP_DUMP_ON_FATAL", "1"},     {"CORODUMP_SIGNAL_BLOCKED", "1"}};
    chaos::host host(chaos::program("auto_dumped_all_ways"), {}, with);
    host.await_ready();
    host.say("more");  // some of these end, and all are born on stacks
    host.await_ready();
    const nlohmann::json dump = chaos::parse(host.signal_and_await_dump().path);
    EXPECT_FALSE(dump["creation_stacks"].empty());
    EXPECT_NE(host.await_error("-1.json in "), "");
    host.expect_answers();
}

TEST(Forbidden, NothingOfItByTheInterface) {
    chaos::host host(chaos::program("auto_dumped_all_ways"), {}, under_the_shim());
    host.await_ready();
    host.say("api");
    host.await("dumped 0");
    expect_everything(support::read_dump(host.await_dump()));
    host.await_ready();
    host.expect_answers();
}

TEST(Forbidden, NothingOfItWithManyTasksAndRetention) {
    chaos::setup with = under_the_shim();
    with.environment = {{"CORODUMP_MAX_FILES", "1"}};
    chaos::host host(chaos::program("auto_dumped_all_ways"), {}, with);
    host.await_ready();
    host.say("more");
    host.await_ready();
    EXPECT_NE(host.signal_and_await_dump().path, "");
    EXPECT_NE(host.await_error("-1.json in "), "");
    const support::dump dump = host.signal_and_await_dump();
    EXPECT_EQ(dump.tasks.size(), 20'003U);
    EXPECT_EQ(dump.frames, 40'004U);
    EXPECT_NE(host.await_error("-2.json in "), "");
    EXPECT_EQ(chaos::files_in(host.directory()).size(), 1U);
    host.expect_answers();
}

TEST(Forbidden, NothingOfItWhenTheCapCutsTheDump) {
    chaos::setup with = under_the_shim();
    with.environment = {{"CORODUMP_MAX_FRAMES", "3"}, {"CORODUMP_REDACT", "*"}};
    chaos::host host(chaos::program("auto_dumped_all_ways"), {}, with);
    host.await_ready();
    const support::dump dump = host.signal_and_await_dump();
    EXPECT_FALSE(dump.complete);
    EXPECT_EQ(dump.frames, 3U);
    host.expect_answers();
}

TEST(Forbidden, NothingOfItWhenTheDirectoryIsMissing) {
    chaos::setup with = under_the_shim();
    with.directory = "/nonexistent/dumps";
    chaos::host host(chaos::program("auto_dumped_all_ways"), {}, with);
    host.await_ready();
    host.say("api");
    host.await("failed " + std::to_string(ENOENT));
    EXPECT_NE(host.await_error("no dump: cannot open the dump directory"), "");
    host.await_ready();
    host.signal(SIGUSR1);
    EXPECT_NE(host.await_error("no dump: cannot open the dump directory"), "");
    host.expect_answers();
}

TEST(Forbidden, NothingOfItWhenTheFileMayNotGrow) {
    chaos::setup with = under_the_shim();
    with.limits = {{RLIMIT_FSIZE, 1000}};
    chaos::host host(chaos::program("auto_dumped_all_ways"), {}, with);
    host.await_ready();
    // Not even the page for `corodump trigger` may be made: one line, and no SIGXFSZ.
    EXPECT_NE(host.await_error("no beacon page could be mapped"), "");
    host.signal(SIGUSR1);
    EXPECT_NE(host.await_error("no dump: cannot write the dump file"), "");
    EXPECT_TRUE(chaos::files_in(host.directory()).empty());
    host.expect_answers();
}

TEST(Forbidden, NothingOfItWithoutDescriptors) {
    chaos::setup with = under_the_shim();
    with.limits = {{RLIMIT_NOFILE, 64}};
    chaos::host host(chaos::program("auto_dumped_all_ways"), {}, with);
    host.await_ready();
    host.say("no descriptors");
    host.await_ready();
    host.signal(SIGUSR1);
    EXPECT_NE(host.await_error("dump"), "");  // with the reserve, or a clear line
    host.expect_answers();
}

/// A child whose parent had threads stays without its own; the other is a service again.
void expect_dump_of_child(const std::vector<std::string>& arguments) {
    chaos::host host(chaos::program("auto_dumped_all_ways"), arguments, under_the_shim());
    host.await_ready();
    host.say("fork");
    std::string first = host.await_line();
    std::string second = host.await_line();
    if (first == "ready") std::swap(first, second);
    EXPECT_EQ(second, "ready");
    ASSERT_TRUE(first.starts_with("child ")) << first;
    const pid_t child = static_cast<pid_t>(std::stol(first.substr(6)));
    for (int i = 0; i < 2; ++i) {
        ASSERT_EQ(kill(child, SIGUSR1), 0);
        const support::dump dump = support::read_dump(host.await_dump());
        EXPECT_NE(dump.path.find('-' + std::to_string(child) + '-'), std::string::npos);
        expect_everything(dump);
    }
    expect_everything(host.signal_and_await_dump());
    EXPECT_EQ(kill(child, 0), 0) << "the child has died: " << host.errors();
    host.expect_answers();
}

TEST(Forbidden, NothingOfItInAForkedChild) {
    expect_dump_of_child({});
}

TEST(Forbidden, NothingOfItInAForkedChildOfAThreadedProcess) {
    expect_dump_of_child({"threads"});
}

}  // namespace
