// The value of a label, as it stands between the quotes of Prometheus' text format (0.0.4): a backslash, a quote and a
// line feed are escaped; what is not UTF-8 (RFC 3629) becomes U+FFFD, one for each byte, because a scrape that is not
// UTF-8 is refused as a whole. So two values that differ in such bytes alone may become one.
#pragma once

#include <string>
#include <string_view>

namespace penstock::control {

inline constexpr std::string_view kReplacement = "\xef\xbf\xbd";  // U+FFFD

std::string label_value(std::string_view bytes);

}  // namespace penstock::control
