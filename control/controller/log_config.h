// What a topic's settings mean for its logs: its own ones, the broker's for those that it does not have, Kafka's for
// the rest.
#pragma once

#include <optional>
#include <string_view>

#include "control/controller/kafka_config.h"
#include "dataplane/api/routing.h"
#include "storage/api/types.h"

namespace penstock::control {

// Of checked configs; defaults: BrokerConfigs::topic_defaults().
storage::LogConfig log_config(const ConfigMap& own, const ConfigMap& defaults);

// The codec that batches of the topic are stored with; nothing: the one that their producer chose.
std::optional<dataplane::StoredCodec> stored_codec(const ConfigMap& own, const ConfigMap& defaults);

// The value in force of a topic config; the empty text if there is none.
std::string_view topic_value(const ConfigMap& own, const ConfigMap& defaults, std::string_view name);
// The same of a whole number.
int64_t long_value(const ConfigMap& own, const ConfigMap& defaults, std::string_view name);

}  // namespace penstock::control
