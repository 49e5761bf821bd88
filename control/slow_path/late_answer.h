// An answer that lcores are waited for, and who asked.
#pragma once

#include <cstdint>

#include "dataplane/api/messages.h"
#include "protocol/types.h"

namespace penstock::control {

struct LateAsker {
  uint16_t lcore;  // that has the connection
  dataplane::ConnectionId connection;
  int16_t version;
  CorrelationId correlation;
};

struct LateAnswer {
  uint16_t lcore;
  dataplane::Answer answer;
};

}  // namespace penstock::control
