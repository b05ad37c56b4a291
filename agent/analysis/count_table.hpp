// Counts by key in fixed memory: what the summary and the groups are made of.
//
// Open addressing over storage of the caller's, whose keys are all 0. When it is full, further keys
// are counted together, so that the sum stays right.
//
// Threads: one owner. Signals: safe. Blocks: never. Bounds: half of the storage's entries.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

namespace corodump::analysis {

template <class Value>
struct counted {
    std::uint64_t key = 0;  ///< 0: free
    std::uint64_t count = 0;
    Value value{};
};

template <class Value>
class count_table {
public:
    explicit count_table(std::span<counted<Value>> storage) noexcept : entries_(storage) {}

    /// The entry of the key with one more counted, or nullptr when the table is full.
    counted<Value>* add(std::uint64_t key) noexcept {
        if (key == 0) key = 1;
        std::size_t at = entries_.empty() ? 0 : key * 0x9E3779B97F4A7C15ULL % entries_.size();
        while (!entries_.empty() && entries_[at].key != 0 && entries_[at].key != key)
            at = at + 1 == entries_.size() ? 0 : at + 1;
        if (entries_.empty() || (entries_[at].key == 0 && used_ >= entries_.size() / 2)) {
            ++others_;
            return nullptr;
        }
        if (entries_[at].key == 0) {
            entries_[at] = {key, 0, Value{}};
            ++used_;
        }
        ++entries_[at].count;
        return &entries_[at];
    }

    /// The entries, largest count first, at most `most`; those left out go to others(). The table
    /// takes no more keys afterwards.
    std::span<counted<Value>> largest(std::size_t most) noexcept {
        const auto end = std::remove_if(entries_.begin(), entries_.end(),
                                        [](const auto& entry) { return entry.key == 0; });
        const auto used = static_cast<std::size_t>(end - entries_.begin());
        const std::size_t kept = std::min(most, used);
        std::partial_sort(entries_.begin(), entries_.begin() + static_cast<std::ptrdiff_t>(kept),
                          end, [](const auto& a, const auto& b) { return a.count > b.count; });
        for (std::size_t i = kept; i < used; ++i) others_ += entries_[i].count;
        return entries_.first(kept);
    }

    [[nodiscard]] std::uint64_t others() const noexcept { return others_; }

private:
    std::span<counted<Value>> entries_;
    std::size_t used_ = 0;
    std::uint64_t others_ = 0;
};

}  // namespace corodump::analysis
