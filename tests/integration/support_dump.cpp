#include "support_dump.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <corodump/agent.hpp>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

namespace support {
namespace {

using nlohmann::json;

std::string text_of(const json& from, const char* member) {
    const auto at = from.find(member);
    return at != from.end() && at->is_string() ? at->get<std::string>() : std::string();
}

std::vector<std::string> texts_of(const json& from, const char* member) {
    std::vector<std::string> texts;
    if (!from.contains(member)) return texts;
    for (const json& one : from[member])
        texts.push_back(one.is_string() ? one.get<std::string>() : "null");
    return texts;
}

frame frame_of(const json& from) {
    frame made{text_of(from, "function"), text_of(from, "file"),        0,
               text_of(from, "address"),  from.value("library", false), {}};
    if (from["line"].is_number()) made.line = from["line"].get<int>();
    if (!from.contains("locals")) return made;
    for (const auto& [name, value] : from["locals"].items())
        made.locals[name] = {text_of(value, "type"), value["value"].dump()};
    return made;
}

task task_of(const json& from) {
    task made;
    made.id = text_of(from, "id");
    made.name = text_of(from, "name");
    made.state = text_of(from, "state");
    made.activity = text_of(from, "activity");
    made.awaited_by = text_of(from, "awaited_by");
    made.children = texts_of(from, "children");
    made.resumes = from["resumes"].get<std::int64_t>();
    if (from["thread"].is_number()) made.thread = from["thread"].get<std::int64_t>();
    if (from.contains("labels"))
        for (const auto& [name, value] : from["labels"].items())
            made.labels[name] = value.get<std::string>();
    for (const json& entry : from["await_chain"]) {
        if (entry.contains("awaitable"))
            made.awaits =
                leaf{text_of(entry, "awaitable"), text_of(entry, "object"), text_of(entry, "kind"),
                     text_of(entry, "name"), texts_of(entry, "owners")};
        else
            made.chain.push_back(frame_of(entry));
    }
    return made;
}

void expect_frames_once(const dump& of) {
    std::set<std::string> seen;
    std::uint64_t count = 0;
    for (const task& t : of.tasks) {
        EXPECT_FALSE(t.chain.empty()) << t.id;
        for (const frame& f : t.chain) {
            EXPECT_TRUE(seen.insert(f.address).second) << f.function << " twice\n" << of.chains();
            ++count;
        }
    }
    EXPECT_EQ(count, of.frames) << of.chains();
}

void expect_joins_agree(const dump& of) {
    for (const task& t : of.tasks) {
        for (const std::string& id : t.children) {
            const task* const child = of.with_id(id);
            EXPECT_TRUE(child != nullptr && child->awaited_by == t.id) << of.chains();
        }
        if (t.awaited_by.empty()) continue;
        EXPECT_NE(of.with_id(t.awaited_by), nullptr) << of.chains();
    }
}

void expect_awaitables(const dump& of) {
    for (const task& t : of.tasks) {
        if (!t.awaits) continue;
        EXPECT_FALSE(t.awaits->awaitable.empty()) << of.chains();
        EXPECT_FALSE(t.awaits->object.empty()) << of.chains();
        EXPECT_EQ(t.awaits->awaitable.find("corodump"), std::string::npos) << of.chains();
    }
}

void expect_clean_names(const dump& of) {
    for (const task& t : of.tasks)
        for (const frame& f : t.chain) {
            EXPECT_FALSE(f.function.empty()) << of.chains();
            for (const char* const unclean : {"corodump", ".Frame", ".actor", ".resume", "_Z"})
                EXPECT_EQ(f.function.find(unclean), std::string::npos) << of.chains();
        }
}

void remove(const std::string& path) {
    if (std::getenv("CORODUMP_TEST_KEEP") == nullptr) unlink(path.c_str());
}

dump take(bool still) {
    const auto outcome = corodump::dump_now();
    if (!outcome) {
        ADD_FAILURE() << "no dump: " << outcome.error.message();
        return {};
    }
    static std::atomic<bool> validated{false};
    if (!validated.exchange(true)) expect_valid(outcome.path);
    dump made = read_dump(outcome.path);
    remove(outcome.path);
    if (!still) return made;
    EXPECT_TRUE(made.complete);
    for (const std::string& warning : made.warnings) ADD_FAILURE() << "warning: " << warning;
    expect_frames_once(made);
    expect_joins_agree(made);
    expect_awaitables(made);
    expect_clean_names(made);
    return made;
}

void append(std::ostream& to, const task& t) {
    to << "  " << t.state << ' ' << t.activity << " [" << t.id << ']';
    if (!t.awaited_by.empty()) to << " awaited by " << t.awaited_by;
    for (const frame& f : t.chain) to << " > " << f.function << ':' << f.line;
    if (t.awaits) to << " > {" << t.awaits->awaitable << ' ' << t.awaits->object << '}';
    to << '\n';
}

}  // namespace

const task* dump::ending_in(std::string_view function) const {
    const auto found = all_ending_in(function);
    return found.size() == 1 ? found.front() : nullptr;
}

std::vector<const task*> dump::all_ending_in(std::string_view function) const {
    std::vector<const task*> found;
    for (const task& t : tasks)
        if (!t.chain.empty() && t.last().function == function) found.push_back(&t);
    return found;
}

const task* dump::with_id(std::string_view id) const {
    for (const task& t : tasks)
        if (t.id == id) return &t;
    return nullptr;
}

const task* dump::with_name(std::string_view name) const {
    for (const task& t : tasks)
        if (t.name == name) return &t;
    return nullptr;
}

std::string dump::chains() const {
    std::ostringstream all;
    all << tasks.size() << " tasks, " << frames << " frames\n";
    for (const task& t : tasks) append(all, t);
    return all.str();
}

dump read_dump(const std::string& path) {
    std::ifstream file(path);
    std::ostringstream content;
    content << file.rdbuf();
    dump made;
    made.path = path;
    made.text = content.str();
    const json parsed = json::parse(made.text, nullptr, false);
    if (parsed.is_discarded()) {
        ADD_FAILURE() << path << " is not JSON";
        return made;
    }
    made.complete = parsed["dump"]["complete"].get<bool>();
    made.warnings = texts_of(parsed["dump"], "warnings");
    made.frames = parsed["dump"]["counts"]["frames"].get<std::uint64_t>();
    for (const json& one : parsed["summary"]["by_object"])
        made.waiting_by_object[text_of(one, "object")] = one["count"].get<int>();
    for (const json& one : parsed["verdicts"])
        made.verdicts.push_back({text_of(one, "kind"), text_of(one, "statement"),
                                 texts_of(one, "tasks"), texts_of(one, "evidence")});
    for (const json& one : parsed["tasks"]) made.tasks.push_back(task_of(one));
    return made;
}

dump take_dump() {
    return take(true);
}
dump take_moving_dump() {
    return take(false);
}

json dump_as_json(schema schema) {
    const auto outcome = corodump::dump_now();
    if (outcome) return dump_as_json(outcome.path, schema);
    ADD_FAILURE() << "no dump: " << outcome.error.message();
    return json::object();
}

json dump_as_json(const std::string& path, schema schema) {
    if (schema == schema::checked) expect_valid(path);
    std::ifstream file(path);
    json made = json::parse(file, nullptr, false);
    remove(path);
    if (!made.is_discarded()) return made;
    ADD_FAILURE() << path << " is not JSON";
    return json::object();
}

json leaf_of(const dump& in, std::string_view awaitable) {
    const json document = json::parse(in.text);
    for (const json& task : document["tasks"]) {
        const json& last = task["await_chain"].back();
        if (last.contains("awaitable") && last["awaitable"] == awaitable) return last;
    }
    ADD_FAILURE() << "nobody awaits " << awaitable << '\n' << in.chains();
    return json::object();
}

void expect_valid(const std::string& path) {
    const std::string command = std::string(CORODUMP_PYTHON) + " " + CORODUMP_SCHEMA_VALIDATOR +
                                " " + CORODUMP_SCHEMA + " " + path + " >&2";
    EXPECT_EQ(std::system(command.c_str()), 0) << command;
}

const task* expect_task(const dump& in, const std::vector<step>& steps, std::string_view state,
                        std::string_view activity) {
    const task* const found = in.ending_in(steps.back().function);
    if (found == nullptr) {
        ADD_FAILURE() << "not exactly one chain ends in " << steps.back().function << '\n'
                      << in.chains();
        return nullptr;
    }
    EXPECT_EQ(found->state, state) << in.chains();
    EXPECT_EQ(found->activity, activity) << in.chains();
    EXPECT_EQ(found->chain.size(), steps.size()) << in.chains();
    for (std::size_t i = 0; i < steps.size() && i < found->chain.size(); ++i) {
        EXPECT_EQ(found->chain[i].function, steps[i].function) << in.chains();
        EXPECT_EQ(found->chain[i].line, steps[i].line) << steps[i].function << '\n' << in.chains();
    }
    return found;
}

const task* expect_chain(const dump& in, const std::vector<step>& steps,
                         std::string_view awaitable) {
    const task* const found = expect_task(in, steps, "pending", "suspended");
    if (found == nullptr || awaitable.empty()) return found;
    EXPECT_EQ(found->awaits.value_or(leaf{}).awaitable, awaitable) << in.chains();
    return found;
}

void expect_no_frames() {
    const dump now = take_dump();
    EXPECT_EQ(now.frames, 0U) << now.chains();
}

std::string address_text(const volatile void* address) {
    char text[32];
    std::snprintf(text, sizeof text, "%lx", reinterpret_cast<unsigned long>(address));
    return text;
}

}  // namespace support
