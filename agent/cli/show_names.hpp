// How `corodump show` calls things: functions, places, tasks, objects. And the ledger of what it
// left out on the way, since nothing is hidden without being said.
//
// Threads: one owner. Signals: unsafe. Blocks: never. Errors: std::bad_alloc.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agent/cli/terminal.hpp"
#include "agent/format/dump.hpp"

namespace corodump::cli {

struct view_options {
    bool all = false;
    bool colours = false;
    std::size_t width = 100;
};

struct left_out {
    std::uint64_t groups = 0, group_tasks = 0, library_frames = 0, repeated_frames = 0,
                  shortened_names = 0, rows = 0, member_tasks = 0, threads = 0, native_frames = 0,
                  loops = 0, stalls = 0, profiled = 0;

    /// "12 more groups, 604 library frames"; empty when nothing was left out.
    [[nodiscard]] std::string told() const;
};

/// `…<…>` in place of the outermost template arguments that make a name longer than `width`.
[[nodiscard]] std::string without_template_arguments(std::string_view name, std::size_t width);
/// "boost::asio" of "boost::asio::detail::f"; empty for a name without a namespace.
[[nodiscard]] std::string_view library_of(std::string_view function);
/// The deepest directory that holds every one of the files, with its last slash; empty when that
/// is the root or some path is relative.
[[nodiscard]] std::string common_directory(const std::vector<std::string_view>& files);

class show_names {
public:
    show_names(const format::dump& all, const view_options& options);

    /// Printable names, cut to what fits unless everything is to be shown.
    [[nodiscard]] std::string function(format::text name);
    [[nodiscard]] std::string type(format::text name);
    [[nodiscard]] std::string place(const format::frame_shape& frame) const;  ///< "file:line"
    /// `7f12a4003040.5 "session 17"`, painted.
    [[nodiscard]] std::string task(const format::task_id& id);
    [[nodiscard]] std::size_t task_width(const format::task_id& id) const;
    /// As many as fit into `room` columns, at least one, then "and 3 more" up to `total`.
    [[nodiscard]] std::string tasks(const std::vector<format::task_id>& ids, std::size_t room,
                                    std::uint64_t total);
    /// `pool "backend"`, or `object` where nothing is known.
    [[nodiscard]] std::string object(format::text kind, format::text name) const;

    [[nodiscard]] const std::string& source_directory() const { return source_directory_; }
    [[nodiscard]] const format::task_index& index() const { return index_; }
    [[nodiscard]] const painter& colour() const { return colour_; }
    [[nodiscard]] const view_options& options() const { return options_; }
    [[nodiscard]] left_out& hidden() { return hidden_; }

private:
    [[nodiscard]] std::string shortened(format::text name, std::size_t width);
    [[nodiscard]] std::string task_name(const format::task_id& id);

    view_options options_;
    painter colour_;
    format::task_index index_;
    std::string source_directory_;
    left_out hidden_;
};

}  // namespace corodump::cli
