#include "dataplane/kafka/look.h"

#include <algorithm>
#include <array>
#include <span>

#include "base/bytes.h"
#include "dataplane/kafka/route.h"

namespace penstock::dataplane {
namespace {

constexpr size_t kBatchLengthEnd = 12;  // base offset and length: the batch has as many bytes more

void plan(storage::StoreSet& store, Look& look, Budget& budget) {
  const uint64_t limit = std::min(look.max_bytes, budget.bytes_left);
  if (limit == 0 && !budget.nothing_yet) return;
  const storage::ReadPlan plan = store.plan_read(look.log, look.from, limit, budget.nothing_yet);
  uint64_t taken = 0;
  switch (plan.status) {
    case storage::ReadStatus::kReady:
      look.cursor = plan.cursor;
      look.settled = plan.cursor.cold && plan.cursor.remaining > 0;
      taken = plan.cursor.remaining;
      break;
    case storage::ReadStatus::kPending:
      look.pending = true;
      budget.nothing_yet = false;
      taken = limit;
      break;
    case storage::ReadStatus::kDamaged:
      look.error = ErrorCode::kKafkaStorageError;
      look.settled = look.damaged = true;
      break;
    case storage::ReadStatus::kGone: {
      const auto offsets = store.offsets(look.log);
      look.error = offsets ? ErrorCode::kOffsetOutOfRange : ErrorCode::kUnknownTopicOrPartition;
      if (offsets) look.offsets = *offsets;
      break;
    }
  }
  if (look.cursor.remaining > 0) budget.nothing_yet = false;
  budget.bytes_left -= std::min(budget.bytes_left, taken);
}

}  // namespace

void look_at(storage::StoreSet& store, Look& look, Budget& budget) {
  look.cursor = {};
  look.first_bytes = 0;
  look.diverging.reset();
  look.pending = look.settled = look.damaged = false;
  look.offsets = {Offset{-1}, Offset{-1}, Offset{-1}};
  look.error =
      store.poisoned(look.log) ? ErrorCode::kKafkaStorageError : check_epoch(look.current_epoch, look.leader_epoch);
  if (look.error != ErrorCode::kNone) return;
  const auto offsets = store.offsets(look.log);
  if (!offsets) {
    look.error = ErrorCode::kUnknownTopicOrPartition;
    return;
  }
  look.offsets = *offsets;
  if (look.from < offsets->log_start_offset || look.from > offsets->log_end_offset) {
    look.error = ErrorCode::kOffsetOutOfRange;
    return;
  }
  // KIP-595, as Kafka's Partition.readRecords: the log parted from what the client has read before its offset.
  if (look.last_fetched_epoch >= 0) {
    const storage::EpochEnd end = store.end_offset_for(look.log, LeaderEpoch{look.last_fetched_epoch});
    if (end.epoch.value() < 0 || end.end.value() < 0) {
      look.error = ErrorCode::kOffsetOutOfRange;
      return;
    }
    if (end.epoch.value() < look.last_fetched_epoch || end.end < look.from) {
      look.diverging = end;
      return;
    }
  }
  plan(store, look, budget);
}

void keep_settled(const storage::StoreSet& store, Look& look, Budget& budget) {
  if (!look.settled) return;
  const auto offsets = store.offsets(look.log);
  look.settled = offsets && offsets->log_start_offset <= look.from;
  if (!look.settled) return;
  look.offsets = *offsets;
  if (look.cursor.remaining > 0) budget.nothing_yet = false;
  budget.bytes_left -= std::min(budget.bytes_left, look.cursor.remaining);
}

void trim_to(Look& look, Budget& budget) {
  const uint64_t limit = std::min(look.max_bytes, budget.bytes_left);
  uint64_t taken = 0;
  if (look.pending) {
    budget.nothing_yet = false;
    taken = limit;
  } else if (look.cursor.remaining > 0) {
    const uint64_t least = budget.nothing_yet ? look.first_bytes : 0;
    // A beginning of a batch with no batch before it is of no use to anybody (KIP-74).
    const bool fits = look.first_bytes <= limit;
    look.cursor.remaining = fits ? std::min(look.cursor.remaining, limit) : least;
    taken = look.cursor.remaining;
    if (taken > 0) budget.nothing_yet = false;
  }
  budget.bytes_left -= std::min(budget.bytes_left, taken);
}

uint64_t first_batch_bytes(storage::StoreSet& store, const storage::ReadCursor& cursor) {
  std::array<std::span<const std::byte>, 2> pieces;
  const auto found = store.view(cursor, kBatchLengthEnd, pieces);
  std::array<std::byte, kBatchLengthEnd> head;
  size_t n = 0;
  for (size_t i = 0; found && i < *found; ++i) {
    for (const std::byte byte : pieces[i].first(std::min(pieces[i].size(), head.size() - n))) head[n++] = byte;
  }
  if (n < head.size()) return cursor.remaining;  // it is not here now: all of it or nothing
  const auto length = load_be<int32_t>(head.data() + sizeof(int64_t));
  return std::min(cursor.remaining, kBatchLengthEnd + static_cast<uint64_t>(length));
}

}  // namespace penstock::dataplane
