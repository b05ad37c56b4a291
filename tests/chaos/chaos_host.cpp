#include "tests/chaos/chaos_host.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>

extern char** environ;

namespace chaos {
namespace {

using clock = std::chrono::steady_clock;

int milliseconds_until(clock::time_point when) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(when - clock::now());
    return static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 600'000));
}

/// Takes what is there; closes at the end of file.
void drain(int& fd, std::string& into) {
    char buffer[4096];
    for (;;) {
        const ssize_t got = read(fd, buffer, sizeof buffer);
        if (got > 0) {
            into.append(buffer, static_cast<std::size_t>(got));
            continue;
        }
        if (got < 0 && errno == EINTR) continue;
        if (got < 0 && errno == EAGAIN) return;
        close(fd);
        fd = -1;
        return;
    }
}

void make_unblocking(int fd) {
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

int ending_of(int status) {
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

bool is_dump_name(const std::string& name) {
    return name.starts_with("corodump-") && name.ends_with(".json");
}

unsigned long sequence_of(const std::string& name) {
    return std::strtoul(name.c_str() + name.rfind('-') + 1, nullptr, 10);
}

bool has_own_environment(const char* variable) {
    return std::strncmp(variable, "CORODUMP_", 9) == 0 &&
           std::strncmp(variable, "CORODUMP_CHAOS", 14) != 0;
}

/// A service that is not tested inherits nothing of the agent's from whoever runs the tests.
void clear_environment() {
    std::vector<std::string> names;
    for (char** at = environ; *at != nullptr; ++at)
        if (has_own_environment(*at)) names.emplace_back(*at, std::strchr(*at, '='));
    for (const std::string& name : names) unsetenv(name.c_str());
}

void apply_environment(const setup& with, const std::string& directory) {
    clear_environment();
    setenv("CORODUMP_DIR", directory.c_str(), 1);
    for (const auto& [name, value] : with.environment) setenv(name.c_str(), value.c_str(), 1);
    std::string preload;
    for (const std::string& library : with.preload) {
        if (!preload.empty()) preload += ':';
        preload += library;
    }
    if (!preload.empty()) setenv("LD_PRELOAD", preload.c_str(), 1);
}

void apply_limits(const setup& with) {
    for (const auto& [resource, value] : with.limits) {
        const rlimit both{value, value};
        CHAOS_REQUIRE(setrlimit(static_cast<__rlimit_resource_t>(resource), &both) == 0);
    }
}

[[noreturn]] void exec(const std::vector<std::string>& command) {
    std::vector<char*> arguments;
    arguments.reserve(command.size() + 1);
    for (const std::string& each : command) arguments.push_back(const_cast<char*>(each.c_str()));
    arguments.push_back(nullptr);
    execv(arguments[0], arguments.data());
    give_up(__FILE__, __LINE__, arguments[0]);
}

}  // namespace

bool is_long() noexcept {
    const char* const chosen = std::getenv("CORODUMP_CHAOS");
    return chosen != nullptr && std::strcmp(chosen, "long") == 0;
}

// --- starting -----------------------------------------------------------------------------------

struct host::pipes {
    std::array<int, 2> in, out, errors;
    pipes() {
        if (pipe2(in.data(), O_CLOEXEC) != 0 || pipe2(out.data(), O_CLOEXEC) != 0 ||
            pipe2(errors.data(), O_CLOEXEC) != 0)
            throw std::runtime_error("no pipes");
    }
};

void host::prepare(const setup& with) {
    ::signal(SIGPIPE, SIG_IGN);  // say() to a host that has died
    deadline_ = clock::now() + with.deadline;
    const char* const temporary = std::getenv("TMPDIR");
    root_ = std::string(temporary != nullptr ? temporary : "/tmp") + "/corodump-chaos-XXXXXX";
    if (mkdtemp(root_.data()) == nullptr) throw std::runtime_error("no directory: " + root_);
    directory_ = with.directory.empty() ? root_ + "/dumps" : with.directory;
    if (with.directory.empty()) std::filesystem::create_directory(directory_);
    watch_ = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    // A directory that is not there, or not to be read, has no dumps to wait for.
    inotify_add_watch(watch_, directory_.c_str(), IN_CREATE | IN_MOVED_TO);
    std::error_code none;
    if (std::filesystem::is_directory(directory_, none))
        for (const std::string& name : files_in(directory_)) seen_.insert(name);
}

void host::become_child(pipes& ends, const setup& with) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::signal(SIGPIPE, SIG_DFL);
    setpgid(0, 0);
    // Above 2, whatever numbers the test's own process had free.
    const int in = fcntl(ends.in[0], F_DUPFD_CLOEXEC, 3);
    const int out = fcntl(ends.out[1], F_DUPFD_CLOEXEC, 3);
    const int errors = fcntl(ends.errors[1], F_DUPFD_CLOEXEC, 3);
    if (dup2(in, 0) != 0 || dup2(out, 1) != 1 || dup2(errors, 2) != 2) _exit(gave_up);
    close_range(3, ~0U, 0);
    apply_environment(with, directory_);
    apply_limits(with);
}

void host::begin(pipes& ends) {
    setpgid(pid_, pid_);  // in both: whoever is first
    close(ends.in[0]);
    close(ends.out[1]);
    close(ends.errors[1]);
    to_host_ = ends.in[1];
    lines_ = ends.out[0];
    errors_ = ends.errors[0];
    make_unblocking(lines_);
    make_unblocking(errors_);
    pidfd_ = static_cast<int>(syscall(SYS_pidfd_open, pid_, 0));
}

host::host(const std::function<void()>& body, const setup& with) {
    prepare(with);
    pipes ends;
    pid_ = fork();
    if (pid_ == 0) {
        become_child(ends, with);
        body();
        _exit(0);
    }
    begin(ends);
}

host::host(const std::string& program, const std::vector<std::string>& arguments,
           const setup& with) {
    prepare(with);
    pipes ends;
    std::vector<std::string> command{program};
    command.insert(command.end(), arguments.begin(), arguments.end());
    pid_ = fork();
    if (pid_ == 0) {
        become_child(ends, with);
        exec(command);
    }
    begin(ends);
}

host::~host() {
    if (!ended_ && pid_ > 0) {
        kill(pid_, SIGKILL);
        reap();
    }
    if (pid_ > 0) kill(-pid_, SIGKILL);  // what the host itself has started
    for (const char* const report : {"AddressSanitizer", "ThreadSanitizer", "runtime error: "})
        if (errors().find(report) != std::string::npos) ADD_FAILURE() << error_text_;
    for (const int fd : {pidfd_, to_host_, lines_, errors_, watch_})
        if (fd >= 0) close(fd);
    std::error_code ignored;
    std::filesystem::remove_all(root_, ignored);
}

// --- waiting ------------------------------------------------------------------------------------

void host::reap() {
    if (ended_) return;
    int status = 0;
    if (waitpid(pid_, &status, 0) != pid_) return;
    ended_ = true;
    status_ = ending_of(status);
}

bool host::pump() {
    std::array<pollfd, 4> events{pollfd{lines_, POLLIN, 0}, pollfd{errors_, POLLIN, 0},
                                 pollfd{watch_, POLLIN, 0},
                                 pollfd{ended_ ? -1 : pidfd_, POLLIN, 0}};
    // Once the host has ended only what it left behind is of interest; its children may hold the
    // pipes open.
    const int limit = ended_ ? 0 : milliseconds_until(deadline_);
    const int ready = poll(events.data(), events.size(), limit);
    if (ready < 0) return errno == EINTR;
    if (ready == 0) {
        if (ended_) return false;
        ADD_FAILURE() << "the deadline of host " << pid_ << " has passed; killed";
        kill(pid_, SIGKILL);
        reap();
        return true;
    }
    if (events[0].revents != 0) drain(lines_, pending_lines_);
    if (events[1].revents != 0) drain(errors_, error_text_);
    if (events[2].revents != 0) {
        char names[4096];
        while (read(watch_, names, sizeof names) > 0) {
        }
        look_for_dumps();
    }
    if (events[3].revents != 0) reap();
    return true;
}

bool host::pump_until(const std::function<bool()>& reached, std::string_view what) {
    while (!reached()) {
        if (pump()) continue;
        look_for_dumps();
        if (reached()) return true;
        ADD_FAILURE() << what << " did not come; the host ended with " << status_ << " and said:\n"
                      << error_text_;
        return false;
    }
    return true;
}

void host::look_for_dumps() {
    std::vector<std::string> names;
    for (const std::string& name : files_in(directory_))
        if (is_dump_name(name) && seen_.insert(name).second) names.push_back(name);
    std::ranges::sort(names, {}, sequence_of);
    fresh_.insert(fresh_.end(), names.begin(), names.end());
}

void host::say(std::string_view line) {
    const std::string text = std::string(line) + '\n';
    if (write(to_host_, text.data(), text.size()) != static_cast<ssize_t>(text.size()))
        ADD_FAILURE() << "the host does not hear";
}

std::string host::await_line() {
    if (!pump_until([this] { return pending_lines_.find('\n') != std::string::npos; }, "a line"))
        return {};
    const std::size_t end = pending_lines_.find('\n');
    std::string line = pending_lines_.substr(0, end);
    pending_lines_.erase(0, end + 1);
    return line;
}

void host::await(std::string_view line) {
    EXPECT_EQ(await_line(), line) << error_text_;
}

void host::signal(int number) const {
    if (kill(pid_, number) != 0) ADD_FAILURE() << "kill: " << std::strerror(errno);
}

std::string host::await_dump() {
    if (!pump_until([this] { return !fresh_.empty(); }, "a dump")) return {};
    std::string path = directory_ + '/' + fresh_.front();
    fresh_.erase(fresh_.begin());
    return path;
}

support::dump host::signal_and_await_dump(int number) {
    signal(number);
    const std::string path = await_dump();
    return path.empty() ? support::dump{} : support::read_dump(path);
}

support::dump host::signal_and_await_dump() {
    return signal_and_await_dump(SIGUSR1);
}

const std::string& host::errors() {
    if (errors_ >= 0) drain(errors_, error_text_);
    return error_text_;
}

std::string host::await_error(std::string_view text) {
    const bool came = pump_until(
        [&] {
            const std::size_t at = error_text_.find(text);
            return at != std::string::npos && error_text_.find('\n', at) != std::string::npos;
        },
        text);
    if (!came) return {};
    const std::size_t at = error_text_.find(text);
    const std::size_t begin = error_text_.rfind('\n', at) + 1;  // npos + 1 is 0
    return error_text_.substr(begin, error_text_.find('\n', at) - begin);
}

int host::wait() {
    while (!ended_ && pump()) {
    }
    while (pump()) {
    }
    return status_;
}

bool host::is_alive() {
    if (!ended_) {
        pollfd event{pidfd_, POLLIN, 0};
        if (poll(&event, 1, 0) == 1) reap();
    }
    return !ended_;
}

void host::expect_answers() {
    say("ping");
    await("pong");
}

void host::expect_probe_blocks() {
    say("probe");
    const std::string line = await_line();
    ASSERT_TRUE(line.starts_with("probe ")) << line;
    const long tid = std::stol(line.substr(6));
    // Nothing tells when a thread begins to block; allocators also spin and nap on their locks.
    const std::set<long> blocking{SYS_futex, SYS_nanosleep, SYS_clock_nanosleep, SYS_sched_yield};
    while (clock::now() < deadline_) {
        const std::string in = of_thread(tid, "syscall");
        if (!in.empty() && blocking.contains(std::strtol(in.c_str(), nullptr, 10))) return;
        ASSERT_EQ(untaken_lines(), "") << "the lock is not held";
        poll(nullptr, 0, 1);
    }
    ADD_FAILURE() << "the probe neither blocks nor ends";
}

std::string host::of_thread(long tid, std::string_view file) const {
    return of_process("task/" + std::to_string(tid) + '/' + std::string(file));
}

std::string host::of_process(std::string_view file) const {
    std::ifstream from("/proc/" + std::to_string(pid_) + '/' + std::string(file));
    std::ostringstream content;
    content << from.rdbuf();
    return content.str();
}

bool host::is_thread_in(long tid, long system_call, char state) const {
    const std::string stat = of_thread(tid, "stat");
    const std::size_t name_end = stat.rfind(')');
    return name_end != std::string::npos && stat.size() > name_end + 2 &&
           stat[name_end + 2] == state &&
           std::strtol(of_thread(tid, "syscall").c_str(), nullptr, 10) == system_call;
}

const std::string& host::untaken_lines() {
    if (lines_ >= 0) drain(lines_, pending_lines_);
    return pending_lines_;
}

// --- other --------------------------------------------------------------------------------------

std::string program(std::string_view name) {
    return std::string(CORODUMP_CHAOS_HOSTS_DIR) + '/' + std::string(name);
}

nlohmann::json parse(const std::string& path) {
    std::ifstream file(path);
    nlohmann::json parsed = nlohmann::json::parse(file, nullptr, false);
    if (parsed.is_discarded()) ADD_FAILURE() << path << " is not JSON";
    return parsed;
}

std::vector<std::string> files_in(const std::string& directory) {
    std::vector<std::string> names;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(directory, error))
        names.push_back(entry.path().filename());
    std::ranges::sort(names);
    return names;
}

