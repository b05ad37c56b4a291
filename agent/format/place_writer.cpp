#include "agent/format/place_writer.hpp"

#include <string_view>

#include "agent/format/fragment_cache.hpp"
#include "agent/format/json_text.hpp"
#include "agent/format/json_writer.hpp"
#include "agent/model/snapshot.hpp"

namespace corodump::format {
namespace {

char* put_text_or_null(char* to, std::string_view text) noexcept {
    if (text.empty()) return put(to, "null");
    return put(put_escaped(put(to, "\""), text), "\"");
}

}  // namespace

bool place_writer::render(const place_key& key) noexcept {
    char* const begin = out_.reserve(json_writer::max_reserve_bytes);
    model::location place = look_up(key.site != 0 ? key.site : key.definition);
    char* end = put(begin, "\"function\":");
    if (place.function.empty() && key.site != 0 && key.definition != 0) {
        end = put_text_or_null(end, look_up(key.definition).function);
        place = look_up(key.site);  // its views ended with the call above
    } else {
        end = put_text_or_null(end, place.function);
    }
    end = put_text_or_null(put(end, ",\"file\":"), place.file);
    end = put(end, ",\"line\":");
    end = place.line == 0 ? put(end, "null") : put_decimal(end, place.line);
    cache_.insert(key, {begin, end}, place.library);
    out_.commit(end);
    return place.library;
}

}  // namespace corodump::format
