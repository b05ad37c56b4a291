// Watches the loops of Asio, Boost's and standalone (define CORODUMP_STANDALONE_ASIO): how late
// they are, how long their callbacks take, and while one is blocked, where.
//
//   boost::asio::io_context io;
//   corodump::asio_loop_monitor monitor(io, "main");      // a heartbeat: is the loop late, or blocked?
//   tcp::acceptor acceptor(monitor.executor(), endpoint); // its callbacks are timed one by one
//   monitor.run();                                        // instead of io.run()
//
// Asio has no hook around each callback that leaves the layout of its types alone, so there are
// three ways to see them, each by itself or together:
//   the heartbeat  needs nothing else. A timer that is due every fifth of the threshold and runs
//                  late: all threads of the loop were busy. Not run at all: the loop is blocked,
//                  and the thread that ran the last one is where to look.
//   executor()     wraps the context's executor: what runs by it is one timed callback. For I/O
//                  objects, co_spawn, post, strands. For a thread_pool, each thread by itself.
//   run()          io_context only: what is ready is run callback by callback, each timed. Asio
//                  waits and runs the next callback in one call: of that one only what goes beyond
//                  the longest wait is counted, unless it runs by executor().
//
// The heartbeat is work for its loop: io.run() and thread_pool::join() do not return while it
// lasts, though all else is done. run() here ends it and needs none. Otherwise call stop(), which
// any thread may, or end the monitor, when the loop is to run dry; and before a thread that ran the
// loop goes on with something else, or it is taken for blocked in that.
//
// Threads: executor() and stop() any; run() as many as io_context::run(). Signals: unsafe.
// Blocks: run() as io_context::run(); the destructor never. Errors: exceptions of callbacks pass
// through run(), which may be called again. The monitor and its context outlive the threads that
// run the context, and the context outlives the monitor; a heartbeat that is under way keeps what
// it needs alive. Copies of executor() must not be used after the monitor.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <string_view>
#include <type_traits>
#include <utility>

#if defined(CORODUMP_STANDALONE_ASIO)
#include <asio/execution.hpp>
#include <asio/io_context.hpp>
#include <asio/post.hpp>
#include <asio/prefer.hpp>
#include <asio/query.hpp>
#include <asio/require.hpp>
#include <asio/steady_timer.hpp>
#include <asio/strand.hpp>
#else
#include <boost/asio/execution.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/prefer.hpp>
#include <boost/asio/query.hpp>
#include <boost/asio/require.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#endif

#include "loop_monitor.hpp"

