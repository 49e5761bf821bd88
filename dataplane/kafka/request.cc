#include "dataplane/kafka/request.h"

#include <algorithm>

#include "dataplane/kafka/framer.h"
#include "protocol/api.h"

namespace penstock::dataplane {

std::optional<protocol::RequestHeader> read_header(const BufferChain& chain, size_t frame_bytes) {
  std::span<const std::byte> front;
  const size_t n = std::min(frame_bytes - kFrameLengthBytes, protocol::kRequestHeaderMax);
  std::vector<std::byte> scratch;
  chain.for_each_piece(kFrameLengthBytes, n, [&](std::span<const std::byte> piece) {
    if (front.empty()) front = piece;
  });
  auto header = protocol::decode_request_header(front);
  if (!header && front.size() < n) {  // it straddles two buffers
    scratch.resize(n);
    chain.copy_out(kFrameLengthBytes, scratch);
    header = protocol::decode_request_header(scratch);
  }
  if (!header) return std::nullopt;
  header->client_id = {};  // it may lie in scratch
  const bool served = protocol::find_api(header->api_key)->serves(header->api_version);
  if (!served && header->key() != ApiKey::kApiVersions) return std::nullopt;
  return *header;
}

}  // namespace penstock::dataplane
