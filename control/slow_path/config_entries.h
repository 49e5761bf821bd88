// What clients are told of a config: its value, where that came from, and what else says something about it
// (Kafka: kafka.server.ConfigHelper).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "control/controller/controller.h"

namespace penstock::control {

struct ConfigEntry {
  std::string name;
  std::optional<std::string> value{};  // nothing: null, or not for everybody's eyes
  bool read_only = false;
  bool sensitive = false;
  ConfigSource source = ConfigSource::kDefault;
  ConfigType type = ConfigType::kUnknown;
  std::vector<ConfigValue> synonyms{};  // strongest first
  std::string_view documentation{};
};

// All of a topic's, without the internal ones.
std::vector<ConfigEntry> topic_entries(const Controller& controller, const ConfigMap& own);
// All of this broker's: what it has, and what is set under names that nobody knows.
std::vector<ConfigEntry> broker_entries(const Controller& controller);
// What was changed for all brokers.
std::vector<ConfigEntry> cluster_entries(const Controller& controller);
std::vector<ConfigEntry> group_entries(const Controller& controller, const std::string& group);
std::vector<ConfigEntry> client_metrics_entries(const Controller& controller, const std::string& name);

}  // namespace penstock::control
