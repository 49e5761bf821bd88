// Store::append: the one touch. Copy with CRC into the ring, check, then stamp offsets; nothing of a refused batch
// stays.
#include <algorithm>
#include <array>

#include "base/saturating.h"
#include "protocol/record_batch.h"
#include "storage/store_impl.h"

namespace penstock::storage {
namespace {

// A log whose segments cannot be written is refused when this part of the ring is its own.
constexpr uint64_t kStuckShare = 8;

constexpr AppendStatus status_of(SequenceVerdict verdict) {
  switch (verdict) {
    case SequenceVerdict::kNext: return AppendStatus::kAppended;
    case SequenceVerdict::kRepeat: return AppendStatus::kDuplicate;
    case SequenceVerdict::kTooOldRepeat: return AppendStatus::kDuplicateSequence;
    case SequenceVerdict::kGap: return AppendStatus::kOutOfOrderSequence;
    case SequenceVerdict::kOldEpoch: return AppendStatus::kInvalidProducerEpoch;
  }
  std::unreachable();
}

constexpr AppendStatus status_of(RingWriter::Room room) {
  switch (room) {
    case RingWriter::Room::kYes: return AppendStatus::kAppended;
    case RingWriter::Room::kBusy: return AppendStatus::kBusy;
    case RingWriter::Room::kFull: return AppendStatus::kRingFull;
    case RingWriter::Room::kNever: return AppendStatus::kTooLarge;
  }
  std::unreachable();
}

constexpr AppendStatus status_of(Space::Room room) {
  switch (room) {
    case Space::Room::kYes: return AppendStatus::kAppended;
    case Space::Room::kAsked: return AppendStatus::kBusy;
    case Space::Room::kNo: return AppendStatus::kDiskFull;
  }
  std::unreachable();
}

// The records of the batch that now lies at at, read while they are hot. A compressed batch is checked by its CRC
// alone.
protocol::RecordsSummary walk(const RingMemory& memory, Lsn at, size_t length, int32_t count) {
  std::vector<std::span<const std::byte>> pieces(length / (kChunkBytes - kFrameHeaderBytes) + 2);
  pieces.resize(memory.view(at, protocol::kBatchHeaderBytes, length - protocol::kBatchHeaderBytes, pieces));
  return protocol::walk_records(pieces, count);
}

// given: of a compressed batch, by who has looked at its records; else its first record's time and what its header says
// are known.
RecordTimes times_of(const protocol::RecordBatchView& batch, const protocol::RecordsSummary& records,
                     const std::optional<RecordTimes>& given) {
  const int64_t base = batch.base_timestamp();
  if (batch.compression() != protocol::Compression::kNone)
    return given.value_or(RecordTimes{.least = base, .greatest = std::max(base, batch.max_timestamp())});
  return {.least = saturating_add(base, records.min_timestamp_delta),
          .greatest = saturating_add(base, records.max_timestamp_delta)};
}

// Kafka: LogValidator.validateTimestamp.
bool times_fit(const RecordTimes& times, const LogConfig& config, int64_t now_ms) {
  if (config.append_time) return true;
  const bool any_age = config.timestamp_before_max_ms == INT64_MAX;
  const int64_t earliest = any_age ? INT64_MIN : saturating_subtract(now_ms, config.timestamp_before_max_ms);
  const int64_t latest = saturating_add(now_ms, config.timestamp_after_max_ms);
  return (times.least >= earliest || times.least == protocol::kNoTimestamp) && times.greatest <= latest;
}

}  // namespace

AppendResult Store::append(LogId id, LeaderEpoch epoch, const BufferChain& chain, size_t at, size_t length,
                           const std::optional<RecordTimes>& times) {
  Impl& s = *impl_;
  s.owner.check();
  CHECK(length >= protocol::kBatchHeaderBytes && length <= chain.size() - at);
  PartitionLog* log = s.find(id);
  if (log == nullptr) return {.status = AppendStatus::kUnknownLog};
  if (s.shard.poisoned || s.stopping) return {.status = AppendStatus::kPoisoned};
  if (log->truncate_to) return {.status = AppendStatus::kBusy};
  AppendStatus room = status_of(s.shard.ring->room_for(length));
  const bool ring_full = room == AppendStatus::kRingFull;
  // What cannot leave the ring may not take it all from those who share it.
  const uint64_t share = s.shard.ring->memory().bytes() / kStuckShare;
  if (room == AppendStatus::kAppended && log->stuck && log->unstaged_bytes + length > share)
    room = AppendStatus::kRingFull;
  if (room == AppendStatus::kAppended) room = status_of(s.space.room_for(length));
  if (room == AppendStatus::kAppended) return s.append(*log, epoch, chain, at, length, times);
  if (room != AppendStatus::kRingFull && room != AppendStatus::kDiskFull) return {.status = room};
  if (const auto repeat = s.find_repeat(*log, chain, at)) return *repeat;
  if (ring_full) s.shard.ring->want_room(length);  // more room would not help a log that has its share
  s.shard.counters.add(room == AppendStatus::kRingFull ? Metric::appends_refused_full
                                                       : Metric::appends_refused_disk_full);
  return {.status = room};
}

// A repeat needs no room: its producer learns that the batch is there also when nothing more can be taken. By its
// header alone: nothing of it is stored.
std::optional<AppendResult> Store::Impl::find_repeat(const PartitionLog& log, const BufferChain& chain, size_t at) {
  std::array<std::byte, protocol::kBatchHeaderBytes> head;
  chain.copy_out(at, head);
  const protocol::RecordBatchView batch(head);
  if (!batch.has_producer_id()) return std::nullopt;
  const auto check =
      log.producers.check(batch.producer_id(), batch.producer_epoch(), batch.base_sequence(), batch.last_sequence());
  if (check.verdict != SequenceVerdict::kRepeat) return std::nullopt;
  shard.counters.add(Metric::batches_duplicate);
  return AppendResult{AppendStatus::kDuplicate, check.repeated->base_offset, log.log_start_offset, check.repeated->end};
}

AppendResult Store::Impl::append(PartitionLog& log, LeaderEpoch epoch, const BufferChain& chain, size_t at,
                                 size_t length, const std::optional<RecordTimes>& known) {
  RingWriter* const ring = shard.ring.get();
  StorageCounters& counters = shard.counters;
  // life: 7 (one touch)
  const Lsn payload = ring->begin_entry(log.id, static_cast<uint32_t>(length));
  chain.for_each_piece(at, length, [&](std::span<const std::byte> piece) { ring->write(piece); });
  const std::span<std::byte, protocol::kBatchHeaderBytes> head(ring->memory().at(payload), protocol::kBatchHeaderBytes);
  const protocol::RecordBatchView batch(head);
  const auto refuse = [&](AppendStatus status, Metric metric) {
    ring->abort_entry();
    counters.add(metric);
    return AppendResult{.status = status};
  };
  if (batch.crc() != ring->payload_crc()) return refuse(AppendStatus::kCorrupt, Metric::appends_refused_corrupt);
  const bool compressed = batch.compression() != protocol::Compression::kNone;
  const auto records =
      compressed ? protocol::RecordsSummary{} : walk(ring->memory(), payload, length, batch.records_count());
  if (records.error != ErrorCode::kNone) return refuse(AppendStatus::kInvalidRecord, Metric::appends_refused_corrupt);
  if (records.any_null_key && log.config.compact) return refuse(AppendStatus::kNoKey, Metric::appends_refused_keyless);
  const int64_t now_ms = shard.clock.wall_ms();
  const RecordTimes times = times_of(batch, records, known);
  if (!times_fit(times, log.config, now_ms))
    return refuse(AppendStatus::kInvalidTimestamp, Metric::appends_refused_timestamp);

  if (batch.has_producer_id()) {
    const auto check =
        log.producers.check(batch.producer_id(), batch.producer_epoch(), batch.base_sequence(), batch.last_sequence());
    if (check.verdict == SequenceVerdict::kRepeat) {
      ring->abort_entry();
      counters.add(Metric::batches_duplicate);
      return {AppendStatus::kDuplicate, check.repeated->base_offset, log.log_start_offset, check.repeated->end};
    }
    if (check.verdict != SequenceVerdict::kNext)
      return refuse(status_of(check.verdict), Metric::appends_refused_sequence);
  }

  // life: 8 (offsets). Both fields lie before what Kafka's CRC covers, so the client's CRC stays valid.
  const Offset base = log.log_end_offset;
  protocol::store_base_offset(head, base);
  protocol::store_partition_leader_epoch(head, epoch);
  if (log.config.append_time) {  // a clock that goes back does not take the log with it
    log.append_time_ms = std::max(log.append_time_ms, now_ms);
    protocol::store_append_time(head, length, log.append_time_ms);
  } else if (times.greatest != batch.max_timestamp() && times.greatest != INT64_MAX) {  // that is as much as beyond it
    // Producers do not all say it rightly (sarama wrote -1 before its PR 3108). Kafka's LogValidator sets it too:
    // retention, offsets by time and the age of producers go by it.
    protocol::store_max_timestamp(head, length, times.greatest);
    counters.add(Metric::batches_retimed);
  }
  const Lsn end = ring->commit_entry();
  log.add({base, batch.max_timestamp(), payload, static_cast<uint32_t>(length), batch.last_offset_delta()});
  log.epochs.assign(epoch, base);
  if (batch.max_timestamp() < 0) log.untimed_at_ms = now_ms;
  log.evict(ring->memory_floor());
  destager.appended(log);
  if (batch.has_producer_id()) {
    const size_t before = log.producers.size();
    log.producers.remember(batch.producer_id(),
                           {batch.producer_epoch(), batch.base_sequence(), batch.last_sequence(), base, end},
                           batch.max_timestamp(), static_cast<size_t>(shard.options.producers_max));
    shard.count_producers(before, log.producers.size());
  }
  log.newest_is_pending();
  pending.push_back({end, log.log_end_offset, log.batches.back().bytes, &log});
  counters.add(Metric::bytes_appended, length);
  counters.add(Metric::batches_appended);
  return {AppendStatus::kAppended, base, log.log_start_offset, end,
          log.config.append_time ? log.append_time_ms : protocol::kNoTimestamp};
}

}  // namespace penstock::storage
