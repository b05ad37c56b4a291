#include "agent/cli/dump_comparison.hpp"

#include <algorithm>
#include <cstddef>
#include <iomanip>
#include <map>
#include <tuple>

#include "agent/analysis/rules.hpp"
#include "agent/cli/terminal.hpp"

namespace corodump::cli {
namespace {

using place_key = std::tuple<std::string_view, std::string_view, std::uint32_t>;

place_key key_of(const format::task& t) {
    if (t.created_at == nullptr) return {};
    return {t.created_at->function.view(), t.created_at->file.view(), t.created_at->line};
}

/// The time between the two, by the process's own clock; negative: not of one process.
double seconds_between(const format::process_info& older, const format::process_info& newer) {
    const bool same = older.pid && older.pid == newer.pid &&
                      older.start_time.view() == newer.start_time.view() &&
                      older.hostname.view() == newer.hostname.view();
    if (!same || !older.uptime_seconds || !newer.uptime_seconds) return -1;
    return *newer.uptime_seconds - *older.uptime_seconds;
}

/// Takes what the rules say as text.
class spoken final : public analysis::verdict_writer {
public:
    std::vector<std::string> statements;

private:
    void open(std::string_view, analysis::severity) override { statements.emplace_back(); }
    void about(std::uint32_t) override {}
    void about_in_all(std::uint64_t) override {}
    void evidence() override {}
    void close() override {}
    void put(std::string_view text) override { statements.back() += text; }
    void put(analysis::task) override {}
    void put(analysis::place_of) override {}
};

}  // namespace

dump_comparison::dump_comparison(const format::dump& older, const format::dump& newer)
    : older_(older), newer_(newer), seconds_(seconds_between(older.process, newer.process)) {
    if (!comparable()) return;
    std::map<place_key, birthplace> places;
    for (const format::task& t : older_.tasks) ++places[key_of(t)].before;
    const format::task_index before(older_);
    std::uint64_t survivors = 0;
    for (const format::task& t : newer_.tasks) {
        birthplace& at = places[key_of(t)];
        ++at.now;
        const format::task* const then = before.find(t.id);
        if (then == nullptr) continue;
        ++survivors;
        ++at.survivors;
        unmoved_ += then->resumes == t.resumes && t.activity == "suspended" ? 1 : 0;
    }
    ended_ = older_.tasks.size() - survivors;
    created_ = newer_.tasks.size() - survivors;
    for (auto& [key, at] : places) {
        at.function = std::get<0>(key);
        at.file = std::get<1>(key);
        at.line = std::get<2>(key);
        places_.push_back(std::move(at));
    }
    std::ranges::stable_sort(places_, std::greater<>{}, [](const birthplace& p) {
        return static_cast<std::int64_t>(p.now) - static_cast<std::int64_t>(p.before);
    });
    compare_kinds();
}

void dump_comparison::compare_kinds() {
    for (const format::resource_kind& now : newer_.resources.kinds) {
        const auto then =
            std::ranges::find_if(older_.resources.kinds, [&](const format::resource_kind& k) {
                return k.kind == now.kind.view() && k.type.view() == now.type.view();
            });
        // Tasks are compared above, one by one.
        if (then == older_.resources.kinds.end() || now.live <= then->live ||
            (now.built_in && now.kind == "task"))
            continue;
        const std::int64_t opened = now.opened.value_or(0) - then->opened.value_or(0);
        more_.push_back({std::string(now.kind.view()), then->live, now.live,
                         static_cast<std::uint64_t>(std::max<std::int64_t>(opened, 0))});
    }
    std::ranges::stable_sort(more_, std::greater<>{},
                             [](const kind_count& k) { return k.now - k.before; });
}

std::vector<std::string> dump_comparison::verdicts() const {
    std::vector<analysis::growth> growths;
    for (const birthplace& p : places_)
        growths.push_back(
            {{p.function, p.file, p.line, false}, p.before, p.now, p.survivors, seconds_});
    analysis::facts facts;
    facts.growths = growths;
    spoken said;
    analysis::find_growth(facts, said);
    return said.statements;
}

void show_comparison(const dump_comparison& what, const format::dump& older,
                     const format::dump& newer, const view_options& options, std::ostream& out) {
    constexpr std::size_t shown_places = 10;
    const painter colour(options.colours);
    out << '\n'
        << colour(paint::strong, "AGAINST") << "  "
        << colour(paint::dim, "an older dump, " + human_duration(what.seconds()) + " before")
        << '\n'
        << "  " << human_count(older.tasks.size()) << " tasks then, "
        << human_count(newer.tasks.size()) << " now: " << human_count(what.ended()) << " ended, "
        << human_count(what.created()) << " are new, " << human_count(what.unmoved())
        << " have not been resumed since\n";
    for (const std::string& verdict : what.verdicts())
        out << "  " << colour(paint::warning, printable(verdict)) << '\n';
    const std::size_t most = options.all ? what.places().size() : shown_places;
    std::size_t shown = 0;
    for (const dump_comparison::birthplace& p : what.places()) {
        if (shown == most || (p.before == p.now && !options.all)) break;
        if (shown++ == 0) out << "       then       now  still there  born at\n";
        out << "  " << std::setw(9) << human_count(p.before) << ' ' << std::setw(9)
            << human_count(p.now) << ' ' << std::setw(12) << human_count(p.survivors) << "  "
            << printable(p.function) << "  "
            << printable(std::string_view(p.file).substr(p.file.rfind('/') + 1)) << ':' << p.line
            << '\n';
    }
    for (const dump_comparison::kind_count& k : what.more())
        out << "  more of " << quoted(k.kind) << " are open: " << human_count(k.before) << " then, "
            << human_count(k.now) << " now, of " << human_count(k.opened) << " opened since\n";
}

}  // namespace corodump::cli
