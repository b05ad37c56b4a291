#include "tests/chaos/host_side.hpp"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstring>
#include <thread>

namespace chaos {
namespace {

void stay_stuck(int) noexcept {
    tell("stuck");
    stay();
}

}  // namespace

void give_up(const char* file, int line, const char* condition) noexcept {
    dprintf(2, "%s:%d: %s (errno %d)\n", file, line, condition, errno);
    _exit(gave_up);
}

void tell(std::string_view line) noexcept {
    char text[512];
    const std::size_t bytes = std::min(line.size(), sizeof text - 1);
    std::memcpy(text, line.data(), bytes);
    text[bytes] = '\n';
    CHAOS_REQUIRE(write(1, text, bytes + 1) == static_cast<ssize_t>(bytes + 1));
}

void tell(std::string_view word, long number) noexcept {
    char text[512];
    const std::size_t bytes = std::min(word.size(), std::size_t{400});
    std::memcpy(text, word.data(), bytes);
    text[bytes] = ' ';
    char* const end = std::to_chars(text + bytes + 1, text + sizeof text, number).ptr;
    tell({text, static_cast<std::size_t>(end - text)});
}

std::string_view hear() noexcept {
    static thread_local char text[512];
    std::size_t bytes = 0;
    while (bytes < sizeof text) {
        const ssize_t got = read(0, text + bytes, 1);
        if (got < 0 && errno == EINTR) continue;
        if (got != 1 || text[bytes] == '\n') break;
        ++bytes;
    }
    return {text, bytes};
}

void stay() noexcept {
    for (;;) pause();
}

void stay_in_vfork() noexcept {
    // NOLINTNEXTLINE(clang-analyzer-security.insecureAPI.vfork): it is what is tested
    const pid_t child = vfork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;) pause();
    }
    give_up(__FILE__, __LINE__, "vfork came back");
}

std::string_view serve() noexcept {
    tell("ready");
    for (;;) {
        const std::string_view line = hear();
        if (line != "ping") return line;
        tell("pong");
    }
}

void stick_this_thread_in(std::initializer_list<int> system_calls) noexcept {
    constexpr std::size_t most = 16;
    sock_filter rules[2 * most + 2];
    unsigned short count = 0;
    CHAOS_REQUIRE(system_calls.size() <= most);
    rules[count++] = BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr));
    for (const int number : system_calls) {
        rules[count++] = BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(number), 0, 1);
        rules[count++] = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP);
    }
    rules[count++] = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sigaction action{};
    action.sa_handler = stay_stuck;
    CHAOS_REQUIRE(sigaction(SIGSYS, &action, nullptr) == 0);
    const sock_fprog program{count, rules};
    CHAOS_REQUIRE(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    CHAOS_REQUIRE(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0);
}

void start_probe(void (*action)() noexcept) {
    std::thread([action] {
        if (hear() != "probe") return;
        tell("probe", syscall(SYS_gettid));
        action();
        tell("came back");
    }).detach();
}

}  // namespace chaos
