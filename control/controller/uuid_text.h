// A Uuid as Kafka's tools print it: 22 letters of URL-safe base64 without padding (RFC 4648 section 5).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/prng.h"
#include "protocol/types.h"

namespace penstock::control {

std::string to_text(const Uuid& id);
// In hexadecimal, 8-4-4-4-12 (RFC 9562 section 4): as in the ids of members.
std::string to_hyphenated_text(const Uuid& id);
std::optional<Uuid> parse_uuid(std::string_view text);

// A version 4 (random) UUID, RFC 9562 section 5.4. Never begins with a dash: it would look like an option to a shell.
Uuid random_uuid(Prng& prng);

}  // namespace penstock::control
