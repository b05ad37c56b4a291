#include "agent/sources/await_walk.hpp"

#include <gtest/gtest.h>

#include <corodump/detail/tracking.hpp>
#include <cstring>
#include <vector>

namespace corodump::sources {
namespace {

constexpr detail::site_data definition{"walk.cpp", "walk", 7, 1};
constexpr std::size_t frame_bytes = 128;

/// As a compiler lays out a frame; its words are written by the tests, no coroutine runs.
struct frame_words {
    std::uint64_t resume, destroy;
    std::uint64_t promise[4];
    detail::frame_tag tag;
    std::uint64_t awaiter[2];
};
static_assert(sizeof(frame_words) <= frame_bytes);

detail::promise_info promise_of(std::int32_t continuation, std::uint32_t version) {
    return {version,
            sizeof(frame_words::promise),
            offsetof(frame_words, promise),
            0,
            continuation,
            0,
            0,
            0,
            0,
            nullptr,
            "promise",
            7,
            offsetof(frame_words, tag),
            0,
            0};
}
const detail::promise_info searched = promise_of(-1, detail::layout_version);
const detail::promise_info told = promise_of(16, detail::layout_version);
const detail::promise_info foreign = promise_of(-1, detail::layout_version + 1);
constexpr detail::awaitable_info waits_for{
    detail::layout_version, detail::awaits_something, "awaiter", 7, 16, 0, 0, 0};

class frame {
public:
    explicit frame(const detail::promise_info& promise = searched, void* memory = nullptr)
        : pooled_(memory == nullptr),
          words_(static_cast<frame_words*>(pooled_ ? corodump_allocate_v1(frame_bytes) : memory)) {
        std::memset(static_cast<void*>(words_), 0, sizeof(frame_words));
        own_ = detail::begin(words_, words_->tag, promise, &definition);
    }
    frame(const frame&) = delete;
    frame& operator=(const frame&) = delete;
    ~frame() {
        detail::end(words_, words_->tag);
        if (pooled_) corodump_release_v1(words_, frame_bytes);
    }

    void suspend() { detail::suspend(own_, waits_for, words_->awaiter); }
    void names(const frame& caller, std::size_t word = 1) {
        words_->promise[word] = caller.address();
    }
    void awaits(const frame& child) {
        words_->awaiter[1] = child.address();
        suspend();
    }
    [[nodiscard]] std::uint64_t address() const { return reinterpret_cast<std::uint64_t>(words_); }
    [[nodiscard]] const detail::record* own() const { return own_; }
    [[nodiscard]] frame_words& words() { return *words_; }

private:
    bool pooled_;
    frame_words* words_;
    detail::record* own_ = nullptr;
};

std::vector<std::uint64_t> walk(const frame& from, std::size_t room = max_awaiters) {
    std::vector<walked_frame> found(room);
    found.resize(walk_up(from.own(), found));
    std::vector<std::uint64_t> addresses;
    for (const walked_frame& one : found) addresses.push_back(one.address);
    return addresses;
}
using chain = std::vector<std::uint64_t>;

TEST(AwaitWalk, FollowsTheAddressesOfCallersThatAreSuspended) {
    frame root, middle, leaf;
    middle.names(root);
    leaf.names(middle);
    root.suspend();
    middle.suspend();
    EXPECT_EQ(walk(leaf), (chain{leaf.address(), middle.address(), root.address()}));
    EXPECT_EQ(walk(middle), (chain{middle.address(), root.address()}));
}

TEST(AwaitWalk, TakesThePromisesAddressForItsFrames) {
    frame root, leaf;
    leaf.words().promise[0] = reinterpret_cast<std::uint64_t>(&root.words().promise);
    root.suspend();
    EXPECT_EQ(walk(leaf), (chain{leaf.address(), root.address()}));
}

TEST(AwaitWalk, DoesNotTakeAFrameThatRunsForACaller) {
    frame root, leaf;
    leaf.names(root);
    EXPECT_EQ(walk(leaf), chain{leaf.address()});
}

TEST(AwaitWalk, BelievesThePlaceThatIsKnownAndNoOther) {
    frame root, other;
    frame leaf(told);
    other.suspend();
    leaf.names(other, 0);
    leaf.names(root, 2);  // where `told` says
    EXPECT_EQ(walk(leaf), (chain{leaf.address(), root.address()})) << "it need not be suspended";
}

TEST(AwaitWalk, TakesOfSeveralTheOneWhoseAwaiterNamesItBack) {
    frame one, other, leaf;
    leaf.names(one, 0);
    leaf.names(other, 3);
    one.suspend();
    other.suspend();
    EXPECT_EQ(walk(leaf), chain{leaf.address()}) << "neither is sure";
    other.awaits(leaf);
    EXPECT_EQ(walk(leaf), (chain{leaf.address(), other.address()}));
}

TEST(AwaitWalk, StopsAtACycleAndAtItsRoom) {
    frame one, other;
    one.names(other);
    other.names(one);
    one.suspend();
    other.suspend();
    EXPECT_EQ(walk(one), (chain{one.address(), other.address()}));
    EXPECT_EQ(walk(one, 1), chain{one.address()});
}

TEST(AwaitWalk, FindsFramesOutsideOfThePool) {
    alignas(16) static frame_words elsewhere;
    frame root(searched, &elsewhere);
    frame leaf;
    leaf.names(root);
    root.suspend();
    EXPECT_EQ(walk(leaf), (chain{leaf.address(), root.address()}));
    EXPECT_EQ(record_named(root.address()), root.own());
}

TEST(AwaitWalk, NamesNothingByWordsThatAreNoFrames) {
    frame one;
    EXPECT_EQ(record_named(one.address()), one.own());
    EXPECT_EQ(record_named(one.address() + 8), nullptr) << "within the frame";
    EXPECT_EQ(record_named(one.address() + 1), nullptr);
    for (const std::uint64_t word : {std::uint64_t{0}, std::uint64_t{8}, ~std::uint64_t{7}})
        EXPECT_EQ(record_named(word), nullptr) << word;
    std::uint64_t gone = 0;
    {
        frame ended;
        gone = ended.address();
    }
    EXPECT_EQ(record_named(gone), nullptr);
}

TEST(AwaitWalk, SaysWhatAFrameIs) {
    const frame one;
    walked_frame seen;
    ASSERT_TRUE(look_at(one.own(), seen));
    EXPECT_EQ(seen.address, one.address());
    EXPECT_EQ(seen.definition, reinterpret_cast<std::uint64_t>(&definition));
    EXPECT_EQ(seen.generation % 2, 1U);
    EXPECT_EQ(seen.side, model::no_index);
    const frame unreadable(foreign);
    EXPECT_FALSE(look_at(unreadable.own(), seen));
    EXPECT_EQ(seen.address, unreadable.address());
    EXPECT_EQ(walk(unreadable), chain{unreadable.address()});
}

TEST(AwaitWalk, KnowsWhatAPromiseHolds) {
    frame one;
    one.words().promise[3] = 0x1234;
    one.words().awaiter[0] = 0x5678;
    EXPECT_TRUE(promise_holds(one.own(), 0x1234));
    EXPECT_FALSE(promise_holds(one.own(), 0x5678)) << "behind the promise";
}

}  // namespace
}  // namespace corodump::sources
