// The golden dumps, for tests: tests/golden/format1/<name>.json.
//
// The build passes CORODUMP_SOURCE_DIR, the root of the source tree.
#pragma once

#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>

namespace corodump::test {

inline constexpr const char* golden_names[] = {"healthy",  "hung_pool", "joins",    "hostile_names",
                                               "nulls",    "threads",   "loops",    "creation",
                                               "failures", "profile",   "resources"};

inline std::string golden_path(const std::string& name) {
    std::string path = CORODUMP_SOURCE_DIR "/tests/golden/format1/";
    return path.append(name).append(".json");
}

inline std::string golden(const std::string& name) {
    std::ifstream file(golden_path(name), std::ios::binary);
    if (!file) throw std::runtime_error("no golden dump " + golden_path(name));
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

/// `text` with the first `from` replaced by `to`; throws where there is none.
inline std::string with(std::string text, const std::string& from, const std::string& to) {
    const std::size_t at = text.find(from);
    if (at == std::string::npos) throw std::runtime_error("the golden dump has no " + from);
    return text.replace(at, from.size(), to);
}

}  // namespace corodump::test
