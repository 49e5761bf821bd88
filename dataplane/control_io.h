// ControlIo: what control writes to logs of this lcore and reads from them: the coordinators' own topics. Each append
// is held until it is durable or refused, each read until its bytes have come from the drive.
//
// Bounds: control's: one append a partition, a few reads at once (control/groups/group_runtime.h).
#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <vector>

#include "base/units.h"
#include "dataplane/api/messages.h"
#include "storage/api/store_set.h"

namespace penstock::dataplane {

class ControlIo {
 public:
  explicit ControlIo(storage::StoreSet& store) : store_(store) {}

  // Before the turn's submit: it goes with that.
  void begin(AppendRecords command, Nanos now);
  void begin(const ReadLog& command) { reading_.push_back({.command = command}); }

  // Once a turn, behind store.poll(): what is over.
  std::vector<Event> settle(Nanos now);
  // The store could not take something, or it is being read: tried again each turn, so the lcore must not sleep long.
  bool retrying() const { return !busy_.empty() || !reading_.empty(); }

 private:
  struct Busy {
    AppendRecords command;
    Nanos give_up_at;
  };
  struct Flying {
    uint64_t token;
    Offset base_offset;
    storage::DurableAt durable_at;
  };

  struct Reading {
    ReadLog command;
    std::optional<storage::ReadCursor> cursor = {};  // of the rest, once it has begun
    LogRead told = {};                               // and what came so far: max_bytes, or one batch
  };

  bool append(Busy& busy, Nanos now);
  bool read(Reading& reading);
  bool begin_read(Reading& reading);

  storage::StoreSet& store_;
  std::deque<Busy> busy_;
  std::deque<Flying> flying_;
  std::deque<Reading> reading_;
  std::vector<Event> over_;  // since the last settle()
};

}  // namespace penstock::dataplane
