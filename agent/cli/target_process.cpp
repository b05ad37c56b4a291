#include "agent/cli/target_process.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "agent/model/beacon.hpp"

namespace corodump::cli {

namespace {

constexpr std::size_t max_proc_file_bytes = 64U << 20U;

std::string reason(int error) {
    return std::generic_category().message(error);
}

template <class Number>
std::optional<Number> parse(std::string_view text, int base) {
    Number value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (error != std::errc() || end == text.data()) return std::nullopt;
    return value;
}

std::string_view take_line(std::string_view& rest) {
    const std::size_t end = rest.find('\n');
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    return line;
}

std::vector<pid_t> parse_pids(std::string_view list) {
    std::vector<pid_t> pids;
    while (!list.empty()) {
        const std::size_t start = list.find_first_not_of(" \t");
        if (start == std::string_view::npos) break;
        list.remove_prefix(start);
        const std::size_t end = list.find_first_of(" \t");
        if (const auto pid = parse<pid_t>(list.substr(0, end), 10)) pids.push_back(*pid);
        list.remove_prefix(end == std::string_view::npos ? list.size() : end);
    }
    return pids;
}

/// The whole of a /proc file, or the errno in `error`.
std::string read_all(const std::string& path, int& error) {
    error = 0;
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    std::string text;
    std::array<char, 16384> buffer{};
    while (descriptor >= 0 && text.size() < max_proc_file_bytes) {
        const ssize_t got = ::read(descriptor, buffer.data(), buffer.size());
        if (got > 0) {
            text.append(buffer.data(), static_cast<std::size_t>(got));
        } else if (got == 0 || errno != EINTR) {
            error = got == 0 ? 0 : errno;
            break;
        }
    }
    if (descriptor < 0) {
        error = errno;
    } else {
        ::close(descriptor);
    }
    return text;
}

pid_t open_process(pid_t pid) {
    const auto descriptor = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0U));
    if (descriptor >= 0) return descriptor;
    const std::string name = "process " + std::to_string(pid);
    switch (errno) {
        case ESRCH:
            throw trigger_error(exit_refused, "there is no " + name);
        case EINVAL:
        case ENOENT:
            throw trigger_error(
                exit_refused,
                std::to_string(pid) + " is no process but a thread of one; name the process");
        case EPERM:
            throw trigger_error(exit_permission, name + ": pidfd_open is not permitted here");
        default:
            throw trigger_error(exit_refused, name + " cannot be held: " + reason(errno));
    }
}

std::string link_of(const std::string& path) {
    std::array<char, 4096> target{};
    const ssize_t size = ::readlink(path.c_str(), target.data(), target.size());
    return size < 0 ? std::string() : std::string(target.data(), static_cast<std::size_t>(size));
}

}  // namespace

disposition process_status::on(int signal) const {
    const std::uint64_t bit = 1ULL << static_cast<unsigned>(signal - 1);
    if ((caught & bit) != 0) return disposition::handled;
    return (ignored & bit) != 0 ? disposition::ignored : disposition::fatal;
}

process_status parse_status(std::string_view text) {
    process_status status;
    while (!text.empty()) {
        const std::string_view line = take_line(text);
        const std::size_t colon = line.find(":\t");
        if (colon == std::string_view::npos) continue;
        const std::string_view key = line.substr(0, colon);
        const std::string_view value = line.substr(colon + 2);
        if (key == "Name") status.name = value;
        if (key == "State" && !value.empty()) status.state = value.front();
        if (key == "Tgid") status.thread_group = parse<pid_t>(value, 10).value_or(0);
        if (key == "NSpid") status.namespace_pids = parse_pids(value);
        if (key == "SigIgn") status.ignored = parse<std::uint64_t>(value, 16).value_or(0);
        if (key == "SigCgt") status.caught = parse<std::uint64_t>(value, 16).value_or(0);
    }
    return status;
}

std::vector<memory_range> beacon_mappings(std::string_view maps) {
    const std::string wanted = std::string("/memfd:") + model::beacon_mapping_name;
    std::vector<memory_range> found;
    while (!maps.empty()) {
        const std::string_view line = take_line(maps);
        const std::size_t name = line.find(wanted);
        const std::size_t dash = line.find('-');
        const std::size_t space = line.find(' ');
        if (name == std::string_view::npos || dash == std::string_view::npos || space < dash)
            continue;
        const std::string_view behind = line.substr(name + wanted.size());
        if (!behind.empty() && behind != " (deleted)") continue;
        const auto start = parse<std::uint64_t>(line.substr(0, dash), 16);
        const auto end = parse<std::uint64_t>(line.substr(dash + 1, space - dash - 1), 16);
        const bool readable = line.substr(space + 1).starts_with('r');
        if (start && end && readable) found.push_back({*start, *end});
    }
    return found;
}

target_process::target_process(pid_t pid) : pid_(pid), pidfd_(open_process(pid)) {}

target_process::~target_process() {
    ::close(pidfd_);
}

void target_process::ended() const {
    throw trigger_error(exit_problem, "process " + std::to_string(pid_) + " has ended");
}

