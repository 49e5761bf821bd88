#include "control/label_value.h"

#include <cstddef>
#include <cstdint>

namespace penstock::control {
namespace {

uint8_t at(std::string_view bytes, size_t i) { return static_cast<uint8_t>(bytes[i]); }

// Bytes of the character that text begins with; 0: it begins with none. RFC 3629 section 4: no overlong forms, no
// surrogates, nothing above U+10FFFF.
size_t character_bytes(std::string_view text) {
  const uint8_t first = at(text, 0);
  if (first < 0x80) return 1;
  const size_t size = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  if (size == 0 || text.size() < size) return 0;
  const uint8_t low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
  const uint8_t high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
  if (at(text, 1) < low || at(text, 1) > high) return 0;
  for (size_t i = 2; i < size; ++i) {
    if ((at(text, i) & 0xc0) != 0x80) return 0;
  }
  return size;
}

}  // namespace

std::string label_value(std::string_view bytes) {
  std::string value;
  value.reserve(bytes.size());
  while (!bytes.empty()) {
    const size_t size = character_bytes(bytes);
    const std::string_view character = bytes.substr(0, size);
    if (size == 0) {
      value += kReplacement;
    } else if (character == "\n") {
      value += "\\n";
    } else {
      if (character == "\\" || character == "\"") value += '\\';
      value += character;
    }
    bytes.remove_prefix(size == 0 ? 1 : size);
  }
  return value;
}

}  // namespace penstock::control
