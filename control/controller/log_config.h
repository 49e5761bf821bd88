// What a topic's settings mean for its logs: its own ones, the broker's for those that it does not have, Kafka's for
// the rest.
#pragma once

#include "control/controller/topic_config.h"
#include "control/types.h"
#include "storage/api/types.h"

namespace penstock::control {

// What the broker's settings say for topics that do not: by topic setting, in the form of topic_config.def.
ConfigMap topic_defaults(const BrokerOptions& options, int64_t message_max_bytes);

// Of checked configs.
storage::LogConfig log_config(const ConfigMap& own, const ConfigMap& defaults);

// A whole-number setting of checked configs.
int64_t long_value(const ConfigMap& own, const ConfigMap& defaults, std::string_view name);

}  // namespace penstock::control
