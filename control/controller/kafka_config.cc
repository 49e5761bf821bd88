#include "control/controller/kafka_config.h"

#include <algorithm>
#include <charconv>
#include <set>
#include <utility>

namespace penstock::control {
namespace {

// Rows of a scope stand together, by name; generate_configs.py sees to it.
#define KAFKA_CONFIG(scope, name, type, default_value, valid, update, nonempty, internal, dynamic_only, source, \
                     bounds, meaning)                                                                           \
  ConfigInfo{name,         ConfigType::type, default_value, valid,  ConfigUpdate::update, nonempty, internal,   \
             dynamic_only, source,           bounds,        meaning},
constexpr ConfigInfo kConfigs[] = {
#include "control/controller/gen/kafka_configs.def"
};
#undef KAFKA_CONFIG
#define KAFKA_CONFIG(scope, ...) ConfigScope::scope,
constexpr ConfigScope kScopes[] = {
#include "control/controller/gen/kafka_configs.def"
};
#undef KAFKA_CONFIG

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t at = text.find(separator);
    parts.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

// As Java's String.trim: everything up to the blank goes, control characters too.
std::string_view trim(std::string_view text) {
  const auto goes = [](char c) { return static_cast<unsigned char>(c) <= ' '; };
  while (!text.empty() && goes(text.front())) text.remove_prefix(1);
  while (!text.empty() && goes(text.back())) text.remove_suffix(1);
  return text;
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
std::optional<std::string> check_number(const ConfigInfo& info, std::string_view text, std::string_view kind) {
  const auto value = parse<Number>(text);
  if (!value) return "not a number of type " + std::string(kind);
  const auto alternatives = split(info.valid, '|');
  const auto fits = [&](std::string_view alternative) { return within<Number>(*value, alternative); };
  if (info.valid.empty() || std::ranges::any_of(alternatives, fits)) return std::nullopt;
  return "allowed: " + std::string(info.valid);
}

bool is_same_in_any_case(std::string_view a, std::string_view b) {
  const auto small = [](char c) { return 'A' <= c && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; };
  return std::ranges::equal(a, b, {}, small, small);
}

std::optional<std::string> check_word(const ConfigInfo& info, std::string_view word) {
  constexpr std::string_view kAnyCase = "ci:";
  const bool any_case = info.valid.starts_with(kAnyCase);
  const auto words = split(info.valid.substr(any_case ? kAnyCase.size() : 0), '|');
  const auto fits = [&](std::string_view allowed) {
    if (allowed.ends_with('*')) return word.starts_with(allowed.substr(0, allowed.size() - 1));
    return any_case ? is_same_in_any_case(word, allowed) : word == allowed;
  };
  if (info.valid.empty() || std::ranges::any_of(words, fits)) return std::nullopt;
  return "allowed: " + std::string(info.valid.substr(any_case ? kAnyCase.size() : 0));
}

std::optional<std::string> check_replicas(std::string_view element) {
  const auto parts = split(element, ':');
  if (parts.size() == 2 && parse<int32_t>(parts[0]) && parse<int32_t>(parts[1])) return std::nullopt;
  return "allowed: * or partition:broker pairs";
}

std::optional<std::string> check_list(const ConfigInfo& info, std::string_view text) {
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

// Records of the metadata store are lines.
bool has_control_letters(std::string_view text) {
  return std::ranges::any_of(text, [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; });
}

// value: canonical.
std::optional<std::string> check_value(const ConfigInfo& info, std::string_view value) {
  if (has_control_letters(value)) return "it has control characters";
  if (info.nonempty && value.empty()) return "it must not be empty";
  switch (info.type) {
    case ConfigType::kBoolean: return check_boolean(value);
    case ConfigType::kString: return check_word(info, value);
    case ConfigType::kClass:
    case ConfigType::kPassword: return std::nullopt;
    case ConfigType::kShort: return check_number<int16_t>(info, value, "short");
    case ConfigType::kUnknown:
    case ConfigType::kInt: return check_number<int32_t>(info, value, "int");
    case ConfigType::kLong: return check_number<int64_t>(info, value, "long");
    case ConfigType::kDouble: return check_number<double>(info, value, "double");
    case ConfigType::kList: return check_list(info, value);
  }
  std::unreachable();
}

}  // namespace

std::optional<int64_t> parse_long(std::string_view text) { return parse<int64_t>(text); }
std::optional<double> parse_double(std::string_view text) { return parse<double>(text); }

std::vector<std::string_view> list_elements(std::string_view text) {
  if (trim(text).empty()) return {};
  std::vector<std::string_view> elements = split(text, ',');
  for (std::string_view& element : elements) element = trim(element);
  return elements;
}

bool gives_topics_a_default(std::string_view broker_config) {
  const auto is_it = [&](std::string_view source) { return source.substr(0, source.find(':')) == broker_config; };
  return std::ranges::any_of(configs_of(ConfigScope::kTopic), [&](const ConfigInfo& info) {
    return std::ranges::any_of(list_elements(info.source), is_it);
  });
}

std::string join_list(const std::vector<std::string_view>& elements) {
  std::string text;
  for (size_t i = 0; i < elements.size(); ++i) text.append(i == 0 ? "" : ",").append(elements[i]);
  return text;
}

std::span<const ConfigInfo> configs_of(ConfigScope scope) {
  const auto [first, last] = std::ranges::equal_range(kScopes, scope);
  return {kConfigs + (first - std::begin(kScopes)), static_cast<size_t>(last - first)};
}

const ConfigInfo* find_config(ConfigScope scope, std::string_view name) {
  const auto configs = configs_of(scope);
  const auto found = std::ranges::lower_bound(configs, name, {}, &ConfigInfo::name);
  return found != configs.end() && found->name == name ? &*found : nullptr;
}

std::optional<std::string> check_config(const ConfigInfo& info, std::string_view value) {
  const auto wrong = check_value(info, canonical(info, value));
  if (!wrong) return std::nullopt;
  return "Invalid value " + std::string(value.substr(0, 100)) + " for configuration " + std::string(info.name) + ": " +
         *wrong;
}

std::string canonical(const ConfigInfo& info, std::string_view value) {
  switch (info.type) {
    case ConfigType::kBoolean: {
      const auto truth = parse_boolean(value);
      return !truth ? std::string(trim(value)) : *truth ? "true" : "false";
    }
    case ConfigType::kList: return join_list(list_elements(value));
    case ConfigType::kInt:
    case ConfigType::kShort:
    case ConfigType::kLong: {
      const auto number = parse_long(value);
      return number ? std::to_string(*number) : std::string(trim(value));
    }
    default: return std::string(trim(value));
  }
}

void make_canonical(ConfigScope scope, ConfigMap& configs) {
  for (auto& [name, value] : configs) {
    if (const ConfigInfo* info = find_config(scope, name)) value = canonical(*info, value);
  }
}

std::optional<std::string> check_topic_configs(const ConfigMap& configs, const ConfigMap& defaults) {
  for (const auto& [name, value] : configs) {
    const ConfigInfo* info = find_config(ConfigScope::kTopic, name);
    if (info == nullptr) return "Unknown topic config name: " + name.substr(0, 100);
    if (auto wrong = check_config(*info, value)) return wrong;
  }
  const auto number = [&](std::string_view name) {
    for (const ConfigMap* map : {&configs, &defaults}) {
      if (const auto found = map->find(name); found != map->end()) return parse_long(found->second).value_or(0);
    }
    return parse_long(find_config(ConfigScope::kTopic, name)->default_value.value_or("")).value_or(0);
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
