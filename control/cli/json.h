// JSON that the client commands print: built in order, written as text by nlohmann/json, which json.cc alone includes:
// it costs each file that prints more to compile than all else in it.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::cli {

// One value: null, a boolean, a number, text, an array, or an object whose members keep their order.
class Json {
 public:
  struct Member;

  Json() : Json(Kind::kNull) {}
  Json(std::nullptr_t) : Json(Kind::kNull) {}
  Json(bool value) : Json(Kind::kBool) { whole_ = value ? 1 : 0; }
  Json(double value);
  Json(std::string value);
  Json(std::string_view value) : Json(std::string(value)) {}
  Json(const char* value) : Json(std::string(value)) {}
  template <std::integral Number>
  Json(Number value) : Json(std::signed_integral<Number> && value < 0 ? Kind::kNegative : Kind::kWhole) {
    whole_ = static_cast<uint64_t>(value);
  }
  template <class Value>
  Json(const std::optional<Value>& value) : Json() {
    if (value) *this = Json(*value);
  }
  template <class Value>
  Json(const std::vector<Value>& values) : Json(Kind::kArray) {
    for (const Value& value : values) push_back(value);
  }
  Json(std::initializer_list<Member> members);

  Json(const Json&);
  Json(Json&&) noexcept;
  Json& operator=(const Json&);
  Json& operator=(Json&&) noexcept;
  ~Json();

  static Json array() { return Json(Kind::kArray); }
  static Json object() { return Json(Kind::kObject); }

  // Makes an array of null.
  void push_back(Json value);
  // The member of that name, made as null if there is none; makes an object of null.
  Json& operator[](std::string_view name);
  void update(std::initializer_list<Member> members);

  bool empty() const { return items_.empty(); }
  // indent: spaces a level and a line a value; 0: all in one line. Text that is not UTF-8 gets U+FFFD for what is not.
  std::string dump(int indent = 0) const;

 private:
  friend class JsonText;
  enum class Kind : uint8_t { kNull, kBool, kWhole, kNegative, kReal, kText, kArray, kObject };
  explicit Json(Kind kind);

  Kind kind_;
  uint64_t whole_ = 0;
  double real_ = 0;
  std::string text_;
  std::vector<Json> items_;
  std::vector<std::string> names_;  // of items_, in an object
};

struct Json::Member {
  std::string name;
  Json value;
};

}  // namespace penstock::cli
