#include "control/groups/regex.h"

#include <re2/re2.h>

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

std::expected<std::set<std::string>, std::string> match_topics(const std::string& pattern, const TopicTable& topics) {
  const RE2 compiled(pattern.size() > kRegexLengthMax ? std::string() : pattern, options());
  if (auto good = problem_of(pattern, compiled); !good) return std::unexpected(std::move(good.error()));
  std::set<std::string> matched;
  for (const auto& [name, facts] : topics.topics()) {
    if (RE2::FullMatch(name, compiled)) matched.insert(matched.end(), name);
  }
  return matched;
}

std::expected<void, std::string> check_regex(const std::string& pattern) {
  return problem_of(pattern, RE2(pattern.size() > kRegexLengthMax ? std::string() : pattern, options()));
}

}  // namespace penstock::control::groups
