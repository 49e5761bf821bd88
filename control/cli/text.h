// Bytes as text: what a terminal and a JSON file can take.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace penstock::cli {

// How many bytes the valid UTF-8 sequence at the front of text takes; 0 if there is none, or text is empty.
size_t utf8_bytes(std::string_view text);
bool is_utf8(std::string_view text);

// Printable ASCII and valid UTF-8 stay; the rest, quotes and backslashes are escaped (\n, \x1f).
std::string escaped(std::string_view bytes);

// The other way, for delimiters and formats that people type: \n \r \t \0 \\ \xHH. Throws std::invalid_argument.
std::string unescaped(std::string_view text);

// Two lower-case digits a byte.
std::string hex(std::string_view bytes);

}  // namespace penstock::cli
