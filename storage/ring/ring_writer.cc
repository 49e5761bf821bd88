#include "storage/ring/ring_writer.h"

#include <cstring>

namespace penstock::storage {

RingWriter::RingWriter(Parts parts, const RingStart& start)
    : disk_(parts.disk),
      file_(parts.file),
      clock_(parts.clock),
      counters_(parts.counters),
      memory_(parts.memory),
      block_(parts.disk.block_bytes()),
      seal_after_(parts.seal_after),
      unflushed_max_(parts.unflushed_max),
      generation_(start.generation),
      ring_id_(start.ring_id),
      tail_(start.tail),
      durable_(start.head),
      durable_crc_(start.previous_crc),
      memory_from_(std::max(start.tail, start.memory_from)),
      previous_crc_(start.previous_crc) {
  CHECK(kChunkBytes % block_ == 0);
  CHECK(start.head.value() % block_ == 0);
  set_small_reserve(0);
  start_frame(start.head);
  filling_.flags = kFrameOpensGeneration;
}

void RingWriter::become(WriterState next) {
  CHECK(legal(state_, next));
  state_ = next;
}

void RingWriter::start_frame(Lsn at) { filling_ = Frame{.start = at, .end = at + kFrameHeaderBytes}; }

// Each chunk that the payload crosses costs a frame header; before it, what is left of this chunk may be padded away.
uint64_t RingWriter::need_of(uint64_t n) const {
  const uint64_t chunks = n / (kChunkBytes - kFrameHeaderBytes) + 2;
  return n + kEntryHeaderBytes + chunks * kFrameHeaderBytes + kEntryStartBytes + 2 * block_;
}

RingWriter::Room RingWriter::room_for(uint64_t n) {
  const uint64_t need = need_of(n);
  // An empty ring has the header of the frame that is being filled, and keeps the least.
  if (need + kFrameHeaderBytes > memory_.bytes() - kStartReserveBytes - least_small_reserve()) return Room::kNever;
  if (filling_.end - tail_ + need > usable_bytes()) return Room::kFull;
  if (filling_.end - durable_ > unflushed_max_) return Room::kBusy;
  if (reaches_pinned(need)) {
    pinned_need_ = std::max(pinned_need_, need);
    return Room::kBusy;
  }
  pinned_need_ = 0;
  return Room::kYes;
}

Lsn RingWriter::pins_recalled() const {
  return reaches_pinned(recall_window()) ? reached_by(2 * recall_window()) : Lsn{0};
}

void RingWriter::want_room(uint64_t n) {
  const Nanos now = clock_.monotonic();
  if (n < wanted_bytes_ && now < wanted_until_) return;  // with room for the larger one there is some for this
  wanted_bytes_ = n;
  wanted_until_ = now + kWantedFor;
}

Lsn RingWriter::tail_wanted() const {
  if (wanted_bytes_ == 0 || clock_.monotonic() >= wanted_until_) return Lsn{0};
  const Lsn end = filling_.end + need_of(wanted_bytes_);
  return Lsn{end.value() - std::min(end.value(), usable_bytes())};
}

Lsn RingWriter::begin_entry(LogId log, uint32_t payload_bytes) {
  CHECK(!entry_.open);
  CHECK(payload_bytes > kBatchUncoveredBytes);
  if (filling_.end + kEntryStartBytes > RingMemory::chunk_end(filling_.start)) close_filling();
  entry_ = {.open = true,
            .log = log,
            .header = filling_.end,
            .next = filling_.end + kEntryHeaderBytes,
            .payload_bytes = payload_bytes,
            .saved = filling_};
  filling_.entries += 1;
  filling_.end = entry_.next;
  return entry_.next;
}

void RingWriter::write(std::span<const std::byte> piece) {
  CHECK(entry_.open && piece.size() <= entry_.payload_bytes - entry_.written);
  counters_.add(Metric::bytes_copied, piece.size());
  while (!piece.empty()) {
    if (RingMemory::left_in_chunk(filling_.start) == filling_.end - filling_.start) spill();
    uint64_t n = std::min<uint64_t>(piece.size(), RingMemory::chunk_end(filling_.start) - entry_.next);
    if (entry_.written < kBatchUncoveredBytes) {
      n = std::min<uint64_t>(n, kBatchUncoveredBytes - entry_.written);
      std::memcpy(memory_.at(entry_.next), piece.data(), n);
    } else {
      entry_.crc = copy_with_crc32c(entry_.crc, memory_.span(entry_.next, n), piece.first(n));
    }
    entry_.next += n;
    entry_.written += static_cast<uint32_t>(n);
    filling_.end = entry_.next;
    piece = piece.subspan(n);
  }
}

void RingWriter::spill() {
  filling_.carry_crc = entry_.crc;
  const Lsn next = RingMemory::chunk_end(filling_.start);
  spilled_.push_back(filling_);
  start_frame(next);
  scribbled_ = std::max(scribbled_, RingMemory::chunk_end(next));
  filling_.carry_in =
      static_cast<uint32_t>(std::min<uint64_t>(entry_.payload_bytes - entry_.written, kChunkBytes - kFrameHeaderBytes));
  entry_.next = filling_.end;
}

Lsn RingWriter::commit_entry() {
  CHECK(entry_.open && entry_.written == entry_.payload_bytes);
  const std::byte* payload = memory_.at(entry_.header) + kEntryHeaderBytes;
  encode({.payload_bytes = entry_.payload_bytes, .log = entry_.log}, memory_.at(entry_.header),
         {payload, kBatchUncoveredBytes});
  if (!spilled_.empty()) close_spilled();
  entry_.open = false;
  sealed_ = false;
  if (entry_.payload_bytes >= wanted_bytes_) wanted_bytes_ = 0;
  return filling_.end;
}

void RingWriter::close_spilled() {
  for (const Frame& frame : spilled_) close(frame);
  spilled_.clear();
}

void RingWriter::abort_entry() {
  CHECK(entry_.open);
  filling_ = entry_.saved;
  spilled_.clear();
  entry_.open = false;
}

bool RingWriter::room_for_small(uint64_t n) const {
  const uint64_t need = small_bytes(1, n, block_);
  return n <= kSmallPayloadMax && filling_.end - tail_ + need <= memory_.bytes() && !reaches_pinned(need);
}

// Each entry's header and payload; in each chunk a frame's header and its padding, and before the chunk's end less than
// one entry that did not fit any more.
uint64_t RingWriter::small_bytes(uint64_t n, uint64_t bytes, uint32_t block) {
  const uint64_t entry = kEntryHeaderBytes + bytes;
  const uint64_t packed = kFrameHeaderBytes + n * entry;
  const uint64_t chunks = packed / (kChunkBytes - kFrameHeaderBytes - entry) + 2;
  return packed + chunks * (kFrameHeaderBytes + entry + block) + 2 * uint64_t{block};
}

void RingWriter::set_small_reserve(uint64_t bytes) {
  small_reserve_ = std::max(least_small_reserve(), std::min(bytes, memory_.bytes() / 4));
}

Lsn RingWriter::append_small(LogId log, EntryKind kind, std::span<const std::byte> head,
                             std::span<const std::byte> bytes) {
  CHECK(!entry_.open && kind != EntryKind::kBatch);
  const uint64_t payload = head.size() + bytes.size();
  CHECK(payload <= kSmallPayloadMax);
  if (filling_.end + kEntryHeaderBytes + payload > RingMemory::chunk_end(filling_.start)) close_filling(true);
  std::byte* at = memory_.at(filling_.end);
  std::byte* to = at + kEntryHeaderBytes;
  if (!head.empty()) std::memcpy(to, head.data(), head.size());
  if (!bytes.empty()) std::memcpy(to + head.size(), bytes.data(), bytes.size());
  encode({.payload_bytes = static_cast<uint32_t>(payload), .kind = kind, .log = log}, at, {to, payload});
  filling_.entries += 1;
  filling_.end += kEntryHeaderBytes + payload;
  sealed_ = false;
  return filling_.end;
}

// to_chunk_end: what follows needs the next chunk, and only a frame can take up the room that is left in this one.
void RingWriter::close(const Frame& frame, bool to_chunk_end) {
  const uint64_t frame_bytes =
      to_chunk_end ? RingMemory::left_in_chunk(frame.start) : align_up(frame.end - frame.start, block_);
  const uint64_t used = frame.end - frame.start;
  std::memset(memory_.at(frame.start) + used, 0, frame_bytes - used);
  previous_crc_ = encode(FrameHeader{.flags = frame.flags,
                                     .lsn = frame.start,
                                     .frame_bytes = static_cast<uint32_t>(frame_bytes),
                                     .used_bytes = static_cast<uint32_t>(used),
                                     .entries = frame.entries,
                                     .carry_in = frame.carry_in,
                                     .carry_crc = frame.carry_crc,
                                     .previous_crc = previous_crc_,
                                     .generation = generation_,
                                     .ring_id = ring_id_},
                         memory_.at(frame.start));
  closed_.push_back(frame);
  closed_.back().end = frame.start + frame_bytes;
}

void RingWriter::close_filling(bool to_chunk_end) {
  close(filling_, to_chunk_end);
  start_frame(closed_.back().end);
}

// life: 9
void RingWriter::submit() {
  CHECK(!entry_.open);
  if (state_ != WriterState::kIdle) return;
  if (closed_.empty() && filling_has_data()) close_filling();
  if (closed_.empty() && should_end_chunk()) close_filling(true);
  if (closed_.empty() && !sealed_ && clock_.monotonic() - last_commit_at_ >= seal_after_) {
    sealed_ = true;
    // What is left is for entries: the next state slot vouches for the last commit.
    if (!room_to_open() || reaches_pinned(block_)) return;
    filling_.flags |= kFrameIsSeal;
    close_filling();
    counters_.add(Metric::ring_seals);
  }
  if (closed_.empty()) return;
  const Frame frame = closed_.front();
  closed_.pop_front();
  send(frame);
}

// The tail moves by chunks: it has come to the one that is being filled, and what is wanted needs that one too.
bool RingWriter::should_end_chunk() const {
  if (wanted_bytes_ == 0 || filling_.start.value() % kChunkBytes == 0) return false;
  const Lsn end = RingMemory::chunk_end(filling_.start);
  return tail_ + kChunkBytes >= end && tail_wanted() > tail_ && !reaches_pinned(0);
}

void RingWriter::send(const Frame& frame) {
  become(WriterState::kInFlight);
  in_flight_ = frame;
  op_ = DiskOp{.kind = DiskOp::Kind::kWriteDurable,
               .file = file_,
               .at = memory_.place(frame.start),
               .memory = memory_.span(frame.start, frame.end - frame.start)};
  disk_.submit(op_);
}

// life: 10
bool RingWriter::complete(DiskOp& op) {
  if (&op != &op_) return false;
  CHECK(state_ == WriterState::kInFlight);
  if (op.punted) counters_.add(Metric::ring_punts);
  if (op.result != static_cast<int64_t>(op.memory.size())) {
    become(WriterState::kFailed);
    counters_.add(Metric::ring_write_failures);
    return true;
  }
  become(WriterState::kIdle);
  counters_.add(Metric::ring_frames);
  counters_.add(Metric::ring_bytes_written, op.memory.size());
  durable_ = in_flight_.end;
  durable_crc_ = load_le<uint32_t>(memory_.at(in_flight_.start) + FrameLayout::crc);
  last_commit_at_ = last_commit_at_ == kSealAtOnce ? kSealAtOnce : clock_.monotonic();
  return true;
}

void RingWriter::open_generation() {
  CHECK(closed_.empty() && !filling_has_data() && room_to_open());
  close_filling();
  sealed_ = true;  // it vouches for what was before it, as a seal does
}

void RingWriter::open_by_state() {
  CHECK(closed_.empty() && !filling_has_data());
  sealed_ = true;
}

void RingWriter::advance_tail(Lsn tail) {
  CHECK(tail >= tail_ && tail <= durable_);
  tail_ = tail;
}

Nanos RingWriter::next_deadline() const {
  if (sealed_ || state_ != WriterState::kIdle || filling_has_data() || !closed_.empty()) return kNever;
  return last_commit_at_ == kSealAtOnce ? 0 : last_commit_at_ + seal_after_;
}

}  // namespace penstock::storage
