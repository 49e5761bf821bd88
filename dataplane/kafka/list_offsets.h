// ListOffsets (API key 2), versions 1 to 11: where a partition begins, ends, or stood at a time. Answered at once.
#pragma once

#include <optional>

#include "dataplane/kafka/broker.h"
#include "dataplane/kafka/request.h"
#include "dataplane/kafka/response.h"

namespace penstock::dataplane {

// Nothing: the request cannot be parsed; close the connection.
std::optional<Response> list_offsets(Broker& broker, const Request& request);

}  // namespace penstock::dataplane
