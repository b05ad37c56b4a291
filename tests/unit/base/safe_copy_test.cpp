#include "agent/base/safe_copy.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ostream>
#include <string>
#include <vector>

namespace corodump::base {

void PrintTo(copy_method method, std::ostream* out) {
    *out << static_cast<int>(method);
}

namespace {

std::uint64_t address(const void* at) {
    return reinterpret_cast<std::uint64_t>(at);
}

// Three pages, the middle one gone.
class holed_mapping {
public:
    holed_mapping() : page_(static_cast<std::size_t>(::sysconf(_SC_PAGESIZE))) {
        at_ = static_cast<char*>(
            ::mmap(nullptr, 3 * page_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
        std::memset(at_, 'a', page_);
        std::memset(at_ + 2 * page_, 'c', page_);
        ::munmap(at_ + page_, page_);
    }
    ~holed_mapping() {
        ::munmap(at_, page_);
        ::munmap(at_ + 2 * page_, page_);
    }
    holed_mapping(const holed_mapping&) = delete;
    holed_mapping& operator=(const holed_mapping&) = delete;
    [[nodiscard]] char* first() const { return at_; }
    [[nodiscard]] char* hole() const { return at_ + page_; }
    [[nodiscard]] char* last() const { return at_ + 2 * page_; }
    [[nodiscard]] std::size_t page() const { return page_; }

private:
    std::size_t page_;
    char* at_;
};

class SafeCopy : public testing::TestWithParam<copy_method> {
protected:
    SafeCopy() { set_copy_method(GetParam()); }
    ~SafeCopy() override { set_copy_method(copy_method::process_vm); }
};

TEST_P(SafeCopy, CopiesWhatIsThere) {
    const std::string from(100'000, 'x');
    std::string to(from.size(), '\0');
    EXPECT_EQ(safe_copy(to.data(), address(from.data()), from.size()), from.size());
    EXPECT_EQ(to, from);
    EXPECT_EQ(safe_copy(to.data(), address(from.data()), 0), 0U);
    EXPECT_EQ(current_copy_method(), GetParam());
}

TEST_P(SafeCopy, ReturnsZeroForWhatIsNot) {
    const holed_mapping memory;
    char to[64];
    EXPECT_EQ(safe_copy(to, 0, sizeof to), 0U);
    EXPECT_EQ(safe_copy(to, address(memory.hole()), sizeof to), 0U);
    EXPECT_EQ(safe_copy(to, ~std::uint64_t{0} - 8, sizeof to), 0U);
    EXPECT_EQ(safe_copy(to, 0x8000'0000'0000'0000U, sizeof to), 0U);
    int value = 3;
    EXPECT_FALSE(safe_read(value, 16));
}

TEST_P(SafeCopy, ReturnsThePrefixBeforeAHole) {
    const holed_mapping memory;
    std::vector<char> to(4 * memory.page());
    EXPECT_EQ(safe_copy(to.data(), address(memory.first()), 3 * memory.page()), memory.page());
    EXPECT_EQ(safe_copy(to.data(), address(memory.hole() - 10), 20), 10U);
    EXPECT_EQ(std::string(to.data(), 10), std::string(10, 'a'));
    EXPECT_EQ(safe_copy(to.data(), address(memory.hole() - 1), 2 * memory.page()), 1U);
}

TEST_P(SafeCopy, GoesOnPastAFailedElement) {
    const holed_mapping memory;
    // More than one call's worth, every third one bad in one of three ways.
    constexpr std::size_t count = 3000;
    std::vector<std::uint64_t> numbers(count), to(count);
    std::vector<copy_request> batch(count);
    for (std::size_t i = 0; i < count; ++i) {
        numbers[i] = i + 1;
        std::uint64_t source = address(&numbers[i]);
        if (i % 9 == 0) source = 8;
        if (i % 9 == 3) source = address(memory.hole() - 3);
        if (i % 9 == 6) source = ~std::uint64_t{0} - 100;
        batch[i] = {&to[i], source, 8, 77};
    }
    EXPECT_EQ(safe_copy(batch), count - count / 3);
    for (std::size_t i = 0; i < count; ++i) {
        if (i % 3 != 0) {
            ASSERT_TRUE(batch[i].whole()) << i;
            ASSERT_EQ(to[i], i + 1);
        } else {
            ASSERT_EQ(batch[i].copied, i % 9 == 3 ? 3U : 0U) << i;
        }
    }
}

TEST_P(SafeCopy, TakesElementsOfNoSize) {
    int from = 5;
    int to = 0;
    copy_request batch[] = {
        {nullptr, 0, 0, 9}, {&to, address(&from), sizeof to, 9}, {nullptr, 1, 0, 9}};
    EXPECT_EQ(safe_copy(batch), 3U);
    EXPECT_EQ(to, 5);
    EXPECT_EQ(safe_copy(std::span<copy_request>{}), 0U);
}

// A file cut short under its mapping: a load would raise SIGBUS.
TEST_P(SafeCopy, StopsAtTheEndOfATruncatedFile) {
    char path[] = "/tmp/corodump-safe-copy-XXXXXX";
    const int fd = ::mkstemp(path);
    ASSERT_GE(fd, 0);
    ::unlink(path);
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    ASSERT_EQ(::ftruncate(fd, static_cast<off_t>(2 * page)), 0);
    void* const at = ::mmap(nullptr, 2 * page, PROT_READ, MAP_SHARED, fd, 0);
    ASSERT_NE(at, MAP_FAILED);
    ASSERT_EQ(::ftruncate(fd, static_cast<off_t>(page)), 0);
    ::close(fd);
    std::vector<char> to(2 * page);
    EXPECT_EQ(safe_copy(to.data(), address(at), 2 * page), page);
    ::munmap(at, 2 * page);
}

INSTANTIATE_TEST_SUITE_P(Methods, SafeCopy,
                         testing::Values(copy_method::process_vm, copy_method::proc_mem,
                                         copy_method::pipe));

// As pthread_exit does, but without unwinding through the test's frames.
[[noreturn]] void leave_main() {
    ::syscall(SYS_exit, 0);
    std::abort();
}

// Its memory goes a moment after its thread: then its executable is no longer to be seen.
void wait_until_main_has_left() {
    char path[16];
    while (::readlink("/proc/self/exe", path, sizeof path) > 0) ::sched_yield();
}

template <class Body>
int exit_code_of_child(Body body) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(body());
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

TEST(SafeCopyInAChild, ReadsTheChildsMemoryAfterAFork) {
    static int value = 1;
    int before = 0;
    ASSERT_TRUE(safe_read(before, address(&value)));
    EXPECT_EQ(exit_code_of_child([] {
                  value = 2;
                  int seen = 0;
                  return safe_read(seen, address(&value)) ? seen : 99;
              }),
              2);
}

// The process id then names a zombie without memory.
TEST(SafeCopyInAChild, WorksAfterMainHasLeft) {
    EXPECT_EQ(exit_code_of_child([]() -> int {
                  pthread_t thread;
                  ::pthread_create(
                      &thread, nullptr,
                      [](void* /*unused*/) -> void* {
                          wait_until_main_has_left();
                          static int value = 7;
                          int seen = 0;
                          ::_exit(safe_read(seen, address(&value)) ? seen : 99);
                      },
                      nullptr);
                  leave_main();
              }),
              7);
}

// As container profiles refuse it.
void refuse_process_vm_readv(unsigned error) {
    sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_process_vm_readv, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const sock_fprog filter{sizeof program / sizeof program[0], program};
    ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) ::_exit(98);
}

TEST(SafeCopyInAChild, FallsBackWhereTheCallIsRefused) {
    for (const unsigned error : {unsigned{EPERM}, unsigned{ENOSYS}}) {
        const int code = exit_code_of_child([error] {
            refuse_process_vm_readv(error);
            static int value = 7;
            int seen = 0;
            const bool good = safe_read(seen, address(&value)) && !safe_read(seen, 8);
            return good && current_copy_method() == copy_method::proc_mem ? value : 99;
        });
        if (code == 98) GTEST_SKIP() << "no seccomp filters here";
        EXPECT_EQ(code, 7);
    }
}

TEST(SafeCopyInAChild, FallsBackTwiceWhereProcIsClosedToo) {
    const int code = exit_code_of_child([] {
        refuse_process_vm_readv(EPERM);
        // Not dumpable and not root: the files of /proc/self belong to root.
        if (::setresuid(65534, 65534, 65534) != 0) return 98;
        ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
        if (::open("/proc/self/mem", O_RDONLY | O_CLOEXEC) >= 0) return 98;
        static int value = 7;
        int seen = 0;
        return safe_read(seen, address(&value)) && !safe_read(value, 8) ? seen : 99;
    });
    if (code == 98) GTEST_SKIP() << "needs root and seccomp filters";
    EXPECT_EQ(code, 7);
}

}  // namespace
}  // namespace corodump::base
