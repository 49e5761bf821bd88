// PartitionOwners: giving, taking, and who has what.
#include "control/groups/partition_owners.h"

#include <gtest/gtest.h>

namespace penstock::control::groups {
namespace {

Uuid topic(uint8_t number) {
  Uuid id;
  id.bytes[0] = number;
  return id;
}

TEST(PartitionOwners, one_has_what_it_was_given) {
  PartitionOwners owners;
  owners.give({{topic(1), {{0, 3}, {1, 4}}}, {topic(2), {{0, 4}}}}, "a");
  owners.give({{topic(1), {{2, 5}}}}, "b");
  EXPECT_EQ(owners.count(), 4U);
  EXPECT_FALSE(owners.is_held_by_another("a", topic(1), 1));
  EXPECT_TRUE(owners.is_held_by_another("b", topic(1), 1));
  EXPECT_TRUE(owners.is_held_by_another("a", topic(1), 2));
  EXPECT_FALSE(owners.is_held_by_another("a", topic(1), 7)) << "nobody has it";
  EXPECT_FALSE(owners.is_held_by_another("a", topic(3), 0)) << "nor a topic that is not there";
  EXPECT_EQ(owners.topics().at(topic(1)).at(1), (PartitionOwners::Owner{.member = "a", .epoch = 4}));
}

TEST(PartitionOwners, what_is_taken_is_nobodys) {
  PartitionOwners owners;
  const Holding holding{{topic(1), {{0, 3}, {1, 4}}}};
  owners.give(holding, "a");
  owners.take({{topic(1), {{1, 4}}}, {topic(2), {{0, 1}}}}, "a");
  EXPECT_EQ(owners.count(), 1U);
  EXPECT_FALSE(owners.is_held_by_another("b", topic(1), 1));
  owners.take(holding, "a");
  EXPECT_EQ(owners, PartitionOwners());
}

// A damaged log may say that two have one.
TEST(PartitionOwners, the_last_one_given_has_it_and_keeps_it) {
  PartitionOwners owners;
  const Holding holding{{topic(1), {{0, 3}}}};
  owners.give(holding, "a");
  owners.give(holding, "b");
  EXPECT_EQ(owners.count(), 1U);
  owners.take(holding, "a");
  EXPECT_EQ(owners.count(), 1U);
  EXPECT_TRUE(owners.is_held_by_another("a", topic(1), 0));
}

}  // namespace
}  // namespace penstock::control::groups
