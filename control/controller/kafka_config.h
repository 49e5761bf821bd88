// Kafka's configs: the list (kafka_configs.tsv), and whether a value is one that Kafka would take.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::control {

enum class ConfigScope : uint8_t { kTopic, kBroker, kGroup, kClientMetrics };

// By Kafka's numbers (DescribeConfigsResponse.ConfigType).
enum class ConfigType : int8_t {
  kUnknown = 0,
  kBoolean = 1,
  kString,
  kInt,
  kShort,
  kLong,
  kDouble,
  kList,
  kClass,
  kPassword,
};

enum class ConfigUpdate : uint8_t { kAnyTime, kReadOnly, kPerBroker, kClusterWide };

// The columns of kafka_configs.tsv, which explains them.
struct ConfigInfo {
  std::string_view name;
  ConfigType type;
  std::optional<std::string_view> default_value;  // nothing: null
  std::string_view valid;
  ConfigUpdate update;
  bool nonempty;
  bool internal;
  bool dynamic_only;
  std::string_view source;
  std::string_view bounds;
  std::string_view meaning;
};

using ConfigMap = std::map<std::string, std::string, std::less<>>;

std::span<const ConfigInfo> configs_of(ConfigScope scope);  // by name
const ConfigInfo* find_config(ConfigScope scope, std::string_view name);

// Whether topics that do not say have something from this broker config.
bool gives_topics_a_default(std::string_view broker_config);

// What is wrong with the value, in a sentence for the client; nothing if it is fine: then its canonical() has no
// control characters.
std::optional<std::string> check_config(const ConfigInfo& info, std::string_view value);
// The same for a topic's whole set, with the rules between configs. defaults: what topics have that do not say.
std::optional<std::string> check_topic_configs(const ConfigMap& configs, const ConfigMap& defaults = {});

// The text that Kafka makes of a parsed value: nothing around it or the elements of a list that String.trim would take
// (ConfigDef.parseType does so for every type), true and false in small letters. What is not of the type stays as it is
// but for that.
std::string canonical(const ConfigInfo& info, std::string_view value);
// The same for all that Kafka knows, as they are stored; other names' values are left alone.
void make_canonical(ConfigScope scope, ConfigMap& configs);

// A whole number as these configs take it; nothing if it is none.
std::optional<int64_t> parse_long(std::string_view text);
std::optional<double> parse_double(std::string_view text);
// The elements of a list, without the blanks around them; none of an empty text.
std::vector<std::string_view> list_elements(std::string_view text);
std::string join_list(const std::vector<std::string_view>& elements);

}  // namespace penstock::control
