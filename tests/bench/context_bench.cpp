// What context variables cost, in one run:
//
//   - reading the running task, a variable in the coroutine that bound it and ten below, the id and
//     name of the task
//   - create, co_await, run, destroy where variables are in use, over none: the switch alone lies
//     between the two
//
// Rounds take turns, so that all see the same machine; medians. Each line of the output: a name, ns.
#include <algorithm>
#include <corodump/agent.hpp>
#include <corodump/context.hpp>
#include <corodump/task.hpp>
#include <corodump/tracked_promise.hpp>
#include <coroutine>
#include <cstdint>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "agent/sources/listeners.hpp"
#include "rounds.hpp"
#include "shapes/shapes.hpp"

int shapes_seed = 1;
std::size_t shapes_frame_bytes = 0;

namespace {

using rounds::median;
using rounds::ns_each;
using rounds::tell;
const corodump::context_variable<int> request("request");

class task {
public:
    struct promise_type : corodump::tracked_promise<promise_type> {
        task get_return_object(std::source_location where = std::source_location::current()) {
            created_at(where);
            return task(std::coroutine_handle<promise_type>::from_promise(*this));
        }
        auto initial_suspend() noexcept { return track_start(std::suspend_always{}); }
        struct ends {
            bool await_ready() noexcept { return false; }
            std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> h) noexcept {
                return h.promise().continuation;
            }
            void await_resume() noexcept {}
        };
        auto final_suspend() noexcept { return track_end(ends{}); }
        void unhandled_exception() { track_failure(); }
        void return_void() noexcept {}
        std::coroutine_handle<> continuation = std::noop_coroutine();
    };
    explicit task(std::coroutine_handle<promise_type> own) noexcept : own_(own) {}
    task(task&& other) noexcept : own_(std::exchange(other.own_, nullptr)) {}
    ~task() {
        if (own_) own_.destroy();
    }
    void run() { own_.resume(); }
    bool await_ready() const noexcept { return false; }
    std::coroutine_handle<> await_suspend(std::coroutine_handle<> caller) noexcept {
        own_.promise().continuation = caller;
        return own_;
    }
    void await_resume() const noexcept {}

private:
    std::coroutine_handle<promise_type> own_;
};

/// Times `what` in a coroutine that `depth` others await, in the outermost of which it is bound.
template <class What>
task at_depth(int depth, bool outermost, What what, double& ns) {
    if (outermost) request.set(7);
    if (depth > 0) {
        co_await at_depth(depth - 1, false, what, ns);
    } else {
        ns = ns_each(100'000, [&](long times) {
            for (long i = 0; i < times; ++i) what();
        });
    }
}

template <class What>
double measure(int depth, What what) {
    double ns = 0;
    at_depth(depth, true, what, ns).run();
    return ns;
}

void keep(const volatile void* value) {
    asm volatile("" : : "r"(value) : "memory");
}

void compare_reads() {
    std::vector<double> current, shallow, deep, text, text_deep;
    const auto read_task = [] { keep(corodump::current_task().record); };
    const auto read_variable = [] { keep(request.get()); };
    const auto read_text = [] {
        corodump::detail::task_text own;
        corodump_task_text_v1(&own);
        keep(&own);
    };
    for (int i = 0; i < rounds::count; ++i) {
        current.push_back(measure(1, read_task));
        shallow.push_back(measure(0, read_variable));
        deep.push_back(measure(10, read_variable));
        text.push_back(measure(0, read_text));
        text_deep.push_back(measure(10, read_text));
    }
    tell("context/none", 0);
    tell("context/current_task", median(current));
    tell("context/get/1", median(shallow));
    tell("context/get/10", median(deep));
    tell("context/task_text/1", median(text));
    tell("context/task_text/10", median(text_deep));
}

void listen(bool wanted) {
    using corodump::sources::listener;
    corodump::sources::listen_to_ends(listener::contexts, wanted);
    corodump::sources::listen_to_births(listener::contexts, wanted);
}

void compare_creation(const std::string& name, long (*create)(long)) {
    std::vector<double> without, with;
    for (int i = 0; i < rounds::count; ++i) {
        listen(false);
        without.push_back(ns_each(20'000, [&](long count) { create(count); }));
        listen(true);
        const auto bound = request.bind(1);
        with.push_back(ns_each(20'000, [&](long count) { create(count); }));
    }
    tell("context/" + name + "/off", median(without));
    tell("context/" + name + "/on", median(with));
}

void measure_binding() {
    std::vector<double> bound;
    for (int i = 0; i < rounds::count; ++i)
        bound.push_back(measure(1, [] {
            const auto scope = request.bind(3);
            keep(&scope);
        }));
    tell("context/bind", median(bound));
}

}  // namespace

int main() {
    const corodump::agent agent;
    if (agent.error()) return 1;
    compare_reads();
    measure_binding();
    compare_creation("mixin", mixin_create);
    compare_creation("automatic", automatic_create);
    return 0;
}