std::string target_process::read_file(const std::string& name) const {
    int error = 0;
    std::string text = read_all(directory() + '/' + name, error);
    if (error == 0) return text;
    if (!alive()) ended();
    if (error == EACCES || error == EPERM) {
        throw trigger_error(exit_permission, "may not read " + directory() + '/' + name +
                                                 ": run as the user of the process or as root");
    }
    if (error == ENOENT) {
        throw trigger_error(exit_permission,
                            directory() + " is not to be seen (is /proc mounted with hidepid?)");
    }
    throw trigger_error(exit_refused,
                        "cannot read " + directory() + '/' + name + ": " + reason(error));
}

process_status target_process::status() const {
    process_status status = parse_status(read_file("status"));
    if (status.thread_group != 0 && status.thread_group != pid_) {
        throw trigger_error(exit_refused, std::to_string(pid_) + " is a thread of process " +
                                              std::to_string(status.thread_group));
    }
    return status;
}

std::vector<memory_range> target_process::beacons() const {
    return beacon_mappings(read_file("maps"));
}

bool target_process::read_memory(std::uint64_t address, void* into, std::size_t size) const {
    const iovec local{into, size};
    // The address is the other process's: it is passed on, never followed here.
    const iovec remote{reinterpret_cast<void*>(static_cast<std::uintptr_t>(address)), size};
    const ssize_t copied = ::process_vm_readv(pid_, &local, 1, &remote, 1, 0);
    if (copied >= 0) return static_cast<std::size_t>(copied) == size;
    if (errno == ESRCH) ended();
    if (errno != EPERM && errno != ENOSYS) return false;
    // A seccomp filter may forbid the call and still allow the file.
    const int descriptor = ::open((directory() + "/mem").c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) refuse_memory(errno);
    const ssize_t got = ::pread(descriptor, into, size, static_cast<off_t>(address));
    ::close(descriptor);
    return got >= 0 && static_cast<std::size_t>(got) == size;
}

void target_process::refuse_memory(int error) const {
    if (!alive()) ended();
    int unused = 0;
    const std::string scope = read_all("/proc/sys/kernel/yama/ptrace_scope", unused);
    std::string why = reason(error);
    if (!scope.empty() && scope.front() != '0') {
        why = "kernel.yama.ptrace_scope is " + scope.substr(0, 1);
    }
    throw trigger_error(exit_permission,
                        "may not read the memory of process " + std::to_string(pid_) + " (" + why +
                            "): it takes root, or CAP_SYS_PTRACE; the agent is there, and a plain "
                            "kill makes it dump too");
}

std::optional<pid_t> target_process::find_thread(pid_t inner, std::string_view name) const {
    const std::string tasks = directory() + "/task";
    const std::unique_ptr<DIR, int (*)(DIR*)> entries(::opendir(tasks.c_str()), ::closedir);
    std::optional<pid_t> by_name;
    for (const dirent* e = nullptr; entries && (e = ::readdir(entries.get())) != nullptr;) {
        const auto thread = parse<pid_t>(e->d_name, 10);
        if (!thread) continue;
        int error = 0;
        const process_status status =
            parse_status(read_all(tasks + '/' + e->d_name + "/status", error));
        if (error != 0) continue;  // it ended meanwhile
        if (status.namespace_pids.empty() ? *thread == inner && status.name == name
                                          : status.namespace_pids.back() == inner) {
            return thread;
        }
        if (status.name == name) by_name = thread;
    }
    return by_name;
}

void target_process::signal_thread(pid_t thread, int signal) const {
    if (!alive()) ended();
    siginfo_t info{};
    info.si_signo = signal;
    info.si_code = SI_QUEUE;
    info.si_pid = ::getpid();
    info.si_uid = ::getuid();
    if (::syscall(SYS_rt_tgsigqueueinfo, pid_, thread, signal, &info) == 0) return;
    if (errno == ESRCH)
        return signal_process(signal);  // that thread is gone, the process may not be
    if (errno == EAGAIN && ::syscall(SYS_tgkill, pid_, thread, signal) == 0) return;
    throw trigger_error(errno == EPERM ? exit_permission : exit_problem,
                        "cannot signal process " + std::to_string(pid_) + ": " + reason(errno));
}

void target_process::signal_process(int signal) const {
    if (::syscall(SYS_pidfd_send_signal, pidfd_, signal, nullptr, 0U) == 0) return;
    if (errno == ESRCH) ended();
    throw trigger_error(errno == EPERM ? exit_permission : exit_problem,
                        "cannot signal process " + std::to_string(pid_) + ": " + reason(errno));
}

bool target_process::wait_for_death(std::chrono::milliseconds at_most) const {
    pollfd death{pidfd_, POLLIN, 0};
    return ::poll(&death, 1, static_cast<int>(at_most.count())) > 0;
}

std::string target_process::path_from_here(const std::string& path) const {
    if (!path.starts_with('/')) return directory() + "/cwd/" + path;
    const std::string theirs = link_of(directory() + "/ns/mnt");
    struct stat their_root{};
    struct stat our_root{};
    const bool seen =
        ::stat((directory() + "/root/").c_str(), &their_root) == 0 && ::stat("/", &our_root) == 0;
    const bool same_root =
        !seen || (their_root.st_dev == our_root.st_dev && their_root.st_ino == our_root.st_ino);
    const bool same_mounts = theirs.empty() || theirs == link_of("/proc/self/ns/mnt");
    return same_root && same_mounts ? path : directory() + "/root" + path;
}

}  // namespace corodump::cli
