// An hour of a busy, healthy service: what its dumps would say must hold no error. The service is
// simulated second by second: requests come in waves, some are slow, a pool is often all taken, tasks
// fan out, connections idle, a batch computes for half a minute, sessions come in the morning and stay.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <random>
#include <vector>

#include "tests/unit/analysis/written_verdicts.hpp"

namespace corodump::analysis {
namespace {

class service final : public tasks_view {
public:
    explicit service(unsigned seed) : random_(seed) {}

    void second() {
        ++now_;
        finish(1.0);
        const double wave = now_ / 300 % 2 == 0 ? 0.5 : 1.0;  // quiet and busy five minutes in turn
        arrive(static_cast<unsigned>(uniform(0, 40) * wave));
        if (now_ % 3 == 0 && sessions_.size() < 5000) sessions_.push_back(now_);
        if (now_ % 600 == 0) batch_since_ = now_;
        if (now_ - batch_since_ > 25) batch_since_ = never;
    }

    [[nodiscard]] test::written_verdicts look() {
        facts of;
        of.tasks = this;
        holders_.clear();
        for (std::size_t i = 0; i < working_.size(); ++i)
            holders_.push_back(static_cast<std::uint32_t>(i));
        pool_ = {{"pool", "backend", static_cast<std::uint32_t>(working_.size()), pool_size,
                  holders_, true, false, queue_.size(),
                  queue_.empty() ? 0.0 : age(queue_.front().since)}};
        of.resources = pool_;
        add_sites();
        of.sites = sites_;
        of.suspended = queue_.size() + working_.size() + sessions_.size() + 1;
        joins_.clear();
        if (!working_.empty()) joins_.push_back({90'000, 1, 3, 1, 0, age(working_.front().since)});
        of.joins = joins_;
        busy_.clear();
        if (batch_since_ != never)
            busy_.push_back({{}, 77, no_task, "batch", "compress", {}, true, age(batch_since_), 0});
        of.busy_threads = busy_;
        growth_[0] = {{"session", "session.cpp", 12, false},
                      counted_sessions_,
                      sessions_.size(),
                      counted_sessions_,
                      60};
        counted_sessions_ = sessions_.size();
        of.growths = growth_;
        return test::judged(of);
    }

private:
    static constexpr std::uint32_t pool_size = 16;
    static constexpr long never = 1'000'000;

    struct request {
        long since;    ///< when it began to wait, or to work
        double needs;  ///< seconds of work
    };

    double uniform(double from, double to) {
        return std::uniform_real_distribution<>(from, to)(random_);
    }
    [[nodiscard]] double age(long since) const { return static_cast<double>(now_ - since); }

    /// One request in fifty is slow, as a backend under compaction makes it.
    void arrive(unsigned count) {
        for (unsigned i = 0; i < count; ++i)
            queue_.push_back({now_, uniform(0, 1) < 0.02 ? uniform(5, 29) : uniform(0.01, 0.5)});
        serve();
    }
    void serve() {
        while (working_.size() < pool_size && !queue_.empty()) {
            working_.push_back({now_, queue_.front().needs});
            queue_.erase(queue_.begin());
        }
    }
    void finish(double seconds) {
        double left = seconds;
        // Within a second a connection serves several quick requests, one after the other.
        while (left > 0) {
            for (request& r : working_) r.needs -= 0.05;
            std::erase_if(working_, [](const request& r) { return r.needs <= 0; });
            serve();
            left -= 0.05;
        }
    }
    void add_sites() {
        sites_ = {{{"session", "session.cpp", 20, false},
                   "async_read",
                   wait_sort::input_output,
                   sessions_.size(),
                   age(sessions_.empty() ? now_ : sessions_.front()),
                   0,
                   1},
                  {{"acquire", "pool.cpp", 9, false},
                   "channel",
                   wait_sort::resource,
                   queue_.size(),
                   queue_.empty() ? 0 : age(queue_.front().since),
                   0,
                   2}};
    }

    [[nodiscard]] double rest_seconds(std::uint32_t task) const noexcept override {
        return task < working_.size() ? age(working_[task].since) : 0;
    }
    [[nodiscard]] std::uint32_t resource_of(std::uint32_t task) const noexcept override {
        return task >= working_.size() && task < working_.size() + queue_.size() ? 0 : no_resource;
    }

    std::mt19937 random_;
    long now_ = 0;
    long batch_since_ = never;
    std::vector<request> queue_, working_;
    std::vector<long> sessions_;
    std::uint64_t counted_sessions_ = 0;
    std::vector<std::uint32_t> holders_;
    std::array<resource, 1> pool_;
    std::vector<site> sites_;
    std::vector<join> joins_;
    std::vector<busy_thread> busy_;
    std::array<growth, 1> growth_;
};

TEST(HealthyLoad, GivesNoErrorInAnHourHoweverBusy) {
    for (const unsigned seed : {1U, 2U, 3U, 4U}) {
        service busy(seed);
        std::size_t warnings = 0;
        for (int second = 1; second <= 3600; ++second) {
            busy.second();
            const auto said = busy.look();
            for (const test::written_verdict& v : said.all)
                EXPECT_NE(v.severity, "error")
                    << "seed " << seed << ", second " << second << ": " << v.statement;
            warnings += said.count("warning");
        }
        // A pool that is all taken for seconds is worth a word: the load was no idle one.
        EXPECT_GT(warnings, 0U);
    }
}

}  // namespace
}  // namespace corodump::analysis
