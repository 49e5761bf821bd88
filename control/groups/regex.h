// Patterns of topic names, in RE2's language as Kafka's brokers have it (KIP-848; RE2J there): matched in time that is
// linear in the name, whatever the pattern. The one place that knows the library.
#pragma once

#include <cstddef>
#include <expected>
#include <set>
#include <string>

#include "control/groups/topic_table.h"

namespace penstock::control::groups {

inline constexpr size_t kRegexLengthMax = 4096;

// The topics whose whole name the pattern matches, internal ones too as in Kafka; or what is wrong with the pattern.
std::expected<std::set<std::string>, std::string> match_topics(const std::string& pattern, const TopicTable& topics);

// The same without topics: whether it is a pattern.
std::expected<void, std::string> check_regex(const std::string& pattern);

}  // namespace penstock::control::groups
