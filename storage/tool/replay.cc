#include "storage/tool/replay.h"

#include <fmt/format.h>

#include <algorithm>

#include "protocol/record_batch.h"
#include "storage/log/epoch_cache.h"
#include "storage/tool/batch_items.h"

namespace penstock::storage {

Replay::Replay(RingMemory memory, const std::vector<LogState>& logs, uint64_t generation,
               const std::function<bool(LogId)>& lives, std::optional<LogId> next_log_id)
    : memory_(memory), generation_(generation), lives_(lives), next_log_id_(next_log_id) {
  for (const LogState& state : logs) {
    if (next_log_id_ && state.id >= *next_log_id_) {
      never_issued_logs_.push_back(state.id);
      continue;
    }
    if (lives_ && !lives_(state.id)) continue;
    logs_.emplace(state.id, ReplayedLog{.state = state, .in_slot = true, .end = state.destaged});
  }
}

void Replay::take(const FoundEntry& entry) {
  if (next_log_id_ && entry.log >= *next_log_id_) {
    never_issued_ += 1;
    return;
  }
  if (lives_ && !lives_(entry.log)) {
    deleted_ += 1;
    return;
  }
  auto found = logs_.find(entry.log);
  if (found == logs_.end()) found = logs_.emplace(entry.log, ReplayedLog{.state = {.id = entry.log}}).first;
  ReplayedLog& log = found->second;
  const bool in_slot = log.in_slot && entry.at < log.state.replay_from && entry.generation <= generation_;
  if (log.broken || in_slot) return;
  switch (entry.kind) {
    case EntryKind::kBatch: return take_batch(log, entry);
    case EntryKind::kTruncate: return take_truncate(log, entry);
    case EntryKind::kStartOffset: return take_start_offset(log, entry);
    case EntryKind::kRelog: return take_relog(log, entry);
    case EntryKind::kSegment:
    case EntryKind::kEpoch:
    case EntryKind::kPad:
    case EntryKind::kDirectRun: return;  // the scan stops at these
  }
}

void Replay::take_batch(ReplayedLog& log, const FoundEntry& entry) {
  const auto batch = protocol::view_of(memory_.span(entry.at, protocol::kBatchHeaderBytes));
  const Offset base = batch.base_offset();
  const auto last = last_offset_of(batch);
  if (!last) {
    log.broken = Contradiction{entry.at, fmt::format("a batch in the ring has impossible offsets ({} + {})",
                                                     base.value(), batch.last_offset_delta())};
    return;
  }
  if (!log.in_slot && log.ring_batches == 0) log.state.log_start_offset = log.state.destaged = log.end = base;
  if (base != log.end) {
    log.broken = Contradiction{
        entry.at, fmt::format("the ring goes on at offset {}, where {} should be", base.value(), log.end.value()),
        log.end, base};
    return;
  }
  log.end = *last + 1;
  log.ring_batches += 1;
  log.ring_bytes += entry.bytes;
}

void Replay::take_truncate(ReplayedLog& log, const FoundEntry& entry) {
  const auto truncate = decode_truncate(memory_.span(entry.at, entry.bytes));
  if (!truncate) {
    log.broken = Contradiction{entry.at, "a truncation in the ring is malformed"};
    return;
  }
  if (truncate->offset >= log.end) return;
  LogState& state = log.state;
  log.end = truncate->offset;
  EpochCache epochs;
  epochs.restore(state.epochs);
  epochs.truncate_from(truncate->offset);
  state.epochs.assign(epochs.entries().begin(), epochs.entries().end());
  if (!log.in_slot || truncate->offset > state.destaged || (truncate->offset == state.destaged && state.skip == 0))
    return;
  auto& segments = state.segments;
  while (!segments.empty() && segments.back().base > truncate->segment) segments.pop_back();
  if (segments.empty() || segments.back().base != truncate->segment || segments.back().bytes < truncate->position) {
    log.broken = Contradiction{entry.at, fmt::format("a truncation in the ring names segment {}, byte {}: the state "
                                                     "slot does not",
                                                     truncate->segment.value(), truncate->position)};
    return;
  }
  segments.back().bytes = state.position = truncate->position;
  state.destaged = truncate->offset;
  state.cleaned_to = std::min(state.cleaned_to, truncate->offset);
  state.skip = 0;
  log.crcs_known = false;
  log.head.clear();
}

void Replay::take_start_offset(ReplayedLog& log, const FoundEntry& entry) {
  const auto start = decode_start_offset(memory_.span(entry.at, entry.bytes));
  if (!start) {
    log.broken = Contradiction{entry.at, "a start offset in the ring is malformed"};
    return;
  }
  log.state.log_start_offset = std::max(log.state.log_start_offset, start->offset);
}

void Replay::take_relog(ReplayedLog& log, const FoundEntry& entry) {
  const auto relog = decode_relog(memory_.span(entry.at, entry.bytes));
  if (!relog) {
    log.broken = Contradiction{entry.at, "a relogged block in the ring is malformed"};
    return;
  }
  const LogState& state = log.state;
  if (state.segments.empty() || state.segments.back().base != relog->segment ||
      relog->position + relog->bytes.size() != state.position)
    return;
  log.head.assign(relog->bytes.begin(), relog->bytes.end());
}

}  // namespace penstock::storage
