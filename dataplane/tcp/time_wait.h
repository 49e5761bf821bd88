// TimeWaits: connections in TIME-WAIT (RFC 9293 3.10.7, RFC 6191), reduced to what answers old segments. Bounded: the
// oldest is forgotten first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "base/units.h"
#include "dataplane/tcp/flow.h"
#include "dataplane/tcp/flow_table.h"
#include "dataplane/tcp/seq.h"
#include "dataplane/tcp/timers.h"

namespace penstock::dataplane::tcp {

struct TimeWait {
  Flow flow;
  uint64_t hash = 0;
  SeqNumber snd_nxt;
  SeqNumber rcv_nxt;
  uint16_t window = 0;  // as it stood in the last header
  bool timestamps = false;
  uint32_t ts_offset = 0;
  uint32_t ts_recent = 0;
  Nanos until = 0;
  Nanos last_reply_at = -kSecond;
  uint32_t ticket = 0;  // tells a place in line from that of the entry's former life
  bool in_use = false;
};

class TimeWaits {
 public:
  TimeWaits(size_t entries_max, Nanos length) : length_(length), entries_(entries_max), table_(entries_max) {
    for (size_t i = entries_max; i > 0; --i) free_.push_back(static_cast<uint32_t>(i - 1));
  }

  size_t size() const { return table_.size(); }
  TimeWait* find(uint64_t hash, const Flow& flow);
  // True: one was forgotten for it.
  bool add(const TimeWait& entry, Nanos now);
  void remove(TimeWait& entry);
  // Two MSL from now on again: a FIN came once more.
  void restart(TimeWait& entry, Nanos now);
  void expire(Nanos now);
  Nanos next() const { return line_.empty() ? kNever : line_.front().until; }

 private:
  // All wait equally long, so that the line is in order of time.
  struct Place {
    uint32_t index;
    uint32_t ticket;
    Nanos until;
  };
  bool stale(const Place& place) const {
    return !entries_[place.index].in_use || entries_[place.index].ticket != place.ticket;
  }
  void stand_in_line(uint32_t index, Nanos now);

  const Nanos length_;
  std::vector<TimeWait> entries_;
  std::vector<uint32_t> free_;
  FlowTable table_;
  std::deque<Place> line_;
  uint32_t tickets_ = 0;
};

}  // namespace penstock::dataplane::tcp
