// The orders that were accepted, kept in memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "backend.hpp"

namespace orderd {

struct order {
    std::string customer;
    std::string item;
    std::int32_t quantity = 0;
    cents total = 0;  ///< known once the warehouse has named its price
};

/// Threads: any. Ids count from 1.
class order_book {
public:
    std::size_t add(order accepted) {
        const std::lock_guard lock(mutex_);
        orders_.push_back(std::move(accepted));
        return orders_.size();
    }

    [[nodiscard]] std::optional<order> find(std::size_t id) const {
        const std::lock_guard lock(mutex_);
        if (id == 0 || id > orders_.size()) return std::nullopt;
        return orders_[id - 1];
    }

    [[nodiscard]] std::size_t size() const {
        const std::lock_guard lock(mutex_);
        return orders_.size();
    }

private:
    mutable std::mutex mutex_;
    std::vector<order> orders_;
};

}  // namespace orderd
