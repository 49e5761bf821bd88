#include "tests/fuzz/group_seeds.h"

#include "control/groups/group_record.h"

namespace penstock::testing {
namespace {

using control::groups::GroupRecord;
using control::groups::make_record;
using control::groups::make_tombstone;
using Bytes = std::vector<std::byte>;

void append(Bytes& seed, const GroupRecord& record) {
  const auto encoded = encode(record).value();
  seed.push_back(static_cast<std::byte>(encoded.key.size()));
  Bytes value = encoded.value.value_or(Bytes());
  value.resize((value.size() + 7) / 8 * 8);
  seed.push_back(encoded.value ? static_cast<std::byte>(value.size() / 8) : std::byte{255});
  seed.insert(seed.end(), encoded.key.begin(), encoded.key.end());
  seed.insert(seed.end(), value.begin(), value.end());
}

}  // namespace

std::vector<Bytes> group_record_seeds() {
  const protocol::GroupMetadataKey group{.group = "g"};
  const protocol::OffsetCommitKey offset{.group = "g", .topic = "t", .partition = 1};
  const protocol::GroupMetadataValue two_members{
      .protocol_type = "consumer",
      .generation = 3,
      .protocol = "range",
      .leader = "m",
      .members = {{.member_id = "m", .group_instance_id = "i", .session_timeout = 10'000, .subscription = Bytes(6)},
                  {.member_id = "n", .session_timeout = 10'000}}};
  const std::vector<GroupRecord> records = {
      make_record(group, two_members),
      make_record(offset, protocol::OffsetCommitValue{.offset = 7, .metadata = "m", .commit_timestamp = 1}),
      make_record(offset, protocol::OffsetCommitValue{.offset = 8, .expire_timestamp = 2}),
      make_record(group, protocol::GroupMetadataValue{.protocol_type = "consumer", .generation = 4}),
      make_tombstone(offset),
      make_tombstone(group),
      make_record(protocol::ConsumerGroupMetadataKey{.group_id = "g"},
                  protocol::ConsumerGroupMetadataValue{.epoch = 1}),
      make_record(protocol::ConsumerGroupMemberMetadataKey{.group_id = "g", .member_id = "m"},
                  protocol::ConsumerGroupMemberMetadataValue{.subscribed_topic_names = {"t"}}),
      make_record(protocol::ConsumerGroupTargetAssignmentMetadataKey{.group_id = "g"},
                  protocol::ConsumerGroupTargetAssignmentMetadataValue{.assignment_epoch = 1}),
      make_record(protocol::ConsumerGroupTargetAssignmentMemberKey{.group_id = "g", .member_id = "m"},
                  protocol::ConsumerGroupTargetAssignmentMemberValue{.topic_partitions = {{.partitions = {1}}}}),
      make_record(protocol::ConsumerGroupCurrentMemberAssignmentKey{.group_id = "g", .member_id = "m"},
                  protocol::ConsumerGroupCurrentMemberAssignmentValue{.member_epoch = 1}),
      make_record(protocol::ConsumerGroupRegularExpressionKey{.group_id = "g", .regular_expression = "a"},
                  protocol::ConsumerGroupRegularExpressionValue{.topics = {"a"}}),
  };
  std::vector<Bytes> seeds;
  Bytes all;
  for (const GroupRecord& record : records) {
    append(seeds.emplace_back(), record);
    append(all, record);
  }
  seeds.push_back(all);
  return seeds;
}

}  // namespace penstock::testing
