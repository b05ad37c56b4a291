#include "agent/cli/show_resources.hpp"

#include <algorithm>
#include <cstdint>
#include <iomanip>
#include <string_view>

namespace corodump::cli {

namespace {

constexpr std::size_t shown_folds = 5;
constexpr std::size_t shown_labels = 3;
constexpr std::size_t shown_kinds = 8;
constexpr std::size_t widest_kind = 30;

std::string age(const std::optional<double>& seconds) {
    return seconds ? human_duration(*seconds) : "unknown";
}

std::string count_or_unknown(const std::optional<std::int64_t>& count) {
    return count ? human_count(static_cast<std::uint64_t>(std::max<std::int64_t>(*count, 0))) : "-";
}

bool same_stack(const std::vector<format::native_frame>& a,
                const std::vector<format::native_frame>& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [](const format::native_frame& x, const format::native_frame& y) {
                          return x.address == y.address;
                      });
}

/// `socket:[81234]` as `socket:[…]`: of descriptors, what they are folded by.
std::string_view sort_of_target(std::string_view label) {
    return label.substr(0, label.find('['));
}

bool belong_together(const format::leaked_resource& a, const format::leaked_resource& b) {
    if (a.descriptor) return sort_of_target(a.label.view()) == sort_of_target(b.label.view());
    return a.opened_at == b.opened_at && same_stack(a.stack, b.stack);
}

}  // namespace

void show_resources::draw() {
    const format::tracked_resources& tracked = all_.resources;
    if (tracked.kinds.empty()) return;
    std::uint64_t over = 0;
    for (const format::resource_kind& k : tracked.kinds) over += k.over_limit;
    out_ << '\n' << names_.colour()(paint::strong, "RESOURCES");
    if (over != 0)
        out_ << "  "
             << names_.colour()(paint::dim, human_count(over) + (over == 1 ? " is" : " are") +
                                                " open for longer than allowed");
    out_ << '\n';
    for (const format::resource_kind& k : tracked.kinds)
        if (k.over_limit != 0) draw_leaks(k);
    if (tracked.leaks_left_out != 0)
        out_ << "  "
             << names_.colour()(paint::dim, human_count(tracked.leaks_left_out) +
                                                " more of these are not in the dump")
             << '\n';
    draw_kinds();
}

std::vector<show_resources::fold> show_resources::folds_of(
    const format::resource_kind& kind) const {
    std::vector<fold> folds;
    for (const format::leaked_resource& one : all_.resources.leaks) {
        if (one.kind != kind.kind || one.descriptor.has_value() != (kind.kind == "descriptor"))
            continue;
        const auto known = std::find_if(folds.begin(), folds.end(), [&](const fold& f) {
            return belong_together(*f.oldest, one);
        });
        fold& to = known == folds.end() ? folds.emplace_back() : *known;
        if (to.oldest == nullptr) to.oldest = &one;  // the dump has the oldest first
        to.all.push_back(&one);
    }
    return folds;
}

void show_resources::draw_leaks(const format::resource_kind& kind) {
    out_ << "  "
         << names_.colour()(paint::warning,
                            human_count(kind.over_limit) + " of " + quoted(kind.kind.view()))
         << "  over " << age(kind.max_age_seconds) << ", the oldest " << age(kind.oldest_seconds)
         << '\n';
    const std::vector<fold> folds = folds_of(kind);
    const std::size_t shown =
        names_.options().all ? folds.size() : std::min(shown_folds, folds.size());
    std::size_t width = 1;
    for (std::size_t i = 0; i < shown; ++i)
        width = std::max(width, human_count(folds[i].all.size()).size());
    for (std::size_t i = 0; i < shown; ++i) draw_fold(folds[i], width);
    names_.hidden().rows += folds.size() - shown;
}

void show_resources::draw_fold(const fold& one, std::size_t width) {
    const format::leaked_resource& oldest = *one.oldest;
    const std::string count = human_count(one.all.size());
    out_ << "    " << std::string(width - count.size(), ' ') << count << "  "
         << padded(age(oldest.age_seconds), 8) << "  ";
    if (oldest.opened_at != nullptr)
        out_ << names_.function(oldest.opened_at->function) << "  "
             << names_.colour()(paint::place, names_.place(*oldest.opened_at));
    else if (oldest.descriptor)
        out_ << printable(sort_of_target(oldest.label.view()));
    else
        out_ << "opened at an unknown place";
    out_ << '\n';
    const std::string labels = labels_of(one);
    if (!labels.empty()) out_ << "       " << std::string(width, ' ') << labels << '\n';
    draw_openers(one);
    if (oldest.has_stack)
        show_threads(all_, names_, out_).draw_stack(oldest.stack, std::string(width + 7, ' '));
}

std::string show_resources::labels_of(const fold& one) const {
    std::string labels;
    std::size_t shown = 0, left = 0;
    for (const format::leaked_resource* const leak : one.all) {
        const bool number = leak->descriptor.has_value();
        if (!number && !leak->label) continue;
        if (shown == shown_labels && !names_.options().all) {
            ++left;
            continue;
        }
        labels += shown++ == 0 ? "" : ", ";
        if (number) labels += std::to_string(*leak->descriptor) + ' ';
        labels += number ? printable(leak->label.view()) : quoted(leak->label.view());
    }
    if (left != 0) labels += " and " + human_count(left) + " more";
    return labels;
}

void show_resources::draw_openers(const fold& one) {
    std::vector<format::task_id> openers;
    for (const format::leaked_resource* const leak : one.all)
        if (leak->task && std::find(openers.begin(), openers.end(), leak->task) == openers.end())
            openers.push_back(leak->task);
    if (openers.empty()) return;
    out_ << "        "
         << names_.colour()(paint::dim, one.oldest->kind == "task" ? "these are" : "by") << ' '
         << names_.tasks(openers, names_.options().width - 12, openers.size()) << '\n';
}

void show_resources::draw_kinds() {
    const auto& kinds = all_.resources.kinds;
    const std::size_t shown =
        names_.options().all ? kinds.size() : std::min(shown_kinds, kinds.size());
    out_ << "  " << names_.colour()(paint::dim, padded("kind", widest_kind))
         << "      live      peak"
         << "        opened    oldest\n";
    for (std::size_t i = 0; i < shown; ++i) {
        const format::resource_kind& k = kinds[i];
        const std::string name = cut_to(
            k.built_in ? printable(k.kind.view()) + 's' : quoted(k.kind.view()), widest_kind);
        out_ << "  " << padded(name, widest_kind) << ' ' << std::setw(9) << human_count(k.live)
             << ' ' << std::setw(9) << count_or_unknown(k.peak) << ' ' << std::setw(13)
             << count_or_unknown(k.opened) << ' ' << std::setw(9)
             << (k.oldest_seconds ? human_duration(*k.oldest_seconds) : "-") << '\n';
        if (k.refused != 0)
            out_ << "    "
                 << names_.colour()(paint::warning,
                                    human_count(k.refused) + " more are not counted")
                 << '\n';
    }
    names_.hidden().rows += kinds.size() - shown;
}

}  // namespace corodump::cli
