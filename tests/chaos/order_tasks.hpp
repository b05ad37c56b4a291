// Orders that wait for their backend: what the chaos hosts do, forked ones and programs.
#pragma once

#include <vector>

#include "tests/integration/styles/lazy_task.hpp"
#include "tests/integration/styles/synced.hpp"

namespace orders {

inline lazy::task<int> ask_backend(synced::event& until, int number) {
    co_await until;
    co_return number;
}
inline lazy::task<int> place_order(synced::event& until, int number) {
    co_return co_await ask_backend(until, number);
}

class service {
public:
    explicit service(int orders = 3) {
        for (int i = 0; i < orders; ++i) {
            waiting_.push_back(place_order(until_, i));
            waiting_.back().start();
        }
    }
    /// Lets every order go on; false where one did not end as it should.
    [[nodiscard]] bool finish() {
        until_.set();
        int number = 0;
        for (auto& order : waiting_)
            if (!order.done() || order.result() != number++) return false;
        return true;
    }

private:
    synced::event until_;
    std::vector<lazy::task<int>> waiting_;
};

}  // namespace orders
