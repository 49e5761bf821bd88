// What a group coordinator keeps in its partition of __consumer_offsets: a record is one fact about a group, its key
// says which, and a record without a value takes it back (a tombstone). Keys and values are Kafka's own
// (protocol/schema/group_records.schema); on the log, two bytes stand before each: the key's type, the value's version.
//
// A group's persistent state changes only by applying records, live and when a log is read back, so both give the same.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "base/result.h"
#include "protocol/gen/group_records.h"

namespace penstock::control::groups {

// The i-th value belongs to the i-th key.
using RecordKey =
    std::variant<protocol::OffsetCommitKey, protocol::GroupMetadataKey, protocol::ConsumerGroupMetadataKey,
                 protocol::ConsumerGroupPartitionMetadataKey, protocol::ConsumerGroupMemberMetadataKey,
                 protocol::ConsumerGroupTargetAssignmentMetadataKey, protocol::ConsumerGroupTargetAssignmentMemberKey,
                 protocol::ConsumerGroupCurrentMemberAssignmentKey, protocol::ConsumerGroupRegularExpressionKey>;
using RecordValue =
    std::variant<protocol::OffsetCommitValue, protocol::GroupMetadataValue, protocol::ConsumerGroupMetadataValue,
                 protocol::ConsumerGroupPartitionMetadataValue, protocol::ConsumerGroupMemberMetadataValue,
                 protocol::ConsumerGroupTargetAssignmentMetadataValue,
                 protocol::ConsumerGroupTargetAssignmentMemberValue,
                 protocol::ConsumerGroupCurrentMemberAssignmentValue, protocol::ConsumerGroupRegularExpressionValue>;

struct GroupRecord {
  RecordKey key;
  std::optional<RecordValue> value{};  // nothing: a tombstone
  friend bool operator==(const GroupRecord&, const GroupRecord&) = default;
};

// What a request comes to: the records are applied at once, so that what follows sees them, and the response leaves
// when they are durable.
template <typename Response>
struct Outcome {
  Response response{};
  std::vector<GroupRecord> records{};
};

// The record that says value of key. Key and value belong together: checked when it compiles.
template <class Key, class Value>
GroupRecord make_record(Key key, Value value) {
  static_assert(Key::kRecordType == Value::kRecordType, "a key with another key's value");
  return {.key = std::move(key), .value = std::move(value)};
}
template <class Key>
GroupRecord make_tombstone(Key key) {
  return {.key = std::move(key), .value = std::nullopt};
}

// The group that a record is about.
const std::string& group_of(const GroupRecord& record);

// As a record's key and value on the log. kTooLarge: a text of over 32767 bytes where Kafka's format has no room.
struct EncodedRecord {
  std::vector<std::byte> key;
  std::optional<std::vector<std::byte>> value;
  size_t size() const { return key.size() + (value ? value->size() : 0); }
};
Result<EncodedRecord> encode(const GroupRecord& record);

// A log is outside bytes: any give a record or an error. kUnsupported: a type of record or a version of it that is not
// known here (a newer Kafka's, or share and streams groups): pass over it, as Kafka does. Everything else is damage.
Result<GroupRecord> decode_record(std::span<const std::byte> key, std::optional<std::span<const std::byte>> value);

}  // namespace penstock::control::groups
