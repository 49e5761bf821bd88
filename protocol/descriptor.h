// What the codec knows about a message: one row a field, built by protocol/generate.py from protocol/schema. The tables
// are constant data; the codec, the fuzzers and the random tests walk them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

namespace penstock::protocol {

struct VersionRange {
  int16_t min = 0;
  int16_t max = -1;  // below min: no version
  constexpr bool has(int16_t version) const { return min <= version && version <= max; }
};

enum class FieldType : uint8_t {
  kBool,
  kInt8,
  kInt16,
  kUint16,
  kInt32,
  kUint32,
  kInt64,
  kFloat64,
  kUuid,
  kString,
  kBytes,
  kRecords,  // bytes on the wire; a name of its own for those who splice
  kStruct,
};

// The type-erased operations of one member type: optional<T>, vector<T> or optional<vector<T>>.
struct MemberOps {
  const void* (*value)(const void* member);  // the T or vector inside; nullptr when null
  void* (*emplace)(void* member);            // makes it present and empty
  void (*clear)(void* member);               // makes it null; nullptr if it cannot be
  size_t (*count)(const void* vector);       // these three: nullptr unless it is a vector
  const void* (*elements)(const void* vector);
  void* (*resize)(void* vector, size_t n);  // returns the first element
};

struct StructInfo;

struct FieldInfo {
  std::string_view name;  // as the schema writes it
  FieldType type = FieldType::kBool;
  bool array = false;
  bool optional = false;  // the member is a std::optional
  bool default_null = false;
  bool classic = false;    // fixed lengths in flexible versions too
  bool ignorable = false;  // dropped where the version has no room for it
  int16_t tag = -1;
  VersionRange versions;
  VersionRange nullable;
  uint32_t at = 0;            // byte place in the struct
  uint32_t element_size = 0;  // sizeof one element (array) or of the value
  int64_t default_number = 0;
  const MemberOps* ops = nullptr;      // of optionals and arrays
  const StructInfo* nested = nullptr;  // of kStruct
};

struct StructInfo {
  std::string_view name;
  std::span<const FieldInfo> fields;  // untagged in wire order, then tagged by rising tag
  uint32_t untagged = 0;
};

inline constexpr int16_t kNeverFlexible = std::numeric_limits<int16_t>::max();

struct MessageInfo {
  std::string_view name;
  VersionRange versions;
  int16_t flexible = kNeverFlexible;  // first flexible version
  const StructInfo* root = nullptr;
  void* (*create)() = nullptr;  // a default message on the heap
  void (*destroy)(void* message) = nullptr;
};

namespace detail {

template <class T>
struct MemberTraits {
  using Inner = T;
  static constexpr bool kOptional = false;
};
template <class T>
struct MemberTraits<std::optional<T>> {
  using Inner = T;
  static constexpr bool kOptional = true;
};
template <class T>
inline constexpr bool kIsVector = false;
template <class T>
inline constexpr bool kIsVector<std::vector<T>> = true;

template <class Member>
constexpr MemberOps make_ops() {
  using Inner = MemberTraits<Member>::Inner;
  MemberOps ops{};
  if constexpr (MemberTraits<Member>::kOptional) {
    ops.value = [](const void* member) -> const void* {
      const auto& optional = *static_cast<const Member*>(member);
      return optional ? &*optional : nullptr;
    };
    ops.emplace = [](void* member) -> void* { return &static_cast<Member*>(member)->emplace(); };
    ops.clear = [](void* member) { static_cast<Member*>(member)->reset(); };
  } else {
    ops.value = [](const void* member) { return member; };
    ops.emplace = [](void* member) { return member; };
    ops.clear = nullptr;
  }
  if constexpr (kIsVector<Inner>) {
    ops.count = [](const void* vector) { return static_cast<const Inner*>(vector)->size(); };
    ops.elements = [](const void* vector) -> const void* { return static_cast<const Inner*>(vector)->data(); };
    ops.resize = [](void* vector, size_t n) -> void* {
      auto& v = *static_cast<Inner*>(vector);
      v.clear();
      v.resize(n);
      return v.data();
    };
  }
  return ops;
}

}  // namespace detail

template <class Member>
inline constexpr MemberOps kMemberOps = detail::make_ops<Member>();

}  // namespace penstock::protocol
