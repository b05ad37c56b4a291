// The part of dump_builder that reads one task: by far the most of a dump.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/format/dump.hpp"
#include "agent/format/reader_elements.hpp"
#include "agent/format/reader_fields.hpp"
#include "agent/format/reader_tree.hpp"

namespace corodump::format {

namespace {

constexpr std::size_t max_frames = 256;
constexpr std::int64_t max_stack = 0xffffffff;
constexpr std::uint32_t max_resumes = 0x7fffffff;

bool is_scalar(node_kind kind) {
    return kind != node_kind::array && kind != node_kind::object;
}

task_extra& extra_of(task& t) {
    if (!t.extra) t.extra = std::make_unique<task_extra>();
    return *t.extra;
}

}  // namespace

void dump_builder::read_task(const tree& json, const path& where) {
    object_fields in = fields(json, 0, where);
    task out;
    in.read("id", need::essential, out.id);
    in.read("name", need::nullable, out.name);
    in.read_choice("state", need::value, out.state, states);
    in.read_choice("activity", need::value, out.activity, activities);
    in.read("cancelled", need::value, out.cancelled);
    in.read("age_seconds", need::nullable, out.age_seconds);
    in.read("suspended_seconds", need::nullable, out.suspended_seconds);
    in.read("resumes", need::value, out.resumes);
    if (out.resumes > max_resumes) {
        log_.departure(in.where()["resumes"], in.offset(), "is beyond the modulus 2^31");
    }
    in.read("thread", need::nullable, out.thread);
    read_labels(in, json, out);
    read_created(in, json, out);
    in.read("awaited_by", need::optional_or_null, out.awaited_by);
    read_children(in, out);
    std::uint64_t cut = 0;
    in.read("cut", need::optional, cut);
    if (cut != 0) extra_of(out).cut = cut;
    read_chain(in, json, out);
    read_native_stack(in, json, out);
    in.finish();
    if (in.whole()) dump_.tasks.push_back(std::move(out));
}

void dump_builder::absent_when_empty(const tree& json, std::uint32_t at, const path& where) {
    if (json[at].next == at + 1) {
        log_.departure(where, json[at].offset, "is empty, where it must be absent");
    }
}

void dump_builder::read_labels(object_fields& in, const tree& json, task& out) {
    const auto object = in.find_object("labels", need::optional);
    if (!object) return;
    const path here = in.where()["labels"];
    absent_when_empty(json, *object, here);
    object_fields::for_each(json, *object, [&](std::uint32_t at, std::uint64_t) {
        const std::string_view key = json.key_of(json[at]);
        if (json[at].kind == node_kind::string) {
            extra_of(out).labels.push_back(
                {dump_.pool->intern(key), dump_.pool->intern(json.text_of(json[at]))});
        } else {
            log_.unusable(here[key], json[at].offset, "is no string");
        }
    });
}

void dump_builder::read_created(object_fields& in, const tree& json, task& out) {
    const auto at = in.find_object("created", need::value);
    if (!at) return;
    object_fields created = fields(json, *at, in.where()["created"]);
    if (const auto place = created.find_object("location", need::value)) {
        object_fields location = fields(json, *place, created.where()["location"]);
        frame_shape shape;
        read_place(location, shape);
        location.finish();
        out.created_at = dump_.pool->intern(shape);
    }
    created.read("by", need::nullable, out.created_by);
    std::optional<std::int64_t> stack;
    created.read("stack", need::optional_or_null, stack);
    out.created_stack =
        static_cast<std::uint32_t>(std::clamp<std::int64_t>(stack.value_or(0), 0, max_stack));
    created.finish();
}

void dump_builder::read_children(object_fields& in, task& out) {
    std::vector<task_id> children;
    const bool joins = in.read_ids("children", need::optional, false, children);
    std::optional<std::int64_t> count;
    in.read("child_count", joins ? need::value : need::optional, count);
    if (!joins) return;
    if (children.empty() || children.size() > max_listed) {
        log_.departure(in.where()["children"], in.offset(), "does not have 1 to 64 ids");
    }
    const std::size_t listed = children.size();
    extra_of(out).child_count =
        count && *count >= 0 ? static_cast<std::uint64_t>(*count) : std::uint64_t{listed};
    extra_of(out).children = std::move(children);
}

void dump_builder::read_chain(object_fields& in, const tree& json, task& out) {
    shapes_.clear();
    out.first_address = dump_.frame_addresses.size();
    const auto array = in.find_array("await_chain", need::essential);
    const path here = in.where()["await_chain"];
    each_object(json, array, here, [&](std::uint32_t at, const path& entry) {
        bool is_leaf = false;
        for (std::uint32_t m = at + 1; m < json[at].next && !is_leaf; m = json[m].next) {
            is_leaf = json.key_of(json[m]) == "awaitable";
        }
        if (out.awaits.awaitable) {
            log_.unusable(entry, json[at].offset, "stands behind the awaitable, which is the last");
        } else if (is_leaf && json[at].kind == node_kind::object) {
            read_leaf(json, at, entry, out);
        } else {
            read_frame(json, at, entry, out);
        }
    });
    out.chain = dump_.pool->intern(shapes_);
    if (array && (shapes_.empty() || shapes_.size() > max_frames)) {
        log_.departure(here, json[*array].offset, "does not have 1 to 256 frames");
    }
}

void dump_builder::read_native_stack(object_fields& in, const tree& json, task& out) {
    const auto array = in.find_array("native_stack", need::optional);
    if (!array) return;
    const path here = in.where()["native_stack"];
    absent_when_empty(json, *array, here);
    read_native_frames(json, array, here, extra_of(out).native_stack);
}

void dump_builder::read_frame(const tree& json, std::uint32_t at, const path& where, task& out) {
    object_fields in = fields(json, at, where);
    frame_shape shape;
    read_place(in, shape);
    read_locals(in, json, out);
    std::uint64_t address = 0;
    in.read_address("address", need::value, address);
    read_library(in, true, shape);
    in.finish();
    shapes_.push_back(dump_.pool->intern(shape));
    dump_.frame_addresses.push_back(address);
}

void dump_builder::read_locals(object_fields& in, const tree& json, task& out) {
    const auto object = in.find_object("locals", need::optional);
    if (!object) return;
    const path here = in.where()["locals"];
    absent_when_empty(json, *object, here);
    frame_locals locals;
    locals.frame = static_cast<std::uint32_t>(shapes_.size());
    object_fields::for_each(json, *object, [&](std::uint32_t at, std::uint64_t) {
        read_local(json, at, here[json.key_of(json[at])], locals.locals);
    });
    extra_of(out).locals.push_back(std::move(locals));
}

void dump_builder::read_local(const tree& json, std::uint32_t at, const path& where,
                              std::vector<local>& out) {
    object_fields in = fields(json, at, where);
    if (!in) return;
    local value;
    value.name = dump_.pool->intern(json.key_of(json[at]));
    in.read("type", need::nullable, value.type);
    for (std::uint32_t m = at + 1; m < json[at].next; m = json[m].next) {
        if (json.key_of(json[m]) != "value" || json[m].kind == node_kind::null) continue;
        if (!is_scalar(json[m].kind)) {
            log_.unusable(where["value"], json[m].offset, "is neither text, number nor boolean");
            continue;
        }
        value.quoted = json[m].kind == node_kind::string;
        const bool word = json[m].kind == node_kind::boolean;
        value.value =
            dump_.pool->intern(word ? (json[m].boolean ? "true" : "false") : json.text_of(json[m]));
    }
    if (!in.has("value")) log_.departure(where, in.offset(), "has no member \"value\"");
    in.finish();
    out.push_back(value);
}

void dump_builder::read_leaf(const tree& json, std::uint32_t at, const path& where, task& out) {
    object_fields in = fields(json, at, where);
    leaf& awaits = out.awaits;
    leaf_details more;
    in.read("awaitable", need::value, awaits.awaitable);
    in.read_address("object", need::nullable, awaits.object);
    in.read("kind", need::optional, awaits.kind);
    in.read("name", need::optional, awaits.name);
    more.has_owners = in.read_ids("owners", need::optional, true, more.owners);
    in.read("descriptor", need::optional, more.descriptor);
    in.read("local_endpoint", need::optional, more.local_endpoint);
    in.read("remote_endpoint", need::optional, more.remote_endpoint);
    in.read("deadline_in_seconds", need::optional, more.deadline_in_seconds);
    in.read("ready", need::optional, more.is_ready);
    in.read("remaining", need::optional, more.remaining);
    in.finish();
    const bool described = more.has_owners || more.descriptor || more.local_endpoint ||
                           more.remote_endpoint || more.deadline_in_seconds || more.is_ready ||
                           more.remaining;
    if (described) awaits.details = std::make_unique<leaf_details>(std::move(more));
}

}  // namespace corodump::format
