#include "agent/snapshot/frame_details.hpp"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cstring>
#include "agent/sources/layout.hpp"

#include "agent/base/clock.hpp"
#include "agent/base/safe_copy.hpp"
#include "agent/snapshot/operation_name.hpp"
#include "agent/sources/frame_memory.hpp"
#include "agent/symbols/demangle.hpp"

namespace corodump::snapshot {
namespace {

using model::no_index;

constexpr std::size_t max_type_bytes =
    std::size_t{32} * 1024;                // of an expression template of operations
constexpr unsigned max_waiting_depth = 8;  ///< how far above a leaf a `waiting` is looked for

std::size_t hash_of(std::uint64_t key, std::size_t places) noexcept {
    return (key * 0x9E3779B97F4A7C15ULL >> 32U) % places;
}

/// Code under these directories is not the service's own.
bool is_library(std::string_view file, std::string_view function) noexcept {
    for (const std::string_view directory : {"/usr/include/", "/usr/local/include/", "/usr/lib/"})
        if (file.starts_with(directory)) return true;
    for (const std::string_view space : {"boost::asio::", "asio::", "std::"})
        if (function.starts_with(space)) return true;
    return file.find("/boost/asio/") != std::string_view::npos;
}

void append_port(base::text& to, std::uint16_t network_order) noexcept {
    to.append(':').decimal(ntohs(network_order));
}

void append_ipv6(base::text& to, const in6_addr& address) noexcept {
    to.append('[');
    for (unsigned i = 0; i < 16; i += 2) {
        if (i != 0) to.append(':');
        to.hex(static_cast<unsigned>(address.s6_addr[i] << 8U | address.s6_addr[i + 1]));
    }
    to.append(']');
}

std::string_view endpoint(const sockaddr_storage& address, socklen_t bytes,
                          base::text& to) noexcept {
    const std::size_t begin = to.size();
    if (address.ss_family == AF_INET) {
        sockaddr_in in{};
        std::memcpy(&in, &address, sizeof in);
        const std::uint32_t ip = ntohl(in.sin_addr.s_addr);
        to.decimal(ip >> 24U).append('.').decimal(ip >> 16U & 255U).append('.');
        to.decimal(ip >> 8U & 255U).append('.').decimal(ip & 255U);
        append_port(to, in.sin_port);
    } else if (address.ss_family == AF_INET6) {
        sockaddr_in6 in{};
        std::memcpy(&in, &address, sizeof in);
        append_ipv6(to, in.sin6_addr);
        append_port(to, in.sin6_port);
    } else if (address.ss_family == AF_UNIX && bytes > offsetof(sockaddr_un, sun_path)) {
        sockaddr_un un{};
        std::memcpy(&un, &address, std::min<std::size_t>(bytes, sizeof un));
        to.append("unix:").append({un.sun_path, strnlen(un.sun_path, sizeof un.sun_path)});
    }
    return to.view().substr(begin);
}

}  // namespace

frame_details::frame_details(base::arena& memory, std::span<const model::frame> frames,
                             const sources::frame_index& index, sources::type_facts& types,
                             code_names& code, redaction redact,
                             std::size_t max_text_bytes) noexcept
    : memory_(memory),
      frames_(frames),
      index_(index),
      types_(types),
      code_(code),
      redact_(redact),
      max_text_bytes_(max_text_bytes),
      places_(memory.allocate_zeroed<place>(max_places)),
      type_texts_(memory.allocate_zeroed<type_text>(max_types)),
      arguments_(memory.allocate_zeroed<argument_text>(max_arguments)),
      resources_(memory.allocate_zeroed<known_resource>(max_resources)) {}

std::string_view frame_details::keep(std::string_view text) noexcept {
    if (text.size() + 1 > text_budget_) return {};
    text_budget_ -= text.size() + 1;
    return memory_.copy(text);
}

// --- places and type names

model::location frame_details::read_place(std::uint64_t key) noexcept {
    model::location found;
    if ((key & model::code_key) != 0) {
        found.function = code_.name_of(key & ~model::code_key, {place_buffer_, 4096});
        found.library = is_library({}, found.function);
        return found;
    }
    detail::site_data site{};
    if (!base::safe_read(site, key)) return found;
    base::text file({place_buffer_, 4096});
    base::text function({place_buffer_ + 8192, 4096});
    if (sources::read_c_string(reinterpret_cast<std::uint64_t>(site.file), 4096, file))
        found.file = file.view();
    if (sources::read_c_string(reinterpret_cast<std::uint64_t>(site.function), 4096, function))
        found.function =
            symbols::clean_function_name(function.view(), {place_buffer_ + 4096, 4096});
    found.line = site.line;
    found.library = is_library(found.file, found.function);
    return found;
}

model::location frame_details::where(std::uint64_t site_key) {
    if (site_key == 0 || places_.empty()) return {};
    std::size_t at = hash_of(site_key, max_places);
    while (places_[at].key != 0 && places_[at].key != site_key) at = (at + 1) % max_places;
    if (places_[at].key == site_key) return places_[at].where;
    model::location found = read_place(site_key);
    if (places_used_ >= max_places / 2) return found;
    const std::string_view function = keep(found.function);
    const std::string_view file = keep(found.file);
    if (function.size() != found.function.size() || file.size() != found.file.size()) return found;
    found.function = function;
    found.file = file;
    places_[at] = {site_key, found};
    ++places_used_;
    return found;
}

std::string_view frame_details::read_type(std::uint64_t address, std::uint32_t bytes) noexcept {
    char raw[max_type_bytes];
    base::text text(raw);
    if (!sources::read_text(address, bytes, sizeof raw - 4, text)) return {};
    char cleaned[max_type_bytes];
    const std::string_view operation = operation_name(text.view(), cleaned);
    return keep(operation.empty() ? symbols::clean_type_name(text.view(), cleaned) : operation);
}

template <class Read>
std::string_view frame_details::static_text(std::uint64_t key, Read read) noexcept {
    if (key == 0 || type_texts_.empty()) return {};
    std::size_t at = hash_of(key, max_types);
    while (type_texts_[at].key != 0 && type_texts_[at].key != key) at = (at + 1) % max_types;
    if (type_texts_[at].key == key) return type_texts_[at].name;
    const std::string_view name = read();
    if (types_used_ < max_types / 2) {
        type_texts_[at] = {key, name};
        ++types_used_;
    }
    return name;
}

std::string_view frame_details::awaitable_name(const model::frame& f) noexcept {
    const sources::awaitable_facts& what = types_.awaitable(f.awaitable);
    if (!what.known || what.name_bytes == 0) return {};
    return static_text(what.name, [&] { return read_type(what.name, what.name_bytes); });
}

// --- locals

bool frame_details::still(const model::frame& f) const noexcept {
    return sources::unchanged(f, index_.record_of(index_of(f)));
}

void frame_details::add_local(std::string_view name, std::string_view type,
                              sources::value_shape shape, std::uint64_t address,
                              bool redacted) noexcept {
    if (locals_used_ == max_locals) return;
    model::local& to = locals_[locals_used_++];
    to = {name, type, {}, false, true, redacted};
    if (to.redacted) return;
    const std::size_t begin = local_text_.size();
    const auto outcome = sources::read_value(shape, address, max_text_bytes_, local_text_);
    to.readable = outcome != sources::value_outcome::unreadable;
    to.literal = outcome == sources::value_outcome::literal;
    to.value = local_text_.view().substr(begin);
}

frame_details::argument_text frame_details::read_argument(std::uint64_t info_address) noexcept {
    argument_text text{info_address, {}, {}, {}, false, false};
    detail::value_info info{};
    if (!base::safe_read(info, info_address)) return text;
    char name[16];
    text.name = keep(base::text(name).append("arg").decimal(info.position).view());
    char raw[256];
    char cleaned[256];
    base::text type(raw);
    if (sources::read_text(reinterpret_cast<std::uint64_t>(info.type_name), info.type_name_bytes,
                           sizeof raw - 4, type))
        text.type = keep(symbols::clean_type_name(type.view(), cleaned));
    text.shape = {static_cast<std::uint8_t>(info.kind), info.size_bytes, 0};
    text.by_reference = info.by_reference != 0;
    text.redacted = redact_.hides(text.name);
    return text;
}

frame_details::argument_text frame_details::argument_at(std::uint64_t info_address) noexcept {
    std::size_t at = hash_of(info_address, max_arguments);
    if (arguments_.empty()) return read_argument(info_address);
    while (arguments_[at].key != 0 && arguments_[at].key != info_address)
        at = (at + 1) % max_arguments;
    if (arguments_[at].key == info_address) return arguments_[at];
    const argument_text text = read_argument(info_address);
    if (arguments_used_ < max_arguments / 2) {
        arguments_[at] = text;
        ++arguments_used_;
    }
    return text;
}

void frame_details::add_arguments(const model::frame& f) noexcept {
    const sources::promise_facts& facts = types_.promise(f.promise);
    std::uint64_t reference = f.address + facts.references_offset;
    std::uint64_t offset = f.address + facts.offsets_offset;
    for (std::uint32_t i = 0; i < facts.value_count; ++i) {
        const argument_text text = argument_at(facts.values + i * sizeof(detail::value_info));
        std::uint64_t address = 0;
        if (text.by_reference) {
            address = index_.read_word(reference);
            reference += sizeof(void*);
        } else {
            std::uint16_t distance = 0;
            if (!sources::read_bytes(offset, &distance, sizeof distance)) return;
            offset += sizeof distance;
            address = distance == 0 ? 0 : f.address + facts.promise_offset + distance;
        }
        // 0: the compiler did not offer the argument where it lies in the frame.
        if (address != 0) add_local(text.name, text.type, text.shape, address, text.redacted);
    }
}

void frame_details::add_watched(const model::frame& f) noexcept {
    std::uint64_t at = sources::read_side(f.side, f.generation, side_buffer_).nodes;
    for (unsigned i = 0; i < sources::max_nodes && at != 0; ++i) {
        sources::node_facts node;
        if (!sources::read_node(at, node)) return;
        at = node.next;
        if (node.waits) continue;
        const std::size_t begin = local_text_.size();
        if (!sources::read_c_string(node.name, 128, local_text_)) continue;
        const std::string_view name = local_text_.view().substr(begin);
        const std::size_t type_begin = local_text_.size();
        char raw[256];
        char cleaned[256];
        base::text type(raw);
        if (sources::read_text(node.type_name, node.type_name_bytes, sizeof raw - 4, type))
            local_text_.append(symbols::clean_type_name(type.view(), cleaned));
        add_local(name, local_text_.view().substr(type_begin),
                  {node.kind, node.size_bytes, node.text_bytes}, node.value, redact_.hides(name));
    }
}

std::span<const model::local> frame_details::locals(const model::frame& f) {
    locals_used_ = 0;
    local_text_.clear();
    // A running frame's values change while they are read: they are not shown.
    if (f.activity == model::activity::running) return {};
    add_arguments(f);
    if (f.side != no_index) add_watched(f);
    if (locals_used_ != 0 && !still(f)) {
        for (model::local& l : std::span(locals_).first(locals_used_)) l.readable = false;
    }
    return std::span(locals_).first(locals_used_);
}

// --- what was given by hand

model::side frame_details::given(const model::frame& f) {
    side_ = sources::read_side(f.side, f.generation, side_buffer_);
    for (model::label& l : std::span(side_.labels).first(side_.label_count))
        if (redact_.hides(l.name)) l.value = "<redacted>";
    return {side_.name, std::span(side_.labels).first(side_.label_count), side_.cancelled};
}

// A coroutine that has not asked yet has what the one that awaits it has, unless it started by
// itself.
std::span<const model::label> frame_details::bound(std::span<const model::frame* const> chain) {
    if (!sources::contexts_are_used()) return {};
    for (std::size_t i = chain.size(); i-- > 0;) {
        const model::frame& f = *chain[i];
        if (!sources::read_bindings(index_.record_of(index_of(f)), f.generation, bound_)) continue;
        const bool alone = (types_.promise(f.promise).flags & detail::promise_starts_at_once) != 0;
        if (!bound_.settled && !alone && i > 0) continue;
        const std::span labels = std::span(bound_.labels).first(bound_.count);
        for (model::label& l : labels)
            if (redact_.hides(l.name)) l.value = "<redacted>";
        return labels;
    }
    return {};
}

// --- leaves

sources::description_facts frame_details::description_of(const model::frame& f) noexcept {
    const sources::promise_facts& promise = types_.promise(f.promise);
    if (promise.description_offset != 0)
        return sources::read_description(f.address + promise.description_offset);
    const sources::awaitable_facts& what = types_.awaitable(f.awaitable);
    if (what.description_offset != 0 && f.awaiter != 0)
        return sources::read_description(f.awaiter + what.description_offset);
    return {};
}

bool frame_details::may_name_object(const model::frame& leaf) noexcept {
    const sources::awaitable_facts& what = types_.awaitable(leaf.awaitable);
    if (types_.promise(leaf.promise).description_offset != 0 || what.description_offset != 0 ||
        what.object_offset != 0)
        return true;
    std::uint32_t at = index_of(leaf);
    for (unsigned depth = 0; depth < max_waiting_depth && at != no_index; ++depth) {
        if (frames_[at].side != no_index) return true;
        at = frames_[at].root ? no_index : frames_[at].parent;
    }
    return false;
}

std::uint64_t frame_details::shared_object(const model::frame& leaf,
                                           const sources::description_facts& told) noexcept {
    if (told.object != 0) return told.object;
    const sources::awaitable_facts& what = types_.awaitable(leaf.awaitable);
    return what.object_offset != 0 && leaf.awaiter != 0
               ? sources::read_word(leaf.awaiter + what.object_offset)
               : 0;
}

/// The resource named by a `waiting` in the leaf or above it; 0: none.
std::uint64_t frame_details::waited_resource(const model::frame& leaf) noexcept {
    std::uint32_t at = index_of(leaf);
    for (unsigned depth = 0; depth < max_waiting_depth && at != no_index; ++depth) {
        const model::frame& f = frames_[at];
        if (f.side != no_index) {
            std::uint64_t next = sources::read_side(f.side, f.generation, side_buffer_).nodes;
            for (unsigned i = 0; i < sources::max_nodes && next != 0; ++i) {
                sources::node_facts node;
                if (!sources::read_node(next, node)) break;
                if (node.waits) return node.value;
                next = node.next;
            }
        }
        at = f.root ? no_index : f.parent;
    }
    return 0;
}

std::uint32_t frame_details::root_of(std::uint32_t frame) const noexcept {
    for (std::size_t i = 0; i < frames_.size() && frame != no_index && !frames_[frame].root; ++i)
        frame = frames_[frame].parent;
    return frame;
}

std::uint32_t frame_details::holder_task(const sources::holder_facts& holder) const noexcept {
    std::uint32_t found = holder.token != 0 ? index_.containing(holder.token) : no_index;
    if (found == no_index) found = index_.of_record(holder.record, holder.generation);
    return root_of(found);
}

/// The task that took it was tracked, and is gone.
bool frame_details::has_ended(const sources::holder_facts& holder) const noexcept {
    return holder.record != 0 && holder_task(holder) == no_index;
}

void frame_details::collect_owners(const sources::resource_facts& facts,
                                   known_resource& to) noexcept {
    const std::span<std::uint32_t> owners =
        memory_.allocate_uninitialized<std::uint32_t>(facts.capacity);
    std::size_t used = 0;
    std::uint32_t listed = 0;
    std::uint32_t begin = 0;
    to.whole = owners.size() == facts.capacity;
    while (begin < facts.capacity && to.whole) {
        sources::holder_facts found[32];
        std::uint32_t count = 0;
        const std::uint32_t read = sources::read_holders(facts, begin, found, count);
        if (read == 0) to.whole = false;
        begin += read;
        for (std::uint32_t i = 0; i < count; ++i) {
            const std::uint32_t task = holder_task(found[i]);
            ++listed;
            if (task == no_index) to.whole = false;
            to.has_ended_owners = to.has_ended_owners || has_ended(found[i]);
            if (std::ranges::find(owners.first(used), task) ==
                owners.begin() + static_cast<std::ptrdiff_t>(used))
                owners[used++] = task;
        }
    }
    if (facts.untold != 0 || listed != facts.held) to.whole = false;
    to.owners = owners.first(used);
}

const known_resource* frame_details::resource_at(std::uint64_t address) noexcept {
    if (address == 0) return nullptr;
    for (const known_resource& known : resources())
        if (known.address == address) return &known;
    if (resources_used_ == resources_.size()) return nullptr;
    const sources::resource_facts facts = sources::read_resource(address);
    if (!facts.known) return nullptr;
    known_resource& to = resources_[resources_used_];
    char buffer[128];
    base::text kind(buffer);
    sources::read_c_string(facts.kind, 64, kind);
    to = {address, keep(kind.view()), keep(facts.name), {}, facts.capacity, facts.held, false};
    collect_owners(facts, to);
    ++resources_used_;
    return &to;
}

const known_resource* frame_details::resource_of(const model::frame& leaf,
                                                 const sources::description_facts& told) noexcept {
    std::uint64_t address = waited_resource(leaf);
    if (address == 0) address = told.resource;
    return address != 0 && still(leaf) ? resource_at(address) : nullptr;
}

void frame_details::add_endpoints(model::leaf& to) noexcept {
    sockaddr_storage address{};
    socklen_t bytes = sizeof address;
    auto* const raw = reinterpret_cast<sockaddr*>(&address);
    if (getsockname(to.descriptor, raw, &bytes) == 0)
        to.local_endpoint = endpoint(address, bytes, leaf_text_);
    bytes = sizeof address;
    if (getpeername(to.descriptor, raw, &bytes) == 0)
        to.remote_endpoint = endpoint(address, bytes, leaf_text_);
}

void frame_details::describe(model::leaf& to, const sources::description_facts& d) noexcept {
    const auto text = [this](std::uint64_t address) {
        const std::size_t begin = leaf_text_.size();
        if (address == 0 || !sources::read_c_string(address, 128, leaf_text_))
            return std::string_view{};
        return leaf_text_.view().substr(begin);
    };
    if (d.object != 0) to.object = d.object;
    to.kind = static_text(d.kind, [&] { return keep(text(d.kind)); });
    to.name = text(d.name);
    if (d.operation != 0)
        to.awaitable =
            static_text(d.operation, [&] { return read_type(d.operation, d.operation_bytes); });
    if (d.descriptor >= 0) {
        to.descriptor = d.descriptor;
        add_endpoints(to);
    }
    if (d.deadline_ns != 0) {
        to.has_deadline = true;
        to.deadline_in_seconds = static_cast<double>(d.deadline_ns - base::monotonic_ns()) / 1e9;
    }
    to.tells_ready = d.tells_ready;
    to.ready = d.ready;
    if (d.joins) to.remaining = d.remaining;
    if (d.owner != 0 && d.resource == 0) {
        const sources::holder_facts owner = sources::read_owner(d.owner);
        if (owner.record != 0) {
            leaf_owner_ = holder_task(owner);
            to.owners = {&leaf_owner_, 1};
        }
    }
}

model::leaf frame_details::awaited(const model::frame& f) {
    model::leaf to;
    leaf_text_.clear();
    to.awaitable = awaitable_name(f);
    const sources::awaitable_facts& what = types_.awaitable(f.awaitable);
    if (!what.known || what.name_bytes == 0) return {};
    to.object = what.object_offset != 0 ? index_.read_word(f.awaiter + what.object_offset)
                : what.is_reference     ? index_.read_word(f.awaiter)
                                        : f.awaiter;
    const sources::description_facts told = description_of(f);
    if (told.known) describe(to, told);
    const known_resource* const resource = may_name_object(f) ? resource_of(f, told) : nullptr;
    if (resource != nullptr) {
        to.object = resource->address;
        to.kind = resource->kind;
        to.name = resource->name;
        to.owners = resource->owners;
    }
    if (still(f)) return to;
    model::leaf least;
    least.awaitable = to.awaitable;
    least.object = to.object;
    return least;
}

}  // namespace corodump::snapshot
