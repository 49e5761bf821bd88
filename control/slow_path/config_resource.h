// What configs belong to, by Kafka's numbers (org.apache.kafka.common.config.ConfigResource.Type).
#pragma once

#include <charconv>
#include <cstdint>
#include <optional>
#include <string>

#include "control/controller/controller.h"

namespace penstock::control {

enum class ResourceType : int8_t { kTopic = 2, kBroker = 4, kBrokerLogger = 8, kClientMetrics = 16, kGroup = 32 };
inline constexpr ResourceType kResourceTypes[] = {ResourceType::kTopic, ResourceType::kBroker,
                                                  ResourceType::kBrokerLogger, ResourceType::kClientMetrics,
                                                  ResourceType::kGroup};

// What is wrong with the name of a broker that is to be this one; nothing if it is its id.
inline std::optional<std::string> check_broker_name(const std::string& name, const Controller& controller) {
  int32_t id = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), id);
  if (error != std::errc{} || end != name.data() + name.size()) {
    return "Node id must be an integer, but it is: " + name.substr(0, 100);
  }
  if (id == controller.node().value()) return std::nullopt;
  return "Unexpected broker id, expected " + std::to_string(controller.node().value()) +
         " or empty string, but received " + name;
}

}  // namespace penstock::control
