// ApiVersions: what we serve, in which versions. Features (KIP-584) are absent: clients take that as none.
#include <algorithm>
#include <string_view>

#include "control/slow_path/handlers.h"

namespace penstock::control {
namespace {

bool is_letter_or_digit(char c) { return ('a' <= c && c <= 'z') || ('A' <= c && c <= 'Z') || ('0' <= c && c <= '9'); }

// KIP-511: [a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?
bool is_software_word(std::string_view word) {
  return !word.empty() && is_letter_or_digit(word.front()) && is_letter_or_digit(word.back()) &&
         std::ranges::all_of(word, [](char c) { return is_letter_or_digit(c) || c == '-' || c == '.'; });
}

}  // namespace

protocol::ApiVersionsResponse answer(const protocol::ApiVersionsRequest& request, Call& call) {
  protocol::ApiVersionsResponse response;
  if (call.version >= 3 &&
      !(is_software_word(request.client_software_name) && is_software_word(request.client_software_version))) {
    response.error_code = ErrorCode::kInvalidRequest;
    return response;
  }
  for (const ApiKey key : served_apis()) {
    const protocol::Api& api = *protocol::find_api(static_cast<int16_t>(key));
    response.api_keys.push_back(
        {.api_key = static_cast<int16_t>(key), .min_version = api.advertised_min, .max_version = api.max});
  }
  return response;
}

protocol::ApiVersionsResponse unsupported_api_versions() {
  const protocol::Api& api = *protocol::find_api(static_cast<int16_t>(ApiKey::kApiVersions));
  protocol::ApiVersionsResponse response;
  response.error_code = ErrorCode::kUnsupportedVersion;
  response.api_keys.push_back(
      {.api_key = static_cast<int16_t>(api.key), .min_version = api.advertised_min, .max_version = api.max});
  return response;
}

}  // namespace penstock::control
