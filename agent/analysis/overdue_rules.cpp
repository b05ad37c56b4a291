#include <algorithm>

#include "agent/analysis/rules.hpp"

namespace corodump::analysis {
namespace {

std::string_view base_name(std::string_view path) noexcept {
    return path.substr(path.rfind('/') + 1);
}

void say_kind(const overdue& o, verdict_writer& to) {
    to.say(o.count, " of ");
    if (o.of == overdue::sort::tasks)
        to.say(counted_noun{o.live, "task"}, " ");
    else if (o.of == overdue::sort::descriptors)
        to.say(counted_noun{o.live, "open file descriptor"}, " ");
    else
        to.say(counted_noun{o.live, "open resource"}, " of kind '", o.kind, "' ");
}

void say_place(const overdue_place& p, verdict_writer& to) {
    to.evidence();
    to.say(p.count, p.count == 1 ? " was opened in " : " were opened in ");
    to.say(p.where.function.empty() ? "a function without a name" : p.where.function);
    if (!p.where.file.empty()) to.say(" (", base_name(p.where.file), ":", p.where.line, ")");
    to.say(p.count == 1 ? " " : ", the oldest ", duration{p.oldest_seconds}, " ago");
    if (p.task == no_task) return;
    to.say(p.count == 1 ? " by " : "; one by ", task{p.task}, ", which stands in ",
           place_of{p.task});
}

void say_tasks(const overdue& o, verdict_writer& to) {
    std::size_t listed = 0;
    for (const std::uint32_t one : o.tasks) {
        if (listed++ == max_listed) break;
        to.about(one);
        to.evidence();
        to.say(task{one}, " stands in ", place_of{one});
    }
    to.about_in_all(listed < max_listed ? listed : o.count);
}

/// Each task once.
void name_openers(std::span<const overdue_place> places, verdict_writer& to) {
    for (std::size_t i = 0; i < places.size() && i < max_listed; ++i) {
        const auto same = [&](const overdue_place& p) { return p.task == places[i].task; };
        if (places[i].task != no_task && std::ranges::none_of(places.first(i), same))
            to.about(places[i].task);
    }
}

}  // namespace

// A limit is the service's own word, so to be over it is worth a look, and proves nothing more.
void find_overdue(const facts& of, verdict_writer& to) {
    for (const overdue& o : of.overdues) {
        if (o.count == 0) continue;
        to.open("resource_leak", severity::warning);
        say_kind(o, to);
        to.say(o.count == 1 ? "is older than " : "are older than ", duration{o.limit_seconds},
               o.count == 1 ? ": it is " : ", the oldest is ", duration{o.oldest_seconds}, " old.");
        name_openers(o.places, to);
        std::size_t listed = 0;
        for (const overdue_place& p : o.places)
            if (listed++ < max_listed) say_place(p, to);
        if (o.of == overdue::sort::tasks) say_tasks(o, to);
        for (const std::string_view what : o.descriptions) {
            to.evidence();
            to.say(what);
        }
        to.close();
    }
}

}  // namespace corodump::analysis
