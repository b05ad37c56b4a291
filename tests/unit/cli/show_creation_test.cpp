#include <gtest/gtest.h>

#include <sstream>
#include <string>

#include "agent/cli/exit_code.hpp"
#include "agent/cli/show.hpp"
#include "tests/golden/golden.hpp"

namespace corodump::cli {
namespace {

using test::golden;
using test::with;

std::string show_task(const std::string& text, const char* id) {
    show_options options;
    options.file = "x.json";
    options.task = id;
    format::memory_source source(text);
    std::ostringstream out;
    std::ostringstream problems;
    EXPECT_EQ(run_show(source, options, out, problems), exit_ok) << problems.str();
    return out.str();
}

TEST(ShowCreation, FollowsTheCreatorsUp) {
    const std::string s = show_task(golden("creation"), "7fb7be021f30.1");
    const std::size_t section = s.find("CREATED");
    ASSERT_NE(section, std::string::npos) << s;
    const std::size_t session =
        s.find("by 7fb7be001e80.1 \"session 17\"  orderd::session", section);
    const std::size_t acceptor = s.find("by 7fb7be001f50.1 \"acceptor\"  orderd::accept", section);
    EXPECT_LT(session, acceptor) << s;
    EXPECT_NE(acceptor, std::string::npos) << s;
}

TEST(ShowCreation, ShowsTheStack) {
    const std::string s = show_task(golden("creation"), "7fb7be021f30.1");
    EXPECT_NE(s.find("on this stack, as 2 tasks of this dump"), std::string::npos) << s;
    EXPECT_LT(s.find("orderd::settle_later"), s.find("orderd::serve")) << s;
    EXPECT_NE(s.find("orderd::serve"), std::string::npos) << s;
}

TEST(ShowCreation, SaysThatACreatorIsGone) {
    const std::string s = show_task(golden("creation"), "7fb7be021db0.1");
    EXPECT_NE(s.find("by 7fb7be031f60.1, which is gone"), std::string::npos) << s;
}

TEST(ShowCreation, EndsAtACycleOfCreators) {
    const std::string cycle =
        with(golden("creation"), R"("line":17},"by":null)", R"("line":17},"by":"7fb7be021f30.1")");
    const std::string s = show_task(cycle, "7fb7be021f30.1");
    EXPECT_NE(s.find("by 7fb7be001f50.1"), std::string::npos) << s;
    EXPECT_EQ(s.find("by 7fb7be021f30.1"), std::string::npos) << s;
}

TEST(ShowCreation, SaysNothingWhereNothingIsKnown) {
    const std::string s = show_task(golden("joins"), "7f12a4000180.4");
    EXPECT_EQ(s.find("CREATED"), std::string::npos) << s;
}

}  // namespace
}  // namespace corodump::cli
