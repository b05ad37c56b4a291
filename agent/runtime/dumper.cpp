#include "agent/runtime/dumper.hpp"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "agent/base/clock.hpp"
#include "agent/base/text.hpp"
#include "agent/format/dump_writer.hpp"
#include "agent/triggers/signal_trigger.hpp"
#include "agent/triggers/thread_masks.hpp"

#ifndef CORODUMP_VERSION
#define CORODUMP_VERSION "0.1.0"
#endif

namespace corodump::runtime {
namespace {

// Address space, not memory: enough for the largest snapshot; a host under RLIMIT_AS gets less.
constexpr std::size_t arena_sizes[] = {std::size_t{1} << 30U, std::size_t{256} << 20U,
                                       std::size_t{64} << 20U};

// Stays with the agent after its first dump: a page fault costs more than all else that is done
// with a page, and the next dump of a service with a few thousand frames needs none for them.
constexpr std::size_t kept_bytes = std::size_t{512} << 10U;

// Of the deadline: reading frames may take the half, threads a quarter of what is left then. So
// there is time to write what was found.
constexpr std::int64_t reading_share = 2;
constexpr std::int64_t threads_share = 4;

class file_sink final : public format::byte_sink {
public:
    explicit file_sink(base::dump_file& file) noexcept : file_(file) {}
    bool write(std::span<const char> bytes) noexcept override {
        if (result_.ok()) result_ = file_.write(bytes);
        return result_.ok();
    }
    bool overwrite(std::uint64_t offset, std::span<const char> bytes) noexcept override {
        if (result_.ok()) result_ = file_.overwrite(offset, bytes);
        return result_.ok();
    }
    [[nodiscard]] base::file_result result() const noexcept { return result_; }

private:
    base::dump_file& file_;
    base::file_result result_;
};

void set_text(std::span<char> to, std::string_view text) noexcept {
    const std::size_t bytes = std::min(text.size(), to.size() - 1);
    if (bytes != 0) std::memcpy(to.data(), text.data(), bytes);
    to[bytes] = '\0';
}

std::string_view name_of(triggers::request_kind kind) noexcept {
    constexpr std::string_view names[] = {"signal", "api", "stall", "failure"};
    return names[static_cast<unsigned>(kind)];
}

bool hides(const void* patterns, std::string_view name) noexcept {
    return static_cast<const base::redaction*>(patterns)->matches(name);
}

}  // namespace

int dumper::prepare(const base::config& config) noexcept {
    config_ = &config;
    int error = ENOMEM;
    for (const std::size_t bytes : arena_sizes) {
        const auto reserved = memory_.reserve(bytes);
        if (reserved) {
            error = 0;
            break;
        }
    }
    if (error != 0) return error;
    void* const mapped = mmap(nullptr, format::dump_writer::good_workspace_bytes,
                              PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) return errno;
    workspace_ = {static_cast<std::byte*>(mapped), format::dump_writer::good_workspace_bytes};
    // Without them a dump of a process that is out of descriptors fails, and says so.
    static_cast<void>(reserve_.reserve());
    return 0;
}

void dumper::describe_process(model::snapshot& to) noexcept {
    base::read_process_facts(facts_);
    model::process& p = to.process;
    p.pid = facts_.pid;
    p.comm = facts_.comm.view();
    p.exe = facts_.exe.view();
    p.hostname = facts_.hostname.view();
    p.cgroup = facts_.cgroup.view();
    p.uid = facts_.uid;
    p.start_time_unix_ns = facts_.start_time_unix_ns;
    p.uptime_seconds = facts_.uptime_seconds;
    p.threads = facts_.threads;
    p.rss_bytes = facts_.rss_bytes;
    p.open_fds = facts_.open_fds;
    p.fd_limit = facts_.fd_limit;
    p.agent_version = CORODUMP_VERSION;
    p.build_id = code_.executable_build_id();
}

void dumper::describe_request(model::snapshot& to, const triggers::dump_request& request) noexcept {
    const bool by_signal = request.kind == triggers::request_kind::signal;
    const bool by_failure = request.kind == triggers::request_kind::failure;
    to.trigger = {name_of(request.kind),
                  !by_failure           ? ""
                  : request.signal == 0 ? "terminate"
                                        : "signal",
                  by_signal || by_failure ? request.signal : 0,
                  request.sender_pid > 0 ? request.sender_pid : -1,
                  request.sender_pid > 0 ? static_cast<int>(request.sender_uid) : -1,
                  request.merged};
    base::text id(id_);
    id.decimal(static_cast<std::uint64_t>(facts_.pid)).append('-');
    id.decimal_signed(facts_.start_ticks).append('-').decimal(sequence_);
    to.id = id.view();
    if (request.stuck)
        builder_.warn("the signal was taken by the watchdog: the signal thread did not answer");
    if (triggers::signal_taken_over())
        builder_.warn("the signal's handler was taken over after the agent was installed");
    if (!triggers::signal_installed()) return;
    const triggers::unblocked_threads older =
        triggers::count_unblocked_threads(config_->signal, {triggers::signal_thread_tid()});
    if (older.count == 0) return;
    char buffer[160];
    base::text text(buffer);
    text.decimal(older.count).append(older.count == 1 ? " thread" : " threads");
    text.append(" older than the agent may be interrupted in system calls by a ");
    builder_.warn(text.append("plain kill").view());
}

void dumper::add_threads(model::snapshot& to) noexcept {
    snapshot::threads_options options;
    options.watchdog_tid = static_cast<std::int32_t>(::syscall(SYS_gettid));
    options.signal_blocked = config_->signal_blocked;
    const std::int64_t now_ns = base::monotonic_ns();
    options.deadline_ns =
        now_ns + std::max<std::int64_t>(to.limits.deadline_ns - now_ns, 0) / threads_share;
    builder_.add_threads(options);
    builder_.add_creation_stacks();
    to.modules = code_.modules();  // a stack may have led into images that were mapped meanwhile
}

base::file_result dumper::write(const model::snapshot& from,
                                triggers::dump_outcome& outcome) noexcept {
    char name_buffer[base::max_file_name_bytes + 1];
    const std::int64_t seconds = from.time_unix_ns / 1'000'000'000;
    const std::string_view name =
        base::final_name(name_buffer, {facts_.comm.view(), facts_.pid, seconds, sequence_});
    base::dump_file file;
    base::file_result result = file.open(config_->directory.c_str(), name, &reserve_);
    if (!result.ok()) return result;
    file_sink sink(file);
    format::dump_writer writer(workspace_, sink);
    const format::written written = writer.write(from);
    if (!sink.result().ok()) return sink.result();
    if (!written.whole) return {EIO, "the writer stopped"};
    result = file.publish();
    std::string_view published = name;
    char other_buffer[base::max_file_name_bytes + 1];
    // Somebody planted a file of this name: it is left alone, the sequence goes on.
    for (unsigned tries = 0; result.error == EEXIST && tries < 16; ++tries) {
        published =
            base::final_name(other_buffer, {facts_.comm.view(), facts_.pid, seconds, ++sequence_});
        result = file.publish_as(published);
    }
    if (!result.ok()) return result;
    base::text path(outcome.path);
    path.append(config_->directory).append('/').append(published);
    outcome.path[std::min(path.size(), sizeof outcome.path - 1)] = '\0';
    return result;
}

model::limits dumper::limits_of(const triggers::dump_request& request) const noexcept {
    std::int64_t allowed_ns = static_cast<std::int64_t>(config_->deadline_ms) * 1'000'000;
    if (request.deadline_ns != 0)
        allowed_ns = std::clamp(request.deadline_ns - request.requested_ns,
                                std::int64_t{10'000'000}, allowed_ns);
    return {.tasks = config_->max_tasks,
            .bytes = config_->max_bytes,
            .depth = static_cast<unsigned>(config_->max_depth),
            .deadline_ns = request.requested_ns + allowed_ns,
            .reading_deadline_ns = request.requested_ns + allowed_ns / reading_share};
}

void dumper::take_stack(std::int64_t deadline_ns, snapshot::stall_record& into) noexcept {
    memory_.release(kept_bytes);
    code_.begin(memory_);
    snapshot::take_stack(memory_, code_, deadline_ns, into);
    memory_.release(kept_bytes);
}

void dumper::dump(const triggers::dump_request& request, triggers::dump_outcome& outcome) noexcept {
    ++sequence_;
    memory_.release(kept_bytes);
    code_.begin(memory_);
    // Before the dump opens anything of its own.
    if (descriptors_ != nullptr) descriptors_->look_at_all(base::monotonic_ns());
    model::snapshot& made = builder_.build({config_->max_frames,
                                            limits_of(request),
                                            config_->max_text_bytes,
                                            {hides, &config_->redact}});
    made.time_unix_ns = base::realtime_ns();
    describe_process(made);
    describe_request(made, request);
    builder_.add_profile();  // early: what it counts goes on
    builder_.add_failures({hides, &config_->redact});
    add_threads(made);
    if (stalls_ != nullptr) builder_.add_loops(*stalls_);
    builder_.add_resources({.descriptors = descriptors_,
                            .task_max_age_ms = config_->task_max_age_ms,
                            .descriptor_max_age_ms = config_->descriptor_max_age_ms,
                            .redact = {hides, &config_->redact}});
    builder_.conclude();
    made.duration_us =
        static_cast<std::uint64_t>((base::monotonic_ns() - request.requested_ns) / 1000);
    last_tasks_ = made.counts.tasks;
    const base::file_result result = write(made, outcome);
    outcome.error = result.error;
    if (!result.ok()) set_text(outcome.text, result.what);
    memory_.release(kept_bytes);
    static_cast<void>(reserve_.reserve());
    if (!result.ok()) return;
    const std::string_view path = outcome.path;
    retained_ = base::apply_retention(
        config_->directory.c_str(), facts_.comm.view(), static_cast<unsigned>(config_->max_files),
        {path.substr(path.rfind('/') + 1), made.time_unix_ns / 1'000'000'000});
}

}  // namespace corodump::runtime
