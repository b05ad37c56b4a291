#include "agent/cli/input_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>

#include "agent/cli/terminal.hpp"

namespace corodump::cli {

namespace {

int open_for_reading(const std::string& path) {
    if (path == "-") return STDIN_FILENO;
    // O_NONBLOCK: the open of a FIFO nobody writes to would wait for ever.
    return ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
}

std::string refusal(int descriptor, bool owned) {
    struct stat status{};
    if (descriptor < 0 || ::fstat(descriptor, &status) != 0) {
        return "cannot be opened: " + std::generic_category().message(errno);
    }
    if (S_ISDIR(status.st_mode)) return "is a directory, not a dump";
    if (!owned || S_ISREG(status.st_mode)) return {};
    if (S_ISFIFO(status.st_mode)) {
        return "is a FIFO, not a file; `corodump show -` reads a pipe on standard input";
    }
    return "is not a regular file";
}

}  // namespace

input_file::input_file(const std::string& path)
    : descriptor_(open_for_reading(path)),
      owned_(path != "-"),
      error_(refusal(descriptor_, owned_)),
      name_(owned_ ? printable(path) : "standard input"),
      source_(descriptor_) {}

input_file::~input_file() {
    if (owned_ && descriptor_ >= 0) ::close(descriptor_);
}

}  // namespace corodump::cli
