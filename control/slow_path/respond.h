// A response message as the bytes of its frame, header included, without the length.
#pragma once

#include <cstddef>
#include <vector>

#include "base/log.h"
#include "control/slow_path/answer_room.h"
#include "protocol/codec.h"
#include "protocol/header.h"

namespace penstock::control {

// Empty if it cannot be encoded, or is too large (then room counts it).
template <class Response>
std::vector<std::byte> respond(const protocol::Api& api, int16_t version, CorrelationId correlation,
                               const Response& response, const AnswerRoom& room) {
  std::vector<std::byte> out;
  if (room.is_over()) {
    room.refuse();
    return out;
  }
  protocol::encode_response_header(api, version, correlation, out);
  if (const auto done = protocol::encode(response, version, out); !done) {
    LOG_ERROR("an answer to %.*s version %d cannot be encoded: %s", static_cast<int>(api.name.size()), api.name.data(),
              version, to_string(done.error().code).data());
    return {};
  }
  if (room.fits(out.size())) return out;
  room.refuse();
  return {};
}

}  // namespace penstock::control
