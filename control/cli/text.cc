#include "control/cli/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <stdexcept>

namespace penstock::cli {

size_t utf8_bytes(std::string_view text) {
  if (text.empty()) return 0;
  const auto first = static_cast<unsigned char>(text[0]);
  const size_t count = first < 0x80                    ? 1
                       : first >= 0xc2 && first < 0xe0 ? 2
                       : first >= 0xe0 && first < 0xf0 ? 3
                       : first >= 0xf0 && first < 0xf5 ? 4
                                                       : 0;
  if (count == 0 || count > text.size()) return 0;
  for (size_t i = 1; i < count; ++i)
    if ((static_cast<unsigned char>(text[i]) & 0xc0) != 0x80) return 0;
  const auto second = count > 1 ? static_cast<unsigned char>(text[1]) : 0;
  const bool overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
  const bool beyond = (first == 0xed && second >= 0xa0) || (first == 0xf4 && second >= 0x90);
  return overlong || beyond ? 0 : count;
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const size_t count = utf8_bytes(text);
    if (count == 0) return false;
    text.remove_prefix(count);
  }
  return true;
}

std::string escaped(std::string_view bytes) {
  std::string out;
  while (!bytes.empty()) {
    const size_t count = utf8_bytes(bytes);
    const auto first = static_cast<unsigned char>(bytes[0]);
    if (bytes[0] == '\n') {
      out += "\\n";
    } else if (bytes[0] == '\\' || bytes[0] == '"') {
      out += {'\\', bytes[0]};
    } else if (count == 0 || first < 0x20 || first == 0x7f || (first == 0xc2 && bytes[1] < '\xa0')) {
      // Control characters, those of Latin-1 too, would reach the terminal.
      for (const char c : bytes.substr(0, std::max<size_t>(count, 1)))
        out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      out += bytes.substr(0, count);
    }
    bytes.remove_prefix(std::max<size_t>(count, 1));
  }
  return out;
}

std::string unescaped(std::string_view text) {
  constexpr std::string_view kLetters = "nrt0\\";
  constexpr std::string_view kMeant("\n\r\t\0\\", 5);
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      out += text[i];
      continue;
    }
    const size_t letter = i + 1 < text.size() ? kLetters.find(text[i + 1]) : kLetters.npos;
    unsigned value = 0;
    if (letter != kLetters.npos) {
      out += kMeant[letter];
      i += 1;
    } else if (text.substr(i + 1).starts_with('x') && i + 3 < text.size() &&
               std::from_chars(&text[i + 2], &text[i + 2] + 2, value, 16).ptr == &text[i + 2] + 2) {
      out += static_cast<char>(value);
      i += 3;
    } else {
      throw std::invalid_argument(
          fmt::format("'{}' has a backslash that means nothing; write \\n \\r \\t \\0 \\\\ or \\xHH", text));
    }
  }
  return out;
}

std::string hex(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) text += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return text;
}

}  // namespace penstock::cli
