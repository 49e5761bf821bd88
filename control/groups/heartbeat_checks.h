// Whether a ConsumerGroupHeartbeat request can be meant, whatever the group (KIP-848; the texts that users search for
// name the field, as Kafka's do).
#pragma once

#include <optional>

#include "control/groups/consumer_group.h"

namespace penstock::control::groups {

std::optional<Refusal> check_heartbeat(const ConsumerGroup::Request& request, int16_t api_version,
                                       const ConsumerGroupSettings& settings);

}  // namespace penstock::control::groups
