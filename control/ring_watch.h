// RingWatch: what the operator is told about the rings, in a log line when it changes and by /healthz as long as it is
// so. The broker is unready only when no ring is left: the others go on.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "control/health.h"
#include "control/types.h"
#include "dataplane/api/messages.h"

namespace penstock::control {

struct RingFolder {
  uint16_t ring;
  std::string folder;
};

class RingWatch {
 public:
  RingWatch(Health& health, ControlCounters& counters, const std::vector<RingFolder>& rings);

  // True: it says for the first time that the ring has failed.
  bool take(const dataplane::RingHealth& told);
  bool any_failed() const { return failed_ > 0; }

 private:
  struct Ring {
    std::string name;  // ring-0 in /data
    storage::StoreHealth health{};
  };
  void tell(Ring& ring, const char* what, bool is_so, const std::string& line);

  Health& health_;
  ControlCounters& counters_;
  std::map<uint16_t, Ring> rings_;
  size_t failed_ = 0;
};

}  // namespace penstock::control
