#include "control/slow_path/answer_room.h"

#include <algorithm>
#include <string>
#include <vector>

#include "base/assert.h"

namespace penstock::control {
namespace {

using protocol::FieldInfo;
using protocol::FieldType;

constexpr size_t kInlineString = 15;  // what a libstdc++ string holds without the heap

bool holds_more(FieldType type) { return type >= FieldType::kString; }

size_t heap_bytes_of_value(const FieldInfo& field, const void* value) {
  switch (field.type) {
    case FieldType::kString: {
      const size_t size = static_cast<const std::string*>(value)->size();
      return size > kInlineString ? size + 1 : 0;
    }
    case FieldType::kBytes:
    case FieldType::kRecords: return static_cast<const std::vector<std::byte>*>(value)->size();
    case FieldType::kStruct: return heap_bytes(*field.nested, value);
    default: return 0;
  }
}

size_t heap_bytes_of_member(const FieldInfo& field, const void* member) {
  const void* value = field.ops == nullptr ? member : field.ops->value(member);
  if (value == nullptr) return 0;
  if (!field.array) return heap_bytes_of_value(field, value);
  const size_t count = field.ops->count(value);
  size_t bytes = count * field.element_size;
  if (!holds_more(field.type)) return bytes;
  const auto* element = static_cast<const std::byte*>(field.ops->elements(value));
  for (size_t i = 0; i < count; ++i, element += field.element_size) bytes += heap_bytes_of_value(field, element);
  return bytes;
}

}  // namespace

size_t heap_bytes(const protocol::StructInfo& info, const void* object) {
  size_t bytes = 0;
  for (const FieldInfo& field : info.fields) {
    bytes += heap_bytes_of_member(field, static_cast<const std::byte*>(object) + field.at);
  }
  return bytes;
}

bool AnswerRoom::take(const protocol::MessageInfo& message, std::string_view array, const void* element) {
  const auto field = std::ranges::find(message.root->fields, array, &FieldInfo::name);
  CHECK(field != message.root->fields.end() && field->array && field->type == FieldType::kStruct);
  return take(field->element_size + heap_bytes(*field->nested, element));
}

}  // namespace penstock::control
