#include "agent/base/config.hpp"

#include <sys/auxv.h>

#include <algorithm>
#include <cstdlib>
#include <initializer_list>
#include <iterator>
#include <utility>

#include "agent/base/text.hpp"

namespace corodump::base {
namespace {

constexpr std::size_t max_patterns = 64;

// Not tolower(): its answer depends on the host's locale.
constexpr char lower(char c) noexcept {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

std::string lowered(std::string_view from) {
    std::string out(from);
    std::transform(out.begin(), out.end(), out.begin(), lower);
    return out;
}

std::string_view trimmed(std::string_view from) noexcept {
    const std::size_t first = from.find_first_not_of(" \t");
    if (first == std::string_view::npos) return {};
    return from.substr(first, from.find_last_not_of(" \t") - first + 1);
}

bool starts_with_lowered(std::string_view name, std::string_view piece) noexcept {
    return name.size() >= piece.size() && std::equal(piece.begin(), piece.end(), name.begin(),
                                                     [](char a, char b) { return a == lower(b); });
}

// Greedy is right: pieces must come in order, and the earliest place leaves most room for the rest.
bool contains_pieces(std::string_view name, std::string_view pattern) noexcept {
    while (!pattern.empty()) {
        const std::string_view piece = split_off(pattern, '*');
        while (!starts_with_lowered(name, piece)) {
            if (name.empty()) return false;
            name.remove_prefix(1);
        }
        name.remove_prefix(piece.size());
    }
    return true;
}

struct named_signal {
    std::string_view name;
    int number;
};
// Those that somebody may try, so that a refusal can be told from a name that is none.
constexpr named_signal signal_names[] = {
    {"hup", SIGHUP},       {"int", SIGINT},     {"quit", SIGQUIT}, {"ill", SIGILL},
    {"trap", SIGTRAP},     {"abrt", SIGABRT},   {"bus", SIGBUS},   {"fpe", SIGFPE},
    {"kill", SIGKILL},     {"usr1", SIGUSR1},   {"segv", SIGSEGV}, {"usr2", SIGUSR2},
    {"pipe", SIGPIPE},     {"alrm", SIGALRM},   {"term", SIGTERM}, {"chld", SIGCHLD},
    {"cont", SIGCONT},     {"stop", SIGSTOP},   {"tstp", SIGTSTP}, {"ttin", SIGTTIN},
    {"ttou", SIGTTOU},     {"urg", SIGURG},     {"xcpu", SIGXCPU}, {"xfsz", SIGXFSZ},
    {"prof", SIGPROF},     {"winch", SIGWINCH}, {"io", SIGIO},     {"poll", SIGPOLL},
    {"vtalrm", SIGVTALRM}, {"pwr", SIGPWR},     {"sys", SIGSYS},
};

// "rtmin", "rtmin+3", "rtmax-1"; glibc keeps the lowest ones, so the ends are known only at run
// time.
int parse_realtime(std::string_view name) noexcept {
    const bool from_max = name.substr(0, 5) == "rtmax";
    if (!from_max && name.substr(0, 5) != "rtmin") return 0;
    const int base = from_max ? SIGRTMAX : SIGRTMIN;
    name.remove_prefix(5);
    if (name.empty()) return base;
    std::uint64_t distance = 0;
    if (name[0] != (from_max ? '-' : '+') || !parse_unsigned(name.substr(1), distance)) return 0;
    if (distance > static_cast<std::uint64_t>(SIGRTMAX - SIGRTMIN)) return 0;
    return from_max ? base - static_cast<int>(distance) : base + static_cast<int>(distance);
}

class parser {
public:
    parser(environment_reader get, const config& defaults) : get_(get) { out_.values = defaults; }

    parsed_config run() {
        directory();
        signal();
        stack_signal();
        yes_or_no("CORODUMP_SIGNAL_BLOCKED", out_.values.signal_blocked);
        number("CORODUMP_MAX_TASKS", tasks_range, out_.values.max_tasks);
        number("CORODUMP_MAX_FRAMES", frames_range, out_.values.max_frames);
        number("CORODUMP_MAX_BYTES", bytes_range, out_.values.max_bytes);
        number("CORODUMP_MAX_DEPTH", depth_range, out_.values.max_depth);
        number("CORODUMP_MAX_TEXT_BYTES", text_range, out_.values.max_text_bytes);
        number("CORODUMP_MAX_FILES", files_range, out_.values.max_files);
        number("CORODUMP_DEADLINE_MS", deadline_range, out_.values.deadline_ms);
        number("CORODUMP_INTERVAL_MS", interval_range, out_.values.interval_ms);
        stall_threshold();
        number("CORODUMP_STALL_DUMP_INTERVAL_MS", stall_interval_range,
               out_.values.stall_dump_interval_ms);
        yes_or_no("CORODUMP_DUMP_ON_STALL", out_.values.dump_on_stall);
        yes_or_no("CORODUMP_COUNT_CALLBACKS", out_.values.count_callbacks);
        number("CORODUMP_CREATION_BUDGET_PERCENT", percent_range,
               out_.values.creation_budget_percent);
        number("CORODUMP_CREATION_DEPTH", creation_depth_range, out_.values.creation_depth);
        creation_stacks();
        yes_or_no("CORODUMP_CREATORS", out_.values.creators);
        number("CORODUMP_FAILURE_WAIT_MS", failure_wait_range, out_.values.failure_wait_ms);
        yes_or_no("CORODUMP_FAILURES", out_.values.failures);
        yes_or_no("CORODUMP_THROW_STACKS", out_.values.throw_stacks);
        yes_or_no("CORODUMP_DUMP_ON_TERMINATE", out_.values.dump_on_terminate);
        yes_or_no("CORODUMP_DUMP_ON_FATAL", out_.values.dump_on_fatal);
        finished();
        max_age("CORODUMP_RESOURCE_MAX_AGE_MS", out_.values.resource_max_age_ms);
        yes_or_no("CORODUMP_RESOURCE_STACKS", out_.values.resource_stacks);
        max_age("CORODUMP_TASK_MAX_AGE_MS", out_.values.task_max_age_ms);
        yes_or_no("CORODUMP_DESCRIPTORS", out_.values.descriptors);
        max_age("CORODUMP_DESCRIPTOR_MAX_AGE_MS", out_.values.descriptor_max_age_ms);
        profile();
        redact();
        yes_or_no("CORODUMP_OFF", out_.values.off);
        return std::move(out_);
    }

private:
    std::string_view value(const char* name) const {
        const char* const text = get_(name);
        return text == nullptr ? std::string_view{} : trimmed(text);
    }

    void problem(std::string_view name, std::string_view given, std::string_view why) {
        std::string line(name);
        line.append("=\"").append(given).append("\" is ignored: ").append(why);
        out_.problems.push_back(std::move(line));
    }

    void directory() {
        const std::string_view given = value("CORODUMP_DIR");
        if (given.empty()) return;
        // A relative one would wander with the service's working directory.
        if (given[0] != '/') return problem("CORODUMP_DIR", given, "the path is not absolute");
        if (given.size() > 400) return problem("CORODUMP_DIR", given, "longer than 400 bytes");
        out_.values.directory = given;
    }

    void signal() {
        const std::string_view given = value("CORODUMP_SIGNAL");
        if (given.empty()) return;
        const int number = parse_signal(given);
        if (number == 0) return problem("CORODUMP_SIGNAL", given, "there is no such signal");
        if (!is_usable_signal(number)) {
            return problem("CORODUMP_SIGNAL", given,
                           "the signal has another purpose; use USR1, USR2, QUIT, WINCH, URG, PWR "
                           "or RTMIN to RTMAX");
        }
        out_.values.signal = number;
    }

    void stack_signal() {
        const std::string_view given = value("CORODUMP_STACK_SIGNAL");
        if (given.empty()) return;
        const std::string word = lowered(given);
        const int number = word == "off" || word == "none" ? 0 : parse_signal(given);
        if (number == 0 && word != "off" && word != "none" && word != "0") {
            return problem("CORODUMP_STACK_SIGNAL", given, "there is no such signal");
        }
        if (number != 0 && (!is_usable_signal(number) || number == out_.values.signal)) {
            return problem("CORODUMP_STACK_SIGNAL", given, "the signal has another purpose");
        }
        out_.values.stack_signal = number;
    }

    void number(const char* name, number_range range, std::uint64_t& into) {
        const std::string_view given = value(name);
        if (given.empty()) return;
        std::uint64_t parsed = 0;
        if (parse_unsigned(given, parsed) && range.holds(parsed)) {
            into = parsed;
            return;
        }
        problem(name, given,
                "it must be a number from " + std::to_string(range.least) + " to " +
                    std::to_string(range.most));
    }

    /// A list that is not understood must not show what it was meant to hide.
    void redact() {
        const std::string_view given = value("CORODUMP_REDACT");
        if (given.empty()) return;
        redaction chosen = redaction::parse(given);
        if (chosen.empty() && lowered(given) != "none")
            return problem("CORODUMP_REDACT", given,
                           "no pattern is in it; use none to hide nothing");
        if (chosen.hides_all_for_want_of_room())
            out_.problems.emplace_back(
                "CORODUMP_REDACT has more than 64 patterns: every local and label is hidden");
        out_.values.redact = std::move(chosen);
    }

    void number_or_off(const char* name, number_range range, std::uint64_t& into) {
        const std::string word = lowered(value(name));
        if (word == "0" || word == "off" || word == "none")
            into = 0;
        else
            number(name, range, into);
    }

    void stall_threshold() {
        number_or_off("CORODUMP_STALL_THRESHOLD_MS", stall_range, out_.values.stall_threshold_ms);
    }

    void max_age(const char* name, std::uint64_t& into) {
        number_or_off(name, max_age_range, into);
    }

    /// Counts alone are a profile too: `off` is its clock's.
    void profile() {
        using enum profiling;
        one_of("CORODUMP_PROFILE",
               {{"none", none},
                {"0", none},
                {"off", counts},
                {"counts", counts},
                {"wall", wall},
                {"1", wall},
                {"cpu", cpu}},
               "it must be wall, cpu, off or none", out_.values.profile);
    }

    template <class Value>
    struct word_for {
        std::string_view word;
        Value value;
    };
    template <class Value>
    void one_of(const char* name, std::initializer_list<word_for<Value>> words,
                std::string_view otherwise, Value& into) {
        const std::string_view given = value(name);
        if (given.empty()) return;
        const std::string word = lowered(given);
        const auto found = std::find_if(words.begin(), words.end(),
                                        [&word](const auto& one) { return one.word == word; });
        if (found == words.end()) return problem(name, given, otherwise);
        into = found->value;
    }

    void creation_stacks() {
        using enum stack_tracing;
        one_of("CORODUMP_CREATION_STACKS",
               {{"off", off}, {"none", off}, {"0", off}, {"sampled", sampled}, {"all", all}},
               "it must be off, sampled or all", out_.values.creation_stacks);
    }

    void finished() {
        using enum finished_tasks;
        one_of("CORODUMP_FINISHED", {{"off", off}, {"0", off}, {"entries", entries}, {"all", all}},
               "it must be off, entries or all", out_.values.finished);
    }

    void yes_or_no(const char* name, bool& into) {
        one_of(name,
               {{"1", true},
                {"true", true},
                {"yes", true},
                {"on", true},
                {"0", false},
                {"false", false},
                {"no", false},
                {"off", false}},
               "it must be 1 or 0", into);
    }

    environment_reader get_;
    parsed_config out_;
};

}  // namespace

redaction redaction::standard() {
    return parse("password,passwd,token,secret,key,auth,cookie,credential");
}

redaction redaction::parse(std::string_view list) {
    redaction out;
    if (lowered(trimmed(list)) == "none") return out;
    while (!list.empty() && out.patterns_.size() <= max_patterns) {
        const std::string_view pattern = trimmed(split_off(list, ','));
        if (!pattern.empty()) out.patterns_.push_back(lowered(pattern));
    }
    out.overflown_ = out.patterns_.size() > max_patterns;
    if (out.overflown_) out.patterns_ = {"*"};
    return out;
}

bool redaction::matches(std::string_view name) const noexcept {
    return std::any_of(patterns_.begin(), patterns_.end(), [name](const std::string& pattern) {
        return contains_pieces(name, pattern);
    });
}

parsed_config parse_config(environment_reader get, const config& defaults) {
    return parser(get, defaults).run();
}

parsed_config config_from_environment(const config& defaults) {
    if (::getauxval(AT_SECURE) != 0) return {defaults, {}};
    return parse_config([](const char* name) -> const char* { return std::getenv(name); },
                        defaults);
}

int parse_signal(std::string_view name) noexcept {
    std::uint64_t number = 0;
    if (parse_unsigned(name, number)) {
        return number <= static_cast<std::uint64_t>(SIGRTMAX) ? static_cast<int>(number) : 0;
    }
    char buffer[16];
    text word(buffer);
    for (const char c : name) word.append(lower(c));
    std::string_view rest = word.view();
    if (word.truncated()) return 0;
    if (rest.substr(0, 3) == "sig") rest.remove_prefix(3);
    const auto* const found =
        std::find_if(std::begin(signal_names), std::end(signal_names),
                     [rest](const named_signal& one) { return one.name == rest; });
    return found != std::end(signal_names) ? found->number : parse_realtime(rest);
}

bool is_usable_signal(int signal) noexcept {
    switch (signal) {
        case SIGUSR1:
        case SIGUSR2:
        case SIGQUIT:
        case SIGWINCH:
        case SIGURG:
        case SIGPWR:
            return true;
        default:
            return signal >= SIGRTMIN && signal <= SIGRTMAX;
    }
}

}  // namespace corodump::base
