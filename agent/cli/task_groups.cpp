#include "agent/cli/task_groups.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

namespace corodump::cli {

namespace {

struct group_key {
    const void* chain;
    const void* awaitable;
    const void* state;
    const void* activity;

    friend bool operator==(const group_key&, const group_key&) = default;
};

struct group_key_hash {
    std::size_t operator()(const group_key& key) const noexcept {
        const std::hash<const void*> hash;
        constexpr std::size_t factor = 0x9e3779b97f4a7c15ULL;
        std::size_t seed = hash(key.chain);
        for (const void* part : {key.awaitable, key.state, key.activity}) {
            seed = (seed ^ hash(part)) * factor;
        }
        return seed;
    }
};

/// How long a task has stood still; a task that is not suspended comes behind all that are.
std::pair<double, double> stillness(const format::task& t) {
    return {t.suspended_seconds.value_or(-1), t.age_seconds.value_or(-1)};
}

bool stiller(const format::task* a, const format::task* b) {
    if (stillness(*a) != stillness(*b)) return stillness(*a) > stillness(*b);
    return a->id < b->id;
}

/// The lower of two verdicts' numbers, where 0 is none.
void lower(std::size_t& number, std::size_t other) {
    number = number == 0 ? other : std::min(number, other);
}

void mark_verdicts(const format::dump& all, std::vector<task_group>& groups) {
    std::map<format::task_id, std::size_t> named;
    for (std::size_t i = 0; i < all.verdicts.size(); ++i) {
        for (const format::task_id& id : all.verdicts[i].tasks) named.emplace(id, i + 1);
    }
    std::map<std::uint64_t, std::size_t> objects;
    for (task_group& group : groups) {
        for (const format::task* t : group.tasks) {
            const auto at = named.find(t->id);
            if (at == named.end()) continue;
            lower(group.verdict, at->second);
            if (t->awaits.object != 0) lower(objects[t->awaits.object], at->second);
        }
    }
    if (objects.empty()) return;
    for (task_group& group : groups) {
        for (const format::task* t : group.tasks) {
            const auto at = objects.find(t->awaits.object);
            if (at != objects.end()) lower(group.behind, at->second);
        }
    }
}

/// Verdict 1, behind verdict 1, verdict 2 ... and all others last.
std::size_t rank(const task_group& group) {
    if (group.verdict != 0) return 2 * group.verdict;
    return group.behind != 0 ? 2 * group.behind + 1 : std::numeric_limits<std::size_t>::max();
}

}  // namespace

std::vector<task_group> fold(const format::dump& all, task_filter& filter) {
    std::vector<task_group> groups;
    std::unordered_map<group_key, std::size_t, group_key_hash> index;
    for (const format::task& t : all.tasks) {
        if (filter.active() && !filter.admits(t)) continue;
        const group_key key{t.chain, t.awaits.awaitable.identity(), t.state.identity(),
                            t.activity.identity()};
        const auto [at, fresh] = index.try_emplace(key, groups.size());
        if (fresh) groups.emplace_back();
        groups[at->second].tasks.push_back(&t);
    }
    for (task_group& group : groups) {
        std::sort(group.tasks.begin(), group.tasks.end(), stiller);
    }
    mark_verdicts(all, groups);
    std::sort(groups.begin(), groups.end(), [](const task_group& a, const task_group& b) {
        if (rank(a) != rank(b)) return rank(a) < rank(b);
        return stiller(&a.oldest(), &b.oldest());
    });
    return groups;
}

std::vector<waited_object> objects_of(const task_group& group) {
    using object_key = std::tuple<std::uint64_t, const void*, const void*>;
    std::map<object_key, std::size_t> index;
    std::vector<waited_object> objects;
    for (const format::task* t : group.tasks) {
        if (!t->awaits.awaitable) continue;
        const object_key key{t->awaits.object, t->awaits.kind.identity(),
                             t->awaits.name.identity()};
        const auto [at, fresh] = index.try_emplace(key, objects.size());
        if (fresh) objects.push_back({t, 0});
        ++objects[at->second].count;
    }
    std::sort(objects.begin(), objects.end(), [](const waited_object& a, const waited_object& b) {
        if (a.count != b.count) return a.count > b.count;
        return stiller(a.example, b.example);
    });
    return objects;
}

}  // namespace corodump::cli
