// Makes system calls fail as a container's seccomp profile or an old kernel does.
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <cstdint>
#include <vector>

#include "tests/chaos/chaos_host.hpp"

namespace chaos {

/// A system call that fails.
struct refusal {
    long call;
    std::uint32_t error;
    /// Only where argument 2 has this bit; 0: always.
    std::uint32_t only_with_flag = 0;
};

/// From here on these system calls fail in this thread and those it makes.
inline void refuse(const std::vector<refusal>& calls) {
    std::vector<sock_filter> program;
    for (const refusal& each : calls) {
        const auto number = static_cast<std::uint32_t>(each.call);
        const std::uint8_t skip = each.only_with_flag == 0 ? 1 : 3;
        program.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)));
        program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, skip));
        if (each.only_with_flag != 0) {
            program.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[2])));
            program.push_back(BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, each.only_with_flag, 0, 1));
        }
        program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | each.error));
    }
    program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    const sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
    CHAOS_REQUIRE(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    CHAOS_REQUIRE(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0);
}

/// As on a file system that has no unnamed files.
inline const refusal no_tmpfile{SYS_openat, EOPNOTSUPP, O_TMPFILE & ~O_DIRECTORY};

}  // namespace chaos
