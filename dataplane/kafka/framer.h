// The frame of a request: four bytes of length, big-endian, and as many bytes. Kafka protocol guide, "Protocol
// Primitives"; docs/internals/protocol.md, "Headers".
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/buffer.h"
#include "base/bytes.h"

namespace penstock::dataplane {

inline constexpr size_t kFrameLengthBytes = 4;

struct Framing {
  enum class State : uint8_t {
    kIncomplete,  // size says how much a whole frame is, 0 if that is not known yet
    kComplete,    // a frame of size bytes stands at the front
    kBad,         // a length that no request has: the peer does not speak Kafka, or would not be let in
  };
  State state;
  size_t size = 0;  // its four bytes included
};

// life: 3
inline Framing front_frame(const BufferChain& chain, size_t request_bytes_max) {
  if (chain.size() < kFrameLengthBytes) return {Framing::State::kIncomplete};
  std::array<std::byte, kFrameLengthBytes> head;
  chain.copy_out(0, head);
  const auto length = load_be<int32_t>(head.data());
  if (length <= 0 || static_cast<size_t>(length) > request_bytes_max) return {Framing::State::kBad};
  const size_t size = kFrameLengthBytes + static_cast<size_t>(length);
  return {chain.size() < size ? Framing::State::kIncomplete : Framing::State::kComplete, size};
}

}  // namespace penstock::dataplane
