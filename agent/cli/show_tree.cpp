#include "agent/cli/show_tree.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agent/cli/show_threads.hpp"

namespace corodump::cli {

namespace {

constexpr std::size_t margin = 4;
constexpr std::size_t shown_objects = 3;
constexpr std::size_t shown_children = 8;
constexpr std::size_t repeats_worth_folding = 3;
constexpr unsigned deepest_join = 4;
constexpr std::size_t most_child_lines = 500;  ///< joins of a hostile file may lead in circles

/// Frames from `at` on that are folded into one line; 0: the frame is shown by itself.
struct fold_run {
    std::size_t library = 0, repeated = 0;
};

fold_run run_at(const format::chain_shape& chain, std::size_t at) {
    const auto& frames = chain.frames;
    fold_run run;
    while (at + run.library < frames.size() && frames[at + run.library]->library) ++run.library;
    if (at == 0) return run;
    while (at + run.repeated < frames.size() && frames[at + run.repeated] == frames[at - 1]) {
        ++run.repeated;
    }
    if (run.repeated < repeats_worth_folding) run.repeated = 0;
    return run;
}

/// The libraries of a run of frames, each once: "boost::asio, cobalt".
std::string libraries(const format::chain_shape& chain, std::size_t at, std::size_t count) {
    std::vector<std::string_view> names;
    for (std::size_t i = at; i < at + count; ++i) {
        const std::string_view name = library_of(chain.frames[i]->function.view());
        if (!name.empty() && std::find(names.begin(), names.end(), name) == names.end()) {
            names.push_back(name);
        }
    }
    std::string joined;
    for (const std::string_view name : names) {
        joined += (joined.empty() ? "" : ", ") + printable(name);
    }
    return joined.empty() ? std::string() : " (" + joined + ')';
}

/// The outermost frame that is the user's own, else the outermost.
const format::frame_shape* own_head(const format::chain_shape& chain) {
    const auto own = std::find_if(chain.frames.begin(), chain.frames.end(),
                                  [](const format::frame_shape* f) { return !f->library; });
    if (own != chain.frames.end()) return *own;
    return chain.frames.empty() ? nullptr : chain.frames.front();
}

std::string local_text(const format::local& local) {
    std::string value = "(could not be read)";
    if (local.value)
        value = local.quoted ? quoted(local.value.view()) : printable(local.value.view());
    if (local.value == "<redacted>") value = "<redacted>";
    return printable(local.name.view()) + " = " + value;
}

}  // namespace

std::string show_tree::lead() const {
    const std::size_t deepest = names_.options().width / 6;
    if (level_ == 0) return std::string(margin, ' ');
    return std::string(margin + 2 * std::min(level_ - 1, deepest), ' ') + "└ ";
}

std::string show_tree::below() const {
    return std::string(display_width(lead()), ' ');
}

void show_tree::put(const row& what) {
    out_ << names_.colour()(paint::dim, what.lead) << names_.colour()(what.how, what.left);
    if (!what.right.empty()) {
        const std::size_t used = display_width(what.lead) + display_width(what.left);
        const std::size_t gap = used + 2 <= column_ ? column_ - used : 2;
        const bool fits = used + gap + display_width(what.right) <= names_.options().width;
        if (fits || used <= column_) {
            out_ << std::string(gap, ' ');
        } else {
            out_ << '\n' << std::string(display_width(what.lead) + 2, ' ');
        }
        out_ << names_.colour()(paint::place, what.right);
    }
    out_ << '\n';
}

void show_tree::put_line(std::string_view title, const std::string& value) {
    const std::string start = below() + std::string(title);
    out_ << start << value << '\n';
}

void show_tree::draw(const task_group& group, bool every_detail) {
    level_ = 0;
    child_lines_ = 0;
    details_ = every_detail;
    const format::task& t = group.oldest();
    draw_frames(t);
    draw_leaf(group);
    draw_children(t, below(), 1);
}

void show_tree::draw_frames(const format::task& t) {
    const format::chain_shape& chain = *t.chain;
    const bool fold = !names_.options().all;
    std::vector<std::pair<std::size_t, row>> rows;
    const std::uint64_t cut = t.extra ? t.extra->cut : 0;
    const std::size_t cut_at = chain.frames.size() / 2;
    bool cut_told = cut == 0;
    for (std::size_t i = 0; i < chain.frames.size();) {
        if (!cut_told && i >= cut_at) {
            const std::string text = "… " + counted(cut, "frame") + " not in the dump";
            rows.push_back({i, {lead(), text, {}, paint::dim}});
            cut_told = true;
        }
        const fold_run run = fold ? run_at(chain, i) : fold_run();
        const format::frame_shape& frame = *chain.frames[i];
        if (run.library > 0) {
            rows.push_back(
                {i,
                 {lead(),
                  "… " + counted(run.library, "library frame") + libraries(chain, i, run.library),
                  {},
                  paint::dim}});
            names_.hidden().library_frames += run.library;
        } else if (run.repeated > 0) {
            rows.push_back({i,
                            {lead(),
                             "… the same frame " + human_count(run.repeated) + " more times",
                             {},
                             paint::dim}});
            names_.hidden().repeated_frames += run.repeated;
        } else {
            const paint how = frame.library ? paint::dim : paint::strong;
            rows.push_back(
                {i, {lead(), names_.function(frame.function), names_.place(frame), how}});
        }
        i += std::max<std::size_t>({run.library, run.repeated, 1});
        ++level_;
    }
    column_ = 0;
    for (const auto& [i, r] : rows) {
        const std::size_t end = display_width(r.lead) + display_width(r.left) + 2;
        if (!r.right.empty() && end <= names_.options().width * 7 / 10) {
            column_ = std::max(column_, end);
        }
    }
    for (const auto& [i, r] : rows) {
        put(r);
        if (details_ && (r.how != paint::dim || !fold))
            draw_locals(t, i, display_width(r.lead) + 2);
    }
}

void show_tree::draw_locals(const format::task& t, std::size_t frame, std::size_t indent) {
    const std::string space(indent, ' ');
    if (names_.options().all) {
        const std::uint64_t address = all_.frame_addresses[t.first_address + frame];
        out_ << space << names_.colour()(paint::dim, "frame " + format::to_string(address)) << '\n';
    }
    if (!t.extra) return;
    const std::size_t room = names_.options().width - indent;
    for (const format::frame_locals& of_frame : t.extra->locals) {
        if (of_frame.frame != frame) continue;
        for (const format::local& local : of_frame.locals) {
            const std::string whole = local_text(local);
            const std::string line = names_.options().all ? whole : cut_to(whole, room);
            if (line != whole) ++names_.hidden().shortened_names;
            out_ << space << names_.colour()(paint::dim, line) << '\n';
        }
    }
}

void show_tree::draw_leaf(const task_group& group) {
    const format::task& t = group.oldest();
    if (!t.awaits.awaitable) {
        const std::string_view note = t.activity == "running"       ? "running"
                                      : t.activity == "not_started" ? "created, never started"
                                      : t.activity == "suspended"   ? "suspended, not at a co_await"
                                                                    : "what it does is not known";
        put({lead(), std::string(note), {}, paint::warning});
        if (t.extra) show_threads(all_, names_, out_).draw_stack(t.extra->native_stack, below());
        return;
    }
    out_ << names_.colour()(paint::dim, lead()) << "awaits "
         << names_.colour()(paint::strong, names_.type(t.awaits.awaitable)) << '\n';
    const std::vector<waited_object> objects = objects_of(group);
    std::size_t shown =
        names_.options().all ? objects.size() : std::min(shown_objects, objects.size());
    // An awaitable that tells of no object is waited on by its own task alone: the addresses of
    // hundreds of such would say nothing.
    const bool one_each = objects.size() > 1 && objects.front().count == 1;
    if (one_each && !names_.options().all) shown = t.awaits.kind ? 1 : 0;
    for (std::size_t i = 0; i < shown; ++i) {
        draw_object(objects[i], group.tasks.size(), objects.size());
    }
    if (objects.size() > shown) {
        const std::string what = one_each ? "each task waits for an object of its own"
                                          : "and " + counted(objects.size() - shown, "more object");
        put_line("", names_.colour()(paint::dim, what));
        names_.hidden().rows += objects.size() - shown;
    }
}

void show_tree::draw_object(const waited_object& object, std::size_t tasks, std::size_t distinct) {
    const format::leaf& awaits = object.example->awaits;
    std::string line = names_.colour()(paint::object, names_.object(awaits.kind, awaits.name)) +
                       ' ' + names_.colour()(paint::dim, format::to_string(awaits.object));
    if (distinct > 1) {
        line += object.count == 1 ? "  (task " + to_string(object.example->id) + ')'
                                  : "  (" + human_count(object.count) + " of the " +
                                        human_count(tasks) + " tasks)";
    }
    put_line("", line);
    if (!awaits.details) return;
    const format::leaf_details& more = *awaits.details;
    if (more.has_owners) {
        const std::string who =
            more.owners.empty() ? "no task" : counted(more.owners.size(), "task") + ": ";
        const std::size_t room = names_.options().width - below().size() - who.size() - 8;
        put_line("held by ", who + names_.tasks(more.owners, room, 0));
    }
    draw_descriptor(more);
    draw_deadline(more);
    if (more.is_ready) put_line("", names_.colour()(paint::alarm, "ready already"));
    if (more.remaining) put_line("children to go: ", std::to_string(*more.remaining));
}

void show_tree::draw_descriptor(const format::leaf_details& more) {
    std::string line;
    if (more.descriptor) line += "descriptor " + std::to_string(*more.descriptor);
    if (more.local_endpoint) line += "  local " + printable(more.local_endpoint.view());
    if (more.remote_endpoint) line += "  remote " + printable(more.remote_endpoint.view());
    if (!line.empty()) put_line("", line.starts_with(' ') ? line.substr(2) : line);
}

void show_tree::draw_deadline(const format::leaf_details& more) {
    if (!more.deadline_in_seconds) return;
    const double left = *more.deadline_in_seconds;
    if (left >= 0) return put_line("deadline in ", human_duration(left));
    put_line("",
             names_.colour()(paint::alarm, "deadline passed " + human_duration(-left) + " ago"));
}

/// What a joined task does, in a few words.
std::string show_tree::child_line(const format::task_id& id, std::size_t room) {
    const format::task* child = names_.index().find(id);
    std::string rest;
    if (child == nullptr) {
        rest = "not in this dump";
    } else {
        if (const format::frame_shape* head = own_head(*child->chain)) {
            rest = names_.function(head->function) + ", ";
        }
        rest += child->awaits.awaitable ? "awaits " + names_.type(child->awaits.awaitable)
                                        : printable(child->activity.view());
        if (child->suspended_seconds) {
            rest = human_duration(*child->suspended_seconds) + "  " + rest;
        }
    }
    const std::size_t used = names_.task_width(id) + 2;
    const std::string fitting =
        names_.options().all ? rest : cut_to(rest, std::max(room, used + 20) - used);
    if (fitting != rest) ++names_.hidden().shortened_names;
    return names_.task(id) + "  " + fitting;
}

void show_tree::draw_children(const format::task& t, const std::string& indent, unsigned level) {
    if (!t.extra || t.extra->child_count == 0) return;
    const std::vector<format::task_id>& children = t.extra->children;
    if (level > deepest_join || child_lines_ > most_child_lines) return;
    out_ << indent << "joins " << counted(t.extra->child_count, "task") << ":\n";
    const std::size_t shown =
        names_.options().all ? children.size() : std::min(children.size(), shown_children);
    child_lines_ += shown;
    for (std::size_t i = 0; i < shown; ++i) {
        const format::task* child = names_.index().find(children[i]);
        const bool last = i + 1 == t.extra->child_count;
        out_ << indent << names_.colour()(paint::dim, last ? "└ " : "├ ")
             << child_line(children[i], names_.options().width - display_width(indent) - 2) << '\n';
        if (child != nullptr) draw_children(*child, indent + (last ? "    " : "│   "), level + 1);
    }
    if (t.extra->child_count > shown) {
        out_ << indent
             << names_.colour()(paint::dim,
                                "└ … " + human_count(t.extra->child_count - shown) + " more")
             << '\n';
        names_.hidden().rows += children.size() - shown;
    }
}

}  // namespace corodump::cli
