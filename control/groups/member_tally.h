// MemberTally: what a next-generation group must know of all its members together, kept as each comes, changes and
// goes, so that a heartbeat looks at no member but its own: which topics are wanted, by name or by pattern; what
// patterns match; votes for assignors; which classic protocols all have; who has arrived in which epoch; and about what
// it takes in memory. It says what counting all members anew would say: two tallies of the same members are equal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "control/groups/consumer_member.h"

namespace penstock::control::groups {

// What a pattern of topics matched when it was last looked at.
struct ResolvedPattern {
  std::set<std::string> topics;
  int64_t version = 0;  // of the topics that there were
  int64_t timestamp = 0;
  friend bool operator==(const ResolvedPattern&, const ResolvedPattern&) = default;
};

class MemberTally {
 public:
  struct Pattern {
    size_t users = 0;  // members who want it
    std::optional<ResolvedPattern> resolved;
    friend bool operator==(const Pattern&, const Pattern&) = default;
  };
  using Counts = std::map<std::string, size_t, std::less<>>;
  using Patterns = std::map<std::string, Pattern, std::less<>>;

  // A member is counted with what it is now: to change one, remove it, change it, add it.
  void add(std::string_view id, const Subscription& is) { count(id, is, 1); }
  void remove(std::string_view id, const Subscription& is) { count(id, is, -1); }
  void add(const Progress& is) { count(is, 1); }
  void remove(const Progress& is) { count(is, -1); }
  // Nothing: it is not known any more what the pattern matches.
  void resolve(std::string_view pattern, std::optional<ResolvedPattern> resolved);

  // Topics that are wanted; the numbers are of members that name one and of patterns in use that match it.
  const Counts& topics() const { return topics_; }
  // Those that are in use or resolved.
  const Patterns& patterns() const { return patterns_; }
  // nullptr if it was not looked at.
  const ResolvedPattern* resolved(std::string_view pattern) const;
  bool all_resolved() const { return unresolved_ == 0; }  // of those in use
  bool uses_patterns() const { return used_ > 0; }
  size_t votes(std::string_view assignor) const { return value(votes_, assignor); }
  size_t classic() const { return classic_; }  // members that speak the classic protocol
  size_t classic_supporters(std::string_view protocol) const { return value(protocols_, protocol); }
  size_t arrived(int32_t epoch) const;  // members that have all of their target of that epoch
  size_t bytes() const { return bytes_; }

  friend bool operator==(const MemberTally&, const MemberTally&) = default;

 private:
  static size_t value(const Counts& counts, std::string_view name);
  void count(std::string_view id, const Subscription& is, int by);
  void count(const Progress& is, int by);
  void count_classic(const ClassicMetadata& is, int by);
  void use(const std::string& pattern, int by);
  void want(const ResolvedPattern& pattern, int by);
  void drop_if_nothing(Patterns::iterator at);

  Counts topics_;
  Patterns patterns_;
  size_t used_ = 0;  // patterns
  size_t unresolved_ = 0;
  Counts votes_;
  size_t classic_ = 0;
  Counts protocols_;
  std::map<int32_t, size_t> arrived_;
  size_t bytes_ = 0;
};

}  // namespace penstock::control::groups
