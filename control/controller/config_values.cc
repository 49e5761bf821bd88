#include "control/controller/config_values.h"

#include <algorithm>
#include <array>
#include <utility>

namespace penstock::control {
namespace {

constexpr int64_t kMinuteMs = 60'000;
constexpr int64_t kHourMs = 60 * kMinuteMs;
constexpr int64_t kForEver = -1;

// Configs that say one thing in several units: the finest that is set counts.
using Chain = std::vector<std::string_view>;
Chain chain_of(std::string_view name) {
  static const std::array<Chain, 3> kChains = {Chain{"log.roll.ms", "log.roll.hours"},
                                               {"log.roll.jitter.ms", "log.roll.jitter.hours"},
                                               {"log.retention.ms", "log.retention.minutes", "log.retention.hours"}};
  for (const Chain& chain : kChains) {
    if (std::ranges::find(chain, name) != chain.end()) return chain;
  }
  if (name == "log.flush.interval.ms") return {name, "log.flush.scheduler.interval.ms"};
  return {name};
}

// One of a row's sources: "log.retention.hours:hours" is 168 hours for 604800000.
struct Source {
  std::string_view name;
  int64_t unit_ms = 0;  // 0: the value as it is
};
Source parse_source(std::string_view word) {
  const size_t at = word.find(':');
  if (at == std::string_view::npos) return {word};
  return {word.substr(0, at), word.substr(at + 1) == "hours" ? kHourMs : kMinuteMs};
}

std::string in_ms(const std::string& value, int64_t unit_ms) {
  if (unit_ms == 0) return value;
  const int64_t number = parse_long(value).value_or(0);
  return std::to_string(number < 0 ? kForEver : number * unit_ms);
}

}  // namespace

std::optional<std::string> BrokerConfigs::value(std::string_view name) const {
  for (const ConfigMap* map : {&broker, &cluster, &settings}) {
    if (const auto found = map->find(name); found != map->end()) return found->second;
  }
  const ConfigInfo* info = find_config(ConfigScope::kBroker, name);
  if (info == nullptr || !info->default_value) return std::nullopt;
  return std::string(*info->default_value);
}

std::vector<ConfigValue> BrokerConfigs::synonyms(std::string_view name) const {
  const Chain chain = chain_of(name);
  std::vector<ConfigValue> values;
  const std::pair<const ConfigMap*, ConfigSource> maps[] = {{&broker, ConfigSource::kDynamicBroker},
                                                            {&cluster, ConfigSource::kDynamicDefault},
                                                            {&settings, ConfigSource::kSettings}};
  for (const auto& [map, source] : maps) {
    for (const std::string_view member : chain) {
      const auto found = map->find(member);
      if (found != map->end()) values.push_back({std::string(member), found->second, source});
    }
  }
  for (const std::string_view member : chain) {
    const ConfigInfo* info = find_config(ConfigScope::kBroker, member);
    if (info == nullptr || !info->default_value || info->dynamic_only) continue;
    values.push_back({std::string(member), std::string(*info->default_value), ConfigSource::kDefault});
  }
  // As Kafka: what stands before the first value of its own name is of somebody else.
  const auto own = std::ranges::find(values, name, &ConfigValue::name);
  values.erase(values.begin(), own);
  return values;
}

std::optional<ConfigValue> BrokerConfigs::default_of(const ConfigInfo& info) const {
  for (std::string_view rest = info.source; !rest.empty();) {
    const size_t at = rest.find(',');
    const Source source = parse_source(rest.substr(0, at));
    rest.remove_prefix(at == std::string_view::npos ? rest.size() : at + 1);
    const auto values = synonyms(source.name);
    if (values.empty() || values.front().name != source.name) continue;
    std::string value = in_ms(values.front().value, source.unit_ms);
    // A broker's may be anything below zero (AbstractKafkaConfig.logRetentionTimeMillis).
    if (info.name == "retention.ms" && parse_long(value).value_or(0) < 0) value = std::to_string(kForEver);
    return ConfigValue{values.front().name, std::move(value), values.front().source};
  }
  return std::nullopt;
}

ConfigMap BrokerConfigs::topic_defaults() const {
  ConfigMap defaults;
  for (const ConfigInfo& info : configs_of(ConfigScope::kTopic)) {
    if (auto found = default_of(info)) defaults.emplace(info.name, std::move(found->value));
  }
  return defaults;
}

}  // namespace penstock::control
