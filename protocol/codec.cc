#include "protocol/codec.h"

#include <cstring>
#include <limits>
#include <optional>
#include <string>

#include "base/assert.h"
#include "protocol/wire.h"

namespace penstock::protocol {
namespace {

using Bytes = std::vector<std::byte>;

template <class T>
T load(const void* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

template <class T>
void store(void* at, T value) {
  std::memcpy(at, &value, sizeof value);
}

// What a libstdc++ string holds without the heap.
constexpr size_t kInlineString = 15;

class Decoder {
 public:
  Decoder(std::span<const std::byte> bytes, int16_t version, bool flexible, size_t budget)
      : in_(bytes), version_(version), flexible_(flexible), budget_(budget) {}

  Reader& in() { return in_; }

  void structure(const StructInfo& info, void* object) {
    for (const FieldInfo& field : info.fields.first(info.untagged)) {
      if (!field.versions.has(version_)) continue;
      member(field, at(object, field), /*tagged=*/false);
      if (!in_.ok()) return;
    }
    if (!flexible_) return;
    in_.tags([&](uint32_t tag, uint32_t size) {
      for (const FieldInfo& field : info.fields.subspan(info.untagged)) {
        if (static_cast<uint32_t>(field.tag) == tag && field.versions.has(version_)) {
          return member(field, at(object, field), /*tagged=*/true);
        }
      }
      in_.skip(size);
    });
  }

 private:
  static void* at(void* object, const FieldInfo& field) { return static_cast<std::byte*>(object) + field.at; }

  bool charge(size_t bytes) {
    if (bytes > budget_) {
      in_.fail(Errc::kTooLarge);
      return false;
    }
    budget_ -= bytes;
    return true;
  }

  // Null, if the version allows it.
  void null(const FieldInfo& field, void* member) {
    if (!in_.ok()) return;
    if (!field.nullable.has(version_)) return in_.fail(Errc::kInvalid);
    field.ops->clear(member);
  }

  void member(const FieldInfo& field, void* member, bool tagged) {
    const bool flexible = flexible_ && !field.classic;
    if (field.array) {
      const int64_t count = in_.array_count(flexible);
      if (count == kNullLength) return null(field, member);
      return array(field, member, static_cast<size_t>(count));
    }
    if (field.type == FieldType::kStruct && field.nullable.has(version_)) {
      const bool present = tagged ? in_.uvarint() != 0 : in_.fixed<int8_t>() >= 0;
      if (!in_.ok()) return;
      if (!present) return null(field, member);
    }
    if (field.type >= FieldType::kString && field.type <= FieldType::kRecords) {
      const int64_t length =
          field.type == FieldType::kString ? in_.string_length(flexible) : in_.bytes_length(flexible);
      if (length == kNullLength) return null(field, member);
      return blob(field.type, field.optional ? field.ops->emplace(member) : member, static_cast<size_t>(length));
    }
    value(field, field.optional ? field.ops->emplace(member) : member);
  }

  void array(const FieldInfo& field, void* member, size_t count) {
    void* vector = field.ops->emplace(member);
    if (!in_.ok() || !charge(count * field.element_size)) return;
    auto* element = static_cast<std::byte*>(field.ops->resize(vector, count));
    for (size_t i = 0; i < count && in_.ok(); ++i, element += field.element_size) {
      if (field.type == FieldType::kString) {
        const int64_t length = in_.string_length(flexible_);
        if (length == kNullLength) return in_.fail(Errc::kInvalid);
        blob(field.type, element, static_cast<size_t>(length));
      } else {
        value(field, element);
      }
    }
  }

  void blob(FieldType type, void* to, size_t length) {
    if (type == FieldType::kString) {
      if (length > kInlineString && !charge(length + 1)) return;
      const auto bytes = in_.bytes(length);
      static_cast<std::string*>(to)->assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    } else {
      if (!charge(length)) return;
      const auto bytes = in_.bytes(length);
      static_cast<Bytes*>(to)->assign(bytes.begin(), bytes.end());
    }
  }

  void value(const FieldInfo& field, void* to) {
    switch (field.type) {
      case FieldType::kBool: return store<bool>(to, in_.boolean());
      case FieldType::kInt8: return store(to, in_.fixed<int8_t>());
      case FieldType::kInt16:
      case FieldType::kUint16: return store(to, in_.fixed<int16_t>());
      case FieldType::kInt32:
      case FieldType::kUint32: return store(to, in_.fixed<int32_t>());
      case FieldType::kInt64: return store(to, in_.fixed<int64_t>());
      case FieldType::kFloat64: return store(to, in_.float64());
      case FieldType::kUuid: return store(to, in_.uuid());
      case FieldType::kStruct: return structure(*field.nested, to);
      case FieldType::kString:
      case FieldType::kBytes:
      case FieldType::kRecords: break;
    }
    CHECK(false);  // lengths are read by the caller
  }

  Reader in_;
  int16_t version_;
  bool flexible_;
  size_t budget_;
};

// The number in a field of fixed size, for comparing with its default.
int64_t number(FieldType type, const void* from) {
  switch (type) {
    case FieldType::kBool: return load<bool>(from) ? 1 : 0;
    case FieldType::kInt8: return load<int8_t>(from);
    case FieldType::kInt16: return load<int16_t>(from);
    case FieldType::kUint16: return load<uint16_t>(from);
    case FieldType::kInt32: return load<int32_t>(from);
    case FieldType::kUint32: return load<uint32_t>(from);
    case FieldType::kInt64:
    case FieldType::kFloat64: return load<int64_t>(from);
    case FieldType::kUuid:
    case FieldType::kString:
    case FieldType::kBytes:
    case FieldType::kRecords:
    case FieldType::kStruct: break;
  }
  CHECK(false);
  return 0;
}

bool is_default(const StructInfo& info, const void* object);

// Whether a member holds the schema's default, in which case a tagged field is left out.
bool is_default(const FieldInfo& field, const void* member) {
  const void* value = field.ops == nullptr ? member : field.ops->value(member);
  if (value == nullptr || field.default_null) return value == nullptr && field.default_null;
  if (field.array) return field.ops->count(value) == 0;
  switch (field.type) {
    case FieldType::kUuid: return load<Uuid>(value).is_zero();
    case FieldType::kString: return static_cast<const std::string*>(value)->empty();
    case FieldType::kBytes:
    case FieldType::kRecords: return static_cast<const Bytes*>(value)->empty();
    case FieldType::kStruct: return is_default(*field.nested, value);
    default: return number(field.type, value) == field.default_number;
  }
}

bool is_default(const StructInfo& info, const void* object) {
  for (const FieldInfo& field : info.fields) {
    if (!is_default(field, static_cast<const std::byte*>(object) + field.at)) return false;
  }
  return true;
}

class Encoder {
 public:
  Encoder(Bytes& out, int16_t version, bool flexible) : out_(out), version_(version), flexible_(flexible) {}

  std::optional<Errc> error() const { return error_; }

  void structure(const StructInfo& info, const void* object) {
    for (const FieldInfo& field : info.fields.first(info.untagged)) {
      const void* member = at(object, field);
      if (field.versions.has(version_)) {
        write_member(field, member, /*tagged=*/false);
      } else {
        refuse_unless_droppable(field, member);
      }
    }
    const auto tagged = info.fields.subspan(info.untagged);
    uint32_t present = 0;
    for (const FieldInfo& field : tagged) {
      const void* member = at(object, field);
      if (!field.versions.has(version_)) {
        refuse_unless_droppable(field, member);
      } else if (!is_default(field, member)) {
        ++present;
      }
    }
    if (!flexible_) return;
    out_.uvarint(present);
    for (const FieldInfo& field : tagged) {
      const void* member = at(object, field);
      if (field.versions.has(version_) && !is_default(field, member)) write_tagged(field, member);
    }
  }

 private:
  static const void* at(const void* object, const FieldInfo& field) {
    return static_cast<const std::byte*>(object) + field.at;
  }
  void fail(Errc error) {
    if (!error_) error_ = error;
  }
  void refuse_unless_droppable(const FieldInfo& field, const void* member) {
    if (!field.ignorable && !is_default(field, member)) fail(Errc::kUnsupported);
  }

  // Tag, size, payload. The payload is written first and its size put before it: payloads are short and rare.
  void write_tagged(const FieldInfo& field, const void* member) {
    out_.uvarint(static_cast<uint32_t>(field.tag));
    const size_t start = out_.position();
    write_member(field, member, /*tagged=*/true);
    Bytes size;
    Writer(size).uvarlong(out_.position() - start);
    out_.out().insert(out_.out().begin() + static_cast<ptrdiff_t>(start), size.begin(), size.end());
  }

  void write_member(const FieldInfo& field, const void* member, bool tagged) {
    const bool flexible = flexible_ && !field.classic;
    const void* value = field.ops == nullptr ? member : field.ops->value(member);
    const bool nullable = field.nullable.has(version_);
    if (value == nullptr && !nullable) return fail(Errc::kInvalid);
    if (field.array) {
      if (value == nullptr) return out_.null_array(flexible);
      const size_t count = field.ops->count(value);
      if (!fits(count, std::numeric_limits<int32_t>::max())) return;
      out_.array_count(count, flexible);
      const auto* element = static_cast<const std::byte*>(field.ops->elements(value));
      for (size_t i = 0; i < count; ++i, element += field.element_size) write_value(field, element, flexible);
      return;
    }
    if (field.type == FieldType::kStruct && nullable) {
      if (tagged) {
        out_.uvarint(value == nullptr ? 0 : 1);
      } else {
        out_.fixed<int8_t>(value == nullptr ? -1 : 1);
      }
      if (value == nullptr) return;
    }
    if (value == nullptr) {
      return field.type == FieldType::kString ? out_.null_string(flexible) : out_.null_bytes(flexible);
    }
    write_value(field, value, flexible);
  }

  bool fits(size_t length, size_t most) {
    if (length <= most) return true;
    fail(Errc::kTooLarge);
    return false;
  }

  void write_value(const FieldInfo& field, const void* from, bool flexible) {
    switch (field.type) {
      case FieldType::kBool: return out_.boolean(load<bool>(from));
      case FieldType::kInt8: return out_.fixed(load<int8_t>(from));
      case FieldType::kInt16:
      case FieldType::kUint16: return out_.fixed(load<int16_t>(from));
      case FieldType::kInt32:
      case FieldType::kUint32: return out_.fixed(load<int32_t>(from));
      case FieldType::kInt64: return out_.fixed(load<int64_t>(from));
      case FieldType::kFloat64: return out_.float64(load<double>(from));
      case FieldType::kUuid: return out_.uuid(load<Uuid>(from));
      case FieldType::kString: {
        const auto& text = *static_cast<const std::string*>(from);
        // Kafka holds compact strings to 15 bits too.
        if (fits(text.size(), std::numeric_limits<int16_t>::max())) out_.string(text, flexible);
        return;
      }
      case FieldType::kBytes:
      case FieldType::kRecords: {
        const auto& bytes = *static_cast<const Bytes*>(from);
        if (fits(bytes.size(), std::numeric_limits<int32_t>::max())) out_.bytes(bytes, flexible);
        return;
      }
      case FieldType::kStruct: return structure(*field.nested, from);
    }
  }

  Writer out_;
  int16_t version_;
  bool flexible_;
  std::optional<Errc> error_;
};

}  // namespace

Result<void> decode_message(const MessageInfo& info, std::span<const std::byte> bytes, int16_t version, void* message,
                            DecodeLimits limits) {
  if (!info.versions.has(version)) return fail(Errc::kUnsupported);
  const size_t budget = limits.memory != 0 ? limits.memory : DecodeLimits::default_memory(bytes.size());
  Decoder decoder(bytes, version, version >= info.flexible, budget);
  decoder.structure(*info.root, message);
  TRY_VOID(decoder.in().result());
  if (decoder.in().remaining() != 0 && !limits.allow_trailing) return fail(Errc::kInvalid);
  return {};
}

Result<void> encode_message(const MessageInfo& info, const void* message, int16_t version,
                            std::vector<std::byte>& out) {
  if (!info.versions.has(version)) return fail(Errc::kUnsupported);
  const size_t before = out.size();
  Encoder encoder(out, version, version >= info.flexible);
  encoder.structure(*info.root, message);
  if (encoder.error()) {
    out.resize(before);
    return fail(*encoder.error());
  }
  return {};
}

}  // namespace penstock::protocol
