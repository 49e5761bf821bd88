#include "control/groups/regex.h"

#include <re2/re2.h>

#include <algorithm>

namespace penstock::control::groups {
namespace {

// Bounds what a compiled pattern, and the states that matching makes of it, may take.
constexpr int64_t kRegexMemory = 1 << 20;

RE2::Options options() {
  RE2::Options options(RE2::Quiet);
  options.set_max_mem(kRegexMemory);
  options.set_never_capture(true);
  return options;
}

std::expected<void, std::string> problem_of(const std::string& pattern, const RE2& compiled) {
  if (pattern.size() > kRegexLengthMax) {
    return std::unexpected("SubscribedTopicRegex is longer than " + std::to_string(kRegexLengthMax) + " bytes.");
  }
  if (compiled.ok()) return {};
  return std::unexpected("SubscribedTopicRegex `" + pattern +
                         "` is not a valid regular expression: " + compiled.error() + ".");
}

}  // namespace

std::expected<std::optional<std::string>, std::string> match_topics(const std::string& pattern,
                                                                    const TopicTable& topics, std::string_view from,
                                                                    uint64_t& work, std::set<std::string>& matched) {
  const RE2 compiled(pattern.size() > kRegexLengthMax ? std::string() : pattern, options());
  if (auto good = problem_of(pattern, compiled); !good) return std::unexpected(std::move(good.error()));
  const auto instructions = static_cast<uint64_t>(std::max(compiled.ProgramSize(), 1));
  const auto first = topics.topics().lower_bound(from);
  for (auto at = first; at != topics.topics().end(); ++at) {
    const std::string& name = at->first;
    if (work == 0 && at != first) return name;
    work -= std::min<uint64_t>(work, instructions * (name.size() + 1));
    if (RE2::FullMatch(name, compiled)) matched.insert(matched.end(), name);
  }
  return std::nullopt;
}

std::expected<void, std::string> check_regex(const std::string& pattern) {
  return problem_of(pattern, RE2(pattern.size() > kRegexLengthMax ? std::string() : pattern, options()));
}

}  // namespace penstock::control::groups