namespace corodump {
inline namespace abi_v1 {
namespace detail {

#if defined(CORODUMP_STANDALONE_ASIO)
namespace asio_library = ::asio;
#else
namespace asio_library = ::boost::asio;
#endif

/// A function that is a callback of the monitor's while it runs.
template <class Function>
struct watched_function {
    const loop_monitor* monitor;
    Function function;

    void operator()() {
        const loop_monitor::callback running(*monitor);
        std::move(function)();
    }
};

}  // namespace detail

/// An executor that runs what another one runs, each as a callback of a monitor's. Properties are
/// the other's.
template <class Inner>
class watched_executor {
public:
    watched_executor(const Inner& inner, const loop_monitor& monitor) noexcept
        : inner_(inner), monitor_(&monitor) {}

    template <class Property>
    [[nodiscard]] auto query(const Property& property) const
        noexcept(noexcept(detail::asio_library::query(std::declval<const Inner&>(), property)))
            -> decltype(detail::asio_library::query(std::declval<const Inner&>(), property)) {
        return detail::asio_library::query(inner_, property);
    }
    template <class Property>
    [[nodiscard]] auto require(const Property& property) const -> watched_executor<std::decay_t<
        decltype(detail::asio_library::require(std::declval<const Inner&>(), property))>> {
        return {detail::asio_library::require(inner_, property), *monitor_};
    }
    template <class Property>
    [[nodiscard]] auto prefer(const Property& property) const -> watched_executor<std::decay_t<
        decltype(detail::asio_library::prefer(std::declval<const Inner&>(), property))>> {
        return {detail::asio_library::prefer(inner_, property), *monitor_};
    }
    template <class Function>
    void execute(Function&& function) const {
        detail::watched_function<std::decay_t<Function>> watched{monitor_,
                                                                 std::forward<Function>(function)};
        // Before Boost 1.78 and Asio 1.22.2 it is reached by the customisation point alone.
        if constexpr (requires { inner_.execute(std::move(watched)); })
            inner_.execute(std::move(watched));
        else
            detail::asio_library::execution::execute(inner_, std::move(watched));
    }

    friend bool operator==(const watched_executor& a, const watched_executor& b) noexcept {
        return a.inner_ == b.inner_ && a.monitor_ == b.monitor_;
    }
    friend bool operator!=(const watched_executor& a, const watched_executor& b) noexcept {
        return !(a == b);
    }

private:
    Inner inner_;
    const loop_monitor* monitor_;
};

struct asio_loop_options {
    std::string_view kind;                  ///< empty: io_context or thread_pool
    std::chrono::nanoseconds threshold{0};  ///< 0: options::stall_threshold
    bool precise = false;                   ///< as loop_options
    /// Between two heartbeats; 0: a fifth of the threshold, 10 ms where that is the agent's.
    /// Negative: no heartbeat.
    std::chrono::nanoseconds heartbeat{0};
};

/// Context: io_context or thread_pool.
template <class Context>
class asio_loop_monitor {
public:
    using executor_type = watched_executor<typename Context::executor_type>;

    asio_loop_monitor(Context& context, std::string_view name, const asio_loop_options& chosen = {})
        : context_(context),
          wait_(interval(chosen)),
          beat_(std::make_shared<beat>(context, name, with_kind(chosen))) {
        if (chosen.heartbeat.count() >= 0) beat_->begin(wait_);
    }
    asio_loop_monitor(const asio_loop_monitor&) = delete;
    asio_loop_monitor& operator=(const asio_loop_monitor&) = delete;
    ~asio_loop_monitor() { stop(); }

    [[nodiscard]] executor_type executor() const noexcept {
        return {context_.get_executor(), beat_->monitor};
    }
    /// For own callbacks, and for `queued`.
    [[nodiscard]] const loop_monitor& monitor() const noexcept { return beat_->monitor; }

    /// Ends the heartbeat, for good.
    void stop() noexcept { beat_->stop(); }

    /// As io_context::run(), and returns when that would: the heartbeat is ended, the queue's delay
    /// is measured by marks instead. What it counts includes them.
    std::size_t run() {
        stop();
        std::size_t count = 0;
        for (;;) {
            const std::size_t ran = run_one();
            if (ran == 0 && context_.stopped()) return count;
            count += ran;
        }
    }

private:
    /// What lives as long as a heartbeat that is under way.
    struct beat : std::enable_shared_from_this<beat> {
        using clock = std::chrono::steady_clock;

        beat(Context& context, std::string_view name, const loop_options& chosen)
            : monitor(name, chosen), timer(detail::asio_library::make_strand(context)) {}

        void begin(std::chrono::nanoseconds every) {
            interval = std::chrono::duration_cast<clock::duration>(every);
            // On the loop's own thread, whenever that begins to run it.
            detail::asio_library::post(timer.get_executor(), [self = this->shared_from_this()] {
                if (!self->stopped.load(std::memory_order_acquire)) self->run(clock::now());
            });
        }
        void wait_until(clock::time_point due) {
            timer.expires_at(due);
            timer.async_wait([self = this->shared_from_this(), due](const auto& error) {
                if (!error && !self->stopped.load(std::memory_order_acquire)) self->run(due);
            });
        }
        void run(clock::time_point due) {
            const clock::time_point now = clock::now();
            monitor.heartbeat(now - due, interval);
            wait_until(now + interval);
        }
        /// Puts itself into the queue at each step of the agent's clock, and looks how long that
        /// takes to run.
        void mark(Context& context) {
            const std::uint64_t now = corodump_clock_v1.load(std::memory_order_relaxed);
            std::uint64_t last = marked.load(std::memory_order_relaxed);
            if (now == last || !marked.compare_exchange_strong(last, now)) return;
            detail::asio_library::post(context,
                                       [self = this->shared_from_this(), put = clock::now()] {
                                           self->monitor.heartbeat(clock::now() - put);
                                           self->monitor.callback_cancel();
                                       });
        }
        void stop() noexcept {
            if (stopped.exchange(true, std::memory_order_acq_rel)) return;
            monitor.heartbeat(std::chrono::nanoseconds{0});
            // The timer belongs to the loop's threads.
            try {
                detail::asio_library::post(timer.get_executor(), [self = this->shared_from_this()] {
                    self->timer.cancel();
                });
            } catch (...) {  // no memory: it ends with its next beat
            }
        }

        loop_monitor monitor;
        /// In a strand: stop() may come from a thread that is not the timer's.
        detail::asio_library::basic_waitable_timer<
            clock, detail::asio_library::wait_traits<clock>,
            detail::asio_library::strand<typename Context::executor_type>>
            timer;
        typename clock::duration interval{};
        std::atomic<bool> stopped{false};
        std::atomic<std::uint64_t> marked{0};
    };

    static loop_options with_kind(const asio_loop_options& chosen) noexcept {
        constexpr bool is_io_context = std::is_base_of_v<detail::asio_library::io_context, Context>;
        const std::string_view kind = is_io_context ? "io_context" : "thread_pool";
        return {chosen.kind.empty() ? kind : chosen.kind, chosen.threshold, chosen.precise};
    }
    static std::chrono::nanoseconds interval(const asio_loop_options& chosen) noexcept {
        using namespace std::chrono_literals;
        if (chosen.heartbeat.count() > 0) return chosen.heartbeat;
        if (chosen.threshold.count() == 0) return 10ms;
        return std::max<std::chrono::nanoseconds>(chosen.threshold / 5, 1ms);
    }

    /// One callback, or a wait of some ms that none came in.
    std::size_t run_one() {
        beat_->mark(context_);
        {
            loop_monitor::callback running(beat_->monitor);
            if (context_.poll_one() != 0) return 1;
            beat_->monitor.callback_cancel();
        }
        if (context_.stopped()) return 0;
        loop_monitor::turn turn(beat_->monitor, wait_);
        const std::size_t ran = context_.run_one_for(wait_);
        turn.ran(ran != 0);
        return ran;
    }

    Context& context_;
    std::chrono::nanoseconds wait_;
    std::shared_ptr<beat> beat_;
};

}  // namespace abi_v1
}  // namespace corodump
