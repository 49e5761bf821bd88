// All settings of the program: the three options.def in one table, and how a value gets in. Order of precedence, lowest
// first: the defaults, the TOML file of --config, --set NAME=VALUE, the flags of their own (--listen, --http). --data
// is one too, but another log.dirs beside it is refused: a broker shall not begin an empty folder by mistake.
#pragma once

#include <cstdint>
#include <expected>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "control/controller/kafka_config.h"
#include "control/types.h"
#include "dataplane/api/types.h"
#include "storage/api/types.h"

namespace penstock::control {

struct Settings {
  BrokerOptions broker;
  storage::StorageOptions storage;
  dataplane::DataplaneOptions dataplane;
  ConfigMap topic_defaults{};                  // Kafka's configs that give topics defaults and are no option of ours
  std::set<std::string, std::less<>> given{};  // names of the options that somebody set
};

enum class OptionKind : uint8_t { kInt, kBool, kText };

struct OptionInfo {
  std::string_view name;
  OptionKind kind;
  int64_t min = 0;  // of an int
  int64_t max = 0;
  std::string_view unit;     // of an int: bytes, ms, us, or nothing
  std::string_view allowed;  // of a text: words parted by blanks, or nothing for any text
  std::string_view help;
};

std::span<const OptionInfo> option_list();

// The value as text, as set_option would take it.
std::string option_value(const Settings& settings, std::string_view name);

// What is wrong is one line that names the setting and what is allowed.
std::expected<void, std::string> set_option(Settings& settings, std::string_view name, std::string_view value);
std::expected<void, std::string> set_option(Settings& settings, std::string_view assignment);  // "name=value"

// log.dirs as --data says it; folders: each time that it was given. Refused if somebody else has set another one.
std::expected<void, std::string> set_data_folders(Settings& settings, const std::vector<std::string>& folders);

// Those that are Kafka's configs and were set, or differ from Kafka's default: what Kafka calls static configs.
ConfigMap kafka_settings(const Settings& settings);
// The names of all that are Kafka's configs.
std::set<std::string, std::less<>> kafka_setting_names();

// A TOML file; nothing else is read, least of all a folder as an empty one. Names may be written with dots
// (max.connections = 5), in quotes, or as tables: they mean the same.
std::expected<void, std::string> read_config_file(Settings& settings, const std::string& path);

// Rules between settings, once all are in.
std::expected<void, std::string> check_settings(const Settings& settings);

}  // namespace penstock::control
