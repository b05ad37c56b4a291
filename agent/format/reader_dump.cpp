#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <numeric>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "agent/format/dump.hpp"

namespace corodump::format {

namespace {

std::size_t mix(std::size_t seed, std::size_t value) noexcept {
    return (seed ^ value) * 0x9e3779b97f4a7c15ULL + (seed >> 29U);
}

template <class Number>
std::optional<Number> parse_whole(std::string_view digits, int base) {
    Number value = 0;
    const auto [end, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
    if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
    return value;
}

}  // namespace

std::string to_string(std::uint64_t address) {
    std::array<char, 16> digits{};
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), address, 16).ptr;
    return {digits.data(), end};
}

std::string to_string(const task_id& id) {
    return id ? to_string(id.address) + '.' + std::to_string(id.generation) : "unknown";
}

std::optional<std::uint64_t> parse_address(std::string_view digits) {
    if (digits.starts_with("0x")) digits.remove_prefix(2);
    if (digits.size() > 16 ||
        std::any_of(digits.begin(), digits.end(), [](char c) { return c >= 'A' && c <= 'F'; })) {
        return std::nullopt;
    }
    return parse_whole<std::uint64_t>(digits, 16);
}

std::optional<task_id> parse_task_id(std::string_view id) {
    const auto dot = id.find('.');
    if (dot == std::string_view::npos) return std::nullopt;
    const auto address = parse_address(id.substr(0, dot));
    const auto generation = parse_whole<std::uint32_t>(id.substr(dot + 1), 10);
    if (!address || *address == 0 || !generation) return std::nullopt;
    return task_id{*address, *generation};
}

std::size_t shape_pool::frame_hash::operator()(const frame_shape& f) const noexcept {
    const std::hash<const void*> hash;
    const std::size_t names = mix(hash(f.function.identity()), hash(f.file.identity()));
    return mix(names, (std::size_t{f.line} << 1U) | (f.library ? 1U : 0U));
}

text shape_pool::intern(std::string_view value) {
    auto found = strings_.find(value);
    if (found == strings_.end()) found = strings_.emplace(value).first;
    return text(&*found);
}

const frame_shape* shape_pool::intern(const frame_shape& shape) {
    return &*frames_.insert(shape).first;
}

const chain_shape* shape_pool::intern(const std::vector<const frame_shape*>& frames) {
    auto found = chains_.find(frames);
    if (found == chains_.end()) found = chains_.insert(chain_shape{frames}).first;
    return &*found;
}

task_index::task_index(const dump& all) : all_(&all), by_id_(all.tasks.size()) {
    std::iota(by_id_.begin(), by_id_.end(), 0U);
    std::sort(by_id_.begin(), by_id_.end(), [&](std::uint32_t a, std::uint32_t b) {
        const task_id& first = all.tasks[a].id;
        const task_id& second = all.tasks[b].id;
        return first != second ? first < second : a < b;
    });
}

std::vector<std::uint32_t>::const_iterator task_index::at_or_behind(const task_id& id) const {
    return std::lower_bound(by_id_.begin(), by_id_.end(), id,
                            [this](std::uint32_t position, const task_id& wanted) {
                                return all_->tasks[position].id < wanted;
                            });
}

const task* task_index::find(const task_id& id) const {
    const auto at = at_or_behind(id);
    return at != by_id_.end() && all_->tasks[*at].id == id ? &all_->tasks[*at] : nullptr;
}

const task* task_index::find(std::string_view typed) const {
    if (const auto id = parse_task_id(typed)) return find(*id);
    const auto address = parse_address(typed);
    if (!address) return nullptr;
    const auto at = at_or_behind(task_id{*address, 0});
    const auto has_address = [&](auto position) {
        return position != by_id_.end() && all_->tasks[*position].id.address == *address;
    };
    return has_address(at) && !has_address(at + 1) ? &all_->tasks[*at] : nullptr;
}

}  // namespace corodump::format
