#include "control/options.h"

#include <toml++/toml.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>
#include <variant>

#include "control/data_folders.h"
#include "control/groups/group_runtime.h"

namespace penstock::control {
namespace {

using Failure = std::unexpected<std::string>;
using Place = std::variant<int64_t*, bool*, std::string*>;

// One row an option, and in places() its member: both from the same lists, so they stay in step.
constexpr OptionInfo kOptions[] = {
#define OPTION_INT(id, name, default_value, min, max, unit, help) {name, OptionKind::kInt, min, max, unit, "", help},
#define OPTION_BOOL(id, name, default_value, help) {name, OptionKind::kBool, 0, 0, "", "", help},
#define OPTION_TEXT(id, name, default_value, allowed, help) {name, OptionKind::kText, 0, 0, "", allowed, help},
#include "control/options.def"
#include "dataplane/api/options.def"
#include "storage/api/options.def"
#undef OPTION_INT
#undef OPTION_BOOL
#undef OPTION_TEXT
};

std::vector<Place> places(Settings& settings) {
  std::vector<Place> all;
#define OPTION_INT(id, name, default_value, min, max, unit, help) all.emplace_back(&layer.id);
#define OPTION_BOOL(id, name, default_value, help) all.emplace_back(&layer.id);
#define OPTION_TEXT(id, name, default_value, allowed, help) all.emplace_back(&layer.id);
  {
    auto& layer = settings.broker;
#include "control/options.def"
  }
  {
    auto& layer = settings.dataplane;
#include "dataplane/api/options.def"
  }
  {
    auto& layer = settings.storage;
#include "storage/api/options.def"
  }
#undef OPTION_INT
#undef OPTION_BOOL
#undef OPTION_TEXT
  return all;
}

const OptionInfo* find_option(std::string_view name) {
  const auto* found = std::ranges::find(kOptions, name, &OptionInfo::name);
  return found == std::end(kOptions) ? nullptr : found;
}

// What a user may have meant by an unknown name: an option that ends like it, or holds it.
std::string hint_for(std::string_view name) {
  for (const OptionInfo& info : kOptions) {
    const bool close = !name.empty() && (info.name.find(name) != std::string_view::npos ||
                                         name.find(info.name) != std::string_view::npos);
    if (close) return "; did you mean " + std::string(info.name) + "?";
  }
  return "; docs/CONFIG.md lists all settings";
}

Failure bad_value(const OptionInfo& info, std::string_view value, const std::string& allowed) {
  return Failure(std::string(info.name) + ": '" + std::string(value.substr(0, 200)) + "' is not " + allowed);
}

// A whole number, which may be followed by its unit; sizes in bytes also by a larger one.
std::expected<int64_t, std::string> parse_int(const OptionInfo& info, std::string_view text) {
  const std::string range = "a whole number from " + std::to_string(info.min) + " to " + std::to_string(info.max) +
                            (info.unit.empty()      ? ""
                             : info.unit == "bytes" ? " (bytes, or with KiB, MiB, GiB, TiB)"
                                                    : " (" + std::string(info.unit) + ")");
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{}) return bad_value(info, text, range);
  std::string_view suffix(end, static_cast<size_t>(text.data() + text.size() - end));
  if (suffix.size() > 1 && suffix.starts_with(' ')) suffix.remove_prefix(1);  // as docs/CONFIG.md writes them
  constexpr std::pair<std::string_view, int64_t> kSizes[] = {
      {"KiB", 1LL << 10}, {"MiB", 1LL << 20}, {"GiB", 1LL << 30}, {"TiB", 1LL << 40}};
  if (!suffix.empty() && suffix != info.unit) {
    const auto* size = std::ranges::find(kSizes, suffix, &std::pair<std::string_view, int64_t>::first);
    if (size == std::end(kSizes) || info.unit != "bytes") return bad_value(info, text, range);
    if (__builtin_mul_overflow(number, size->second, &number)) return bad_value(info, text, range);
  }
  if (number < info.min || number > info.max) return bad_value(info, text, range);
  return number;
}

std::string to_toml_name(const toml::key& key) { return std::string(key.str()); }

// A list becomes a text with commas, so whatever is a text may be a list. Of an unknown name something else is said.
bool takes_list(const std::string& name) {
  if (const OptionInfo* info = find_option(name)) return info->kind == OptionKind::kText;
  const ConfigInfo* config = find_config(ConfigScope::kBroker, name);
  return config == nullptr || config->type == ConfigType::kList || config->type == ConfigType::kString;
}

bool is_whole(const std::string& name) {
  if (const OptionInfo* info = find_option(name)) return info->kind == OptionKind::kInt;
  const ConfigInfo* config = find_config(ConfigScope::kBroker, name);
  return config != nullptr &&
         (config->type == ConfigType::kShort || config->type == ConfigType::kInt || config->type == ConfigType::kLong);
}

bool takes_fraction(const std::string& name) {
  const ConfigInfo* config = find_config(ConfigScope::kBroker, name);
  return config != nullptr && config->type == ConfigType::kDouble;
}

std::expected<std::string, std::string> to_text(const std::string& name, const toml::node& node) {
  if (const auto* number = node.as_integer()) return std::to_string(number->get());
  if (const auto* number = node.as_floating_point(); number != nullptr && takes_fraction(name)) {
    std::array<char, 32> text;
    return std::string(text.data(), std::to_chars(text.data(), text.data() + text.size(), number->get()).ptr);
  }
  if (node.is_floating_point() && is_whole(name))
    return Failure(name + ": a whole number is expected, written without a point or an exponent");
  if (const auto* truth = node.as_boolean()) return truth->get() ? "true" : "false";
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* list = node.as_array()) {
    if (!takes_list(name)) return Failure(name + ": one value is expected, not a list");
    std::string joined;
    for (const toml::node& element : *list) {
      const auto text = to_text(name, element);
      if (!text || element.is_array()) return Failure(name + ": a list holds only texts and whole numbers");
      joined += (joined.empty() ? "" : ",") + *text;
    }
    return joined;
  }
  return Failure(name + ": a whole number, a text, true, false, or a list of them is expected");
}

