// Request: what a handler is given: the frame as it lies at the front of a connection's chain, and its header.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/buffer.h"
#include "protocol/header.h"
#include "protocol/types.h"

namespace penstock::dataplane {

struct Request {
  const BufferChain& chain;
  size_t body_at;  // place in the chain
  size_t body_bytes;
  int16_t api_key;
  int16_t api_version;
  CorrelationId correlation_id;
  uint16_t listener;  // that its connection came by
};

// The header of the request whose frame stands at the front of chain, if it is one that we serve. An ApiVersions of any
// version is, so that control can tell the client which ones there are (KIP-511).
std::optional<protocol::RequestHeader> read_header(const BufferChain& chain, size_t frame_bytes);

// The body in one piece: where it lies, or copied to scratch if it straddles buffers. For requests whose bytes are few.
inline std::span<const std::byte> contiguous_body(const Request& request, std::vector<std::byte>& scratch) {
  std::span<const std::byte> found;
  size_t pieces = 0;
  request.chain.for_each_piece(request.body_at, request.body_bytes, [&](std::span<const std::byte> piece) {
    found = piece;
    ++pieces;
  });
  if (pieces <= 1) return found;
  scratch.resize(request.body_bytes);
  request.chain.copy_out(request.body_at, scratch);
  return scratch;
}

// Partitions that one Fetch, ListOffsets or Produce may name. Kafka sets no bound; ours keeps the state of a hostile
// request small beside its bytes, and ten times above what a large cluster's consumer asks of one broker.
inline constexpr size_t kRequestPartitionsMax = 100'000;

}  // namespace penstock::dataplane
