#include "tests/protocol_random.h"

#include <cstring>
#include <map>
#include <string>

#include "base/assert.h"
#include "base/bytes.h"
#include "protocol/types.h"

namespace penstock::protocol::testing {
namespace {

using Bytes = std::vector<std::byte>;

const std::byte* member_of(const void* object, const FieldInfo& field) {
  return static_cast<const std::byte*>(object) + field.at;
}
std::byte* member_of(void* object, const FieldInfo& field) { return static_cast<std::byte*>(object) + field.at; }

const void* value_of(const FieldInfo& field, const void* member) {
  return field.ops == nullptr ? member : field.ops->value(member);
}

// ---- fill

class Filler {
 public:
  Filler(int16_t version, Prng& prng) : version_(version), prng_(prng) {}

  void structure(const StructInfo& info, void* object) {
    for (const FieldInfo& field : info.fields) {
      // Tagged fields are rare in life; here every other one is set.
      if (!field.versions.has(version_) || (field.tag >= 0 && prng_.one_in(2))) continue;
      std::byte* member = member_of(object, field);
      if (field.nullable.has(version_) && prng_.one_in(4)) {
        field.ops->clear(member);
        continue;
      }
      void* value = field.ops == nullptr ? member : field.ops->emplace(member);
      if (!field.array) {
        fill_value(field, value);
        continue;
      }
      const size_t count = prng_.one_in(30) ? prng_.below(200) : prng_.below(4);
      auto* element = static_cast<std::byte*>(field.ops->resize(value, field.nested == nullptr ? count : count % 4));
      for (size_t i = 0; i < field.ops->count(value); ++i) fill_value(field, element + i * field.element_size);
    }
  }

 private:
  size_t length() { return prng_.one_in(50) ? prng_.below(3000) : prng_.below(20); }

  void fill_value(const FieldInfo& field, void* to) {
    switch (field.type) {
      case FieldType::kStruct: return structure(*field.nested, to);
      case FieldType::kBool: *static_cast<bool*>(to) = prng_.one_in(2); return;
      case FieldType::kString: {
        auto& text = *static_cast<std::string*>(to);
        text.resize(length());
        for (char& c : text) c = static_cast<char>(prng_.between('!', '~'));
        return;
      }
      case FieldType::kBytes:
      case FieldType::kRecords: {
        auto& bytes = *static_cast<Bytes*>(to);
        bytes.resize(length());
        prng_.fill(bytes);
        return;
      }
      case FieldType::kFloat64: {
        const auto value = static_cast<double>(prng_.next()) / 3;
        std::memcpy(to, &value, sizeof value);
        return;
      }
      default: prng_.fill({static_cast<std::byte*>(to), field.element_size});
    }
  }

  int16_t version_;
  Prng& prng_;
};

// ---- compare

bool same(const StructInfo& info, const void* a, const void* b);

bool same_value(const FieldInfo& field, const void* a, const void* b) {
  switch (field.type) {
    case FieldType::kStruct: return same(*field.nested, a, b);
    case FieldType::kString: return *static_cast<const std::string*>(a) == *static_cast<const std::string*>(b);
    case FieldType::kBytes:
    case FieldType::kRecords: return *static_cast<const Bytes*>(a) == *static_cast<const Bytes*>(b);
    default: return std::memcmp(a, b, field.element_size) == 0;
  }
}

bool same(const StructInfo& info, const void* a, const void* b) {
  for (const FieldInfo& field : info.fields) {
    const void* x = value_of(field, member_of(a, field));
    const void* y = value_of(field, member_of(b, field));
    if ((x == nullptr) != (y == nullptr)) return false;
    if (x == nullptr) continue;
    if (!field.array) {
      if (!same_value(field, x, y)) return false;
      continue;
    }
    const size_t count = field.ops->count(x);
    if (count != field.ops->count(y)) return false;
    const auto* p = static_cast<const std::byte*>(field.ops->elements(x));
    const auto* q = static_cast<const std::byte*>(field.ops->elements(y));
    for (size_t i = 0; i < count; ++i) {
      if (!same_value(field, p + i * field.element_size, q + i * field.element_size)) return false;
    }
  }
  return true;
}

// ---- the second encoder: values as strings, tag sections as ordered maps

class Reference {
 public:
  Reference(int16_t version, bool flexible, Prng* inject) : version_(version), flexible_(flexible), inject_(inject) {}