// A config of Kafka that only gives topics a default needs no option: its line in the list says what it may be.
std::expected<void, std::string> set_topic_default(Settings& settings, std::string_view name, std::string_view value) {
  const ConfigInfo& info = *find_config(ConfigScope::kBroker, name);
  if (auto wrong = check_config(info, value)) return Failure(std::string(name) + ": " + *wrong);
  settings.topic_defaults[std::string(name)] = canonical(info, value);
  return {};
}

std::expected<void, std::string> take_table(Settings& settings, const std::string& prefix, const toml::table& table) {
  for (const auto& [key, node] : table) {
    const std::string name = prefix + to_toml_name(key);
    if (const auto* nested = node.as_table()) {
      if (auto done = take_table(settings, name + ".", *nested); !done) return done;
      continue;
    }
    const auto value = to_text(name, node);
    const auto done = value ? set_option(settings, name, *value) : Failure(value.error());
    if (!done) return Failure("line " + std::to_string(node.source().begin.line) + ": " + done.error());
  }
  return {};
}

}  // namespace

std::span<const OptionInfo> option_list() { return kOptions; }

std::string option_value(const Settings& settings, std::string_view name) {
  Settings copy = settings;
  const Place place = places(copy)[static_cast<size_t>(find_option(name) - kOptions)];
  if (auto* const* number = std::get_if<int64_t*>(&place)) return std::to_string(**number);
  if (auto* const* truth = std::get_if<bool*>(&place)) return **truth ? "true" : "false";
  return **std::get_if<std::string*>(&place);
}

std::expected<void, std::string> set_option(Settings& settings, std::string_view name, std::string_view value) {
  const OptionInfo* info = find_option(name);
  if (info == nullptr && gives_topics_a_default(name)) return set_topic_default(settings, name, value);
  if (info == nullptr) return Failure(std::string(name.substr(0, 200)) + ": there is no such setting" + hint_for(name));
  const Place place = places(settings)[static_cast<size_t>(info - kOptions)];
  switch (info->kind) {
    case OptionKind::kInt: {
      const auto number = parse_int(*info, value);
      if (!number) return Failure(number.error());
      **std::get_if<int64_t*>(&place) = *number;
      break;
    }
    case OptionKind::kBool:
      if (value != "true" && value != "false") return bad_value(*info, value, "true or false");
      **std::get_if<bool*>(&place) = value == "true";
      break;
    case OptionKind::kText: {
      const std::string words = " " + std::string(info->allowed) + " ";
      const std::string wanted = " " + std::string(value) + " ";
      const bool one_word = !value.empty() && value.find(' ') == std::string_view::npos;
      if (!info->allowed.empty() && !(one_word && words.find(wanted) != std::string::npos)) {
        return bad_value(*info, value, "one of: " + std::string(info->allowed));
      }
      **std::get_if<std::string*>(&place) = value;
      break;
    }
  }
  settings.given.emplace(name);
  return {};
}