command_result run(const std::vector<std::string>& command, std::chrono::seconds deadline) {
    std::array<int, 2> out{}, errors{};
    if (pipe2(out.data(), O_CLOEXEC) != 0 || pipe2(errors.data(), O_CLOEXEC) != 0) return {};
    const pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(out[1], 1);
        dup2(errors[1], 2);
        clear_environment();
        exec(command);
    }
    close(out[1]);
    close(errors[1]);
    make_unblocking(out[0]);
    make_unblocking(errors[0]);
    command_result result;
    const clock::time_point end = clock::now() + deadline;
    while (out[0] >= 0 || errors[0] >= 0) {
        std::array<pollfd, 2> events{pollfd{out[0], POLLIN, 0}, pollfd{errors[0], POLLIN, 0}};
        if (poll(events.data(), events.size(), milliseconds_until(end)) == 0) {
            ADD_FAILURE() << command.front() << " did not end in time; killed";
            kill(child, SIGKILL);
            break;
        }
        if (out[0] >= 0 && events[0].revents != 0) drain(out[0], result.output);
        if (errors[0] >= 0 && events[1].revents != 0) drain(errors[0], result.errors);
    }
    for (const int fd : {out[0], errors[0]})
        if (fd >= 0) close(fd);
    int status = 0;
    waitpid(child, &status, 0);
    result.status = ending_of(status);
    return result;
}

}  // namespace chaos
