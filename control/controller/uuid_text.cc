#include "control/controller/uuid_text.h"

#include <span>

namespace penstock::control {
namespace {

constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr size_t kTextLength = 22;

}  // namespace

std::string to_text(const Uuid& id) {
  std::string text;
  text.reserve(kTextLength);
  uint32_t bits = 0;
  int count = 0;
  for (const uint8_t byte : id.bytes) {
    bits = bits << 8 | byte;
    for (count += 8; count >= 6; count -= 6) text += kDigits[bits >> (count - 6) & 63];
  }
  text += kDigits[bits << (6 - count) & 63];
  return text;
}

std::string to_hyphenated_text(const Uuid& id) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string text;
  for (size_t i = 0; i < id.bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += kHex[id.bytes[i] >> 4];
    text += kHex[id.bytes[i] & 15];
  }
  return text;
}

std::optional<Uuid> parse_uuid(std::string_view text) {
  if (text.size() != kTextLength) return std::nullopt;
  Uuid id;
  uint32_t bits = 0;
  int count = 0;
  size_t at = 0;
  for (const char letter : text) {
    const size_t digit = kDigits.find(letter);
    if (digit == std::string_view::npos) return std::nullopt;
    bits = bits << 6 | static_cast<uint32_t>(digit);
    count += 6;
    if (count < 8 || at == id.bytes.size()) continue;
    count -= 8;
    id.bytes[at++] = static_cast<uint8_t>(bits >> count);
  }
  // 22 letters are 132 bits: the last four say nothing and are zero.
  if ((bits & 15) != 0) return std::nullopt;
  return id;
}

Uuid random_uuid(Prng& prng) {
  Uuid id;
  do {
    prng.fill(std::as_writable_bytes(std::span(id.bytes)));
    id.bytes[6] = (id.bytes[6] & 0x0f) | 0x40;
    id.bytes[8] = (id.bytes[8] & 0x3f) | 0x80;
  } while (to_text(id).front() == '-');
  return id;
}

}  // namespace penstock::control
