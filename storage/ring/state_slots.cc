#include "storage/ring/state_slots.h"

#include <cstdlib>
#include <cstring>

#include "base/assert.h"

namespace penstock::storage {
namespace {

// Of places in the ring's infinite log and of offsets: far from any overflow when two are added.
constexpr uint64_t kPlaceMax = 1ULL << 62;
constexpr uint64_t kBlockMin = 4096;

bool can_be(const RingState& s) {
  const bool places = s.ring_bytes > 0 && s.ring_bytes % kChunkBytes == 0 && s.ring_bytes <= kPlaceMax &&
                      s.tail <= s.as_of && s.as_of <= s.head && s.head.value() <= kPlaceMax &&
                      s.head - s.tail <= s.ring_bytes && s.tail.value() % kBlockMin == 0 &&
                      s.as_of.value() % kBlockMin == 0 && s.head.value() % kBlockMin == 0;
  return places && (!s.clean_stop || s.tail == s.head);
}

// Takes little-endian values from bytes one after another; after one that does not fit, ok is false and all are zero.
class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : left_(bytes) {}

  // The next n records of size bytes each, whole; empty and not ok if there are fewer.
  std::span<const std::byte> take(uint64_t n, uint64_t size) {
    if (!ok || n > left_.size() / size) {
      ok = false;
      return {};
    }
    const auto taken = left_.first(n * size);
    left_ = left_.subspan(n * size);
    return taken;
  }
  bool at_end() const { return ok && left_.empty(); }

  bool ok = true;

