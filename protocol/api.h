// The list of APIs, one row each, from protocol/schema: what ApiVersions answers, what the header decoder and the
// dispatch ask, what the tests walk.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "protocol/descriptor.h"

namespace penstock {

enum class ApiKey : int16_t {
#define API_KEY(id, key) id = key,
#include "protocol/gen/api_key.def"
#undef API_KEY
};

namespace protocol {

enum class ApiClass : uint8_t {
  kClient,       // every client may send it
  kTelemetry,    // client metrics (KIP-714); advertised only when somebody receives them
  kForwarded,    // an admin client's request for the controller, taken on any listener
  kInterBroker,  // between brokers on a broker listener; needs CLUSTER_ACTION
};

struct Api {
  ApiKey key;
  std::string_view name;
  int16_t min;  // served
  int16_t max;
  int16_t flexible;  // first flexible version of request and response; kNeverFlexible
  // Lowest version to claim in ApiVersions. Below min only for Produce: librdkafka before 2.11.1 turns compression off
  // when 0 is not offered (KAFKA-18659).
  int16_t advertised_min;
  ApiClass api_class;
  const MessageInfo* request;
  const MessageInfo* response;

  constexpr bool serves(int16_t version) const { return min <= version && version <= max; }
  constexpr bool is_flexible(int16_t version) const { return version >= flexible; }
};

// Ordered by key.
std::span<const Api> apis();

// Every message of protocol/schema, in no order: for tests and tools.
std::span<const MessageInfo* const> messages();

// nullptr if there is no such API.
const Api* find_api(int16_t key);

}  // namespace protocol

inline std::string_view to_string(ApiKey key) {
  const protocol::Api* api = protocol::find_api(static_cast<int16_t>(key));
  return api == nullptr ? "unknown" : api->name;
}

}  // namespace penstock
