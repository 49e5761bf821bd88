// Controller: the configs that clients set for brokers, groups and client metrics, and what a change does to a config,
// of topics too. Kafka's rules and error codes (org.apache.kafka.controller.ConfigurationControlManager,
// kafka.server.ConfigAdminManager, DynamicBrokerConfig); the sentences are ours.
#include <algorithm>
#include <iterator>
#include <set>
#include <utility>

#include "control/controller/controller.h"
#include "control/controller/keys.h"

namespace penstock::control {
namespace {

constexpr size_t kRecordBytesMax = 64 * 1024;
constexpr size_t kNameBytesMax = 400;  // fits the store's keys
constexpr size_t kResourcesMax = 10'000;

constexpr std::pair<ConfigScope, std::string_view> kKinds[] = {{ConfigScope::kBroker, "brokers/"},
                                                               {ConfigScope::kGroup, "groups/"},
                                                               {ConfigScope::kClientMetrics, "client-metrics/"}};

std::string prefix_of(ConfigScope scope) {
  const auto* kind = std::ranges::find(kKinds, scope, &std::pair<ConfigScope, std::string_view>::first);
  return std::string(keys::kConfigs).append(kind->second);
}

bool is_plain(std::string_view text) {
  return std::ranges::none_of(text, [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; });
}

// "key=pattern", of the keys that Kafka knows (ClientMetricsConfigs).
std::optional<std::string> check_match(std::string_view text) {
  constexpr std::string_view kKeys[] = {"client_instance_id",    "client_id",
                                        "client_software_name",  "client_software_version",
                                        "client_source_address", "client_source_port"};
  for (const std::string_view element : list_elements(text)) {
    const size_t at = element.find('=');
    if (at == std::string_view::npos || std::ranges::find(kKeys, element.substr(0, at)) == std::end(kKeys)) {
      return "Illegal client matching pattern: " + std::string(element.substr(0, 100));
    }
  }
  return std::nullopt;
}

}  // namespace

const ConfigMap& Controller::stored_configs(ConfigScope scope, const std::string& name) const {
  static const ConfigMap kNone;
  const auto found = stored_configs_.find({scope, name});
  return found == stored_configs_.end() ? kNone : found->second.configs;
}

std::vector<std::string> Controller::configured(ConfigScope scope) const {
  std::vector<std::string> names;
  for (auto at = stored_configs_.lower_bound({scope, ""}); at != stored_configs_.end() && at->first.first == scope;
       ++at)
    names.push_back(at->first.second);
  return names;
}

Result<void> Controller::read_configs() {
  std::map<ConfigKey, StoredConfigs> stored;
  for (const auto& [scope, kind] : kKinds) {
    const std::string prefix = prefix_of(scope);
    const Page page = TRY(read_prefix(store_, prefix));
    for (const Entry& entry : page.entries) {
      stored.emplace(ConfigKey{scope, entry.key.substr(prefix.size())},
                     StoredConfigs{.configs = TRY(parse_configs(entry.value)), .changed = entry.changed});
    }
  }
  stored_configs_ = std::move(stored);
  renew_defaults();
  return {};
}

void Controller::renew_defaults() {
  broker_configs_.cluster = stored_configs(ConfigScope::kBroker, "");
  broker_configs_.broker = stored_configs(ConfigScope::kBroker, std::to_string(defaults_.node.value()));
  ConfigMap defaults = broker_configs_.topic_defaults();
  if (defaults == defaults_.configs) return;
  defaults_.configs = std::move(defaults);
  const MetadataImage::Topics topics = image_.topics();
  for (const auto& [name, topic] : topics) replace(make_topic(name, topic->record, topic->changed, defaults_));
}

bool Controller::is_dynamic(const ConfigInfo& info) const {
  if (info.update != ConfigUpdate::kClusterWide) return false;
  return gives_topics_a_default(info.name) || !settings_.read_at_start.contains(info.name);
}

std::string Controller::default_text(ConfigScope scope, const ConfigInfo& info) const {
  if (scope == ConfigScope::kBroker) return broker_configs_.value(info.name).value_or("");
  if (const auto found = broker_configs_.default_of(info)) return found->value;
  return std::string(info.default_value.value_or(""));
}

// One change to what is set. That the outcome is a legal set is checked by whoever has all of them.
TopicOutcome Controller::change(ConfigScope scope, const ConfigChange& change, ConfigMap& configs) const {
  if (change.op == ConfigOp::kDelete) {
    configs.erase(change.name);
    return {};
  }
  if (change.op == ConfigOp::kSet) {
    configs[change.name] = change.value;
    return {};
  }
  const ConfigInfo* info = find_config(scope, change.name);
  if (info == nullptr || info->type != ConfigType::kList) {
    return refused(ErrorCode::kInvalidConfig, std::string("Can't ") +
                                                  (change.op == ConfigOp::kAppend ? "APPEND" : "SUBTRACT") +
                                                  " to key " + change.name + " because its type is not LIST.");
  }
  const auto own = configs.find(change.name);
  const std::string before = own == configs.end() ? default_text(scope, *info) : own->second;
  std::vector<std::string_view> elements = list_elements(before);
  const auto asked = list_elements(change.value);
  if (change.op == ConfigOp::kSubtract) {
    const std::set<std::string_view> gone(asked.begin(), asked.end());
    std::erase_if(elements, [&](std::string_view element) { return gone.contains(element); });
  } else {
    std::set<std::string_view> there(elements.begin(), elements.end());
    std::ranges::copy_if(asked, std::back_inserter(elements),
                         [&](std::string_view element) { return there.insert(element).second; });
  }
  configs[change.name] = join_list(elements);
  return {};
}

// A broker says INVALID_REQUEST where a topic's configs get INVALID_CONFIG (KAFKA-13609).
TopicOutcome Controller::check_broker_config(const std::string& name, const std::string& value) const {
  const ConfigInfo* info = find_config(ConfigScope::kBroker, name);
  if (info == nullptr && !name.starts_with("listener.name.")) {  // of somebody's plug-in, as far as Kafka knows
    const bool fine = !name.empty() && name.find('=') == std::string::npos && is_plain(name) && is_plain(value);
    return fine ? TopicOutcome{} : refused(ErrorCode::kInvalidRequest, "A config has a name or value that is no text.");
  }
  if (info == nullptr || !is_dynamic(*info)) {
    return refused(ErrorCode::kInvalidRequest, "Cannot update these configs dynamically: " + name);
  }
  if (auto wrong = check_config(*info, value)) return refused(ErrorCode::kInvalidRequest, *std::move(wrong));
  return {};
}

TopicOutcome Controller::check_group_configs(const ConfigMap& configs) const {
  for (const auto& [name, value] : configs) {
    const ConfigInfo* info = find_config(ConfigScope::kGroup, name);
    if (info == nullptr) {
      return refused(ErrorCode::kInvalidConfig, "Unknown group config name: " + name.substr(0, 100));
    }
    if (auto wrong = check_config(*info, value)) return refused(ErrorCode::kInvalidConfig, *std::move(wrong));
    const size_t dots = info->bounds.find("..");
    if (dots == std::string_view::npos) continue;
    const auto bound = [&](std::string_view broker_config) {
      return parse_long(broker_configs_.value(broker_config).value_or(""));
    };
    const auto low = bound(info->bounds.substr(0, dots));
    const auto high = bound(info->bounds.substr(dots + 2));
    const auto number = parse_long(value);
    if ((low && number < low) || (high && number > high)) {
      return refused(ErrorCode::kInvalidConfig,
                     name + " is not within what the broker allows: " + std::string(info->bounds));
    }
  }
  for (const std::string_view kind : {"consumer", "share", "streams"}) {
    const auto number = [&](std::string_view what) {
      const ConfigInfo& info = *find_config(ConfigScope::kGroup, std::string(kind).append(what));
      const auto own = configs.find(info.name);
      return parse_long(own == configs.end() ? default_text(ConfigScope::kGroup, info) : own->second).value_or(0);
    };
    if (number(".session.timeout.ms") <= number(".heartbeat.interval.ms")) {
      return refused(ErrorCode::kInvalidConfig, std::string(kind) + ".session.timeout.ms must be above " +
                                                    std::string(kind) + ".heartbeat.interval.ms");
    }
  }
  return {};
}

TopicOutcome Controller::check_stored(const ConfigAlteration& alteration, const ConfigMap& configs) const {
  switch (alteration.scope) {
    case ConfigScope::kTopic: break;
    case ConfigScope::kGroup: return check_group_configs(configs);
    case ConfigScope::kBroker:
      for (const ConfigChange& asked : alteration.changes) {
        const auto now = configs.find(asked.name);
        if (now == configs.end()) continue;
        if (auto bad = check_broker_config(asked.name, now->second); bad.error != ErrorCode::kNone) return bad;
      }
      return {};
    case ConfigScope::kClientMetrics:
      for (const auto& [name, value] : configs) {
        const ConfigInfo* info = find_config(ConfigScope::kClientMetrics, name);
        if (info == nullptr) {
          return refused(ErrorCode::kInvalidRequest, "Unknown client metrics configuration: " + name.substr(0, 100));
        }
        if (auto wrong = check_config(*info, value)) return refused(ErrorCode::kInvalidRequest, *std::move(wrong));
        if (name != "match") continue;
        if (auto wrong = check_match(value)) return refused(ErrorCode::kInvalidConfig, *std::move(wrong));
      }
      return {};
  }
  std::unreachable();
}

TopicOutcome Controller::alter_stored(const ConfigAlteration& alteration) {
  const ConfigKey key{alteration.scope, alteration.name};
  if (alteration.scope != ConfigScope::kBroker && alteration.name.empty()) {
    return refused(ErrorCode::kInvalidRequest, "Configs of this kind belong to a name.");
  }
  if (alteration.name.size() > kNameBytesMax || !is_plain(alteration.name)) {
    return refused(ErrorCode::kInvalidRequest, "A name of at most 400 bytes without control characters is expected.");
  }
  const auto found = stored_configs_.find(key);
  const StoredConfigs before = found == stored_configs_.end() ? StoredConfigs{} : found->second;
  ConfigMap configs = alteration.replace ? ConfigMap{} : before.configs;
  for (const ConfigChange& asked : alteration.changes) {
    if (auto bad = change(alteration.scope, asked, configs); bad.error != ErrorCode::kNone) return bad;
  }
  make_canonical(alteration.scope, configs);
  if (auto bad = check_stored(alteration, configs); bad.error != ErrorCode::kNone) return bad;
  std::string text = encode(configs);
  if (text.size() > kRecordBytesMax || (found == stored_configs_.end() && stored_configs_.size() >= kResourcesMax)) {
    return refused(ErrorCode::kPolicyViolation, "Too many configs: 64 KiB a name, 10000 names in all.");
  }
  if (alteration.validate_only || configs == before.configs) return {};
  const std::string place = prefix_of(alteration.scope) + alteration.name;
  Transaction transaction{
      .conditions = {{.key = place, .changed = before.changed}}, .writes = {{.key = place}}, .from_reserve = true};
  if (!configs.empty()) transaction.writes.front().value = std::move(text);
  TopicOutcome outcome;
  TopicOutcome* told = &outcome;
  const auto revision = commit(transaction, std::span(&told, 1));
  if (!revision) return outcome;
  if (configs.empty())
    stored_configs_.erase(key);
  else
    stored_configs_[key] = StoredConfigs{.configs = std::move(configs), .changed = *revision};
  if (alteration.scope == ConfigScope::kBroker) renew_defaults();
  return outcome;
}

TopicOutcome Controller::alter_configs(const ConfigAlteration& alteration) {
  if (!read_again_if_unsure()) {
    return refused(ErrorCode::kKafkaStorageError, "The metadata store cannot be read.");
  }
  return alteration.scope == ConfigScope::kTopic ? alter_topic(alteration) : alter_stored(alteration);
}

}  // namespace penstock::control
