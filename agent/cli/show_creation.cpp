#include "agent/cli/show_creation.hpp"

#include <algorithm>
#include <string>

#include "agent/cli/show_threads.hpp"
#include "agent/cli/terminal.hpp"

namespace corodump::cli {

namespace {

/// Calls of corodump's own, on the way from the coroutine to the agent, say nothing to a reader.
bool is_own(const format::native_frame& frame) {
    return frame.function.view().starts_with("corodump::") ||
           frame.function.view().starts_with("corodump_");
}

}  // namespace

void show_creation::draw(const format::task& t) {
    if (!t.created_by && t.created_stack == 0) return;
    out_ << '\n' << names_.colour()(paint::strong, "CREATED") << '\n';
    draw_ancestors(t);
    draw_stack(t);
}

void show_creation::draw_ancestors(const format::task& t) {
    std::vector<format::task_id> seen{t.id};
    format::task_id id = t.created_by;
    while (id && seen.size() <= max_ancestors) {
        if (std::find(seen.begin(), seen.end(), id) != seen.end()) return;
        draw_ancestor(id);
        seen.push_back(id);
        const format::task* const creator = names_.index().find(id);
        id = creator == nullptr ? format::task_id{} : creator->created_by;
    }
    if (id) out_ << "  " << names_.colour()(paint::dim, "… and its creators") << '\n';
}

void show_creation::draw_ancestor(const format::task_id& id) {
    out_ << "  " << names_.colour()(paint::dim, "by") << ' ' << names_.task(id);
    const format::task* const creator = names_.index().find(id);
    if (creator == nullptr) {
        out_ << names_.colour()(paint::dim, all_.tasks_left_out == 0
                                                ? ", which is gone"
                                                : ", which is gone or was left out")
             << '\n';
        return;
    }
    if (creator->created_at != nullptr)
        out_ << "  " << names_.function(creator->created_at->function) << "  "
             << names_.colour()(paint::place, names_.place(*creator->created_at));
    out_ << '\n';
}

void show_creation::draw_stack(const format::task& t) {
    const auto found = std::find_if(
        all_.creation_stacks.begin(), all_.creation_stacks.end(),
        [&](const format::creation_stack& stack) { return stack.id == t.created_stack; });
    if (t.created_stack == 0 || found == all_.creation_stacks.end()) return;
    std::string on = "on this stack";
    if (found->count > 1) on += ", as " + counted(found->count, "task") + " of this dump";
    out_ << "  " << names_.colour()(paint::dim, on) << '\n';
    const auto first = std::find_if_not(found->frames.begin(), found->frames.end(), is_own);
    show_threads(all_, names_, out_).draw_stack({first, found->frames.end()}, "    ");
    if (found->frames.size() < 2)
        out_ << "    " << names_.colour()(paint::dim, "cut: the code above has no frame pointers")
             << '\n';
}

}  // namespace corodump::cli
