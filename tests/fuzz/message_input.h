// How a fuzzer's input names a message: a byte for which, a byte for the version, then the body.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/assert.h"
#include "protocol/codec.h"
#include "tests/protocol_random.h"

namespace penstock::protocol::testing {

inline constexpr size_t kInputPrefix = 2;

struct MessageInput {
  const MessageInfo* info;
  int16_t version;
  std::span<const std::byte> body;
};

inline MessageInput read_input(std::span<const MessageInfo* const> infos, std::span<const std::byte> input) {
  const MessageInfo* info = infos[std::to_integer<size_t>(input[0]) % infos.size()];
  const int versions = info->versions.max - info->versions.min + 1;
  return {.info = info,
          .version = static_cast<int16_t>(info->versions.min + std::to_integer<int>(input[1]) % versions),
          .body = input.subspan(kInputPrefix)};
}

// Whatever decodes can be encoded, and that decodes to the same. Aborts if not.
inline void check_round_trip(const MessageInput& input, DecodeLimits limits = {}) {
  AnyMessage message(*input.info);
  if (!message.decode(input.body, input.version, limits)) return;
  std::vector<std::byte> bytes;
  CHECK(message.encode(input.version, bytes).has_value());
  AnyMessage back(*input.info);
  // What was read from a long form (unknown tags, long varints) may be shorter now, and its budget with it.
  CHECK(back.decode(bytes, input.version, {.memory = DecodeLimits::default_memory(input.body.size())}).has_value());
  CHECK(equal(message, back));
  std::vector<std::byte> again;
  CHECK(back.encode(input.version, again).has_value());
  CHECK(bytes == again);
}

}  // namespace penstock::protocol::testing