 private:
  std::span<const std::byte> left_;
};

bool take_segments(Reader& reader, uint32_t count, LogState& log, bool is_v2) {
  using L = SegmentStateLayout;
  const size_t size = is_v2 ? L::end_of_v2 : L::end;
  const auto bytes = reader.take(count, size);
  if (!reader.ok) return false;
  log.segments.reserve(count);
  for (const std::byte* at = bytes.data(); log.segments.size() < count; at += size) {
    const SegmentState segment{.base = Offset{load_le<int64_t>(at + L::base)},
                               .bytes = load_le<uint64_t>(at + L::bytes),
                               .max_timestamp = load_le<int64_t>(at + L::max_timestamp),
                               .first_timestamp = load_le<int64_t>(at + L::first_timestamp),
                               .revision = is_v2 ? 0 : load_le<uint64_t>(at + L::revision)};
    if (segment.base < Offset{0} || segment.bytes > kPlaceMax) return false;
    if (!log.segments.empty() && segment.base <= log.segments.back().base) return false;
    log.segments.push_back(segment);
  }
  return true;
}

bool take_epochs(Reader& reader, uint32_t count, LogState& log) {
  using L = EpochEntryLayout;
  const auto bytes = reader.take(count, L::end);
  if (!reader.ok) return false;
  log.epochs.reserve(count);
  for (const std::byte* at = bytes.data(); log.epochs.size() < count; at += L::end) {
    const EpochEntry entry{LeaderEpoch{load_le<int32_t>(at + L::epoch)}, Offset{load_le<int64_t>(at + L::start)}};
    if (entry.epoch < LeaderEpoch{0} || entry.start < Offset{0}) return false;
    if (!log.epochs.empty() && (entry.epoch <= log.epochs.back().epoch || entry.start <= log.epochs.back().start))
      return false;
    log.epochs.push_back(entry);
  }
  return true;
}

bool take_producers(Reader& reader, uint32_t count, LogState& log) {
  using L = ProducerStateLayout;
  for (uint32_t i = 0; i < count; ++i) {
    const auto head = reader.take(1, L::end);
    if (!reader.ok) return false;
    ProducerState producer{.id = ProducerId{load_le<int64_t>(head.data() + L::id)},
                           .epoch = load_le<int16_t>(head.data() + L::epoch),
                           .held = load_le<int64_t>(head.data() + L::held),
                           .last_timestamp = load_le<int64_t>(head.data() + L::last_timestamp)};
    const auto batches_count = load_le<uint16_t>(head.data() + L::count);
    if (batches_count == 0 || batches_count > ProducerState::kMostBatches || producer.held < 0) return false;
    producer.count = static_cast<uint8_t>(batches_count);
    const auto batches = reader.take(producer.count, L::batch_end);
    if (!reader.ok) return false;
    for (uint8_t b = 0; b < producer.count; ++b) {
      const std::byte* at = batches.data() + b * L::batch_end;
      producer.batches[b] = {load_le<int32_t>(at + L::batch_first), load_le<int32_t>(at + L::batch_last),
                             Offset{load_le<int64_t>(at + L::batch_offset)}};
      if (producer.batches[b].first_sequence < 0 || producer.batches[b].last_sequence < 0) return false;
    }
    log.producers.push_back(producer);
  }
  return true;
}

bool take_log(Reader& reader, LogState& log, bool is_v2) {
  using L = LogStateLayout;
  const auto head = reader.take(1, is_v2 ? L::end_of_v2 : L::end);
  if (!reader.ok) return false;
  const std::byte* at = head.data();
  log.id = LogId{load_le<uint64_t>(at + L::id)};
  log.log_start_offset = Offset{load_le<int64_t>(at + L::log_start_offset)};
  log.destaged = Offset{load_le<int64_t>(at + L::destaged)};
  log.position = load_le<uint64_t>(at + L::position);
  log.replay_from = Lsn{load_le<uint64_t>(at + L::replay_from)};
  log.head_crc = load_le<uint32_t>(at + L::head_crc);
  log.interval_crc = load_le<uint32_t>(at + L::interval_crc);
  log.skip = load_le<uint32_t>(at + L::skip);
  if (!is_v2) log.cleaned_to = Offset{load_le<int64_t>(at + L::cleaned_to)};
  if (log.skip > log.position || log.cleaned_to < Offset{0} || log.cleaned_to > log.destaged) return false;
  if (log.log_start_offset < Offset{0} || log.destaged < Offset{0} || log.position > kPlaceMax) return false;
  return take_segments(reader, load_le<uint32_t>(at + L::segments), log, is_v2) &&
         take_epochs(reader, load_le<uint32_t>(at + L::epochs), log) &&
         take_producers(reader, load_le<uint32_t>(at + L::producers), log);
}

void store_log_head(const LogState& log, std::byte* at) {
  using L = LogStateLayout;
  store_le(at + L::id, log.id.value());
  store_le(at + L::log_start_offset, log.log_start_offset.value());
  store_le(at + L::destaged, log.destaged.value());
  store_le(at + L::position, log.position);
  store_le(at + L::replay_from, log.replay_from.value());
  store_le(at + L::head_crc, log.head_crc);
  store_le(at + L::interval_crc, log.interval_crc);
  store_le(at + L::segments, static_cast<uint32_t>(log.segments.size()));
  store_le(at + L::epochs, static_cast<uint32_t>(log.epochs.size()));
  store_le(at + L::producers, static_cast<uint32_t>(log.producers.size()));
  store_le(at + L::skip, log.skip);
  store_le(at + L::cleaned_to, log.cleaned_to.value());
}

std::byte* store_producer(const ProducerState& producer, std::byte* at) {
  using L = ProducerStateLayout;
  CHECK(producer.count > 0 && producer.count <= ProducerState::kMostBatches);
  store_le(at + L::id, producer.id.value());
  store_le(at + L::epoch, producer.epoch);
  store_le(at + L::count, uint16_t{producer.count});
  store_le(at + L::held, producer.held);
  store_le(at + L::last_timestamp, producer.last_timestamp);
  at += L::end;
  for (uint8_t b = 0; b < producer.count; ++b, at += L::batch_end) {
    store_le(at + L::batch_first, producer.batches[b].first_sequence);
    store_le(at + L::batch_last, producer.batches[b].last_sequence);
    store_le(at + L::batch_offset, producer.batches[b].base_offset.value());
  }
  return at;
}

uint64_t bytes_of(const LogState& log) {
  uint64_t bytes = LogStateLayout::end + log.segments.size() * SegmentStateLayout::end +
                   log.epochs.size() * EpochEntryLayout::end + log.producers.size() * ProducerStateLayout::end;
  for (const ProducerState& producer : log.producers) bytes += producer.count * ProducerStateLayout::batch_end;
  return bytes;
}

// Magic, version and the head's own checksum.
bool is_slot_head(std::span<const std::byte> bytes) {
  using L = SlotLayout;
  if (bytes.size() < L::end || load_le<uint32_t>(bytes.data() + L::magic) != kSlotMagic) return false;
  const auto version = load_le<uint16_t>(bytes.data() + L::version);
  return (version == kSlotVersion || version == kSlotVersion2) &&
         load_le<uint32_t>(bytes.data() + L::crc) == crc32c(0, bytes.first(L::crc));
}

RingState ring_state_in(const std::byte* at) {
  using L = SlotLayout;
  RingState state{.ring_bytes = load_le<uint64_t>(at + L::ring_bytes),
                  .sequence = load_le<uint64_t>(at + L::sequence),
                  .generation = load_le<uint64_t>(at + L::generation),
                  .tail = Lsn{load_le<uint64_t>(at + L::tail)},
                  .as_of = Lsn{load_le<uint64_t>(at + L::as_of)},
                  .head = Lsn{load_le<uint64_t>(at + L::head)},
                  .previous_crc = load_le<uint32_t>(at + L::previous_crc),
                  .clean_stop = (load_le<uint16_t>(at + L::flags) & kSlotIsCleanStop) != 0};
  std::memcpy(state.ring_id.data(), at + L::ring_id, state.ring_id.size());
  return state;
}

}  // namespace