  std::string structure(const StructInfo& info, const void* object) {
    std::string out;
    std::map<uint32_t, std::string> tagged;
    for (const FieldInfo& field : info.fields) {
      if (!field.versions.has(version_)) continue;
      const std::byte* member = member_of(object, field);
      if (field.tag < 0) {
        out += encode_member(field, member, false);
      } else if (!is_default(field, value_of(field, member))) {
        tagged[static_cast<uint32_t>(field.tag)] = encode_member(field, member, true);
      }
    }
    if (!flexible_) return out;
    for (size_t i = inject_ == nullptr ? 0 : inject_->below(3); i > 0; --i) {
      tagged[static_cast<uint32_t>(100 + inject_->below(1'000'000))] = std::string(inject_->below(200), 'u');
    }
    out += varint(tagged.size());
    for (const auto& [tag, payload] : tagged) out += varint(tag) + varint(payload.size()) + payload;
    return out;
  }

 private:
  static std::string varint(uint64_t n) {
    std::string out;
    do {
      out += static_cast<char>((n & 0x7f) | (n > 0x7f ? 0x80 : 0));
      n >>= 7;
    } while (n != 0);
    return out;
  }
  static std::string big_endian(uint64_t n, size_t width) {
    std::string out(width, '\0');
    for (size_t i = 0; i < width; ++i) out[width - 1 - i] = static_cast<char>(n >> (8 * i));
    return out;
  }
  std::string length(size_t n, size_t width, bool classic) {
    return flexible_ && !classic ? varint(n + 1) : big_endian(n, width);
  }
  std::string null(size_t width, bool classic) {
    return flexible_ && !classic ? varint(0) : std::string(width, '\xff');
  }

  bool all_default(const StructInfo& info, const void* object) {
    for (const FieldInfo& field : info.fields) {
      if (!is_default(field, value_of(field, member_of(object, field)))) return false;
    }
    return true;
  }
  bool is_default(const FieldInfo& field, const void* value) {
    if (value == nullptr || field.default_null) return value == nullptr && field.default_null;
    if (field.array) return field.ops->count(value) == 0;
    if (field.type == FieldType::kStruct) return all_default(*field.nested, value);
    if (field.type == FieldType::kString) return static_cast<const std::string*>(value)->empty();
    if (field.type == FieldType::kBytes || field.type == FieldType::kRecords) {
      return static_cast<const Bytes*>(value)->empty();
    }
    // A little-endian number's low bytes come first.
    int64_t expected[2] = {field.default_number, 0};
    return std::memcmp(value, expected, field.element_size) == 0;
  }

  std::string encode_member(const FieldInfo& field, const void* member, bool tagged) {
    const void* value = value_of(field, member);
    const bool nullable = field.nullable.has(version_);
    CHECK(value != nullptr || nullable);
    if (field.array) {
      if (value == nullptr) return null(4, field.classic);
      std::string out = length(field.ops->count(value), 4, field.classic);
      const auto* at = static_cast<const std::byte*>(field.ops->elements(value));
      for (size_t i = 0; i < field.ops->count(value); ++i) out += encode_value(field, at + i * field.element_size);
      return out;
    }
    if (field.type == FieldType::kStruct && nullable) {
      if (tagged) return value == nullptr ? varint(0) : varint(1) + encode_value(field, value);
      std::string out(1, value == nullptr ? '\xff' : '\x01');
      if (value != nullptr) out += encode_value(field, value);
      return out;
    }
    if (value == nullptr) return null(field.type == FieldType::kString ? 2 : 4, field.classic);
    return encode_value(field, value);
  }

  std::string encode_value(const FieldInfo& field, const void* from) {
    switch (field.type) {
      case FieldType::kStruct: return structure(*field.nested, from);
      case FieldType::kString: {
        const auto& text = *static_cast<const std::string*>(from);
        return length(text.size(), 2, field.classic) + text;
      }
      case FieldType::kBytes:
      case FieldType::kRecords: {
        const auto& bytes = *static_cast<const Bytes*>(from);
        return length(bytes.size(), 4, field.classic) +
               std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
      }
      case FieldType::kUuid: return {static_cast<const char*>(from), sizeof(Uuid)};
      default: {
        const char* raw = static_cast<const char*>(from);
        return {std::reverse_iterator(raw + field.element_size), std::reverse_iterator(raw)};
      }
    }
  }

  int16_t version_;
  bool flexible_;
  Prng* inject_;
};

}  // namespace

void fill(AnyMessage& message, int16_t version, Prng& prng) {
  Filler(version, prng).structure(*message.info().root, message.get());
}

bool equal(const AnyMessage& a, const AnyMessage& b) { return same(*a.info().root, a.get(), b.get()); }

std::vector<std::byte> encode_reference(const AnyMessage& message, int16_t version, Prng* inject) {
  const bool flexible = version >= message.info().flexible;
  const std::string text = Reference(version, flexible, inject).structure(*message.info().root, message.get());
  const auto bytes = as_bytes(text);
  return {bytes.begin(), bytes.end()};
}

}  // namespace penstock::protocol::testing
