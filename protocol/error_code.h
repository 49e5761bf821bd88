// Kafka's error codes: what an answer says about a peer's request. The list is protocol/schema/errors.tsv.
#pragma once

#include <cstdint>
#include <string_view>

namespace penstock {

enum class ErrorCode : int16_t {
#define ERROR_CODE(id, code, name, retriable) id = code,
#include "protocol/gen/error_code.def"
#undef ERROR_CODE
};

// Kafka's name; "UNKNOWN" for a number that is not in the list (a peer may be newer).
constexpr std::string_view to_string(ErrorCode error) {
  switch (error) {
#define ERROR_CODE(id, code, name, retriable) \
  case ErrorCode::id: return name;
#include "protocol/gen/error_code.def"
#undef ERROR_CODE
  }
  return "UNKNOWN";
}

// Whether Kafka's clients send the request again on their own.
constexpr bool is_retriable(ErrorCode error) {
  switch (error) {
#define ERROR_CODE(id, code, name, retriable) \
  case ErrorCode::id: return retriable;
#include "protocol/gen/error_code.def"
#undef ERROR_CODE
  }
  return false;
}

}  // namespace penstock
