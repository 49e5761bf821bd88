#include "control/cli/json.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "base/assert.h"
#include "control/cli/text.h"

namespace penstock::cli {
namespace {

template <class Number>
void write_number(std::string& out, Number value) {
  char text[32];
  const auto [end, error] = std::to_chars(text, text + sizeof text, value);
  CHECK(error == std::errc{});
  out.append(text, end);
}

void write_real(std::string& out, double value) {
  if (!std::isfinite(value)) {
    out += "null";  // JSON has no other word for it
    return;
  }
  const size_t at = out.size();
  write_number(out, value);
  if (out.find_first_of(".e", at) == std::string::npos) out += ".0";
}

void write_text(std::string& out, std::string_view text) {
  constexpr char kHex[] = "0123456789abcdef";
  constexpr std::string_view kShort = "\b\t\n\f\r\"\\";
  constexpr std::string_view kLetters = "btnfr\"\\";
  out += '"';
  while (!text.empty()) {
    const size_t count = utf8_bytes(text);
    const char first = text[0];
    if (count == 0) {
      out += "\xef\xbf\xbd";
    } else if (const size_t named = kShort.find(first); named != kShort.npos) {
      out += {'\\', kLetters[named]};
    } else if (static_cast<unsigned char>(first) < 0x20) {
      out += {'\\', 'u', '0', '0', kHex[first >> 4], kHex[first & 15]};
    } else {
      out += text.substr(0, count);
    }
    text.remove_prefix(std::max<size_t>(count, 1));
  }
  out += '"';
}

void new_line(std::string& out, int indent, int depth) {
  if (indent > 0) out.append(1, '\n').append(static_cast<size_t>(indent) * static_cast<size_t>(depth), ' ');
}

}  // namespace

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

std::string Json::dump(int indent) const {
  std::string out;
  write(out, indent, 0);
  return out;
}

void Json::write(std::string& out, int indent, int depth) const {
  switch (kind_) {
    case Kind::kNull: out += "null"; break;
    case Kind::kBool: out += whole_ != 0 ? "true" : "false"; break;
    case Kind::kWhole: write_number(out, whole_); break;
    case Kind::kNegative: write_number(out, static_cast<int64_t>(whole_)); break;
    case Kind::kReal: write_real(out, real_); break;
    case Kind::kText: write_text(out, text_); break;
    case Kind::kArray:
    case Kind::kObject:
      out += kind_ == Kind::kArray ? '[' : '{';
      write_inside(out, indent, depth + 1);
      if (!items_.empty()) new_line(out, indent, depth);
      out += kind_ == Kind::kArray ? ']' : '}';
      break;
  }
}

void Json::write_inside(std::string& out, int indent, int depth) const {
  for (size_t i = 0; i < items_.size(); ++i) {
    if (i > 0) out += ',';
    new_line(out, indent, depth);
    if (kind_ == Kind::kObject) {
      write_text(out, names_[i]);
      out += indent > 0 ? ": " : ":";
    }
    items_[i].write(out, indent, depth);
  }
}

}  // namespace penstock::cli