std::optional<SlotHead> decode_slot_head(std::span<const std::byte> bytes) {
  using L = SlotLayout;
  if (!is_slot_head(bytes)) return {};
  const SlotHead head{load_le<uint64_t>(bytes.data() + L::sequence), load_le<uint64_t>(bytes.data() + L::bytes)};
  if (head.bytes < L::end || head.bytes > kSlotBytesMax) return {};
  return head;
}

std::optional<Slot> decode_slot(std::span<const std::byte> bytes) {
  using L = SlotLayout;
  const auto head = decode_slot_head(bytes);
  if (!head || head->bytes > bytes.size()) return {};
  const auto body = bytes.subspan(L::end, head->bytes - L::end);
  if (load_le<uint32_t>(bytes.data() + L::body_crc) != crc32c(0, body)) return {};
  Slot slot{.ring = ring_state_in(bytes.data()), .logs = {}};
  if (!can_be(slot.ring)) return {};
  Reader reader(body);
  const auto count = load_le<uint32_t>(bytes.data() + L::log_count);
  const bool is_v2 = load_le<uint16_t>(bytes.data() + L::version) == kSlotVersion2;
  if (count > body.size() / LogStateLayout::end_of_v2) return {};
  slot.logs.resize(count);
  for (LogState& log : slot.logs)
    if (!take_log(reader, log, is_v2)) return {};
  if (!reader.at_end()) return {};
  return slot;
}

std::optional<RingState> decode_slot_v1(std::span<const std::byte> bytes) {
  using L = Slot1Layout;
  if (bytes.size() < L::end) return {};
  const std::byte* at = bytes.data();
  if (load_le<uint32_t>(at + L::magic) != kSlotMagic || load_le<uint16_t>(at + L::version) != 1) return {};
  if (load_le<uint32_t>(at + L::crc) != crc32c(0, {at, L::crc})) return {};
  RingState state{.ring_bytes = load_le<uint64_t>(at + L::ring_bytes),
                  .sequence = load_le<uint64_t>(at + L::sequence),
                  .generation = load_le<uint64_t>(at + L::generation),
                  .tail = Lsn{load_le<uint64_t>(at + L::tail)},
                  .as_of = Lsn{load_le<uint64_t>(at + L::as_of)},
                  .head = Lsn{load_le<uint64_t>(at + L::as_of)},
                  .knows_head = false};
  std::memcpy(state.ring_id.data(), at + L::ring_id, state.ring_id.size());
  if (!can_be(state)) return {};
  return state;
}

bool clean_stop_holds(const RingState& state, std::span<const std::byte> before, std::span<const std::byte> at) {
  if (!state.clean_stop || !state.knows_head) return false;
  const auto next = decode_frame_header(at.data());
  if (next && (next->ring_id != state.ring_id || next->lsn >= state.head)) return false;
  if (state.head == Lsn{0}) return state.previous_crc == 0;
  const auto last = decode_frame_header(before.data());
  return last && last->ring_id == state.ring_id && last->lsn + before.size() == state.head &&
         last->frame_bytes == before.size() && last->used_bytes == kFrameHeaderBytes && last->crc == state.previous_crc;
}

void SlotEncoder::Freer::operator()(std::byte* memory) const { std::free(memory); }

