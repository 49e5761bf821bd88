// What the broker's configs are: its settings at start, and what clients have changed since for all brokers or for this
// one. Topics and groups that do not say have their values from here.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/controller/kafka_config.h"

namespace penstock::control {

// Where a value came from, by Kafka's numbers (DescribeConfigsResponse.ConfigSource).
enum class ConfigSource : int8_t {
  kTopic = 1,
  kDynamicBroker = 2,
  kDynamicDefault = 3,
  kSettings = 4,
  kDefault = 5,
  kLogger = 6,
  kClientMetrics = 7,
  kGroup = 8,
};

struct ConfigValue {
  std::string name;
  std::string value;
  ConfigSource source;
};

struct BrokerConfigs {
  ConfigMap settings{};  // what was set at start, or is not Kafka's default; by Kafka's names
  ConfigMap cluster{};   // changed for all brokers
  ConfigMap broker{};    // changed for this one: they win

  // The value in force; nothing if it is null.
  std::optional<std::string> value(std::string_view name) const;

  // Every value that the config has, strongest first, with those of the coarser configs behind it that count where it
  // has none (Kafka: ConfigHelper.configSynonyms, DynamicBrokerConfig.brokerConfigSynonyms).
  std::vector<ConfigValue> synonyms(std::string_view name) const;

  // Of a topic or group config: what the broker's configs say in its place, and what said it. nothing: the list's
  // default counts.
  std::optional<ConfigValue> default_of(const ConfigInfo& info) const;

  // default_of() every topic config that has one, by topic config.
  ConfigMap topic_defaults() const;
};

}  // namespace penstock::control
