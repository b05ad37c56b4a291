// The options as they cross the C boundary: a service may have been built with earlier headers than
// its agent, or with later ones.
#include <gtest/gtest.h>

#include <cerrno>
#include <corodump/agent.hpp>
#include <cstddef>
#include <cstring>
#include <nlohmann/json.hpp>

#include "support_dump.hpp"

namespace {

using nlohmann::json;

/// Of the first version there was.
constexpr std::size_t least_bytes = offsetof(corodump_options_v1, max_frames);
/// Before creations could be noted.
constexpr std::size_t older_bytes = offsetof(corodump_options_v1, creators);

/// Options that ask for creators, if they are read that far, with room behind them.
struct options_in_memory {
    options_in_memory() {
        std::memset(behind, 0xff, sizeof behind);
        options.creators = 1;
    }
    [[nodiscard]] int install(std::size_t size_bytes) {
        options.size_bytes = static_cast<std::uint32_t>(size_bytes);
        return corodump_install_v1(&options);
    }
    corodump_options_v1 options{};
    unsigned char behind[64];
};

bool notes_creators() {
    const json dump = support::dump_as_json();
    corodump::uninstall();
    EXPECT_EQ(dump["dump"]["complete"], true);
    return dump.contains("creation");
}

TEST(InstallOptions, AreReadAsFarAsTheyGo) {
    options_in_memory given;
    ASSERT_EQ(given.install(sizeof given.options), 0);
    EXPECT_TRUE(notes_creators());
    ASSERT_EQ(given.install(older_bytes), 0);
    EXPECT_FALSE(notes_creators()) << "what an older version lacks has its default";
}

TEST(InstallOptions, OfTheFirstVersionAreTaken) {
    options_in_memory given;
    std::memset(reinterpret_cast<char*>(&given.options) + least_bytes, 0xff,
                sizeof given.options - least_bytes);
    ASSERT_EQ(given.install(least_bytes), 0);
    EXPECT_FALSE(notes_creators());
}

TEST(InstallOptions, OfALaterVersionAreTakenForWhatIsKnownOfThem) {
    options_in_memory given;
    ASSERT_EQ(given.install(sizeof given), 0);
    EXPECT_TRUE(notes_creators());
}

TEST(InstallOptions, OfNoVersionAreRefused) {
    options_in_memory given;
    EXPECT_EQ(given.install(least_bytes - 1), EINVAL);
    EXPECT_EQ(given.install(0), EINVAL);
    EXPECT_EQ(corodump_install_v1(nullptr), EINVAL);
}

}  // namespace
