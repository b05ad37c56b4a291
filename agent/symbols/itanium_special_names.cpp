// Names of what the compiler makes by itself: tables, guards, thunks.
#include "agent/symbols/itanium_parser.hpp"

namespace corodump::symbols {

node_index itanium_parser::special_name() noexcept {
    struct form {
        std::string_view code, text;
        bool of_type;
    };
    static constexpr form forms[] = {
        {"TV", "vtable for ", true},
        {"TT", "VTT for ", true},
        {"TI", "typeinfo for ", true},
        {"TS", "typeinfo name for ", true},
        {"TA", "template parameter object for ", false},
        {"TW", "TLS wrapper function for ", false},
        {"TH", "TLS init function for ", false},
        {"GV", "guard variable for ", false},
    };
    if (take("TC")) {
        const node_index derived = type();
        std::size_t offset = 0;
        if (derived == 0 || !number(offset) || !take('_')) return 0;
        const node_index base = type();
        return base == 0
                   ? node_index{0}
                   : make_text(node_kind::special_in, "construction vtable for ", base, derived);
    }
    for (const form& one : forms) {
        if (!take(one.code)) continue;
        const node_index of = one.code == "TA" ? template_argument()
                              : one.of_type    ? type()
                                               : name(nullptr);
        return of == 0 ? node_index{0} : make_text(node_kind::special, one.text, of);
    }
    if (take("GR")) {
        const node_index of = name(nullptr);
        while (of != 0 && look() != '_' && at_ != end_) ++at_;
        static_cast<void>(take('_'));
        return of == 0 ? node_index{0}
                       : make_text(node_kind::special, "reference temporary for ", of);
    }
    if (take("GTt")) {
        const node_index of = encoding();
        return of == 0 ? node_index{0}
                       : make_text(node_kind::special, "transaction clone for ", of);
    }
    return thunk();
}

// T h|v <offset> <encoding>, Tc <offset> <offset> <encoding>
node_index itanium_parser::thunk() noexcept {
    std::string_view what;
    if (take("Tc")) {
        what = "covariant return thunk to ";
        if (!call_offset() || !call_offset()) return 0;
    } else if (look() == 'T' && (look(1) == 'h' || look(1) == 'v')) {
        what = look(1) == 'h' ? "non-virtual thunk to " : "virtual thunk to ";
        ++at_;
        if (!call_offset()) return 0;
    } else {
        return 0;
    }
    const node_index to = encoding();
    return to == 0 ? node_index{0} : make_text(node_kind::special, what, to);
}

bool itanium_parser::call_offset() noexcept {
    if (take('h')) return !signed_number().empty() && take('_');
    return take('v') && !signed_number().empty() && take('_') && !signed_number().empty() &&
           take('_');
}

}  // namespace corodump::symbols
