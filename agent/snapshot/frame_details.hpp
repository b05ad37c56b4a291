// Answers the writer's questions about single frames: names of places, locals, what a leaf waits
// for.
//
// Places and type names are resolved once and kept; locals and leaves are read when asked, and only
// believed if the frame's record has not changed since the snapshot.
//
// Threads: watchdog only. Signals: unsafe. Blocks: never (getpeername on the host's sockets does
// not). Bounds: 8,192 places and 2,048 types are kept in at most 4 MiB; further ones are read each
// time.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "agent/base/arena.hpp"
#include "agent/base/text.hpp"
#include "agent/model/snapshot.hpp"
#include "agent/snapshot/code_names.hpp"
#include "agent/sources/contexts.hpp"
#include "agent/sources/descriptions.hpp"
#include "agent/sources/frame_index.hpp"
#include "agent/sources/type_facts.hpp"
#include "agent/sources/value_reader.hpp"

namespace corodump::snapshot {

/// True where a value of this name must not be shown.
struct redaction {
    bool (*matches)(const void* context, std::string_view name) noexcept = nullptr;
    const void* context = nullptr;
    [[nodiscard]] bool hides(std::string_view name) const noexcept {
        return matches != nullptr && matches(context, name);
    }
};

/// A resource some task waits for, and the tasks that hold it.
struct known_resource {
    std::uint64_t address = 0;
    std::string_view kind, name;
    std::span<const std::uint32_t> owners;  ///< root frames, each once; no_index: not alive
    std::uint32_t capacity = 0, held = 0;
    bool whole = false;             ///< every holder is known
    bool has_ended_owners = false;  ///< some were tasks, and have ended
};

class frame_details final : public model::details {
public:
    frame_details(base::arena& memory, std::span<const model::frame> frames,
                  const sources::frame_index& index, sources::type_facts& types, code_names& code,
                  redaction redact, std::size_t max_text_bytes) noexcept;

    model::location where(std::uint64_t site_key) override;
    std::span<const model::local> locals(const model::frame& f) override;
    model::leaf awaited(const model::frame& f) override;
    model::side given(const model::frame& f) override;
    std::span<const model::label> bound(std::span<const model::frame* const> chain) override;

    /// The awaitable's name alone; empty: unknown. Stays valid.
    [[nodiscard]] std::string_view awaitable_name(const model::frame& f) noexcept;
    /// What the awaitable of a leaf, or the operation it is, says of itself.
    [[nodiscard]] sources::description_facts description_of(const model::frame& f) noexcept;
    /// False: the frame has gone on since it was copied.
    [[nodiscard]] bool still(const model::frame& f) const noexcept;
    /// The resource the chain that ends in `leaf` waits for; nullptr: none that describes itself.
    /// `told`: its description.
    [[nodiscard]] const known_resource* resource_of(
        const model::frame& leaf, const sources::description_facts& told) noexcept;
    /// False: neither the leaf nor what it waits for can name a shared object or a resource. Looks
    /// at types and side numbers alone, so the answer stays the same.
    [[nodiscard]] bool may_name_object(const model::frame& leaf) noexcept;
    /// The object that the leaf's description names, or that its awaiter was made of; 0: none.
    [[nodiscard]] std::uint64_t shared_object(const model::frame& leaf,
                                              const sources::description_facts& told) noexcept;
    /// All resources met so far.
    [[nodiscard]] std::span<const known_resource> resources() const noexcept {
        return resources_.first(resources_used_);
    }
    /// The task whose chain the frame is in.
    [[nodiscard]] std::uint32_t root_of(std::uint32_t frame) const noexcept;

private:
    struct place {
        std::uint64_t key;
        model::location where;
    };
    struct type_text {
        std::uint64_t key;
        std::string_view name;
    };
    /// What is the same for an argument of all coroutines with one promise type.
    struct argument_text {
        std::uint64_t key;  ///< address of its value_info
        std::string_view name, type;
        sources::value_shape shape;
        bool by_reference;
        bool redacted;
    };
    static constexpr std::size_t max_places = 8192;
    static constexpr std::size_t max_arguments = 2048;
    static constexpr std::size_t max_types = 2048;
    static constexpr std::size_t max_resources = 1024;
    static constexpr std::size_t max_locals = 32;

    [[nodiscard]] std::string_view keep(std::string_view text) noexcept;
    /// A type's or operation's name, cleaned, from the static text at `address`.
    [[nodiscard]] std::string_view read_type(std::uint64_t address, std::uint32_t bytes) noexcept;
    /// What `read` makes of the static text at `key`, read once.
    template <class Read>
    [[nodiscard]] std::string_view static_text(std::uint64_t key, Read read) noexcept;
    [[nodiscard]] model::location read_place(std::uint64_t key) noexcept;
    void add_local(std::string_view name, std::string_view type, sources::value_shape shape,
                   std::uint64_t address, bool redacted) noexcept;
    [[nodiscard]] argument_text read_argument(std::uint64_t info_address) noexcept;
    [[nodiscard]] argument_text argument_at(std::uint64_t info_address) noexcept;
    void add_arguments(const model::frame& f) noexcept;
    void add_watched(const model::frame& f) noexcept;
    [[nodiscard]] std::uint64_t waited_resource(const model::frame& leaf) noexcept;
    [[nodiscard]] const known_resource* resource_at(std::uint64_t address) noexcept;
    [[nodiscard]] bool has_ended(const sources::holder_facts& holder) const noexcept;
    void collect_owners(const sources::resource_facts& facts, known_resource& to) noexcept;
    [[nodiscard]] std::uint32_t holder_task(const sources::holder_facts& holder) const noexcept;
    void describe(model::leaf& to, const sources::description_facts& d) noexcept;
    void add_endpoints(model::leaf& to) noexcept;
    [[nodiscard]] std::uint32_t index_of(const model::frame& f) const noexcept {
        return static_cast<std::uint32_t>(&f - frames_.data());
    }

    base::arena& memory_;
    std::span<const model::frame> frames_;
    const sources::frame_index& index_;
    sources::type_facts& types_;
    code_names& code_;
    redaction redact_;
    const std::size_t max_text_bytes_;
    std::span<place> places_;
    std::span<type_text> type_texts_;
    std::span<argument_text> arguments_;
    std::span<known_resource> resources_;
    std::size_t arguments_used_ = 0;
    std::size_t places_used_ = 0, types_used_ = 0, resources_used_ = 0;
    std::size_t text_budget_ = std::size_t{4} << 20U;

    // Scratch of the last call of each kind.
    model::local locals_[max_locals];
    std::size_t locals_used_ = 0;
    char local_buffer_[16 * 1024];
    base::text local_text_{local_buffer_};
    char leaf_buffer_[4096];
    base::text leaf_text_{leaf_buffer_};
    std::uint32_t leaf_owner_ = model::no_index;
    char side_buffer_[1280];
    sources::side_facts side_;
    sources::read_bound bound_;
    char place_buffer_[3 * 4096];
};

}  // namespace corodump::snapshot
