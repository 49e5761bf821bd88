// The headers that stand before a request's and a response's body, behind the frame's four bytes of size.
// docs/internals/protocol.md, "Headers"; KIP-482. Which header a frame has follows from its API key and version alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/buffer.h"
#include "base/result.h"
#include "protocol/api.h"
#include "protocol/types.h"
#include "protocol/wire.h"

namespace penstock::protocol {

struct RequestHeader {
  int16_t api_key = 0;
  int16_t api_version = 0;
  CorrelationId correlation_id;
  std::string_view client_id;  // in place; null reads as empty
  size_t size = 0;             // bytes of the header: the body follows

  ApiKey key() const { return static_cast<ApiKey>(api_key); }
};

// The longest header without tagged fields: 8 fixed bytes, a client id of 15 bits, the tag section's count.
inline constexpr size_t kRequestHeaderFixed = 8;
inline constexpr size_t kRequestHeaderMax = kRequestHeaderFixed + 2 + 32767 + 5;

// 1, or 2 for flexible body versions (of whatever version: ApiVersions is asked with versions that we do not know).
inline int16_t request_header_version(const Api& api, int16_t api_version) {
  return api.is_flexible(api_version) ? 2 : 1;
}
// 0, or 1 for flexible body versions; always 0 for ApiVersions, whose answer a client must be able to read before it
// knows the broker's versions (KIP-511).
inline int16_t response_header_version(const Api& api, int16_t api_version) {
  return api.key != ApiKey::kApiVersions && api.is_flexible(api_version) ? 1 : 0;
}

// frame: a request without its four bytes of size, or at least its beginning. kUnsupported: no such API, so nobody can
// tell where the header ends, and the connection must be closed. The version may be one that we do not serve.
Result<RequestHeader> decode_request_header(std::span<const std::byte> frame);

// The same of a frame in network buffers: n bytes of chain from place at on. A client id that straddles two buffers is
// copied to scratch.
Result<RequestHeader> decode_request_header(const BufferChain& chain, size_t at, size_t n, std::string& scratch);

// For our own clients. header.size is ignored.
void encode_request_header(const Api& api, const RequestHeader& header, std::vector<std::byte>& out);

void encode_response_header(const Api& api, int16_t api_version, CorrelationId correlation_id,
                            std::vector<std::byte>& out);

struct ResponseHeader {
  CorrelationId correlation_id;
  size_t size = 0;
};
Result<ResponseHeader> decode_response_header(const Api& api, int16_t api_version, std::span<const std::byte> frame);

}  // namespace penstock::protocol
