// A coroutine library's style: tasks that stay on their scheduler. The caller is a void* and a
// function that resumes it by posting to the caller's scheduler; await_transform brings each
// awaitable back there.
#pragma once

#include <condition_variable>
#include <coroutine>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace affine {

class scheduler {
public:
    virtual ~scheduler() = default;
    virtual void post(std::coroutine_handle<> resumed) = 0;
};

/// A fixed number of threads. Destroying it runs what was posted, then joins.
class thread_pool final : public scheduler {
public:
    explicit thread_pool(unsigned threads) {
        for (unsigned i = 0; i < threads; ++i) threads_.emplace_back([this] { run(); });
    }
    ~thread_pool() override {
        {
            const std::lock_guard lock(mutex_);
            ended_ = true;
        }
        changed_.notify_all();
        for (std::thread& t : threads_) t.join();
    }
    void post(std::coroutine_handle<> resumed) override {
        {
            const std::lock_guard lock(mutex_);
            queue_.push_back(resumed);
        }
        changed_.notify_all();
    }
    /// Until nothing is queued and nothing runs.
    void wait_idle() {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return queue_.empty() && running_ == 0; });
    }

private:
    void run() {
        std::unique_lock lock(mutex_);
        for (;;) {
            changed_.wait(lock, [this] { return ended_ || !queue_.empty(); });
            if (queue_.empty()) return;
            const std::coroutine_handle<> next = queue_.front();
            queue_.pop_front();
            ++running_;
            lock.unlock();
            next.resume();
            lock.lock();
            --running_;
            changed_.notify_all();
        }
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<std::coroutine_handle<>> queue_;
    std::vector<std::thread> threads_;
    unsigned running_ = 0;
    bool ended_ = false;
};

template <class T>
class task;

class promise_base {
public:
    using resume_function = void (*)(void* caller, scheduler* where) noexcept;

    static void resume_by_posting(void* caller, scheduler* where) noexcept {
        where->post(std::coroutine_handle<>::from_address(caller));
    }

    struct ends {
        bool await_ready() noexcept { return false; }
        template <class Promise>
        void await_suspend(std::coroutine_handle<Promise> ended) noexcept {
            static_assert(std::is_base_of_v<promise_base, Promise>);
            promise_base& own = ended.promise();
            if (own.resume_ != nullptr) own.resume_(own.caller_, own.caller_scheduler_);
        }
        void await_resume() noexcept {}
    };

    std::suspend_always initial_suspend() noexcept { return {}; }
    ends final_suspend() noexcept { return {}; }
    void unhandled_exception() { error_ = std::current_exception(); }

    /// Any other awaitable, by its operator or as it is.
    template <class Awaiter>
    struct passes {
        Awaiter inner;
        bool await_ready() { return inner.await_ready(); }
        template <class Promise>
        auto await_suspend(std::coroutine_handle<Promise> waiting) {
            static_assert(std::is_base_of_v<promise_base, Promise>);
            return inner.await_suspend(waiting);
        }
        decltype(auto) await_resume() { return inner.await_resume(); }
    };

    template <class T>
    auto await_transform(task<T>&& awaited) noexcept;
    template <class Awaitable>
        requires requires(Awaitable& a) { a.operator co_await(); }
    auto await_transform(Awaitable& awaited) noexcept {
        return passes<decltype(awaited.operator co_await())>{awaited.operator co_await()};
    }
    struct gets_scheduler {};
    auto await_transform(gets_scheduler) noexcept {
        struct ready {
            scheduler* where;
            bool await_ready() const noexcept { return true; }
            void await_suspend(std::coroutine_handle<>) const noexcept {}
            scheduler& await_resume() const noexcept { return *where; }
        };
        return ready{scheduler_};
    }
    void await_transform(std::suspend_always) = delete;

    void* caller_ = nullptr;
    scheduler* caller_scheduler_ = nullptr;
    resume_function resume_ = nullptr;
    scheduler* scheduler_ = nullptr;
    std::exception_ptr error_;
};

inline constexpr promise_base::gets_scheduler current_scheduler{};

template <class T>
class task {
public:
    class promise_type;

    explicit task(std::coroutine_handle<promise_type> h) noexcept : handle_(h) {}
    task(task&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
    ~task() {
        if (handle_) handle_.destroy();
    }
    void start_on(scheduler& where) {
        handle_.promise().scheduler_ = &where;
        where.post(handle_);
    }
    bool done() const noexcept { return handle_.done(); }
    T& result() {
        if (handle_.promise().error_) std::rethrow_exception(handle_.promise().error_);
        return handle_.promise().value_;
    }

private:
    friend class promise_base;
    std::coroutine_handle<promise_type> handle_;
};

template <class T>
class task<T>::promise_type : public promise_base {
public:
    task get_return_object() {
        return task(std::coroutine_handle<promise_type>::from_promise(*this));
    }
    void return_value(T value) { value_ = std::move(value); }
    T value_{};
};

template <class T>
auto promise_base::await_transform(task<T>&& awaited) noexcept {
    struct starts_child {
        task<T>& child;
        promise_base& own;
        bool await_ready() const noexcept { return false; }
        void await_suspend(std::coroutine_handle<> caller) const {
            promise_base& to = child.handle_.promise();
            to.caller_ = caller.address();
            to.caller_scheduler_ = own.scheduler_;
            to.resume_ = &promise_base::resume_by_posting;
            child.start_on(*own.scheduler_);
        }
        T await_resume() const { return std::move(child.result()); }
    };
    return starts_child{awaited, *this};
}

}  // namespace affine
