// MemberTally: examples, and that it always says what counting all members anew says (seeds replay: PENSTOCK_SEED).
#include "control/groups/member_tally.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "base/prng.h"

namespace penstock::control::groups {
namespace {

using Names = std::vector<std::string>;

Names wanted(const MemberTally& tally) {
  Names names;
  for (const auto& [name, count] : tally.topics()) names.push_back(name);
  return names;
}

Subscription to_topics(Names names) {
  Subscription is;
  is.topic_names = std::move(names);
  return is;
}

Subscription to_pattern(std::string pattern) {
  Subscription is;
  is.regex = std::move(pattern);
  return is;
}

TEST(MemberTally, a_topic_is_wanted_as_long_as_one_member_names_it) {
  MemberTally tally;
  const Subscription both = to_topics({"t", "u"});
  tally.add("a", both);
  tally.add("b", to_topics({"t"}));
  EXPECT_EQ(wanted(tally), (Names{"t", "u"}));
  tally.remove("a", both);
  EXPECT_EQ(wanted(tally), Names{"t"});
  EXPECT_EQ(tally.topics().at("t"), 1U);
}

TEST(MemberTally, what_a_pattern_matched_is_wanted_while_somebody_uses_it) {
  MemberTally tally;
  tally.add("a", to_pattern("t.*"));
  EXPECT_TRUE(tally.uses_patterns());
  EXPECT_FALSE(tally.all_resolved());
  tally.resolve("t.*", ResolvedPattern{.topics = {"t1", "t2"}});
  EXPECT_TRUE(tally.all_resolved());
  EXPECT_EQ(wanted(tally), (Names{"t1", "t2"}));
  tally.resolve("t.*", ResolvedPattern{.topics = {"t2", "t3"}});
  EXPECT_EQ(wanted(tally), (Names{"t2", "t3"}));
  tally.remove("a", to_pattern("t.*"));
  EXPECT_EQ(wanted(tally), Names());
  EXPECT_FALSE(tally.uses_patterns());
  ASSERT_NE(tally.resolved("t.*"), nullptr) << "its record is there still";
  tally.resolve("t.*", std::nullopt);
  EXPECT_EQ(tally, MemberTally());
}

// When a log is read a pattern's record may come before the members that use it.
TEST(MemberTally, a_pattern_may_be_resolved_before_it_is_used) {
  MemberTally tally;
  tally.resolve("t.*", ResolvedPattern{.topics = {"t1"}});
  EXPECT_EQ(wanted(tally), Names());
  tally.add("a", to_pattern("t.*"));
  tally.add("b", to_pattern("t.*"));
  EXPECT_TRUE(tally.all_resolved());
  EXPECT_EQ(wanted(tally), Names{"t1"});
}

TEST(MemberTally, votes_protocols_and_who_has_arrived) {
  MemberTally tally;
  Subscription classic = to_topics({"t"});
  classic.server_assignor = "range";
  classic.classic = ClassicMetadata{.protocols = {{"range", {}}, {"sticky", {}}, {"range", {}}}};
  tally.add("a", classic);
  tally.add("b", to_topics({"t"}));
  EXPECT_EQ(tally.votes("range"), 1U);
  EXPECT_EQ(tally.votes("uniform"), 0U);
  EXPECT_EQ(tally.classic(), 1U);
  EXPECT_EQ(tally.classic_supporters("range"), 1U) << "though it names it twice";
  tally.add(Progress{.epoch = 3});
  tally.add(Progress{.epoch = 3, .state = MemberState::kUnreleased});
  EXPECT_EQ(tally.arrived(3), 1U);
  tally.remove(Progress{.epoch = 3});
  EXPECT_EQ(tally.arrived(3), 0U);
}

TEST(MemberTally, takes_less_memory_when_members_go) {
  MemberTally tally;
  Subscription is = to_topics({"t"});
  is.rack_id = std::string(100, 'r');
  tally.add("a", is);
  const size_t one = tally.bytes();
  EXPECT_GT(one, 100U);
  tally.add("b", is);
  EXPECT_EQ(tally.bytes(), 2 * one);
  tally.remove("a", is);
  EXPECT_EQ(tally.bytes(), one);
}

struct Member {
  Subscription subscription;
  Progress progress;
};

const std::vector<std::string> kTopics{"t", "u", "v", "w"};
const std::vector<std::string> kPatterns{"t|u", "v.*", "none"};
const std::vector<std::string> kProtocols{"range", "sticky", "cooperative"};

Subscription random_subscription(Prng& prng) {
  Subscription is;
  for (const std::string& topic : kTopics) {
    if (prng.below(3) == 0) is.topic_names.push_back(topic);
  }
  if (prng.below(2) == 0) is.regex = kPatterns[prng.below(kPatterns.size())];
  if (prng.below(2) == 0) is.server_assignor = kProtocols[prng.below(2)];
  if (prng.below(3) == 0) {
    auto& classic = is.classic.emplace();
    for (uint64_t n = prng.below(3); n > 0; --n) {
      classic.protocols.emplace_back(kProtocols[prng.below(kProtocols.size())], std::vector<std::byte>(prng.below(9)));
    }
  }
  return is;
}

TEST(MemberTally, says_what_counting_anew_says) {
  const char* given = std::getenv("PENSTOCK_SEED");
  const uint64_t seed = given == nullptr ? 20261126 : std::strtoull(given, nullptr, 10);
  SCOPED_TRACE("PENSTOCK_SEED=" + std::to_string(seed));
  Prng prng(seed);
  std::map<std::string, Member> members;
  std::map<std::string, ResolvedPattern> resolved;
  MemberTally tally;
  for (int step = 0; step < 3000; ++step) {
    const std::string id = "m" + std::to_string(prng.below(8));
    const auto at = members.find(id);
    if (prng.below(4) == 0) {
      const std::string& pattern = kPatterns[prng.below(kPatterns.size())];
      resolved.erase(pattern);
      if (prng.below(3) > 0) {
        for (const std::string& topic : kTopics) {
          if (prng.below(2) == 0) resolved[pattern].topics.insert(topic);
        }
        resolved[pattern].version = step;
      }
      const auto is = resolved.find(pattern);
      tally.resolve(pattern, is == resolved.end() ? std::nullopt : std::optional(is->second));
    } else if (at == members.end()) {
      Member& member = members[id];
      member.subscription = random_subscription(prng);
      tally.add(id, member.subscription);
      tally.add(member.progress);
    } else {
      tally.remove(id, at->second.subscription);
      tally.remove(at->second.progress);
      if (prng.below(3) == 0) {
        members.erase(at);
      } else {
        at->second.subscription = random_subscription(prng);
        at->second.progress = {.epoch = static_cast<int32_t>(prng.below(4)),
                               .state = static_cast<MemberState>(prng.below(3))};
        tally.add(id, at->second.subscription);
        tally.add(at->second.progress);
      }
    }
    MemberTally again;
    for (const auto& [name, is] : resolved) again.resolve(name, is);
    for (const auto& [name, member] : members) {
      again.add(name, member.subscription);
      again.add(member.progress);
    }
    ASSERT_EQ(tally, again) << "step " << step;
    for (const std::string& topic : kTopics) {
      const bool is_wanted = std::ranges::any_of(members, [&](const auto& entry) {
        const Subscription& is = entry.second.subscription;
        const auto matches = is.regex ? resolved.find(*is.regex) : resolved.end();
        return std::ranges::find(is.topic_names, topic) != is.topic_names.end() ||
               (matches != resolved.end() && matches->second.topics.contains(topic));
      });
      ASSERT_EQ(tally.topics().contains(topic), is_wanted) << topic << ", step " << step;
    }
  }
}

}  // namespace
}  // namespace penstock::control::groups
