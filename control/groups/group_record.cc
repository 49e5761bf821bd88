#include "control/groups/group_record.h"

#include <type_traits>
#include <utility>

#include "base/bytes.h"
#include "protocol/codec.h"

namespace penstock::control::groups {
namespace {

constexpr size_t kPrefix = sizeof(int16_t);
constexpr int16_t kKeyVersion = 0;

static_assert(std::variant_size_v<RecordKey> == std::variant_size_v<RecordValue>);

// The version that a Kafka 4.2 broker writes (GroupCoordinatorRecordHelpers): the ones that every tool can read.
template <class Value>
int16_t version_to_write(const Value&) {
  return Value::kMaxVersion;
}
int16_t version_to_write(const protocol::GroupMetadataValue&) { return 3; }
int16_t version_to_write(const protocol::OffsetCommitValue& value) { return value.expire_timestamp == -1 ? 3 : 1; }

template <class Message>
Result<std::vector<std::byte>> encode_prefixed(int16_t prefix, int16_t version, const Message& message) {
  std::vector<std::byte> out(kPrefix);
  store_be(out.data(), prefix);
  TRY_VOID(protocol::encode(message, version, out));
  return out;
}

// A newer writer may have appended fields to a value.
template <class Value>
Result<Value> decode_value(std::span<const std::byte> bytes) {
  if (bytes.size() < kPrefix) return fail(Errc::kTruncated);
  const auto version = load_be<int16_t>(bytes.data());
  if (version < Value::kMinVersion || version > Value::kMaxVersion) return fail(Errc::kUnsupported);
  Value value;
  TRY_VOID(protocol::decode(bytes.subspan(kPrefix), version, value, {.memory = 0, .allow_trailing = true}));
  return value;
}

template <class Key, class Value>
Result<GroupRecord> decode_pair(std::span<const std::byte> key, std::optional<std::span<const std::byte>> value) {
  Key decoded;
  TRY_VOID(protocol::decode(key.subspan(kPrefix), kKeyVersion, decoded));
  if (!value) return GroupRecord{.key = std::move(decoded), .value = std::nullopt};
  return GroupRecord{.key = std::move(decoded), .value = TRY(decode_value<Value>(*value))};
}

// Keys of type 0, from before Kafka 0.9, say the same in the same form.
template <class Key>
bool is_type(int16_t type) {
  constexpr bool kCommit = std::is_same_v<Key, protocol::OffsetCommitKey>;
  return type == Key::kRecordType || (kCommit && type == protocol::LegacyOffsetCommitKey::kRecordType);
}

template <size_t I = 0>
Result<GroupRecord> decode_type(int16_t type, std::span<const std::byte> key,
                                std::optional<std::span<const std::byte>> value) {
  if constexpr (I == std::variant_size_v<RecordKey>) {
    return fail(Errc::kUnsupported);
  } else {
    using Key = std::variant_alternative_t<I, RecordKey>;
    using Value = std::variant_alternative_t<I, RecordValue>;
    static_assert(Key::kRecordType == Value::kRecordType);
    return is_type<Key>(type) ? decode_pair<Key, Value>(key, value) : decode_type<I + 1>(type, key, value);
  }
}

}  // namespace

const std::string& group_of(const GroupRecord& record) {
  return std::visit(
      [](const auto& key) -> const std::string& {
        if constexpr (requires { key.group; }) {
          return key.group;
        } else {
          return key.group_id;
        }
      },
      record.key);
}

Result<EncodedRecord> encode(const GroupRecord& record) {
  EncodedRecord encoded;
  encoded.key = TRY(std::visit(
      [](const auto& key) { return encode_prefixed(std::decay_t<decltype(key)>::kRecordType, kKeyVersion, key); },
      record.key));
  if (!record.value) return encoded;
  encoded.value = TRY(std::visit(
      [](const auto& value) {
        const int16_t version = version_to_write(value);
        return encode_prefixed(version, version, value);
      },
      *record.value));
  return encoded;
}

Result<GroupRecord> decode_record(std::span<const std::byte> key, std::optional<std::span<const std::byte>> value) {
  if (key.size() < kPrefix) return fail(Errc::kTruncated);
  return decode_type(load_be<int16_t>(key.data()), key, value);
}

}  // namespace penstock::control::groups
