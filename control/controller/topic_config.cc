#include "control/controller/topic_config.h"

#include <algorithm>
#include <charconv>
#include <set>
#include <utility>

namespace penstock::control {
namespace {

constexpr TopicConfigInfo kConfigs[] = {
#define TOPIC_CONFIG(name, type, default_value, valid, broker_name) \
  {name, ConfigType::type, default_value, valid, broker_name},
#include "control/controller/topic_config.def"
#undef TOPIC_CONFIG
};

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t at = text.find(separator);
    parts.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

std::string_view trim(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

template <class Number>
std::optional<Number> parse(std::string_view text) {
  text = trim(text);
  if (text.starts_with('+')) text.remove_prefix(1);  // Java's parsers take it
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// "low..high", either may be missing, or one number.
template <class Number>
bool within(Number value, std::string_view alternative) {
  const size_t dots = alternative.find("..");
  if (dots == std::string_view::npos) return value == parse<Number>(alternative);
  const auto low = parse<Number>(alternative.substr(0, dots));
  const auto high = parse<Number>(alternative.substr(dots + 2));
  return (!low || value >= *low) && (!high || value <= *high);
}

template <class Number>
std::optional<std::string> check_number(const TopicConfigInfo& info, std::string_view text, std::string_view kind) {
  const auto value = parse<Number>(text);
  if (!value) return "not a number of type " + std::string(kind);
  const auto alternatives = split(info.valid, '|');
  const auto fits = [&](std::string_view alternative) { return within<Number>(*value, alternative); };
  if (info.valid.empty() || std::ranges::any_of(alternatives, fits)) return std::nullopt;
  return "allowed: " + std::string(info.valid);
}

bool is_one_of(const std::vector<std::string_view>& words, std::string_view word) {
  return std::ranges::find(words, word) != words.end();
}

std::optional<std::string> check_word(const TopicConfigInfo& info, std::string_view word) {
  if (info.valid.empty() || is_one_of(split(info.valid, '|'), word)) return std::nullopt;
  return "allowed: " + std::string(info.valid);
}

std::optional<std::string> check_replicas(std::string_view element) {
  const auto parts = split(element, ':');
  if (parts.size() == 2 && parse<int32_t>(parts[0]) && parse<int32_t>(parts[1])) return std::nullopt;
  return "allowed: * or partition:broker pairs";
}

std::optional<std::string> check_list(const TopicConfigInfo& info, std::string_view text) {
  if (info.valid == "replicas" && trim(text) == "*") return std::nullopt;
  std::set<std::string_view> seen;
  for (const std::string_view element : list_elements(text)) {
    if (!seen.insert(element).second) return "an element stands there twice";
    const auto wrong = info.valid == "replicas" ? check_replicas(element) : check_word(info, element);
    if (wrong) return wrong;
  }
  return std::nullopt;
}

// As Java's Boolean: any case.
std::optional<bool> parse_boolean(std::string_view text) {
  std::string word(trim(text));
  for (char& letter : word) {
    if ('A' <= letter && letter <= 'Z') letter = static_cast<char>(letter + ('a' - 'A'));
  }
  if (word == "true") return true;
  if (word == "false") return false;
  return std::nullopt;
}

std::optional<std::string> check_boolean(std::string_view text) {
  if (parse_boolean(text)) return std::nullopt;
  return "allowed: true|false";
}

std::optional<std::string> check_value(const TopicConfigInfo& info, std::string_view value) {
  switch (info.type) {
    case ConfigType::kBoolean: return check_boolean(value);
    case ConfigType::kString: return check_word(info, value);
    case ConfigType::kInt: return check_number<int32_t>(info, value, "int");
    case ConfigType::kLong: return check_number<int64_t>(info, value, "long");
    case ConfigType::kDouble: return check_number<double>(info, value, "double");
    case ConfigType::kList: return check_list(info, value);
  }
  std::unreachable();
}

}  // namespace

std::optional<int64_t> parse_long(std::string_view text) { return parse<int64_t>(text); }

std::vector<std::string_view> list_elements(std::string_view text) {
  if (trim(text).empty()) return {};
  std::vector<std::string_view> elements = split(text, ',');
  for (std::string_view& element : elements) element = trim(element);
  return elements;
}

std::span<const TopicConfigInfo> topic_configs() { return kConfigs; }

const TopicConfigInfo* find_topic_config(std::string_view name) {
  const auto* found = std::ranges::lower_bound(kConfigs, name, {}, &TopicConfigInfo::name);
  return found != std::end(kConfigs) && found->name == name ? found : nullptr;
}

std::optional<std::string> check_topic_config(const TopicConfigInfo& info, std::string_view value) {
  const auto wrong = check_value(info, value);
  if (!wrong) return std::nullopt;
  return "Invalid value " + std::string(value.substr(0, 100)) + " for configuration " + std::string(info.name) + ": " +
         *wrong;
}

std::optional<std::string> check_topic_configs(const ConfigMap& configs) {
  for (const auto& [name, value] : configs) {
    const TopicConfigInfo* info = find_topic_config(name);
    if (info == nullptr) return "Unknown topic config name: " + name.substr(0, 100);
    if (auto wrong = check_topic_config(*info, value)) return wrong;
  }
  const auto number = [&](std::string_view name) {
    const auto found = configs.find(name);
    return parse_long(found == configs.end() ? find_topic_config(name)->default_value : found->second).value_or(0);
  };
  if (number("min.compaction.lag.ms") > number("max.compaction.lag.ms")) {
    return "min.compaction.lag.ms is above max.compaction.lag.ms";
  }
  const auto remote = configs.find("remote.storage.enable");
  if (remote != configs.end() && parse_boolean(remote->second) == true) {
    return "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log "
           "storage.";
  }
  return std::nullopt;
}

}  // namespace penstock::control
