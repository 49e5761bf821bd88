// Patterns of topic names, in RE2's language as Kafka's brokers have it (KIP-848; RE2J there): matched in time that is
// linear in the name, times the size of what the pattern is compiled to. The one place that knows the library.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "control/groups/topic_table.h"

namespace penstock::control::groups {

inline constexpr size_t kRegexLengthMax = 4096;

// Adds to matched those of the topics, from the name `from` on, whose whole name the pattern matches, internal ones too
// as in Kafka. Takes what it costs at worst from work: for each name its bytes times the instructions of the compiled
// pattern. When that is used up it ends, with the name to go on with; it always looks at one at least. Nothing: that
// was the last one. Unexpected: what is wrong with the pattern.
std::expected<std::optional<std::string>, std::string> match_topics(const std::string& pattern,
                                                                    const TopicTable& topics, std::string_view from,
                                                                    uint64_t& work, std::set<std::string>& matched);

// The same without topics: whether it is a pattern.
std::expected<void, std::string> check_regex(const std::string& pattern);

}  // namespace penstock::control::groups
