#include "control/controller/log_config.h"

#include <algorithm>
#include <string>

#include "protocol/compression/codec.h"

namespace penstock::control {
namespace {

constexpr int64_t kNoLimit = -1;

}  // namespace

std::string_view topic_value(const ConfigMap& own, const ConfigMap& defaults, std::string_view name) {
  if (const auto found = own.find(name); found != own.end()) return found->second;
  if (const auto found = defaults.find(name); found != defaults.end()) return found->second;
  return find_config(ConfigScope::kTopic, name)->default_value.value_or("");
}

int64_t long_value(const ConfigMap& own, const ConfigMap& defaults, std::string_view name) {
  return parse_long(topic_value(own, defaults, name)).value_or(0);
}

std::optional<dataplane::StoredCodec> stored_codec(const ConfigMap& own, const ConfigMap& defaults) {
  const std::string_view type = topic_value(own, defaults, "compression.type");
  if (type == "producer") return std::nullopt;
  const auto codec = protocol::compression_named(type == "uncompressed" ? "none" : type);
  if (!codec) return std::nullopt;
  const std::string level = "compression." + std::string(type) + ".level";
  const protocol::LevelRange range = protocol::levels_of(*codec);
  const bool has_level = find_config(ConfigScope::kTopic, level) != nullptr;
  const int64_t wanted = has_level ? long_value(own, defaults, level) : range.usual;
  const bool fits = wanted >= range.least && wanted <= range.most;  // gzip's -1 is the library's own choice
  return dataplane::StoredCodec{*codec, fits ? static_cast<int>(wanted) : range.usual};
}

storage::LogConfig log_config(const ConfigMap& own, const ConfigMap& defaults) {
  const auto number = [&](std::string_view name) { return long_value(own, defaults, name); };
  const auto ratio = [&](std::string_view name) {
    return parse_double(topic_value(own, defaults, name)).value_or(0.5);
  };
  const auto policies = list_elements(topic_value(own, defaults, "cleanup.policy"));
  return {.segment_bytes = static_cast<uint64_t>(number("segment.bytes")),
          .segment_ms = number("segment.ms"),
          .retention_ms = std::max(number("retention.ms"), kNoLimit),
          .retention_bytes = std::max(number("retention.bytes"), kNoLimit),
          .delete_old = std::ranges::find(policies, "delete") != policies.end(),
          .compact = std::ranges::find(policies, "compact") != policies.end(),
          .delete_retention_ms = number("delete.retention.ms"),
          .min_compaction_lag_ms = number("min.compaction.lag.ms"),
          .max_compaction_lag_ms = number("max.compaction.lag.ms"),
          .min_cleanable_dirty_ratio = ratio("min.cleanable.dirty.ratio"),
          .file_delete_delay_ms = number("file.delete.delay.ms"),
          .append_time = topic_value(own, defaults, "message.timestamp.type") == "LogAppendTime",
          .timestamp_before_max_ms = number("message.timestamp.before.max.ms"),
          .timestamp_after_max_ms = number("message.timestamp.after.max.ms")};
}

}  // namespace penstock::control