std::set<std::string, std::less<>> kafka_setting_names() {
  std::set<std::string, std::less<>> names;
  for (const OptionInfo& info : kOptions) {
    if (find_config(ConfigScope::kBroker, info.name) != nullptr) names.emplace(info.name);
  }
  return names;
}

ConfigMap kafka_settings(const Settings& settings) {
  // Values that say "not set" here, where Kafka has null.
  static const ConfigMap kNothing = {{"advertised.listeners", ""},
                                     {"broker.rack", ""},
                                     {"log.cleaner.io.max.bytes.per.second", "9223372036854775807"},
                                     {"log.retention.minutes", "-2"},
                                     {"log.retention.ms", "-2"},
                                     {"log.roll.ms", "0"}};
  ConfigMap set = settings.topic_defaults;
  for (const std::string& name : kafka_setting_names()) {
    std::string value = option_value(settings, name);
    const auto nothing = kNothing.find(name);
    if (nothing != kNothing.end() && nothing->second == value) continue;
    const ConfigInfo& info = *find_config(ConfigScope::kBroker, name);
    if (settings.given.contains(name) || info.default_value != value) set.emplace(name, std::move(value));
  }
  // One process is both, and Kafka's older name of the number still counts.
  set["broker.id"] = set["node.id"] = std::to_string(settings.broker.node_id);
  set["process.roles"] = "broker,controller";
  return set;
}

std::expected<void, std::string> set_option(Settings& settings, std::string_view assignment) {
  const size_t at = assignment.find('=');
  if (at == std::string_view::npos) return Failure("'" + std::string(assignment) + "' is not of the form NAME=VALUE");
  return set_option(settings, assignment.substr(0, at), assignment.substr(at + 1));
}

std::expected<void, std::string> set_data_folders(Settings& settings, const std::vector<std::string>& folders) {
  std::string joined;
  for (const std::string& folder : folders) joined += (joined.empty() ? "" : ",") + folder;
  const std::string& other = settings.broker.log_dirs;
  if (settings.given.contains("log.dirs") && !same_folders(joined, other)) {
    return Failure("log.dirs: --data says " + joined + ", --set or the settings file says " + other +
                   "; say it in one place");
  }
  return set_option(settings, "log.dirs", joined);
}

std::expected<void, std::string> read_config_file(Settings& settings, const std::string& path) {
  std::error_code error;
  const auto found = std::filesystem::status(path, error);
  if (std::filesystem::exists(found) && !std::filesystem::is_regular_file(found)) {
    return Failure(path + ": is not a file; --config takes a TOML file");
  }
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) return Failure(path + ": cannot be read: " + std::strerror(errno));
  try {
    const toml::table table = toml::parse(file, path);
    if (auto done = take_table(settings, "", table); !done) return Failure(path + ": " + done.error());
    return {};
  } catch (const toml::parse_error& problem) {
    return Failure(path + ": line " + std::to_string(problem.source().begin.line) + ": " +
                   std::string(problem.description()));
  }
}

std::expected<void, std::string> check_settings(const Settings& settings) {
  const auto& dataplane = settings.dataplane;
  if (dataplane.receive_pool_bytes / 5 * 4 < dataplane.request_max_bytes) {
    return Failure("penstock.receive.pool.bytes (" + std::to_string(dataplane.receive_pool_bytes) +
                   ") must be socket.request.max.bytes (" + std::to_string(dataplane.request_max_bytes) +
                   ") and a quarter more, so that one request of that size fits");
  }
  if (auto paths = parse_log_dirs(settings.broker.log_dirs); !paths) return Failure(paths.error());
  const auto& broker = settings.broker;
  if (broker.group_consumer_heartbeat_interval_ms >= broker.group_consumer_session_timeout_ms) {
    return Failure("group.consumer.heartbeat.interval.ms (" +
                   std::to_string(broker.group_consumer_heartbeat_interval_ms) +
                   ") must be less than group.consumer.session.timeout.ms (" +
                   std::to_string(broker.group_consumer_session_timeout_ms) +
                   "), or members are taken for dead between two heartbeats");
  }
  for (const std::string_view name : {"log.retention.ms", "log.retention.minutes", "log.retention.hours"}) {
    if (option_value(settings, name) != "0") continue;
    return Failure(std::string(name) + ": 0 is no period; say a number above zero, or -1 for no limit");
  }
  if (auto wrong = check_config(*find_config(ConfigScope::kTopic, "cleanup.policy"), broker.log_cleanup_policy)) {
    return Failure("log.cleanup.policy: " + *wrong);
  }
  if (auto wrong = groups::problem_with_assignors(broker.group_consumer_assignors); !wrong.empty()) {
    return Failure(wrong);
  }
  return {};
}

}  // namespace penstock::control
