// Writes one task of the dump: a line of `tasks[]`, with its await chain.
//
// The dump writer calls it a million times, so the parts of known size are laid down with one look
// at the buffer for each part, and what tasks have in common comes rendered: places out of the
// fragment cache, state and activity out of a table.
//
//   {"id":…,"name":…,"state":… … "thread":…[,"labels":{…}],"created":{…}[,"awaited_by":…]
//    [,"children":[…],"child_count":…],"await_chain":[{frame}, … {leaf}, {awaitable}]
//    [,"native_stack":[…]]}
//
// Threads: one owner. Signals: unsafe. Blocks: as long as the sink and `details` do.
// Errors:  unknown values become null, or are absent where docs/format.md says so.
// Bounds:  `max_*` below; what goes beyond is counted in `omitted()`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "agent/format/chain_walk.hpp"
#include "agent/format/json_text.hpp"
#include "agent/format/json_writer.hpp"
#include "agent/format/place_writer.hpp"
#include "agent/format/task_given.hpp"
#include "agent/model/creation.hpp"
#include "agent/model/snapshot.hpp"

namespace corodump::format {

class task_writer {
public:
    static constexpr std::size_t max_labels = task_given::max_labels;
    static constexpr std::size_t max_children = 64;
    static constexpr std::size_t max_owners = 64;
    static constexpr std::size_t max_locals = 64;

    /// All of them outlive the writer.
    task_writer(json_writer& out, place_writer& places, chain_walk& walk,
                const model::snapshot& all, model::details& details) noexcept;

    /// The task that `root` heads, as one element; false where `root` is no frame. `birth`: null
    /// where creations are not traced.
    bool write(std::uint32_t root, const model::birth* birth = nullptr) noexcept;

    /// The id of a frame, without quotes; at most `id_room` bytes.
    [[nodiscard]] static char* put_id(char* to, const model::frame& frame) noexcept {
        to = put_hex(to, frame.address);
        *to = '.';
        return put_decimal(to + 1, frame.generation);
    }
    static constexpr std::size_t id_room = 32;

    /// Seconds since a tick, or null where that is unknown.
    [[nodiscard]] char* put_age(char* to, std::uint32_t since_tick) const noexcept;

    /// Labels, locals and owners that were over their bounds.
    [[nodiscard]] std::uint64_t omitted() const noexcept { return omitted_ + given_.omitted(); }

private:
    void write_head(const model::frame& root, const model::frame& leaf) noexcept;
    void write_labels() noexcept;
    void write_created(const model::frame& root, const model::birth* birth) noexcept;
    [[nodiscard]] char* put_creator(char* to, const model::birth& birth) const noexcept;
    void write_awaited_by(const model::frame& root) noexcept;
    void write_children(const model::frame& leaf) noexcept;
    void write_frame(const model::frame& frame, bool first) noexcept;
    void write_locals(std::span<const model::local> locals) noexcept;
    void write_local(std::span<const model::local> locals, std::size_t index) noexcept;
    void write_awaitable(const model::frame& frame) noexcept;
    void write_native_stack(const model::frame& leaf) noexcept;
    void write_object(const model::leaf& leaf) noexcept;
    void write_owners(std::span<const std::uint32_t> owners) noexcept;
    template <std::size_t Size>
    void write_known(const char (&member)[Size], std::string_view text) noexcept;

    json_writer& out_;
    place_writer& places_;
    chain_walk& walk_;
    const model::snapshot& all_;
    model::details& details_;
    task_given given_;
    std::uint64_t microseconds_per_tick_ = 0;  ///< 0: ages are unknown
    std::uint64_t omitted_ = 0;
};

}  // namespace corodump::format
