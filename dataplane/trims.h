// Trims: the logs whose beginning control wants deleted (DeleteRecords), each until it is durable or refused. Runs on
// the lcore. Bound: control's (control/slow_path/delete_records.h).
#pragma once

#include <deque>
#include <utility>

#include "dataplane/api/messages.h"
#include "storage/api/store_set.h"

namespace penstock::dataplane {

class Trims {
 public:
  explicit Trims(storage::StoreSet& store) : store_(store) {}

  void begin(const TrimLog& command) { busy_.push_back(command); }

  // Once a turn, behind store.poll(): tells what is over; returns how many.
  template <class Tell>
  size_t settle(Tell&& tell) {
    size_t over = 0;
    const auto end = [&](const TrimLog& command, storage::TrimStatus status, Offset log_start_offset) {
      tell(LogTrimmed{.token = command.token, .status = status, .log_start_offset = log_start_offset});
      ++over;
    };
    for (size_t n = busy_.size(); n > 0; --n) {
      const TrimLog command = busy_.front();
      busy_.pop_front();
      const auto done = trim(command);
      if (done.status == storage::TrimStatus::kBusy) {
        busy_.push_back(command);
      } else if (done.status == storage::TrimStatus::kTrimmed) {
        flying_.emplace_back(command, done);
      } else {
        end(command, done.status, Offset{-1});
      }
    }
    for (size_t n = flying_.size(); n > 0; --n) {
      auto [command, done] = flying_.front();
      flying_.pop_front();
      if (store_.is_durable(done.durable_at)) {
        end(command, storage::TrimStatus::kTrimmed, done.log_start_offset);
      } else if (store_.poisoned(done.durable_at.ring)) {
        end(command, storage::TrimStatus::kPoisoned, Offset{-1});
      } else {
        flying_.emplace_back(command, done);
      }
    }
    return over;
  }

  // The store could not take one: it is tried again each turn, so the lcore must not sleep long.
  bool retrying() const { return !busy_.empty(); }

 private:
  // The range is Kafka's (UnifiedLog.maybeIncrementLogStartOffset): up to the high watermark, and below the beginning
  // is no error.
  storage::StoreSet::Trimmed trim(const TrimLog& command) {
    const auto offsets = store_.offsets(command.log);
    if (!offsets) return {.status = storage::TrimStatus::kUnknownLog};
    const Offset to = command.to == TrimLog::kHighWatermark ? offsets->durable : command.to;
    if (to < Offset{0} || to > offsets->durable) return {.status = storage::TrimStatus::kOffsetOutOfRange};
    return store_.trim(command.log, to);
  }

  storage::StoreSet& store_;
  std::deque<TrimLog> busy_;
  std::deque<std::pair<TrimLog, storage::StoreSet::Trimmed>> flying_;
};

}  // namespace penstock::dataplane
