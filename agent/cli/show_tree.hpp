// Draws one task, or one task for many equal ones: its frames, what it waits for, what it joins.
//
//     orderd::session::run                        session.cpp:41
//     └ … 2 library frames (boost::asio)
//       └ orderd::transfer                        transfer.cpp:57
//         └ awaits orderd::pool::acquire
//           pool "backend"  7f12a40002c0
//           held by 7f12a4000400.3 "session 17"
//
// Threads: one owner. Signals: unsafe. Blocks: never. Errors: std::bad_alloc.
// Bounds: chains of 256 frames, joins four levels deep; indentation stops at a third of the width.
#pragma once

#include <cstddef>
#include <ostream>
#include <string>
#include <string_view>

#include "agent/cli/show_names.hpp"
#include "agent/cli/task_groups.hpp"
#include "agent/format/dump.hpp"

namespace corodump::cli {

class show_tree {
public:
    show_tree(const format::dump& all, show_names& names, std::ostream& out)
        : all_(all), names_(names), out_(out) {}

    /// With locals; of a group of many it is the oldest that is drawn.
    void draw(const task_group& group, bool every_detail);

private:
    struct row {
        std::string lead;   ///< indentation and branch
        std::string left;   ///< printable, not painted
        std::string right;  ///< the place
        paint how = paint::plain;
    };

    void draw_frames(const format::task& t);
    void draw_locals(const format::task& t, std::size_t frame, std::size_t indent);
    void draw_leaf(const task_group& group);
    void draw_object(const waited_object& object, std::size_t tasks, std::size_t distinct);
    void draw_descriptor(const format::leaf_details& more);
    void draw_deadline(const format::leaf_details& more);
    void draw_children(const format::task& t, const std::string& lead, unsigned level);
    [[nodiscard]] std::string child_line(const format::task_id& id, std::size_t room);
    void put(const row& what);
    void put_line(std::string_view title, const std::string& value);
    [[nodiscard]] std::string lead() const;
    [[nodiscard]] std::string below() const;

    const format::dump& all_;
    show_names& names_;
    std::ostream& out_;
    std::size_t level_ = 0;
    std::size_t column_ = 0;  ///< where the places of the tree at hand begin
    std::size_t child_lines_ = 0;
    bool details_ = false;
};

}  // namespace corodump::cli
