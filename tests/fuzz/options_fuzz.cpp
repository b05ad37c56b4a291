// libFuzzer on the options of the environment. The input is one: NAME=VALUE lines.
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "agent/base/config.hpp"
#include "agent/base/text.hpp"
#include "tests/fuzz/invariant.hpp"

namespace {

using namespace corodump::base;
using corodump::test::must;

std::map<std::string, std::string, std::less<>> variables;

const char* variable(const char* name) {
    const auto found = variables.find(std::string_view(name));
    return found == variables.end() ? nullptr : found->second.c_str();
}

void set_variables(std::string_view text) {
    variables.clear();
    while (!text.empty()) {
        std::string_view line = split_off(text, '\n');
        const std::string_view name = split_off(line, '=');
        variables.insert_or_assign(std::string(name), std::string(line));
    }
}

// A name that a pattern is part of is hidden, and so is each that it matches as a whole.
void check_redaction(const redaction& redact) {
    must(redact.patterns().size() <= 64);
    must(!redact.hides_all_for_want_of_room() || redact.matches("anything"));
    must(!redact.empty() || !redact.matches("password"));
    for (const std::string& pattern : redact.patterns()) {
        must(!pattern.empty() && redact.matches(pattern));
        must(redact.matches("before_" + pattern + "_behind"));
        std::string loud = pattern;
        for (char& c : loud) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
        must(redact.matches(loud));
    }
}

void check(const config& chosen) {
    must(!chosen.directory.empty() && chosen.directory[0] == '/');
    must(chosen.directory.size() <= 400);
    must(is_usable_signal(chosen.signal));
    must(chosen.stack_signal == 0 || is_usable_signal(chosen.stack_signal));
    must(tasks_range.holds(chosen.max_tasks) && frames_range.holds(chosen.max_frames));
    must(bytes_range.holds(chosen.max_bytes) && depth_range.holds(chosen.max_depth));
    must(text_range.holds(chosen.max_text_bytes) && files_range.holds(chosen.max_files));
    must(deadline_range.holds(chosen.deadline_ms) && interval_range.holds(chosen.interval_ms));
    check_redaction(chosen.redact);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    set_variables(text);
    const parsed_config parsed = parse_config(variable);
    check(parsed.values);
    must(parsed.problems.size() <= variables.size());
    for (const auto& [name, value] : variables) {
        const int signal = parse_signal(value);
        must(signal >= 0 && signal <= SIGRTMAX);
        check_redaction(redaction::parse(value));
        (void)parsed.values.redact.matches(value);
    }
    return 0;
}
