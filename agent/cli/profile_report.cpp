#include "agent/cli/profile_report.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <vector>

#include "agent/cli/show_names.hpp"

namespace corodump::cli {
namespace {

constexpr std::size_t column_width = 10;

std::string right(std::string_view text, std::size_t width = column_width) {
    const std::size_t taken = display_width(text);
    return std::string(width > taken ? width - taken : 1, ' ') + std::string(text);
}

std::string fixed(double value, int decimals, const char* unit) {
    std::array<char, 48> text{};
    std::snprintf(text.data(), text.size(), "%.*f%s", decimals, value, unit);
    return text.data();
}

/// Three digits of what counts.
std::string scaled(double value, const char* unit) {
    return fixed(value, value < 10 ? 2 : value < 100 ? 1 : 0, unit);
}

std::string place_of(const format::frame_shape& where) {
    if (!where.file) return {};
    const std::string_view file = where.file.view();
    std::string place = printable(file.substr(file.rfind('/') + 1));
    if (where.line != 0) place += ':' + std::to_string(where.line);
    return place;
}

std::string per_cent(std::uint64_t part, std::uint64_t whole) {
    if (whole == 0) return "-";
    return fixed(100.0 * static_cast<double>(part) / static_cast<double>(whole), 1, "%");
}

class table {
public:
    table(const profile_tree& profile, const profile_table_options& options, std::ostream& out)
        : profile_(profile), options_(options), colour_(options.colours), out_(out) {}

    void title() const;
    void header() const;
    void row(const profile_function& function, std::uint64_t whole) const;

private:
    [[nodiscard]] std::string time(std::int64_t ns) const {
        return right(profile_.times() ? human_time(ns) : "-");
    }

    const profile_tree& profile_;
    const profile_table_options& options_;
    painter colour_;
    std::ostream& out_;
};

void table::title() const {
    std::string remark = profile_.processor_time() ? "wall and processor time"
                         : profile_.times()        ? "wall time"
                                                   : "counts only";
    remark += ", " + human_duration(profile_.seconds());
    remark += profile_.running() ? ", still running" : ", stopped";
    if (profile_.dropped_resumes() != 0)
        remark +=
            "; " + counted(profile_.dropped_resumes(), "resume") + " dropped for want of room";
    out_ << colour_(paint::strong, "PROFILE") << "  " << colour_(paint::dim, remark) << '\n';
}

void table::header() const {
    std::string line = right("RUNNING") + right("%", 7);
    if (profile_.processor_time()) line += right("CPU");
    for (const char* const name : {"A RUN", "LONGEST", "SUSPENDED", "WAITING", "CALLS", "RESUMES"})
        line += right(name, column_width + 1);
    out_ << colour_(paint::dim, line + right("LIVE", 9) + "  FUNCTION") << '\n';
}

void table::row(const profile_function& function, std::uint64_t whole) const {
    const profile_row& own = function.own;
    out_ << time(own.running_ns) << right(per_cent(amount_of(own, options_.by), whole), 7);
    if (profile_.processor_time()) out_ << time(own.cpu_ns);
    const std::int64_t runs = std::max<std::int64_t>(static_cast<std::int64_t>(own.resumes), 1);
    out_ << ' ' << time(own.running_ns / runs) << ' ' << time(own.longest_ns) << ' '
         << time(own.suspended_ns) << ' ' << time(own.waiting_ns) << ' '
         << right(human_count(own.calls)) << ' ' << right(human_count(own.resumes))
         << right(human_count(own.live), 9) << "  ";
    std::string name = printable(name_of(function));
    if (options_.name_width != 0) name = without_template_arguments(name, options_.name_width);
    out_ << colour_(function.where->library ? paint::dim : paint::strong, name);
    if (const std::string place = place_of(*function.where); !place.empty())
        out_ << "  " << colour_(paint::place, place);
    out_ << '\n';
}

}  // namespace

std::uint64_t amount_of(const profile_row& row, profile_measure by) {
    switch (by) {
        case profile_measure::cpu:
            return static_cast<std::uint64_t>(row.cpu_ns);
        case profile_measure::suspended:
            return static_cast<std::uint64_t>(row.suspended_ns);
        case profile_measure::waiting:
            return static_cast<std::uint64_t>(row.waiting_ns);
        case profile_measure::resumes:
            return row.resumes;
        case profile_measure::running:
            break;
    }
    return static_cast<std::uint64_t>(row.running_ns);
}

std::string_view name_of(profile_measure by) {
    constexpr std::string_view names[] = {"running", "cpu", "suspended", "waiting", "resumes"};
    return names[static_cast<unsigned>(by)];
}

std::size_t write_profile_table(const profile_tree& profile, const profile_table_options& options,
                                std::ostream& out) {
    std::vector<const profile_function*> sorted;
    for (const profile_function& one : profile.functions())
        if (!one.own.empty()) sorted.push_back(&one);
    std::ranges::stable_sort(sorted, [&](const auto* a, const auto* b) {
        return amount_of(a->own, options.by) > amount_of(b->own, options.by);
    });
    const table lines(profile, options, out);
    lines.title();
    if (sorted.empty()) {
        out << "  no coroutine has run\n";
        return 0;
    }
    lines.header();
    const std::size_t shown =
        options.rows == 0 ? sorted.size() : std::min(options.rows, sorted.size());
    const std::uint64_t whole = amount_of(profile.total(), options.by);
    for (std::size_t i = 0; i < shown; ++i) lines.row(*sorted[i], whole);
    return sorted.size() - shown;
}

std::string human_time(std::int64_t ns) {
    const auto value = static_cast<double>(ns);
    if (ns < 1000) return std::to_string(ns) + "ns";
    if (ns < 1'000'000) return scaled(value / 1e3, "us");
    if (ns < 1'000'000'000) return scaled(value / 1e6, "ms");
    if (ns < 60'000'000'000) return scaled(value / 1e9, "s");
    return human_duration(value / 1e9);
}

}  // namespace corodump::cli
