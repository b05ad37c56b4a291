// Names as a person would write them, out of what compilers and symbol tables give.
//
// Called by the snapshot and the sources for every function and type that a dump shows:
//
//   void ns::f(f(int)::_ZN2ns1fEi.Frame*)            GCC 12, source_location in a coroutine ->
//   ns::f _ZN2ns1fEPZNS_1fEiE12_ZN2ns1fEi.Frame.destroy    GCC 12, .symtab -> ns::f task<int>
//   ns::(anonymous namespace)::g(T) [T = int]   clang          -> ns::(anonymous namespace)::g auto
//   main()::(anonymous class)::operator()(int) const clang          -> main::{lambda}
//
// Threads: any. Signals: unsafe (stack). Blocks: never. Errors: a name that is not understood comes
// back as it was, one that does not fit is cut. Bounds: linear in the name but for 128 K steps; up
// to 110 KB of stack for hostile names, 50 KB for ordinary ones.
#pragma once

#include <span>
#include <string_view>

namespace corodump::symbols {

/// Template arguments of a function longer than this are shown as <...>.
inline constexpr std::size_t max_arguments_shown = 64;

/// The qualified name of a function: no return type, no parameters, no compiler's suffix. The
/// result lies in `out`, or is `raw` (or a part of it) where nothing was to do. Lambdas are
/// {lambda#1} where the compiler gives them a number, else {lambda}, without the operator() that is
/// called on them.
[[nodiscard]] std::string_view clean_function_name(std::string_view raw,
                                                   std::span<char> out) noexcept;

/// A type as it was written in the source: without the standard libraries' inline namespaces,
/// without default allocators, traits and executors, and with the typedefs of std and Asio that
/// everybody uses (std::string, boost::asio::steady_timer, asio::ip::tcp::socket).
[[nodiscard]] std::string_view clean_type_name(std::string_view pretty,
                                               std::span<char> out) noexcept;

/// The qualified name of a name mangled by the Itanium C++ ABI (_Z...), cleaned as above. Empty
/// when it is not understood.
[[nodiscard]] std::string_view demangle(std::string_view mangled, std::span<char> out) noexcept;

}  // namespace corodump::symbols
