// A dump as the integration tests see it: taken in this process, parsed, and checked for what must
// hold for every dump. Tests then ask for chains by the place they end at.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace support {

struct local {
    std::string type;
    std::string value;  ///< as JSON: 7, "text", null
};

struct frame {
    std::string function;
    std::string file;
    int line = 0;
    std::string address;
    bool library = false;
    std::map<std::string, local> locals;
};

struct leaf {
    std::string awaitable;
    std::string object;
    std::string kind;
    std::string name;
    std::vector<std::string> owners;
};

struct task {
    std::string id;
    std::string name;
    std::string state;
    std::string activity;
    std::string awaited_by;
    std::vector<std::string> children;
    std::map<std::string, std::string> labels;
    std::int64_t resumes = 0;
    std::int64_t thread = 0;
    std::vector<frame> chain;
    std::optional<leaf> awaits;

    [[nodiscard]] const frame& root() const { return chain.front(); }
    [[nodiscard]] const frame& last() const { return chain.back(); }
};

struct verdict {
    std::string kind;
    std::string statement;
    std::vector<std::string> tasks;
    std::vector<std::string> evidence;
};

/// One frame of an expected chain.
struct step {
    std::string_view function;
    int line;
};

struct dump {
    std::string path;
    std::string text;
    bool complete = false;
    std::vector<std::string> warnings;
    std::uint64_t frames = 0;
    std::map<std::string, int> waiting_by_object;  ///< address to count, of the summary
    std::vector<verdict> verdicts;
    std::vector<task> tasks;

    /// The task whose chain ends in a frame of this function; nullptr unless there is exactly one.
    [[nodiscard]] const task* ending_in(std::string_view function) const;
    [[nodiscard]] std::vector<const task*> all_ending_in(std::string_view function) const;
    [[nodiscard]] const task* with_id(std::string_view id) const;
    [[nodiscard]] const task* with_name(std::string_view name) const;
    /// All chains, one line each: what a failed expectation prints.
    [[nodiscard]] std::string chains() const;
};

/// Takes a dump, removes its file, and fails the test where a rule is broken that holds for all: no
/// warning, complete, each frame in exactly one chain, children and awaited_by agree, every pending
/// leaf that is suspended in a co_await names its awaitable and an object. The first of a process
/// is validated against the schema.
[[nodiscard]] dump take_dump();
/// As take_dump, for a process whose frames go on meanwhile: only the file's own rules are checked.
[[nodiscard]] dump take_moving_dump();
/// Parses a dump that another process wrote.
[[nodiscard]] dump read_dump(const std::string& path);

enum class schema { checked, not_checked };
/// A dump of this process as it stands in its file, which is removed; {} and a failed test where there
/// is none. The schema is left out where dumps are many, or very large.
[[nodiscard]] nlohmann::json dump_as_json(schema schema = schema::checked);
/// The same of a dump that was made elsewhere.
[[nodiscard]] nlohmann::json dump_as_json(const std::string& path, schema schema = schema::checked);
/// The last entry of the chain that waits for `awaitable`; fails the test if nobody does.
[[nodiscard]] nlohmann::json leaf_of(const dump& in, std::string_view awaitable);
/// Fails the test unless the file satisfies docs/corodump.schema.json.
void expect_valid(const std::string& path);

/// Fails the test unless exactly one chain ends in the last step's function and has all the steps.
const task* expect_chain(const dump& in, const std::vector<step>& steps,
                         std::string_view awaitable = {});
/// As expect_chain, for a task whose state and activity are not pending and suspended.
const task* expect_task(const dump& in, const std::vector<step>& steps, std::string_view state,
                        std::string_view activity);
/// Fails the test unless no frame is alive.
void expect_no_frames();

/// An address as a dump writes it.
[[nodiscard]] std::string address_text(const volatile void* address);

}  // namespace support
