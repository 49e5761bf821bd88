// A request that control answers, taken off a connection's stream as an event.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/api/messages.h"
#include "dataplane/kafka/framer.h"
#include "dataplane/kafka/request.h"
#include "protocol/api.h"

namespace penstock::dataplane {

// Groups remember where their members are: only with these is the address asked for.
inline bool joins_a_group(int16_t api_key) {
  return api_key == static_cast<int16_t>(ApiKey::kJoinGroup) ||
         api_key == static_cast<int16_t>(ApiKey::kConsumerGroupHeartbeat);
}

// The first n bytes behind the length of the frame at the stream's front; they stay there.
template <class S>
SlowRequest make_slow_request(S& stream, ConnectionId who, uint16_t listener, const Request& request, size_t n) {
  SlowRequest slow{.connection = who,
                   .listener = listener,
                   .api_key = request.api_key,
                   .api_version = request.api_version,
                   .frame = std::vector<std::byte>(n)};
  stream.received().copy_out(kFrameLengthBytes, slow.frame);
  if constexpr (requires { stream.peer_address(); }) {
    if (joins_a_group(request.api_key)) slow.client_host = "/" + stream.peer_address();
  }
  return slow;
}

}  // namespace penstock::dataplane
