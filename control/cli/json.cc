#include "control/cli/json.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/assert.h"

namespace penstock::cli {

Json::Json(Kind kind) : kind_(kind) {}
Json::Json(double value) : kind_(Kind::kReal), real_(value) {}
Json::Json(std::string value) : kind_(Kind::kText), text_(std::move(value)) {}
Json::Json(std::initializer_list<Member> members) : kind_(Kind::kObject) { update(members); }
Json::Json(const Json&) = default;
Json::Json(Json&&) noexcept = default;
Json& Json::operator=(const Json&) = default;
Json& Json::operator=(Json&&) noexcept = default;
Json::~Json() = default;

void Json::push_back(Json value) {
  if (kind_ == Kind::kNull) kind_ = Kind::kArray;
  CHECK(kind_ == Kind::kArray);
  items_.push_back(std::move(value));
}

Json& Json::operator[](std::string_view name) {
  if (kind_ == Kind::kNull) kind_ = Kind::kObject;
  CHECK(kind_ == Kind::kObject);
  const auto found = std::ranges::find(names_, name);
  if (found != names_.end()) return items_[static_cast<size_t>(found - names_.begin())];
  names_.emplace_back(name);
  return items_.emplace_back();
}

void Json::update(std::initializer_list<Member> members) {
  for (const Member& member : members) (*this)[member.name] = member.value;
}

// The library is asked for the text alone: its header costs each file that includes it seconds to compile.
class JsonText {
 public:
  static nlohmann::ordered_json of(const Json& value) {
    switch (value.kind_) {
      case Json::Kind::kNull: return nullptr;
      case Json::Kind::kBool: return value.whole_ != 0;
      case Json::Kind::kWhole: return value.whole_;
      case Json::Kind::kNegative: return static_cast<int64_t>(value.whole_);
      case Json::Kind::kReal: return value.real_;
      case Json::Kind::kText: return value.text_;
      case Json::Kind::kArray: {
        auto array = nlohmann::ordered_json::array();
        for (const Json& item : value.items_) array.push_back(of(item));
        return array;
      }
      case Json::Kind::kObject: break;
    }
    auto object = nlohmann::ordered_json::object();
    for (size_t i = 0; i < value.items_.size(); ++i) object[value.names_[i]] = of(value.items_[i]);
    return object;
  }
};

std::string Json::dump(int indent) const {
  const int spaces = indent == 0 ? -1 : indent;
  return JsonText::of(*this).dump(spaces, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace penstock::cli
