// The assignors: examples, and properties over random groups (seeds replay: PENSTOCK_SEED).
#include "control/groups/assignor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <string>

#include "base/prng.h"

namespace penstock::control::groups {
namespace {

Uuid topic_id(size_t number) {
  Uuid id;
  id.bytes[0] = static_cast<uint8_t>(number + 1);
  return id;
}

struct Group {
  std::vector<int32_t> topics;               // partitions of each
  std::vector<std::vector<uint32_t>> wants;  // of each member
  std::vector<std::string> ids;
  AssignorOutput before;

  AssignorInput input() const {
    AssignorInput input;
    for (size_t i = 0; i < topics.size(); ++i) input.topics.push_back({.id = topic_id(i), .partitions = topics[i]});
    for (size_t i = 0; i < wants.size(); ++i) {
      input.members.push_back(
          {.id = ids[i], .instance_id = {}, .topics = wants[i], .before = i < before.size() ? &before[i] : nullptr});
    }
    return input;
  }
};

Group make_group(std::vector<int32_t> topics, std::vector<std::vector<uint32_t>> wants) {
  Group group{.topics = std::move(topics), .wants = std::move(wants), .ids = {}, .before = {}};
  for (size_t i = 0; i < group.wants.size(); ++i) group.ids.push_back("m" + std::to_string(1000 + i));
  return group;
}

Group random_group(Prng& prng, bool alike) {
  std::vector<int32_t> topics(prng.between(1, 6));
  for (int32_t& count : topics) count = static_cast<int32_t>(prng.between(1, 12));
  std::vector<std::vector<uint32_t>> wants(prng.between(1, 20));
  for (auto& member : wants) {
    for (uint32_t topic = 0; topic < topics.size(); ++topic) {
      if (alike || prng.one_in(2)) member.push_back(topic);
    }
  }
  return make_group(std::move(topics), std::move(wants));
}

bool wants(const Group& group, size_t member, size_t topic) {
  return std::ranges::binary_search(group.wants[member], static_cast<uint32_t>(topic));
}

// Everything that somebody wants has one owner, who wants it.
void check_owners(const Group& group, const AssignorOutput& output) {
  ASSERT_EQ(output.size(), group.wants.size());
  for (size_t topic = 0; topic < group.topics.size(); ++topic) {
    std::vector<int> owners(static_cast<size_t>(group.topics[topic]));
    bool wanted = false;
    for (size_t member = 0; member < output.size(); ++member) {
      wanted = wanted || wants(group, member, topic);
      const auto at = output[member].find(topic_id(topic));
      if (at == output[member].end()) continue;
      EXPECT_TRUE(wants(group, member, topic));
      EXPECT_FALSE(at->second.empty());
      for (const int32_t partition : at->second) {
        ASSERT_GE(partition, 0);
        ASSERT_LT(partition, group.topics[topic]);
        ++owners[static_cast<size_t>(partition)];
      }
    }
    for (const int count : owners) EXPECT_EQ(count, wanted ? 1 : 0);
  }
}

// No partition could go to a member that has two fewer.
void check_balance(const Group& group, const AssignorOutput& output) {
  for (size_t from = 0; from < output.size(); ++from) {
    for (size_t to = 0; to < output.size(); ++to) {
      if (count_partitions(output[from]) < count_partitions(output[to]) + 2) continue;
      for (size_t topic = 0; topic < group.topics.size(); ++topic) {
        EXPECT_FALSE(wants(group, to, topic) && output[from].contains(topic_id(topic)))
            << from << " has " << count_partitions(output[from]) << ", " << to << " has "
            << count_partitions(output[to]);
      }
    }
  }
}

size_t kept(const AssignorOutput& before, const AssignorOutput& after) {
  size_t count = 0;
  for (size_t member = 0; member < std::min(before.size(), after.size()); ++member) {
    for (const auto& [topic, partitions] : before[member]) {
      for (const int32_t partition : partitions) count += has_partition(after[member], topic, partition) ? 1 : 0;
    }
  }
  return count;
}

size_t total(const AssignorOutput& output) {
  size_t count = 0;
  for (const Assignment& assignment : output) count += count_partitions(assignment);
  return count;
}

template <class Test>
void for_each_seed(Test test) {
  const char* given = std::getenv("PENSTOCK_SEED");
  const uint64_t first = given != nullptr ? std::strtoull(given, nullptr, 10) : 1;
  for (uint64_t seed = first; seed < first + (given != nullptr ? 1 : 300); ++seed) {
    SCOPED_TRACE("PENSTOCK_SEED=" + std::to_string(seed));
    Prng prng(seed);
    test(prng);
    if (testing::Test::HasFailure()) return;
  }
}

TEST(Uniform, SpreadsEachTopic) {
  const Group group = make_group({2, 2, 2}, {{0, 1, 2}, {0, 1, 2}});
  const AssignorOutput output = assign_uniform(group.input());
  for (const Assignment& assignment : output) {
    EXPECT_EQ(assignment.size(), 3U);
    EXPECT_EQ(count_partitions(assignment), 3U);
  }
}

TEST(Uniform, IsBalancedWhateverMembersWant) {
  for_each_seed([](Prng& prng) {
    Group group = random_group(prng, prng.one_in(2));
    const AssignorOutput output = assign_uniform(group.input());
    check_owners(group, output);
    check_balance(group, output);
  });
}

TEST(Uniform, NothingMovesWhenNothingChanges) {
  for_each_seed([](Prng& prng) {
    Group group = random_group(prng, prng.one_in(2));
    group.before = assign_uniform(group.input());
    EXPECT_EQ(assign_uniform(group.input()), group.before);
  });
}

TEST(Uniform, ALeaverMovesNothingOfTheOthers) {
  for_each_seed([](Prng& prng) {
    Group group = random_group(prng, true);
    if (group.wants.size() < 2) return;
    group.before = assign_uniform(group.input());
    const auto who = static_cast<ptrdiff_t>(prng.below(group.wants.size()));
    group.wants.erase(group.wants.begin() + who);
    group.ids.erase(group.ids.begin() + who);
    group.before.erase(group.before.begin() + who);
    const AssignorOutput output = assign_uniform(group.input());
    check_owners(group, output);
    check_balance(group, output);
    EXPECT_EQ(kept(group.before, output), total(group.before));
  });
}

TEST(Uniform, ANewcomerTakesItsShareAndNoMore) {
  for_each_seed([](Prng& prng) {
    Group group = random_group(prng, true);
    group.before = assign_uniform(group.input());
    group.wants.push_back(group.wants.front());
    group.ids.emplace_back("n");
    const AssignorOutput output = assign_uniform(group.input());
    check_owners(group, output);
    check_balance(group, output);
    EXPECT_EQ(kept(group.before, output), total(output) - count_partitions(output.back()));
    EXPECT_EQ(count_partitions(output.back()), total(output) / group.wants.size());
  });
}

TEST(Uniform, OwnersAreSingleWhateverWasBefore) {
  for_each_seed([](Prng& prng) {
    Group group = random_group(prng, prng.one_in(2));
    group.before.resize(group.wants.size());
    for (Assignment& assignment : group.before) {  // also what is not there, and the same twice
      for (int i = 0; i < 5; ++i) {
        assignment[topic_id(prng.below(8))].insert(static_cast<int32_t>(prng.below(20)) - 2);
      }
    }
    const AssignorOutput output = assign_uniform(group.input());
    check_owners(group, output);
    check_balance(group, output);
  });
}

TEST(Range, CutsEachTopicIntoRuns) {
  const Group group = make_group({5, 5, 1}, {{0, 1}, {0, 1, 2}});
  const AssignorOutput output = assign_range(group.input());
  EXPECT_EQ(output[0], (Assignment{{topic_id(0), {0, 1, 2}}, {topic_id(1), {0, 1, 2}}}));
  EXPECT_EQ(output[1], (Assignment{{topic_id(0), {3, 4}}, {topic_id(1), {3, 4}}, {topic_id(2), {0}}}));
}

TEST(Range, StaticMembersKeepTheirPlaceUnderAnotherId) {
  AssignorInput input;
  input.topics.push_back({.id = topic_id(0), .partitions = 2});
  input.members.push_back({.id = "a", .instance_id = "z", .topics = {0}});
  input.members.push_back({.id = "b", .instance_id = "y", .topics = {0}});
  EXPECT_EQ(assign_range(input)[1], (Assignment{{topic_id(0), {0}}}));
}

TEST(Range, IsOwnedOnceAndEvenInEachTopic) {
  for_each_seed([](Prng& prng) {
    const Group group = random_group(prng, prng.one_in(2));
    const AssignorOutput output = assign_range(group.input());
    check_owners(group, output);
    for (size_t topic = 0; topic < group.topics.size(); ++topic) {
      size_t least = SIZE_MAX;
      size_t most = 0;
      for (size_t member = 0; member < output.size(); ++member) {
        if (!wants(group, member, topic)) continue;
        const auto at = output[member].find(topic_id(topic));
        const size_t count = at == output[member].end() ? 0 : at->second.size();
        least = std::min(least, count);
        most = std::max(most, count);
        if (count > 0) {
          EXPECT_EQ(static_cast<size_t>(*at->second.rbegin() - *at->second.begin()), count - 1);
        }
      }
      if (most > 0) {
        EXPECT_LE(most - least, 1U);
      }
    }
  });
}

TEST(Assignors, AreFoundByName) {
  EXPECT_EQ(find_assignor("uniform"), assign_uniform);
  EXPECT_EQ(find_assignor("range"), assign_range);
  EXPECT_EQ(find_assignor("sticky"), nullptr);
}

}  // namespace
}  // namespace penstock::control::groups
