#include "agent/format/dump_reader.hpp"

#include <exception>
#include <new>
#include <optional>
#include <system_error>
#include <utility>

#include "agent/format/dump.hpp"
#include "agent/format/reader_check.hpp"
#include "agent/format/reader_elements.hpp"
#include "agent/format/reader_fields.hpp"
#include "agent/format/reader_source.hpp"
#include "agent/format/reader_tree.hpp"

namespace corodump::format {

namespace {

/// Runs `reading` and puts what it threw into a problem. The one place where exceptions end.
template <class Reading>
std::optional<problem> caught(const Reading& reading, bool& unreadable) {
    try {
        reading();
        return std::nullopt;
    } catch (const read_failure& failure) {
        return problem{failure.pointer(), failure.offset(), failure.what()};
    } catch (const std::system_error& failure) {
        unreadable = true;
        return problem{{}, std::nullopt, "cannot be read: " + failure.code().message()};
    } catch (const std::bad_alloc&) {
        unreadable = true;
        return problem{{}, std::nullopt, "memory is exhausted"};
    } catch (const std::exception& failure) {
        return problem{{}, std::nullopt, failure.what()};
    }
}

}  // namespace

read_result read_dump(byte_source& source, const read_options& options) {
    read_result result;
    problem_log log(problem_log::mode::strict);
    bool unreadable = false;
    result.error = caught(
        [&] {
            dump_builder builder(log, result.dump);
            builder.finish(read_elements(source, options.max_bytes, builder));
        },
        unreadable);
    return result;
}

check_result check_dump(byte_source& source, const read_options& options) {
    check_result result;
    dump read;
    problem_log log(problem_log::mode::collect);
    auto error = caught(
        [&] {
            try {
                dump_builder builder(log, read);
                builder.finish(read_elements(source, options.max_bytes, builder));
                // What is missing or unusable would only be told a second time.
                if (log.not_understood() == 0) check_references(read, log);
            } catch (const too_many_problems&) {
                result.more = true;
            }
        },
        result.unreadable);
    result.problems = log.problems();
    if (error) result.problems.push_back(std::move(*error));
    result.tasks = read.tasks.size();
    return result;
}

}  // namespace corodump::format
