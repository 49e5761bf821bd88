#include "control/slow_path/config_entries.h"

#include <set>
#include <utility>

namespace penstock::control {
namespace {

ConfigEntry entry_of(const ConfigInfo& info) {
  return {.name = std::string(info.name), .type = info.type, .documentation = info.meaning};
}

std::optional<std::string> default_text(const ConfigInfo& info) {
  if (!info.default_value) return std::nullopt;
  return std::string(*info.default_value);
}

// The broker config whose values a topic or group config has as synonyms: the first of its sources.
std::string_view first_source(const ConfigInfo& info) {
  const std::string_view first = info.source.substr(0, info.source.find(','));
  return first.substr(0, first.find(':'));
}

// Of a topic or a group: its own values before the broker's.
std::vector<ConfigEntry> entries_with_defaults(const Controller& controller, ConfigScope scope, const ConfigMap& own,
                                               ConfigSource own_source) {
  std::vector<ConfigEntry> entries;
  for (const ConfigInfo& info : configs_of(scope)) {
    const auto found = own.find(info.name);
    if (info.internal && found == own.end()) continue;
    ConfigEntry entry = entry_of(info);
    if (!info.source.empty()) entry.synonyms = controller.broker_configs().synonyms(first_source(info));
    if (found != own.end()) {
      entry.value = canonical(info, found->second);
      entry.synonyms.insert(entry.synonyms.begin(), {entry.name, *entry.value, own_source});
    } else if (const auto inherited = controller.broker_configs().default_of(info)) {
      entry.value = canonical(info, inherited->value);
    } else {
      entry.value = default_text(info);
    }
    if (!entry.synonyms.empty()) entry.source = entry.synonyms.front().source;
    entries.push_back(std::move(entry));
  }
  return entries;
}

ConfigEntry broker_entry(const Controller& controller, const ConfigInfo& info) {
  ConfigEntry entry = entry_of(info);
  entry.read_only = !controller.is_dynamic(info);
  entry.sensitive = info.type == ConfigType::kPassword;
  entry.synonyms = controller.broker_configs().synonyms(info.name);
  if (!entry.synonyms.empty()) {
    entry.source = entry.synonyms.front().source;
    if (!entry.sensitive) entry.value = canonical(info, entry.synonyms.front().value);
  }
  return entry;
}

// A name that nobody knows may be a secret of somebody's plug-in.
ConfigEntry unknown_entry(std::string name, ConfigSource source) {
  return {.name = std::move(name), .sensitive = true, .source = source};
}

}  // namespace

std::vector<ConfigEntry> topic_entries(const Controller& controller, const ConfigMap& own) {
  return entries_with_defaults(controller, ConfigScope::kTopic, own, ConfigSource::kTopic);
}

std::vector<ConfigEntry> group_entries(const Controller& controller, const std::string& group) {
  return entries_with_defaults(controller, ConfigScope::kGroup, controller.stored_configs(ConfigScope::kGroup, group),
                               ConfigSource::kGroup);
}

std::vector<ConfigEntry> client_metrics_entries(const Controller& controller, const std::string& name) {
  return entries_with_defaults(controller, ConfigScope::kClientMetrics,
                               controller.stored_configs(ConfigScope::kClientMetrics, name),
                               ConfigSource::kClientMetrics);
}

std::vector<ConfigEntry> broker_entries(const Controller& controller) {
  const BrokerConfigs& configs = controller.broker_configs();
  const auto is_set = [&](std::string_view name) {
    return configs.settings.contains(name) || configs.cluster.contains(name) || configs.broker.contains(name);
  };
  std::vector<ConfigEntry> entries;
  for (const ConfigInfo& info : configs_of(ConfigScope::kBroker)) {
    if ((info.internal || info.dynamic_only) && !is_set(info.name)) continue;
    entries.push_back(broker_entry(controller, info));
  }
  std::set<std::string_view> unknown;
  for (const auto& [map, source] : {std::pair(&configs.broker, ConfigSource::kDynamicBroker),
                                    std::pair(&configs.cluster, ConfigSource::kDynamicDefault)}) {
    for (const auto& [name, value] : *map) {
      if (find_config(ConfigScope::kBroker, name) != nullptr || !unknown.insert(name).second) continue;
      entries.push_back(unknown_entry(name, source));
    }
  }
  return entries;
}

std::vector<ConfigEntry> cluster_entries(const Controller& controller) {
  std::vector<ConfigEntry> entries;
  for (const auto& [name, value] : controller.broker_configs().cluster) {
    const ConfigInfo* info = find_config(ConfigScope::kBroker, name);
    if (info == nullptr) {
      entries.push_back(unknown_entry(name, ConfigSource::kDynamicDefault));
      continue;
    }
    ConfigEntry entry = entry_of(*info);
    entry.read_only = !controller.is_dynamic(*info);
    entry.source = ConfigSource::kDynamicDefault;
    entry.value = canonical(*info, value);
    entry.synonyms = {{name, *entry.value, ConfigSource::kDynamicDefault}};
    entries.push_back(std::move(entry));
  }
  return entries;
}

}  // namespace penstock::control
