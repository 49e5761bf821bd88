// Topic settings: the list (topic_config.def), and whether a value is one that Kafka would take.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::control {

enum class ConfigType : uint8_t { kBoolean, kString, kInt, kLong, kDouble, kList };

struct TopicConfigInfo {
  std::string_view name;
  ConfigType type;
  std::string_view default_value;
  std::string_view valid;
  std::string_view broker_name;
};

using ConfigMap = std::map<std::string, std::string, std::less<>>;

std::span<const TopicConfigInfo> topic_configs();  // by name
const TopicConfigInfo* find_topic_config(std::string_view name);

// What is wrong with the value, in a sentence for the client; nothing if it is fine.
std::optional<std::string> check_topic_config(const TopicConfigInfo& info, std::string_view value);

// The same for a topic's whole set, with the rules between settings.
std::optional<std::string> check_topic_configs(const ConfigMap& configs);

// A whole number as these settings take it; nothing if it is none.
std::optional<int64_t> parse_long(std::string_view text);
// The elements of a list, without the blanks around them; none of an empty text.
std::vector<std::string_view> list_elements(std::string_view text);

}  // namespace penstock::control
