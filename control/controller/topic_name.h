// Which topic names Kafka allows (org.apache.kafka.common.internals.Topic).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "protocol/types.h"

namespace penstock::control {

// What is wrong with the name, in a sentence for the client; nothing if it is fine.
inline std::optional<std::string> check_topic_name(std::string_view name) {
  const auto allowed = [](char c) {
    return ('a' <= c && c <= 'z') || ('A' <= c && c <= 'Z') || ('0' <= c && c <= '9') || c == '.' || c == '_' ||
           c == '-';
  };
  if (name.empty()) return "Topic name is invalid: the empty string is not allowed";
  if (name == "." || name == "..") return "Topic name is invalid: '.' or '..' is not allowed";
  static_assert(kTopicNameMax == 249);
  if (name.size() > kTopicNameMax) return "Topic name is invalid: the length is longer than the max allowed length 249";
  for (const char c : name) {
    if (!allowed(c))
      return "Topic name is invalid: it contains a character other than ASCII alphanumerics, '.', '_' and '-'";
  }
  return std::nullopt;
}

// KRaft's own log has this name, and no topic may (KAFKA-14358).
inline constexpr std::string_view kClusterMetadataTopic = "__cluster_metadata";

// Topics that the broker itself writes; clients may not. Others that begin with __ are ordinary.
inline bool is_internal_topic(std::string_view name) {
  return name == "__consumer_offsets" || name == "__transaction_state" || name == "__share_group_state";
}

}  // namespace penstock::control
