// One dump: snapshot, file, name, retention. Runs on the watchdog.
//
// Everything it uses was made at install: from the request to the file's final name it takes no
// memory from malloc and no lock that another thread can hold.
//
// Threads: prepare by who installs, dump by the watchdog only. Signals: unsafe.
// Blocks: on the file system of the dump's directory. Errors: in the outcome; no file then.
#pragma once

#include <cstdint>
#include <span>

#include "agent/base/arena.hpp"
#include "agent/base/config.hpp"
#include "agent/base/dump_file.hpp"
#include "agent/base/retention.hpp"
#include "agent/base/self_process.hpp"
#include "agent/runtime/code_symbols.hpp"
#include "agent/snapshot/snapshot_builder.hpp"
#include "agent/sources/descriptor_watch.hpp"
#include "agent/triggers/watchdog.hpp"

namespace corodump::runtime {

class dumper {
public:
    dumper() noexcept = default;
    dumper(const dumper&) = delete;
    dumper& operator=(const dumper&) = delete;

    /// Reserves the memory of all later dumps. 0 or an errno.
    [[nodiscard]] int prepare(const base::config& config) noexcept;
    void dump(const triggers::dump_request& request, triggers::dump_outcome& outcome) noexcept;
    /// The stack of a thread that is stalled now. Between dumps.
    void take_stack(std::int64_t deadline_ns, snapshot::stall_record& into) noexcept;
    /// What the dumps show of stalls; it outlives this.
    void show_stalls(const snapshot::stall_ring& stalls) noexcept { stalls_ = &stalls; }
    /// What the dumps show of descriptors; likewise.
    void show_descriptors(sources::descriptor_watch& descriptors) noexcept {
        descriptors_ = &descriptors;
    }
    /// In a forked child: its dumps are its own.
    void forget() noexcept {
        sequence_ = 0;
        builder_.forget();
    }
    [[nodiscard]] std::uint64_t last_task_count() const noexcept { return last_tasks_; }
    /// What the last dump that was written did to those before it.
    [[nodiscard]] const base::retention_result& last_retention() const noexcept {
        return retained_;
    }

private:
    [[nodiscard]] model::limits limits_of(const triggers::dump_request& request) const noexcept;
    void describe_process(model::snapshot& to) noexcept;
    void describe_request(model::snapshot& to, const triggers::dump_request& request) noexcept;
    void add_threads(model::snapshot& to) noexcept;
    [[nodiscard]] base::file_result write(const model::snapshot& from,
                                          triggers::dump_outcome& outcome) noexcept;

    const base::config* config_ = nullptr;
    const snapshot::stall_ring* stalls_ = nullptr;
    sources::descriptor_watch* descriptors_ = nullptr;
    base::arena memory_;
    code_symbols code_;
    snapshot::snapshot_builder builder_{memory_, code_};
    base::reserved_descriptors reserve_;
    base::process_facts facts_{};
    base::retention_result retained_;
    std::span<std::byte> workspace_;
    std::uint64_t sequence_ = 0;
    std::uint64_t last_tasks_ = 0;
    char id_[96] = {};
};

}  // namespace corodump::runtime
