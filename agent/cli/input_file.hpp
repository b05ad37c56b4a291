// Opens the file a user named, and says in one clause why where that does not work.
//
// A FIFO or a device would block the open or never end, so only regular files are taken; `-` reads
// whatever standard input is.
//
// Threads: any. Signals: unsafe. Blocks: as open(2) on a regular file. Errors: in error().
#pragma once

#include <string>

#include "agent/format/reader_source.hpp"

namespace corodump::cli {

class input_file {
public:
    explicit input_file(const std::string& path);
    input_file(const input_file&) = delete;
    input_file& operator=(const input_file&) = delete;
    ~input_file();

    /// Empty: the file is open.
    [[nodiscard]] const std::string& error() const { return error_; }
    [[nodiscard]] format::byte_source& source() { return source_; }
    /// What to call it in a message.
    [[nodiscard]] const std::string& name() const { return name_; }

private:
    int descriptor_;
    bool owned_;
    std::string error_;
    std::string name_;
    format::descriptor_source source_;
};

}  // namespace corodump::cli
