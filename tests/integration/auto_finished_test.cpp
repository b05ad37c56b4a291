// Tasks that are gone, where the ends of all are noted: how they ended, and who destroyed them.
#include <gtest/gtest.h>

#include <corodump/agent.hpp>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>

#include "styles/eager_task.hpp"
#include "styles/lazy_task.hpp"
#include "styles/synced.hpp"
#include "support_dump.hpp"

namespace app {

eager::task waits(synced::event& until) {
    co_await until;
    co_return 1;
}
eager::task destroys(std::optional<eager::task>& other, synced::event& until) {
    other.reset();
    co_await until;
    co_return 2;
}
lazy::task<> helper(std::optional<eager::task>& other, synced::event& until) {
    other.reset();
    co_await until;
}
/// What destroys is not the task's root, but what it awaits.
lazy::task<> has_destroyed(std::optional<eager::task>& other, synced::event& until) {
    co_await helper(other, until);
}

}  // namespace app

namespace {

using nlohmann::json;

class Finished : public ::testing::Test {
protected:
    static corodump::options all_ends() {
        corodump::options chosen;
        chosen.finished = corodump::finished_tasks::all;
        return chosen;
    }
    /// The last finished task of this function; null: none.
    static json finished_in(const json& dump, std::string_view function) {
        const json finished = dump.value("finished", json::array());
        for (auto at = finished.rbegin(); at != finished.rend(); ++at)
            if ((*at)["function"] == function) return *at;
        return {};
    }
    static json id_of(const json& dump, std::string_view function) {
        for (const json& task : dump["tasks"])
            if (task["await_chain"][0]["function"] == function) return task["id"];
        ADD_FAILURE() << "no task of " << function;
        return {};
    }

    corodump::agent agent{all_ends()};
    synced::event until;
    std::optional<eager::task> victim{app::waits(until)};
};

TEST_F(Finished, TaskThatRanToItsEndIsDone) {
    const json id = id_of(support::dump_as_json(), "app::waits");
    until.set();
    victim.reset();
    const json ended = finished_in(support::dump_as_json(), "app::waits");
    EXPECT_EQ(ended["task"], id);
    EXPECT_EQ(ended["outcome"], "done");
    EXPECT_TRUE(ended["cancelled_by"].is_null());
}

TEST_F(Finished, TaskThatIsDestroyedWhileItWaitsIsCancelledByTheOneThatRuns) {
    synced::event last;
    const eager::task culprit = app::destroys(victim, last);
    const json dump = support::dump_as_json();
    const json ended = finished_in(dump, "app::waits");
    EXPECT_EQ(ended["outcome"], "cancelled");
    EXPECT_EQ(ended["cancelled_by"], id_of(dump, "app::destroys"));
    last.set();
}

TEST_F(Finished, TaskIsCancelledByTheTaskOfTheFrameThatDestroyedIt) {
    synced::event last;
    lazy::task<> culprit = app::has_destroyed(victim, last);
    culprit.start();
    const json dump = support::dump_as_json();
    EXPECT_EQ(finished_in(dump, "app::waits")["cancelled_by"], id_of(dump, "app::has_destroyed"));
    last.set();
}

TEST_F(Finished, TaskThatIsDestroyedOutsideOfCoroutinesIsCancelledByNone) {
    victim.reset();
    const json ended = finished_in(support::dump_as_json(), "app::waits");
    EXPECT_EQ(ended["outcome"], "cancelled");
    EXPECT_TRUE(ended["cancelled_by"].is_null());
}

}  // namespace
