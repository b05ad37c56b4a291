#include "agent/base/config.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <map>
#include <string>

namespace corodump::base {
namespace {

// parse_config takes a plain function, as getenv is one.
std::map<std::string, std::string> environment;
const char* look_up(const char* name) {
    const auto found = environment.find(name);
    return found == environment.end() ? nullptr : found->second.c_str();
}

parsed_config parse(std::map<std::string, std::string> with) {
    environment = std::move(with);
    return parse_config(look_up);
}

TEST(Config, HasDefaultsWhereNothingIsSet) {
    const parsed_config got = parse({});
    EXPECT_TRUE(got.problems.empty());
    EXPECT_EQ(got.values.directory, "/tmp");
    EXPECT_EQ(got.values.signal, SIGUSR1);
    EXPECT_EQ(got.values.max_tasks, 1'000'000U);
    EXPECT_EQ(got.values.max_files, 16U);
    EXPECT_FALSE(got.values.off);
    EXPECT_EQ(got.values.redact.patterns().size(), 8U);
}

TEST(Config, TakesOrRefusesTheSignalForStacks) {
    EXPECT_EQ(parse({}).values.stack_signal, SIGRTMAX - 2);
    EXPECT_EQ(parse({{"CORODUMP_STACK_SIGNAL", "RTMIN+9"}}).values.stack_signal, SIGRTMIN + 9);
    for (const char* off : {"off", "None", "0"}) {
        const parsed_config got = parse({{"CORODUMP_STACK_SIGNAL", off}});
        EXPECT_EQ(got.values.stack_signal, 0) << off;
        EXPECT_TRUE(got.problems.empty()) << off;
    }
    for (const char* wrong : {"KILL", "SEGV", "USR1", "99", "banana"}) {
        const parsed_config got = parse({{"CORODUMP_STACK_SIGNAL", wrong}});
        EXPECT_EQ(got.values.stack_signal, SIGRTMAX - 2) << wrong;
        EXPECT_EQ(got.problems.size(), 1U) << wrong;
    }
}

TEST(Config, SignalsBlockedThreadsOnlyWhereItIsTold) {
    EXPECT_FALSE(parse({}).values.signal_blocked);
    EXPECT_TRUE(parse({{"CORODUMP_SIGNAL_BLOCKED", "1"}}).values.signal_blocked);
    environment.clear();
    config chosen;
    chosen.signal_blocked = true;
    EXPECT_TRUE(parse_config(look_up, chosen).values.signal_blocked);
    environment = {{"CORODUMP_SIGNAL_BLOCKED", "off"}};
    EXPECT_FALSE(parse_config(look_up, chosen).values.signal_blocked);
    const parsed_config wrong = parse({{"CORODUMP_SIGNAL_BLOCKED", "perhaps"}});
    EXPECT_FALSE(wrong.values.signal_blocked);
    EXPECT_EQ(wrong.problems.size(), 1U);
}

TEST(Config, TakesGoodValues) {
    const parsed_config got = parse({{"CORODUMP_DIR", "/var/dumps"},
                                     {"CORODUMP_SIGNAL", "SIGUSR2"},
                                     {"CORODUMP_MAX_TASKS", "1000"},
                                     {"CORODUMP_MAX_FILES", " 3 "},
                                     {"CORODUMP_MAX_FRAMES", "5000"},
                                     {"CORODUMP_MAX_BYTES", "1000000"},
                                     {"CORODUMP_MAX_DEPTH", "4"},
                                     {"CORODUMP_MAX_TEXT_BYTES", "80"},
                                     {"CORODUMP_DEADLINE_MS", "250"},
                                     {"CORODUMP_INTERVAL_MS", "1"},
                                     {"CORODUMP_REDACT", "pin,card*number"},
                                     {"CORODUMP_OFF", "Yes"}});
    EXPECT_TRUE(got.problems.empty());
    EXPECT_EQ(got.values.directory, "/var/dumps");
    EXPECT_EQ(got.values.signal, SIGUSR2);
    EXPECT_EQ(got.values.max_tasks, 1000U);
    EXPECT_EQ(got.values.max_files, 3U);
    EXPECT_EQ(got.values.max_frames, 5000U);
    EXPECT_EQ(got.values.max_bytes, 1'000'000U);
    EXPECT_EQ(got.values.max_depth, 4U);
    EXPECT_EQ(got.values.max_text_bytes, 80U);
    EXPECT_EQ(got.values.deadline_ms, 250U);
    EXPECT_EQ(got.values.interval_ms, 1U);
    EXPECT_TRUE(got.values.off);
    EXPECT_TRUE(got.values.redact.matches("CardHolderNumber"));
    EXPECT_FALSE(got.values.redact.matches("password"));
}

TEST(Config, TracesCreationsAsAsked) {
    EXPECT_FALSE(config{}.creators);
    EXPECT_EQ(config{}.creation_stacks, stack_tracing::off);
    const parsed_config got = parse({{"CORODUMP_CREATORS", "on"},
                                     {"CORODUMP_CREATION_STACKS", "Sampled"},
                                     {"CORODUMP_CREATION_BUDGET_PERCENT", "5"},
                                     {"CORODUMP_CREATION_DEPTH", "32"}});
    EXPECT_TRUE(got.problems.empty());
    EXPECT_TRUE(got.values.creators);
    EXPECT_EQ(got.values.creation_stacks, stack_tracing::sampled);
    EXPECT_EQ(got.values.creation_budget_percent, 5U);
    EXPECT_EQ(got.values.creation_depth, 32U);
    EXPECT_EQ(parse({{"CORODUMP_CREATION_STACKS", "all"}}).values.creation_stacks,
              stack_tracing::all);
    const parsed_config wrong = parse({{"CORODUMP_CREATORS", "some"},
                                       {"CORODUMP_CREATION_STACKS", "many"},
                                       {"CORODUMP_CREATION_BUDGET_PERCENT", "0"},
                                       {"CORODUMP_CREATION_DEPTH", "33"}});
    EXPECT_EQ(wrong.problems.size(), 4U);
    EXPECT_FALSE(wrong.values.creators);
    EXPECT_EQ(wrong.values.creation_stacks, stack_tracing::off);
    EXPECT_EQ(wrong.values.creation_budget_percent, 1U);
    EXPECT_EQ(wrong.values.creation_depth, 20U);
}

TEST(Config, KeepsTheDefaultAndSaysWhyForBadValues) {
    const parsed_config got = parse({{"CORODUMP_DIR", "dumps"},
                                     {"CORODUMP_SIGNAL", "SEGV"},
                                     {"CORODUMP_MAX_TASKS", "0"},
                                     {"CORODUMP_MAX_FILES", "many"},
                                     {"CORODUMP_OFF", "perhaps"},
                                     {"CORODUMP_MAX_DEPTH", "257"}});
    ASSERT_EQ(got.problems.size(), 6U);
    EXPECT_EQ(got.problems[0], "CORODUMP_DIR=\"dumps\" is ignored: the path is not absolute");
    EXPECT_NE(got.problems[1].find("CORODUMP_SIGNAL=\"SEGV\""), std::string::npos);
    EXPECT_EQ(got.values.directory, "/tmp");
    EXPECT_EQ(got.values.signal, SIGUSR1);
    EXPECT_EQ(got.values.max_tasks, 1'000'000U);
    EXPECT_EQ(got.values.max_files, 16U);
    EXPECT_FALSE(got.values.off);
}

TEST(Config, TakesWhatIsSaidOfStalls) {
    const auto got = parse({{"CORODUMP_STALL_THRESHOLD_MS", "250"},
                            {"CORODUMP_STALL_DUMP_INTERVAL_MS", "1000"},
                            {"CORODUMP_DUMP_ON_STALL", "1"},
                            {"CORODUMP_COUNT_CALLBACKS", "on"}});
    EXPECT_TRUE(got.problems.empty());
    EXPECT_EQ(got.values.stall_threshold_ms, 250U);
    EXPECT_EQ(got.values.stall_dump_interval_ms, 1000U);
    EXPECT_TRUE(got.values.dump_on_stall);
    EXPECT_TRUE(got.values.count_callbacks);
    EXPECT_EQ(parse({{"CORODUMP_STALL_THRESHOLD_MS", "0"}}).values.stall_threshold_ms, 0U);
    const auto small = parse({{"CORODUMP_STALL_THRESHOLD_MS", "3"}});
    EXPECT_EQ(small.problems.size(), 1U);
    EXPECT_EQ(small.values.stall_threshold_ms, 50U);
}

TEST(Config, TakesWhatIsSaidOfResources) {
    const auto got = parse({{"CORODUMP_RESOURCE_MAX_AGE_MS", "300000"},
                            {"CORODUMP_RESOURCE_STACKS", "1"},
                            {"CORODUMP_TASK_MAX_AGE_MS", "60000"},
                            {"CORODUMP_DESCRIPTORS", "yes"},
                            {"CORODUMP_DESCRIPTOR_MAX_AGE_MS", "off"}});
    EXPECT_TRUE(got.problems.empty());
    EXPECT_EQ(got.values.resource_max_age_ms, 300'000U);
    EXPECT_TRUE(got.values.resource_stacks);
    EXPECT_EQ(got.values.task_max_age_ms, 60'000U);
    EXPECT_TRUE(got.values.descriptors);
    EXPECT_EQ(got.values.descriptor_max_age_ms, 0U);
    const auto none = parse({});
    EXPECT_EQ(none.values.resource_max_age_ms + none.values.task_max_age_ms, 0U);
    EXPECT_FALSE(none.values.descriptors || none.values.resource_stacks);
    EXPECT_EQ(parse({{"CORODUMP_RESOURCE_MAX_AGE_MS", "7"}}).problems.size(), 1U);
}

TEST(Config, HidesRatherTooMuchThanTooLittle) {
    const parsed_config nothing = parse({{"CORODUMP_REDACT", " , ,"}});
    ASSERT_EQ(nothing.problems.size(), 1U);
    EXPECT_TRUE(nothing.values.redact.matches("password")) << "the default stays";

    std::string many = "first";
    for (int i = 1; i < 64; ++i) many += ",p" + std::to_string(i);
    EXPECT_FALSE(parse({{"CORODUMP_REDACT", many.c_str()}}).values.redact.matches("last"));
    many += ",last";
    const parsed_config overflown = parse({{"CORODUMP_REDACT", many.c_str()}});
    ASSERT_EQ(overflown.problems.size(), 1U);
    EXPECT_TRUE(overflown.values.redact.matches("last"));
    EXPECT_TRUE(overflown.values.redact.matches("anything"));
    EXPECT_TRUE(parse({{"CORODUMP_REDACT", "none"}}).problems.empty());
}

TEST(Config, TakesAnEmptyValueForUnset) {
    const parsed_config got = parse({{"CORODUMP_DIR", ""}, {"CORODUMP_SIGNAL", "  "}});
    EXPECT_TRUE(got.problems.empty());
    EXPECT_EQ(got.values.directory, "/tmp");
}

TEST(Config, KnowsSignalsByNameAndNumber) {
    EXPECT_EQ(parse_signal("SIGUSR2"), SIGUSR2);
    EXPECT_EQ(parse_signal("usr1"), SIGUSR1);
    EXPECT_EQ(parse_signal("12"), 12);
    EXPECT_EQ(parse_signal("RTMIN+3"), SIGRTMIN + 3);
    EXPECT_EQ(parse_signal("SIGRTMAX-1"), SIGRTMAX - 1);
    EXPECT_EQ(parse_signal("rtmin"), SIGRTMIN);
    for (const char* bad : {"", "USR3", "RTMIN+99", "RTMIN-1", "RTMAX+1", "RTMIN+", "-1", "99999",
                            "SIG", "SIGSIGUSR1", "a name that is far too long"}) {
        EXPECT_EQ(parse_signal(bad), 0) << bad;
    }
}

TEST(Config, RefusesSignalsThatHaveAnotherPurpose) {
    for (const int signal : {SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGABRT, SIGCHLD, SIGPIPE, SIGTERM,
                             SIGINT, SIGALRM, 0, -1, 32, 33, 65}) {
        EXPECT_FALSE(is_usable_signal(signal)) << signal;
    }
    EXPECT_TRUE(is_usable_signal(SIGUSR1));
    EXPECT_TRUE(is_usable_signal(SIGQUIT));
    EXPECT_TRUE(is_usable_signal(SIGRTMIN));
    EXPECT_TRUE(is_usable_signal(SIGRTMAX));
}

TEST(Redaction, MatchesAnywhereWhateverTheCase) {
    const redaction standard = redaction::standard();
    for (const char* secret :
         {"password", "userPassword", "API_KEY", "Authorization", "session_cookie"}) {
        EXPECT_TRUE(standard.matches(secret)) << secret;
    }
    for (const char* harmless : {"", "user", "pass", "order_id"}) {
        EXPECT_FALSE(standard.matches(harmless)) << harmless;
    }
}

TEST(Redaction, UnderstandsStarsNoneAndLists) {
    const redaction some = redaction::parse(" A*b , ,c*d*E,");
    EXPECT_EQ(some.patterns().size(), 2U);
    EXPECT_TRUE(some.matches("xxaxxbxx"));
    EXPECT_TRUE(some.matches("ab"));
    EXPECT_FALSE(some.matches("ba"));
    EXPECT_TRUE(some.matches("CDE"));
    EXPECT_FALSE(some.matches("ced"));
    EXPECT_TRUE(redaction::parse("None").empty());
    EXPECT_FALSE(redaction::parse("none").matches("password"));
    EXPECT_TRUE(redaction::parse("*").matches("anything"));
}

}  // namespace
}  // namespace corodump::base
