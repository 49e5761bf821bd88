// The messages of each fuzzer, in an order that the seed corpora share.
#pragma once

#include <algorithm>
#include <vector>

#include "protocol/api.h"
#include "protocol/descriptor.h"

namespace penstock::protocol::testing {

// What clients send us.
inline std::vector<const MessageInfo*> request_messages() {
  std::vector<const MessageInfo*> infos;
  for (const Api& api : apis()) infos.push_back(api.request);
  return infos;
}

// What we read from other brokers, from our own log and as a client: responses, coordinators' records, embedded
// structs.
inline std::vector<const MessageInfo*> other_messages() {
  const std::vector<const MessageInfo*> requests = request_messages();
  std::vector<const MessageInfo*> infos;
  for (const MessageInfo* info : messages()) {
    if (std::ranges::find(requests, info) == requests.end()) infos.push_back(info);
  }
  return infos;
}

}  // namespace penstock::protocol::testing
