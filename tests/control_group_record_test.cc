// The records of __consumer_offsets (control/groups/group_record.h): Kafka's bytes, and any others.
#include <gtest/gtest.h>

#include "base/bytes.h"
#include "base/prng.h"
#include "control/groups/group_record.h"

namespace penstock::control::groups {
namespace {

std::vector<std::byte> bytes(std::initializer_list<int> values) {
  std::vector<std::byte> out;
  for (const int value : values) out.push_back(static_cast<std::byte>(value));
  return out;
}

Result<GroupRecord> decode(const EncodedRecord& record) {
  return decode_record(record.key,
                       record.value ? std::optional<std::span<const std::byte>>(*record.value) : std::nullopt);
}

GroupRecord commit(std::string group, int64_t offset) {
  return make_record(protocol::OffsetCommitKey{.group = std::move(group), .topic = "t", .partition = 7},
                     protocol::OffsetCommitValue{.offset = offset, .metadata = "m", .commit_timestamp = 5});
}

TEST(GroupRecordTest, a_commit_has_the_bytes_that_kafka_writes) {
  const auto encoded = encode(commit("g", 258)).value();
  EXPECT_EQ(encoded.key, bytes({0, 1, 0, 1, 'g', 0, 1, 't', 0, 0, 0, 7})) << "type 1, group, topic, partition";
  EXPECT_EQ(*encoded.value,
            bytes({0, 3, 0, 0, 0, 0, 0, 0, 1, 2, 255, 255, 255, 255, 0, 1, 'm', 0, 0, 0, 0, 0, 0, 0, 5}))
      << "version 3: offset, leader epoch, metadata, commit timestamp";
}

TEST(GroupRecordTest, a_commit_that_says_when_it_expires_is_of_version_1) {
  auto record = commit("g", 1);
  std::get<protocol::OffsetCommitValue>(*record.value).expire_timestamp = 9;
  const auto encoded = encode(record).value();
  EXPECT_EQ(load_be<int16_t>(encoded.value->data()), 1);
  EXPECT_EQ(decode(encoded).value(), record);
}

TEST(GroupRecordTest, each_kind_comes_back_as_it_went) {
  const std::vector<GroupRecord> records = {
      commit("g", 3),
      make_tombstone(protocol::OffsetCommitKey{.group = "g", .topic = "t", .partition = 1}),
      make_record(protocol::GroupMetadataKey{.group = "g"},
                  protocol::GroupMetadataValue{.protocol_type = "consumer",
                                               .generation = 4,
                                               .protocol = "range",
                                               .leader = "m",
                                               .current_state_timestamp = 8,
                                               .members = {{.member_id = "m", .client_id = "c", .client_host = "/h"}}}),
      make_tombstone(protocol::GroupMetadataKey{.group = "g"}),
      make_record(protocol::ConsumerGroupMetadataKey{.group_id = "g"},
                  protocol::ConsumerGroupMetadataValue{.epoch = 10, .metadata_hash = 11}),
      make_record(protocol::ConsumerGroupTargetAssignmentMetadataKey{.group_id = "g"},
                  protocol::ConsumerGroupTargetAssignmentMetadataValue{.assignment_epoch = 3}),
      make_record(protocol::ConsumerGroupRegularExpressionKey{.group_id = "g", .regular_expression = "a.*"},
                  protocol::ConsumerGroupRegularExpressionValue{.topics = {"ab"}, .version = 2}),
  };
  for (const GroupRecord& record : records) {
    EXPECT_EQ(decode(encode(record).value()).value(), record);
    EXPECT_EQ(group_of(record), "g");
  }
}

TEST(GroupRecordTest, keys_of_type_0_are_commits_too) {
  const auto key = bytes({0, 0, 0, 1, 'g', 0, 1, 't', 0, 0, 0, 7});
  const auto value = bytes({0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5});
  const auto record = decode_record(key, value).value();
  EXPECT_EQ(std::get<protocol::OffsetCommitKey>(record.key).partition, 7);
  EXPECT_EQ(std::get<protocol::OffsetCommitValue>(*record.value).offset, 258);
}

TEST(GroupRecordTest, what_is_not_known_is_told_from_what_is_damaged) {
  EXPECT_EQ(decode_record(bytes({0, 11, 0, 1, 'g'}), std::nullopt).error().code, Errc::kUnsupported) << "a share group";
  EXPECT_EQ(decode_record(bytes({0, 2, 0, 1, 'g'}), bytes({0, 5})).error().code, Errc::kUnsupported) << "a version";
  EXPECT_EQ(decode_record(bytes({0}), std::nullopt).error().code, Errc::kTruncated);
  EXPECT_EQ(decode_record({}, std::nullopt).error().code, Errc::kTruncated);
  EXPECT_FALSE(decode_record(bytes({0, 2, 0, 9, 'g'}), std::nullopt).has_value());
  EXPECT_FALSE(decode_record(bytes({0, 2, 0, 1, 'g'}), bytes({0, 3, 0})).has_value());
}

TEST(GroupRecordTest, a_group_id_too_long_for_the_format_is_an_error) {
  EXPECT_FALSE(encode(commit(std::string(40'000, 'g'), 1)).has_value());
}

TEST(GroupRecordTest, damaged_bytes_give_a_record_or_an_error) {
  Prng prng(42);
  const auto good =
      encode(make_record(protocol::GroupMetadataKey{.group = "g"},
                         protocol::GroupMetadataValue{.protocol_type = "consumer",
                                                      .members = {{.member_id = "m"}, {.member_id = "n"}}}))
          .value();
  for (int round = 0; round < 2000; ++round) {
    EncodedRecord bad = good;
    auto& where = prng.below(4) == 0 ? bad.key : *bad.value;
    where[prng.below(where.size())] = static_cast<std::byte>(prng.below(256));
    if (prng.below(3) == 0) where.resize(prng.below(where.size() + 1));
    const auto record = decode(bad);
    EXPECT_TRUE(!record || encode(*record).has_value());
  }
}

}  // namespace
}  // namespace penstock::control::groups
