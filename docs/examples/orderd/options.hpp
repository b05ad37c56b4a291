// The command line of the example's programs: pairs of `--name value`.
#pragma once

#include <charconv>
#include <cstdio>
#include <fstream>
#include <initializer_list>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>

namespace orderd {

class options {
public:
    /// Throws std::invalid_argument for a name that is not `known` or has no value.
    options(int argc, const char* const* argv, std::initializer_list<std::string_view> known) {
        for (int i = 1; i < argc; i += 2) {
            const std::string_view name = argv[i];
            bool valid = false;
            for (const std::string_view each : known) valid = valid || each == name;
            if (!valid) throw std::invalid_argument("unknown option " + std::string(name));
            if (i + 1 == argc) throw std::invalid_argument(std::string(name) + " needs a value");
            values_[name] = argv[i + 1];
        }
    }

    [[nodiscard]] std::string text(std::string_view name) const {
        const auto found = values_.find(name);
        return found == values_.end() ? std::string() : std::string(found->second);
    }

    template <class Unsigned>
    [[nodiscard]] Unsigned number(std::string_view name, Unsigned fallback) const {
        const auto found = values_.find(name);
        if (found == values_.end()) return fallback;
        const std::string_view digits = found->second;
        Unsigned value{};
        const auto [end, error] =
            std::from_chars(digits.data(), digits.data() + digits.size(), value);
        if (error != std::errc{} || end != digits.data() + digits.size())
            throw std::invalid_argument(std::string(name) + " takes a number");
        return value;
    }

private:
    std::map<std::string_view, std::string_view> values_;
};

/// One line on stderr; whole also when several threads write.
inline void log(const std::string& line) {
    std::fputs((line + '\n').c_str(), stderr);
}

/// For whoever started us with port 0 and must learn which port it became. No path, no file.
inline void write_port_file(const std::string& path, unsigned port) {
    if (path.empty()) return;
    std::ofstream file(path);
    file << port << '\n' << std::flush;
    if (!file) throw std::runtime_error("cannot write " + path);
}

}  // namespace orderd
