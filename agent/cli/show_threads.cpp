#include "agent/cli/show_threads.hpp"

#include <algorithm>
#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace corodump::cli {

namespace {

constexpr std::size_t shown_frames = 12;
constexpr std::size_t shown_stacks = 10;
constexpr std::size_t place_column = 48;

bool matters(const format::thread& t) {
    return t.task || t.stack_source == "signal" ||
           (t.state == "R" && t.stack_source != "no_signal");
}

bool is_agents_own(const format::thread& t) {
    return t.name && t.name.view().starts_with("corodump-");
}

bool same_call(const format::native_frame& a, const format::native_frame& b) {
    return a.address == b.address;
}

std::string_view file_name(std::string_view path) {
    return path.substr(path.rfind('/') + 1);  // all of it where there is no slash
}

/// What two threads must have in common to be shown as one.
std::string key_of(const format::thread& t) {
    std::string key(t.syscall.view());
    key.append("|").append(t.stack_source.view()).append("|").append(t.stack_quality.view());
    key.append("|").append(t.stack_reason.view()).append("|").append(to_string(t.task));
    for (const format::native_frame& f : t.frames)
        key.append(" ").append(format::to_string(f.address));
    return key;
}

}  // namespace

std::vector<show_threads::equals> show_threads::fold() const {
    std::map<std::string, std::size_t> places;
    std::vector<equals> folded;
    for (const format::thread& t : all_.threads) {
        if (!names_.options().all && (!matters(t) || is_agents_own(t))) continue;
        const auto [place, fresh] = places.emplace(key_of(t), folded.size());
        if (fresh) folded.emplace_back();
        folded[place->second].push_back(&t);
    }
    std::stable_sort(folded.begin(), folded.end(), [](const equals& a, const equals& b) {
        return static_cast<bool>(a.front()->task) && !b.front()->task;
    });
    return folded;
}

void show_threads::draw() {
    if (all_.threads.empty()) return;
    const std::vector<equals> folded = fold();
    if (folded.empty()) {
        names_.hidden().threads += all_.threads.size();
        return;
    }
    std::size_t shown_count = 0;
    for (const equals& one : folded) shown_count += one.size();
    out_ << '\n' << names_.colour()(paint::strong, "THREADS") << "  ";
    out_ << names_.colour()(paint::dim, names_.options().all
                                            ? counted(all_.threads.size(), "thread")
                                            : human_count(shown_count) + " of " +
                                                  human_count(all_.threads.size()) +
                                                  " run, or are inside of a task")
         << '\n';
    const std::size_t shown =
        names_.options().all ? folded.size() : std::min(shown_stacks, folded.size());
    for (std::size_t i = 0; i < shown; ++i) draw_one(folded[i]);
    for (std::size_t i = shown; i < folded.size(); ++i) shown_count -= folded[i].size();
    names_.hidden().threads += all_.threads.size() - shown_count;
}

std::string show_threads::what_it_does(const format::thread& t) {
    std::string text = t.syscall          ? "in " + printable(t.syscall.view())
                       : t.syscall_number ? "in system call " + std::to_string(*t.syscall_number)
                       : t.stack_source == "no_signal" ? "waits in the kernel"
                       : t.state == "R"                ? "runs"
                                                       : "state " + printable(t.state.view());
    if (t.task) text += ", inside of " + names_.task(t.task);
    return text;
}

std::string show_threads::caution(const format::thread& t) const {
    if (t.stack_reason) return printable(t.stack_reason.view());
    if (t.stack_quality == "inferred") return "some callers are inferred";
    if (t.stack_quality == "live") return "some callers were read while the thread ran";
    return {};
}

void show_threads::draw_one(const equals& threads) {
    const format::thread& first = *threads.front();
    std::string head = "  " + (first.tid ? std::to_string(*first.tid) : std::string("?"));
    if (first.name) head += ' ' + quoted(first.name.view());
    if (threads.size() > 1) head += " and " + counted(threads.size() - 1, "more thread");
    out_ << names_.colour()(paint::strong, head) << "  " << what_it_does(first) << '\n';
    draw_stack(first.frames, "    ");
    const std::string note = caution(first);
    if (!note.empty()) out_ << "    " << names_.colour()(paint::dim, '(' + note + ')') << '\n';
}

void show_threads::draw_stack(const std::vector<format::native_frame>& frames,
                              const std::string& indent) {
    const bool every = names_.options().all;
    std::size_t lines = 0;
    for (std::size_t i = 0; i < frames.size();) {
        if (!every && lines == shown_frames) {
            const std::string rest = "… " + counted(frames.size() - i, "more frame");
            out_ << indent << names_.colour()(paint::dim, rest) << '\n';
            names_.hidden().native_frames += frames.size() - i;
            return;
        }
        draw_frame(frames[i], indent);
        std::size_t same = i + 1;
        while (!every && same < frames.size() && same_call(frames[same], frames[i])) ++same;
        const std::size_t repeated = same - i - 1;
        if (repeated > 0) {
            const std::string text = "… the same " + human_count(repeated) + " more times";
            out_ << indent << names_.colour()(paint::dim, text) << '\n';
            names_.hidden().native_frames += repeated;
        }
        i = same;
        ++lines;
    }
}

void show_threads::draw_frame(const format::native_frame& frame, const std::string& indent) {
    const std::string function = frame.function ? names_.function(frame.function) : "??";
    std::string place = frame.module ? printable(file_name(frame.module.view())) + '+' : "";
    place += format::to_string(frame.module ? frame.offset : frame.address);
    if (frame.inferred) place += "  inferred";
    const std::size_t used = indent.size() + display_width(function);
    out_ << indent << function
         << std::string(used + 2 < place_column ? place_column - used : 2, ' ')
         << names_.colour()(paint::place, place) << '\n';
}

}  // namespace corodump::cli
