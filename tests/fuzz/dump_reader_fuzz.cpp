// libFuzzer on what `corodump show` and `corodump validate` do with a file: reading, checking,
// grouping, printing. What they print harms no terminal, and the two never disagree.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <sstream>
#include <string>
#include <string_view>

#include "agent/cli/exit_code.hpp"
#include "agent/cli/show.hpp"
#include "agent/cli/validate.hpp"
#include "agent/format/dump_reader.hpp"
#include "tests/fuzz/invariant.hpp"

namespace {

using namespace corodump;
using test::must;

// Gives a few bytes at a time.
class dripping_source final : public format::byte_source {
public:
    dripping_source(std::string_view bytes, std::size_t most) : rest_(bytes), most_(most) {}
    std::size_t read(char* into, std::size_t size) override {
        const std::size_t taken = rest_.copy(into, std::min(size, most_));
        rest_.remove_prefix(taken);
        return taken;
    }

private:
    std::string_view rest_;
    std::size_t most_;
};

struct outcome {
    int code = 0;
    std::string out, problems;

    friend bool operator==(const outcome&, const outcome&) = default;
};

bool is_harmless(std::string_view printed) {
    return std::none_of(printed.begin(), printed.end(), [](char c) {
        const auto byte = static_cast<unsigned char>(c);
        return (byte < 0x20 && c != '\n') || byte == 0x7f;
    });
}

outcome show(format::byte_source& source, const cli::show_options& options) {
    std::ostringstream out;
    std::ostringstream problems;
    outcome made;
    made.code = cli::run_show(source, options, out, problems);
    made.out = std::move(out).str();
    made.problems = std::move(problems).str();
    must(is_harmless(made.out) && is_harmless(made.problems));
    // Only where nothing matches is there nothing to complain about.
    const bool asked = options.state || options.match;
    must(made.code == cli::exit_ok ? made.problems.empty() : asked || !made.problems.empty());
    return made;
}

outcome show(std::string_view text, const cli::show_options& options) {
    format::memory_source source(text);
    return show(source, options);
}

// All that there is, and then one thing of all that a user can ask for.
void ask(std::string_view text) {
    format::memory_source source(text);
    const format::read_result read = format::read_dump(source);
    cli::show_options options{.file = "fuzzed", .view = {.all = true, .width = 60}};
    const outcome all = show(text, options);
    must(all.code == (read.error ? cli::exit_unreadable : cli::exit_ok));
    if (read.error || read.dump.tasks.empty()) return;
    const format::task& last = read.dump.tasks.back();
    switch (text.size() % 3) {
        case 0:
            options.state = std::string(last.activity.view());
            break;
        case 1:
            options.task = format::to_string(last.id);
            break;
        default:
            options.match = "run";
    }
    const int code = show(text, options).code;
    const bool sure = options.task || (options.state && last.activity);
    must(code == cli::exit_ok || (code == cli::exit_problem && !sure));
}

void validate(std::string_view text, const outcome& shown) {
    format::memory_source source(text);
    std::ostringstream out;
    std::ostringstream problems;
    const int code = cli::run_validate(source, {.file = "fuzzed"}, out, problems);
    must(is_harmless(out.view()) && is_harmless(problems.view()));
    must(code == cli::exit_ok || code == cli::exit_problem);
    must((code == cli::exit_ok) == problems.view().empty());
    must(code != cli::exit_ok || shown.code == cli::exit_ok);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const cli::show_options options{.file = "fuzzed"};
    const outcome shown = show(text, options);
    validate(text, shown);
    if (size % 4 == 0) {
        dripping_source source(text, 1 + size % 7);
        must(show(source, options) == shown);
    }
    ask(text);
    return 0;
}