// Room for bytes more; returns where they go.
std::byte* SlotEncoder::grow(uint64_t bytes) {
  const uint64_t need = align_up(used_ + bytes, block_);
  if (need > capacity_) {
    const uint64_t capacity = align_up(std::max({need, 2 * capacity_, kSlotBytesMin}), block_);
    std::unique_ptr<std::byte, Freer> memory(static_cast<std::byte*>(std::aligned_alloc(block_, capacity)));
    CHECK(memory != nullptr);
    if (used_ > 0) std::memcpy(memory.get(), memory_.get(), used_);
    memory_ = std::move(memory);
    capacity_ = capacity;
  }
  std::byte* at = memory_.get() + used_;
  used_ += bytes;
  return at;
}

void SlotEncoder::begin() {
  used_ = 0;
  logs_ = 0;
  body_crc_ = 0;
  grow(SlotLayout::end);
}

void SlotEncoder::add(const LogState& log) {
  const uint64_t bytes = bytes_of(log);
  CHECK(used_ + bytes <= kSlotBytesMax);
  std::byte* const begin = grow(bytes);
  store_log_head(log, begin);
  std::byte* at = begin + LogStateLayout::end;
  for (const SegmentState& segment : log.segments) {
    store_le(at + SegmentStateLayout::base, segment.base.value());
    store_le(at + SegmentStateLayout::bytes, segment.bytes);
    store_le(at + SegmentStateLayout::max_timestamp, segment.max_timestamp);
    store_le(at + SegmentStateLayout::first_timestamp, segment.first_timestamp);
    store_le(at + SegmentStateLayout::revision, segment.revision);
    at += SegmentStateLayout::end;
  }
  for (const EpochEntry& entry : log.epochs) {
    store_le(at + EpochEntryLayout::epoch, entry.epoch.value());
    store_le(at + EpochEntryLayout::start, entry.start.value());
    at += EpochEntryLayout::end;
  }
  for (const ProducerState& producer : log.producers) at = store_producer(producer, at);
  CHECK(at == begin + bytes);
  body_crc_ = crc32c(body_crc_, {begin, bytes});
  logs_ += 1;
}

std::span<std::byte> SlotEncoder::finish(const RingState& state) {
  CHECK(can_be(state) && state.knows_head);
  using L = SlotLayout;
  std::byte* at = memory_.get();
  std::memset(at, 0, L::end);
  store_le(at + L::magic, kSlotMagic);
  store_le(at + L::version, kSlotVersion);
  store_le(at + L::flags, state.clean_stop ? kSlotIsCleanStop : uint16_t{0});
  store_le(at + L::bytes, used_);
  std::memcpy(at + L::ring_id, state.ring_id.data(), state.ring_id.size());
  store_le(at + L::ring_bytes, state.ring_bytes);
  store_le(at + L::sequence, state.sequence);
  store_le(at + L::generation, state.generation);
  store_le(at + L::tail, state.tail.value());
  store_le(at + L::as_of, state.as_of.value());
  store_le(at + L::head, state.head.value());
  store_le(at + L::previous_crc, state.previous_crc);
  store_le(at + L::log_count, logs_);
  store_le(at + L::body_crc, body_crc_);
  store_le(at + L::crc, crc32c(0, {at, L::crc}));
  const uint64_t padded = align_up(used_, block_);
  std::memset(at + used_, 0, padded - used_);
  return {at, padded};
}

void StateWriter::write(const RingState& state, std::span<std::byte> slot) {
  CHECK(!busy_ && !failed_);
  CHECK(!slot.empty() && slot.size() <= file_of(state.sequence).capacity);
  busy_ = true;
  writing_ = state;
  slot_ = slot;
  done_ = 0;
  send();
}

void StateWriter::send() {
  op_ = DiskOp{.kind = DiskOp::Kind::kWriteDurable,
               .file = file_of(writing_.sequence).file,
               .at = done_,
               .memory = slot_.subspan(done_, std::min(kPieceBytes, slot_.size() - done_))};
  disk_.submit(op_);
}

bool StateWriter::complete(DiskOp& op) {
  if (&op != &op_) return false;
  CHECK(busy_);
  if (op.result != static_cast<int64_t>(op.memory.size())) {
    busy_ = false;
    failed_ = true;
    return true;
  }
  done_ += op.memory.size();
  if (done_ < slot_.size()) {
    send();
    return true;
  }
  busy_ = false;
  written_ = writing_;
  return true;
}

}  // namespace penstock::storage
