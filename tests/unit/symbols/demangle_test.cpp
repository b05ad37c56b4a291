#include "agent/symbols/demangle.hpp"

#include <cxxabi.h>
#include <dlfcn.h>
#include <elf.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <ios>
#include <iterator>
#include <ostream>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/text.hpp"
#include "agent/symbols/itanium_parser.hpp"
#include "agent/symbols/itanium_printer.hpp"

namespace corodump::symbols {
namespace {

std::string clean_function(std::string_view raw) {
    char out[4096];
    return std::string(clean_function_name(raw, out));
}

std::string clean_type(std::string_view raw) {
    char out[4096];
    return std::string(clean_type_name(raw, out));
}

struct spelling {
    const char* raw;
    const char* clean;
};
void PrintTo(const spelling& one, std::ostream* out) {
    *out << one.raw;
}

class FunctionName : public testing::TestWithParam<spelling> {};
TEST_P(FunctionName, IsTheQualifiedNameAlone) {
    EXPECT_EQ(clean_function(GetParam().raw), GetParam().clean);
}

// As GCC 12.2 spells them, from std::source_location in initial_suspend and await_transform: the
// same at -O0 and -O2.
INSTANTIATE_TEST_SUITE_P(
    Gcc12InsideCoroutines, FunctionName,
    testing::Values(
        spelling{"void coro(coro(int)::_Z4coroi.Frame*)", "coro"},
        spelling{"void ns::{anonymous}::anon(anon(int)::_ZN2ns12_GLOBAL__N_14anonEi.Frame*)",
                 "ns::(anonymous namespace)::anon"},
        spelling{"void ns::{anonymous}::S::operator()(ns::{anonymous}::S::operator()(int) "
                 "const::_ZNK2ns12_GLOBAL__N_11SclEi.Frame*)",
                 "ns::(anonymous namespace)::S::operator()"},
        spelling{
            "void ns::{anonymous}::S::operator<(ns::{anonymous}::S::operator<(ns::{anonymous}::S)"
            "::_ZN2ns12_GLOBAL__N_11SltES1_.Frame*)",
            "ns::(anonymous namespace)::S::operator<"},
        spelling{"ns::{anonymous}::S::operator void(ns::{anonymous}::S::operator "
                 "task<int>()::_ZN2ns12_GLOBAL__N_11Scv4taskIiEEv.Frame*)",
                 "ns::(anonymous namespace)::S::operator task<int>"},
        spelling{"void ns::worker(worker(std::string_view, "
                 "int)::_ZN2ns6workerESt17basic_string_viewIcSt11char_traitsIcEEi.Frame*)",
                 "ns::worker"},
        spelling{
            "void ns::tw(tw<std::__cxx11::basic_string<char> >(std::__cxx11::basic_string<char>)"
            "::_ZN2ns2twINSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEEEE4taskIT_ES8_.Frame*"
            ")",
            "ns::tw<std::string>"},
        spelling{"void ns::box<int>::conv(ns::box<int>::conv<char>(char) "
                 "const::_ZNK2ns3boxIiE4convIcEE4taskIiET_.Frame*)",
                 "ns::box<int>::conv<char>"},
        spelling{"void ns::tagged(tagged()::_ZN2ns6taggedB3fooEv.Frame*)", "ns::tagged"},
        spelling{"void ns::num(num<3, true>()::_ZN2ns3numILi3ELb1EEE4taskIiEv.Frame*)",
                 "ns::num<3, true>"},
        spelling{"void ns::lamret()::<lambda(int)>::operator()(ns::lamret()::<lambda(int)>::"
                 "_ZZN2ns6lamretEvENKUliE_clEi.Frame*)",
                 "ns::lamret::{lambda#1}"},
        spelling{"void main()::<lambda(auto:11)>::operator()(main()::<lambda(auto:11)>::"
                 "_ZZ4mainENKUlT_E1_clIiEE4taskIiES_.Frame*)",
                 "main::{lambda#3}"},
        spelling{"void main()::<lambda()>::<lambda()>::operator()(main()::<lambda()>::<lambda()>::"
                 "_ZZZ4mainENKUlvE2_clEvENKUlvE_clEv.Frame*)",
                 "main::{lambda#4}::{lambda#1}"},
        spelling{"void main()::<lambda()>::operator()(main()::<lambda()> "
                 "mutable::_ZZ4mainENUlvE3_clEv.Frame*)",
                 "main::{lambda#5}"},
        spelling{"void ns::L::~L()::<lambda()>::operator()(ns::L::~L()::<lambda()>::"
                 "_ZZN2ns1LD4EvENKUlvE_clEv.Frame*)",
                 "ns::L::~L::{lambda#1}"},
        spelling{"n::f13(f13()::_ZN1n3f13Ev.Frame*)::<lambda(auto:2)> [with auto:2 = int]",
                 "n::f13::{lambda}"},
        spelling{"n::f13(f13()::_ZN1n3f13Ev.Frame*)::<lambda(auto:3 ...)> [with auto:3 = {int, "
                 "const char*}]",
                 "n::f13::{lambda}"},
        spelling{"n::f13(f13()::_ZN1n3f13Ev.Frame*)::<lambda(T)> mutable [with T = n::s]",
                 "n::f13::{lambda}"},
        spelling{"void main()::loc::m(main()::loc::m()::_ZZ4mainEN3loc1mEv.Frame*)",
                 "main::loc::m"}));

// As GCC 12.2 spells them outside of the coroutine's body (a default argument of
// get_return_object).
INSTANTIATE_TEST_SUITE_P(
    Gcc12Signatures, FunctionName,
    testing::Values(
        spelling{"task<int> ns::{anonymous}::anon(int)", "ns::(anonymous namespace)::anon"},
        spelling{"static task<int> ns::{anonymous}::S::stat()",
                 "ns::(anonymous namespace)::S::stat"},
        spelling{"task<void> ns::{anonymous}::S::operator()(int) const",
                 "ns::(anonymous namespace)::S::operator()"},
        spelling{
            "task<U> ns::{anonymous}::S::tm(U, std::vector<std::__cxx11::basic_string<char> >) "
            "&& [with U = double]",
            "ns::(anonymous namespace)::S::tm"},
        spelling{"ns::{anonymous}::S::operator task<int>()",
                 "ns::(anonymous namespace)::S::operator task<int>"},
        spelling{"task<int> ns::{anonymous}::S::operator<<(int)",
                 "ns::(anonymous namespace)::S::operator<<"},
        spelling{"task<int> ns::{anonymous}::S::operator->*(int)",
                 "ns::(anonymous namespace)::S::operator->*"},
        spelling{"task<U> ns::box<T>::conv(U) const [with U = char; T = int]",
                 "ns::box<int>::conv"},
        spelling{"task<int> ns::num() [with int N = 3; bool B = true]", "ns::num"},
        spelling{"ns::lamret()::<lambda(int)>", "ns::lamret::{lambda}"},
        spelling{"main()::<lambda(auto:11)> [with auto:11 = int]", "main::{lambda}"},
        spelling{"main()::<lambda()> mutable", "main::{lambda}"},
        spelling{"void ns::f() const::<lambda(int)>", "ns::f::{lambda}"},
        spelling{"task<int> (* ns::fnptr(int))(int)", "ns::fnptr"},
        spelling{"std::string (* f())[3]", "f"},
        spelling{"decltype (a<b>::get({parm#1}, (x)())) ns::get(const T&)", "ns::get"},
        spelling{"decltype(auto) ns::any(T)", "ns::any"},
        spelling{"T::awaiter T::operator co_await() && [with T = int]", "T::operator co_await"},
        spelling{"bool a::operator<=>(const b<c>&, int (*)(char))", "a::operator<=>"},
        spelling{"void* A::operator new [](std::size_t)", "A::operator new []"},
        spelling{"int main(int, char**)", "main"}, spelling{"main", "main"}));

// As clang 19.1 spells them everywhere.
INSTANTIATE_TEST_SUITE_P(
    Clang19, FunctionName,
    testing::Values(
        spelling{"task<int> ns::(anonymous namespace)::S::member(std::string_view, int)",
                 "ns::(anonymous namespace)::S::member"},
        spelling{"static task<int> ns::(anonymous namespace)::S::stat()",
                 "ns::(anonymous namespace)::S::stat"},
        spelling{"task<int> ns::(anonymous namespace)::S::operator<(S)",
                 "ns::(anonymous namespace)::S::operator<"},
        spelling{"task<int> ns::(anonymous namespace)::S::operator task()",
                 "ns::(anonymous namespace)::S::operator task"},
        spelling{"task<T> ns::tw(T) [T = std::basic_string<char>]", "ns::tw"},
        spelling{"task<T> ns::box<int>::conv(U) const [T = int, U = char]", "ns::box<int>::conv"},
        spelling{"task<std::string> ns::pack(Ts...) [Ts = <int, double, const char *>]",
                 "ns::pack"},
        spelling{"auto ns::lamret()::(anonymous class)::operator()(int) const",
                 "ns::lamret::{lambda}"},
        spelling{"task<std::string> ns::withfn(F) [F = (lambda at spell.cpp:41:97)]", "ns::withfn"},
        spelling{"auto main()::(anonymous class)::operator()(auto) const [x:auto = int]",
                 "main::{lambda}"},
        spelling{
            "auto main()::(anonymous class)::operator()()::(anonymous class)::operator()() const",
            "main::{lambda}::{lambda}"},
        spelling{"auto ns::L::~L()::(anonymous class)::operator()() const", "ns::L::~L::{lambda}"},
        spelling{"task<int> main()::loc::m()", "main::loc::m"},
        spelling{"task<int> (*ns::fnptr(int))(int)", "ns::fnptr"}));

// As nm shows them.
INSTANTIATE_TEST_SUITE_P(
    SymbolTables, FunctionName,
    testing::Values(
        spelling{
            "_ZN2ns12_GLOBAL__N_14anonEPZNS0_4anonEiE33_ZN2ns12_GLOBAL__N_14anonEi.Frame.actor",
            "ns::(anonymous namespace)::anon"},
        spelling{"_ZN2ns3boxIiE4convEPZNKS1_4convIcEE4taskIiET_E39_ZNK2ns3boxIiE4convIcEE4taskIiET_"
                 ".Frame.actor.cold",
                 "ns::box<int>::conv<char>"},
        spelling{
            "_ZZ4mainENUlT_E1_clEPZZ4mainENKS0_clIiEE4taskIiES_E40_ZZ4mainENKUlT_E1_clIiEE4taskIi"
            "ES_.Frame.destroy",
            "main::{lambda#3}"},
        spelling{"_ZN2ns6workerESt17basic_string_viewIcSt11char_traitsIcEEi.resume", "ns::worker"},
        spelling{"_ZN2ns6workerESt17basic_string_viewIcSt11char_traitsIcEEi.destroy", "ns::worker"},
        spelling{"_ZN2ns6workerESt17basic_string_viewIcSt11char_traitsIcEEi.cleanup", "ns::worker"},
        spelling{"_ZZZ4mainENK3$_3clEvENKUlvE_clEv.destroy", "main::{lambda#4}::{lambda#1}"},
        spelling{"_ZN5boost15throw_exceptionISt9bad_allocEEvRKT_.isra.0",
                 "boost::throw_exception<std::bad_alloc>"},
        spelling{"_ZNSt6vectorISsSaISsEE4growEv.constprop.0.part.3",
                 "std::vector<std::string>::grow"},
        spelling{"_ZNKSt9type_infoeqERKS_", "std::type_info::operator=="},
        spelling{"_ZN1AcvT_IiEEv", "A::operator int<int>"},
        spelling{"_ZlsILi3EEvv", "operator<< <3>"}, spelling{"_ZN1aawEv", "a::operator co_await"},
        spelling{"_ZN1AC2ERKS_", "A::A"}, spelling{"_ZN1AD0Ev", "A::~A"},
        spelling{"_ZTV1A", "vtable for A"}, spelling{"main.cold", "main"},
        spelling{"handle_request.isra.0.constprop.1", "handle_request"}));

TEST(FunctionNameFallback, ReturnsWhatItDoesNotUnderstandUnchanged) {
    for (const char* raw :
         {"_ZN3foo", "_Z", "_ZQQQ", "_ZN2ns6workerESt17basic_str", "", "_Z1fS9_"}) {
        EXPECT_EQ(clean_function(raw), raw);
    }
}

TEST(FunctionNameFallback, ShowsLongTemplateArgumentsAsDots) {
    EXPECT_EQ(clean_function(
                  "task<int> ns::run<the_first_of_the_really_long_names, and_the_second_of_them, "
                  "the_last>(int)"),
              "ns::run<...>");
    EXPECT_EQ(clean_function(
                  "_ZN3runI27the_first_of_the_long_names22and_the_second_of_them15and_the_last_"
                  "oneE3getEv"),
              "run<...>::get");
}

TEST(FunctionNameFallback, CutsAtTheEndOfTheBuffer) {
    char out[8];
    EXPECT_EQ(clean_function_name("void name::space::function()", out), "name::sp");
    char none[1];
    EXPECT_EQ(clean_function_name("_ZN1a1bEv", std::span(none, 0)), "");
}

TEST(FunctionNameFallback, EndsOnUnbalancedBrackets) {
    EXPECT_EQ(clean_function("void f((((((("), "f");
    EXPECT_EQ(clean_function("a::b<c<d"), "a::b<c<d>>");
    EXPECT_FALSE(clean_function("))))").empty());
    EXPECT_FALSE(clean_function(std::string(5000, '<')).empty());
    EXPECT_FALSE(clean_function(std::string(5000, '(')).empty());
}

class TypeName : public testing::TestWithParam<spelling> {};
TEST_P(TypeName, ReadsAsInTheSource) {
    EXPECT_EQ(clean_type(GetParam().raw), GetParam().clean);
}

INSTANTIATE_TEST_SUITE_P(
    Asio, TypeName,
    testing::Values(
        spelling{"boost::asio::basic_waitable_timer<std::chrono::_V2::steady_clock, "
                 "boost::asio::wait_traits<std::chrono::_V2::steady_clock>, "
                 "boost::asio::any_io_executor>",
                 "boost::asio::steady_timer"},
        spelling{"boost::asio::basic_waitable_timer<std::chrono::_V2::steady_clock>",
                 "boost::asio::steady_timer"},
        spelling{"asio::basic_waitable_timer<std::chrono::_V2::system_clock, "
                 "asio::wait_traits<std::chrono::_V2::system_clock>, asio::any_io_executor>",
                 "asio::system_timer"},
        spelling{
            "boost::asio::basic_stream_socket<boost::asio::ip::tcp, boost::asio::any_io_executor>",
            "boost::asio::ip::tcp::socket"},
        spelling{"asio::basic_stream_socket<asio::local::stream_protocol, asio::any_io_executor>",
                 "asio::local::stream_protocol::socket"},
        spelling{"boost::asio::basic_socket_acceptor<boost::asio::ip::tcp, "
                 "boost::asio::any_io_executor>&",
                 "boost::asio::ip::tcp::acceptor&"},
        spelling{"boost::asio::basic_datagram_socket<boost::asio::ip::udp>",
                 "boost::asio::ip::udp::socket"},
        spelling{
            "boost::asio::ip::basic_resolver<boost::asio::ip::tcp, boost::asio::any_io_executor>",
            "boost::asio::ip::tcp::resolver"},
        spelling{"boost::asio::basic_signal_set<boost::asio::any_io_executor>",
                 "boost::asio::signal_set"},
        spelling{"boost::asio::awaitable<void, boost::asio::any_io_executor>",
                 "boost::asio::awaitable<void>"},
        // Another executor is not the default, so it stays.
        spelling{"boost::asio::basic_stream_socket<boost::asio::ip::tcp, my::executor>",
                 "boost::asio::basic_stream_socket<boost::asio::ip::tcp, my::executor>"}));

INSTANTIATE_TEST_SUITE_P(
    Standard, TypeName,
    testing::Values(
        spelling{"std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >",
                 "std::string"},
        spelling{"std::__cxx11::basic_string<char>", "std::string"},
        spelling{"std::__1::basic_string<char, std::__1::char_traits<char>, "
                 "std::__1::allocator<char>>",
                 "std::string"},
        spelling{"std::basic_string_view<char, std::char_traits<char>>", "std::string_view"},
        spelling{"std::vector<std::__cxx11::basic_string<char>, "
                 "std::allocator<std::__cxx11::basic_string<char> > >",
                 "std::vector<std::string>"},
        spelling{
            "std::map<int, double, std::less<int>, std::allocator<std::pair<const int, double>>>",
            "std::map<int, double>"},
        spelling{"std::unique_ptr<foo, std::default_delete<foo> >", "std::unique_ptr<foo>"},
        spelling{"std::allocator<char>", "std::allocator<char>"},
        spelling{"std::vector<int, pool::allocator<int> >",
                 "std::vector<int, pool::allocator<int>>"},
        spelling{"std::chrono::time_point<std::chrono::_V2::steady_clock>",
                 "std::chrono::time_point<std::chrono::steady_clock>"},
        spelling{"const char *", "const char*"}, spelling{"char const* const", "char const* const"},
        spelling{"unsigned long long", "unsigned long long"},
        spelling{"void (*)(std::__cxx11::basic_string<char>, int)", "void (*)(std::string, int)"},
        spelling{"ns::{anonymous}::thing<main()::<lambda(int)> >",
                 "ns::(anonymous namespace)::thing<main()::{lambda}>"},
        spelling{"when_all<(lambda at a.cpp:1:2), int>", "when_all<{lambda}, int>"},
        spelling{"std::coroutine_handle<void>", "std::coroutine_handle<>"},
        spelling{"my::__1::kept", "my::kept"}));

TEST(TypeNameBounds, SurviveDeepAndUnbalancedText) {
    EXPECT_FALSE(clean_type(std::string(10000, '<')).empty());
    EXPECT_FALSE(clean_type(std::string(10000, '>')).empty());
    std::string nested;
    for (int i = 0; i < 500; ++i) nested += "a<";
    EXPECT_FALSE(clean_type(nested).empty());
    EXPECT_EQ(clean_type(""), "");
    EXPECT_EQ(clean_type("std::box<char, )))std::allocator<int> >"),
              "std::box<char, )))std::allocator<int>>");
    std::string brackets = "std::box<char";
    for (int i = 0; i < 40; ++i) brackets += ")std::allocator<";
    EXPECT_FALSE(clean_type(brackets).empty());
    EXPECT_FALSE(clean_type("std::box<char, " + std::string(21, ')') +
                            "std::char_traits<char>, std::allocator<char> >, int, stz")
                     .empty());
}

// The parser against the C++ runtime's own, which needs malloc ------------------------------------

// All function names in the .dynsym of a library; the test's own reader, not the one under test.
std::set<std::string> dynamic_functions(const char* path) {
    std::ifstream file(path, std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    std::set<std::string> names;
    Elf64_Ehdr header;
    if (bytes.size() < sizeof header) return names;
    std::memcpy(&header, bytes.data(), sizeof header);
    std::vector<Elf64_Shdr> sections(header.e_shnum);
    std::memcpy(sections.data(), bytes.data() + header.e_shoff,
                header.e_shnum * sizeof(Elf64_Shdr));
    for (const Elf64_Shdr& one : sections) {
        if (one.sh_type != SHT_DYNSYM) continue;
        for (std::size_t at = 0; at < one.sh_size; at += sizeof(Elf64_Sym)) {
            Elf64_Sym symbol;
            std::memcpy(&symbol, bytes.data() + one.sh_offset + at, sizeof symbol);
            const char* name = bytes.data() + sections[one.sh_link].sh_offset + symbol.st_name;
            if (std::strncmp(name, "_Z", 2) == 0) names.insert(name);
        }
    }
    return names;
}

std::string without_spaces_before_brackets(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == ' ' && i + 1 < text.size() && text[i + 1] == '>') continue;
        out += text[i];
    }
    return out;
}

std::string full_demangle(std::string_view mangled) {
    static char buffer[1 << 18];
    itanium_parser parser(mangled);
    const node_index root = parser.parse();
    if (root == 0) return {};
    base::text out(buffer);
    itanium_printer printer(parser.nodes(), out, {true, 0});
    printer.print(root);
    return printer.failed() ? std::string() : without_spaces_before_brackets(out.view());
}

std::string runtime_demangle(const std::string& mangled) {
    int status = 0;
    char* const text = abi::__cxa_demangle(mangled.c_str(), nullptr, nullptr, &status);
    const std::string out = text == nullptr ? "" : without_spaces_before_brackets(text);
    std::free(text);
    return out;
}

std::set<std::string> runtime_functions() {
    // By dlsym: a function's address in the program may be that of a stub or of an interceptor.
    void* const function = ::dlsym(RTLD_DEFAULT, "__cxa_demangle");
    Dl_info library{};
    if (function == nullptr || ::dladdr(function, &library) == 0) return {};
    return dynamic_functions(library.dli_fname);
}

TEST(ItaniumParser, AgreesWithTheRuntimeOnItsWholeLibrary) {
    const std::set<std::string> names = runtime_functions();
    if (names.size() < 1000) GTEST_SKIP() << "the C++ runtime is not a shared library here";
    std::size_t different = 0;
    for (const std::string& name : names) {
        const std::string expected = runtime_demangle(name);
        if (expected.empty() || full_demangle(name) == expected) continue;
        if (++different <= 5) {
            ADD_FAILURE() << name << "\n runtime " << expected << "\n ours    "
                          << full_demangle(name);
        }
    }
    EXPECT_EQ(different, 0U) << "of " << names.size();
}

// Two ways to the same name: from the mangled one, and from the runtime's text of it.
TEST(ItaniumParser, GivesTheNameThatTheSignatureReaderFindsInTheText) {
    const std::set<std::string> names = runtime_functions();
    if (names.size() < 1000) GTEST_SKIP() << "the C++ runtime is not a shared library here";
    std::size_t total = 0;
    std::size_t equal = 0;
    std::string example;
    for (const std::string& name : names) {
        if (name.substr(0, 3) == "_ZT" || name.substr(0, 3) == "_ZG") continue;
        const std::string text = runtime_demangle(name);
        if (text.empty()) continue;
        ++total;
        const std::string ours = clean_function(name);
        if (ours == clean_function(text)) {
            ++equal;
        } else if (example.empty()) {
            example = name + ": " + ours + " / " + clean_function(text);
        }
    }
    EXPECT_GE(static_cast<double>(equal), 0.995 * static_cast<double>(total))
        << equal << " of " << total << ", such as " << example;
}

TEST(ItaniumParser, AgreesOnWhatCoroutineProgramsHold) {
    for (const char* name :
         {"_ZN33boost_asio_handler_invoke_helpers6invokeIN5boost4asio6detail7binder0IZNS3_20co_"
          "spawn_"
          "entry_pointINS2_15any_io_executorENS3_21awaitable_as_functionIvS6_EENS3_16detached_"
          "handlerEE"
          "ENS2_9awaitableINS3_28awaitable_thread_entry_pointET_EEPNSA_IvSC_EESC_T0_T1_EUlvE_EESI_"
          "EEvRS"
          "C_RSG_",
          "_ZN5boost4asio4postINS0_15any_io_executorEZNS0_6detail16awaitable_threadIS2_ED4EvEUlvE_"
          "EEDaR"
          "KT_OT0_NS0_10constraintIXooaasrNS0_9execution11is_executorIS7_EE5valuesrNS0_11can_"
          "requireIS7"
          "_JNSD_6detail8blocking7never_tILi0EEEEEE5valuesrNS0_11is_executorIS7_EE5valueEiE4typeE",
          "_ZN2ns4packIJidNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEEPKcEEE4taskIS6_EDpT_",
          "_ZN2ns6withfnIPF4taskIiESt17basic_string_viewIcSt11char_traitsIcEEiEEES1_INSt7__"
          "cxx1112basic"
          "_stringIcS5_SaIcEEEET_",
          "_ZZ4mainENKUlT_E1_clIiEE4taskIiES_", "_ZN1A1fILi3EEEvRA3_KiM1BKFvicE", "_ZNKR1A1gEOS_",
          "_Z1fIJEEvDpT_", "_Z1gIiEDTcl1hfp_EET_"}) {
        EXPECT_EQ(full_demangle(name), runtime_demangle(name)) << name;
    }
}

TEST(ItaniumParser, RefusesNestingBeyondItsBound) {
    EXPECT_EQ(full_demangle("_Z1f" + std::string(100000, 'P') + "i"), "");
    EXPECT_EQ(full_demangle("_Z" + std::string(60000, 'Z') + "1fvE"), "");
    std::string nested = "_Z1f";
    for (int i = 0; i < 5000; ++i) nested += "1aI";
    EXPECT_EQ(full_demangle(nested), "");
}

// Each type is a pair of the one before: the text doubles with each, the tree does not.
TEST(ItaniumParser, EndsOnNamesWhoseTextGrowsExponentially) {
    std::string name = "_Z1f1aI1b1bE";
    const char* digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    for (int i = 1; i < 30; ++i) {
        const std::string previous = std::string("S") + digits[i] + "_";
        name += "S_I" + previous + previous + "E";
    }
    char out[1024];
    EXPECT_FALSE(clean_function_name(name, out).empty());
    EXPECT_LT(full_demangle(name).size(), std::size_t{1} << 19);
}

TEST(ItaniumParser, SurvivesMutatedNames) {
    const std::vector<std::string> seeds = {
        "_ZN2ns6withfnIPF4taskIiESt17basic_string_viewIcSt11char_traitsIcEEiEEES1_INSt7__"
        "cxx1112basic"
        "_stringIcS5_SaIcEEEET_",
        "_ZZZ4mainENKUlvE2_clEvENKUlvE_clEv",
        "_Z1gIiEDTcl1hfp_spT_EET_",
        "_ZN1AcvT_I1BIiEEEvDpOS0_",
        "_ZN2ns3boxIiE4convEPZNKS1_4convIcEE4taskIiET_E39_ZNK2ns3boxIiE4convIcEE4taskIiET_.Frame."
        "actor",
        "void ns::box<T>::conv(ns::box<int>::conv<char>(char) const::_ZN2ns1fEi.Frame*) [with T = "
        "int]"};
    const std::string_view letters = "_ZNSTIJEKRPOFDLXQUABCMGstdlvcipT0123456789_.<>(){}[] :*&,~";
    std::mt19937 random(20261122);
    char out[512];
    for (int round = 0; round < 60000; ++round) {
        std::string name = seeds[random() % seeds.size()];
        for (unsigned edits = 1 + random() % 4; edits != 0; --edits) {
            const std::size_t at = random() % name.size();
            switch (random() % 3) {
                case 0:
                    name[at] = letters[random() % letters.size()];
                    break;
                case 1:
                    name.erase(at, 1 + random() % 4);
                    break;
                default:
                    name.insert(at, name.substr(random() % name.size(), random() % 12));
            }
            if (name.empty()) name = "_Z";
        }
        const std::string_view cleaned = clean_function_name(name, out);
        EXPECT_TRUE(cleaned.size() <= sizeof out || cleaned == name);
        EXPECT_LE(clean_type_name(name, out).size(), sizeof out);
    }
}

}  // namespace
}  // namespace corodump::symbols
