#include "agent/sources/context_lists.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace corodump::sources {
namespace {

int destroyed = 0;

class ContextLists : public ::testing::Test {
protected:
    void SetUp() override { destroyed = 0; }

    /// A value of the variable at `variable`, with this text.
    static bound_value* value(const int& variable, std::string_view text) {
        return make_value({sizeof(detail::context_value), detail::value_kind::text, &variable,
                           "name", 4, text.data(), text.size(), nullptr,
                           [](void*) noexcept { ++destroyed; }});
    }
    static std::string text_of(const bound_list* in, const int& variable) {
        const bound_value* const found = find_bound(in, &variable);
        char room[96];
        return found == nullptr ? "-" : std::string(found->text.read(std::span(room)));
    }

    const int one = 0, other = 0;
};

TEST_F(ContextLists, KeepWhatTheyHaveWhenAnotherIsMadeOfThem) {
    bound_list* const first = with_bound(nullptr, false, value(one, "a"), 0);
    bound_list* const second = with_bound(first, false, value(one, "b"), 0);
    EXPECT_EQ(text_of(first, one), "a");
    EXPECT_EQ(text_of(second, one), "b");
    EXPECT_EQ(second->count.load(), 1U) << "in the place of the first";
    unshare(first);
    EXPECT_EQ(destroyed, 1);
    unshare(second);
    EXPECT_EQ(destroyed, 2);
}

TEST_F(ContextLists, HoldInheritedBindingsOnceAndWithoutTheirScopes) {
    bound_list* const a = with_bound(nullptr, false, value(one, "outer"), 1);
    bound_list* const b = with_bound(a, false, value(one, "inner"), 2);
    bound_list* const child = with_bound(b, true, value(other, "own"), 3);
    EXPECT_EQ(child->count.load(), 2U) << "the hidden one is left out";
    bound_list* const same = without_scope(child, 2);
    EXPECT_EQ(same, child) << "that scope is the parent's";
    EXPECT_EQ(text_of(child, one), "inner");
    for (bound_list* const each : {a, b, child, same}) unshare(each);
    EXPECT_EQ(destroyed, 3);
}

TEST_F(ContextLists, EndScopesInAnyOrder) {
    bound_list* const a = with_bound(nullptr, false, value(one, "1"), 1);
    bound_list* const b = with_bound(a, false, value(one, "2"), 2);
    bound_list* const without_first = without_scope(b, 1);
    EXPECT_EQ(text_of(without_first, one), "2");
    EXPECT_EQ(without_scope(without_first, 2), nullptr);
    bound_list* const without_second = without_scope(b, 2);
    EXPECT_EQ(text_of(without_second, one), "1");
    for (bound_list* const each : {a, b, without_first, without_second}) unshare(each);
    EXPECT_EQ(destroyed, 2);
}

TEST_F(ContextLists, RefuseTheBindingBeyondTheirBound) {
    bound_list* all = nullptr;
    for (std::uint64_t i = 1; i <= max_bindings; ++i) {
        bound_list* const longer = with_bound(all, false, value(one, "x"), i);
        ASSERT_NE(longer, nullptr);
        unshare(all);
        all = longer;
    }
    EXPECT_EQ(with_bound(all, false, value(one, "too many"), 1000), nullptr);
    EXPECT_EQ(destroyed, 1) << "the value that found no place";
    unshare(all);
    EXPECT_EQ(destroyed, 1 + static_cast<int>(max_bindings));
}

TEST_F(ContextLists, AreNotSharedOnceTheirLastHolderIsGone) {
    bound_list* const list = with_bound(nullptr, false, value(one, "a"), 0);
    EXPECT_EQ(try_share(list), list);
    unshare(list);
    unshare(list);
    EXPECT_EQ(try_share(list), nullptr);
}

TEST_F(ContextLists, CutTextBetweenCharacters) {
    std::string text(94, 'x');
    text.append("\xC3\xA9");
    bound_list* const list = with_bound(nullptr, false, value(one, text), 0);
    EXPECT_EQ(text_of(list, one), std::string(94, 'x'));
    EXPECT_NE(find_bound(list, &one)->kind.load() & bound_value::cut_text, 0U);
    unshare(list);
}

}  // namespace
}  // namespace corodump::sources
