#include "storage/log/cold_cache.h"

#include <algorithm>

#include "storage/log/damage.h"

namespace penstock::storage {
namespace {

// So long a block that nobody has looked at since it was read is kept for whoever asked for it.
constexpr Nanos kKeptForReader = kSecond;
// Blocks before a reader that goes on in order: fewer than kAheadLeast, and the drive is asked for as many as make
// kAheadMost, at once: they become one transfer, and the reader seldom waits.
constexpr uint64_t kAheadLeast = 3;
constexpr uint64_t kAheadMost = 6;
constexpr uint64_t kIntervalBytes = SegmentIndex::kIntervalBytes;

uint64_t intervals_of(uint64_t bytes) { return align_up(bytes, kIntervalBytes) / kIntervalBytes; }

}  // namespace

ColdCache::ColdCache(Shard& shard, SegmentFiles& files, IndexLoader& indexes, std::span<std::byte> memory)
    : shard_(shard), files_(files), indexes_(indexes), blocks_(memory.size() / kBlockBytes) {
  CHECK(blocks_.size() >= 4);
  for (size_t i = 0; i < blocks_.size(); ++i) {
    blocks_[i].owner = this;
    blocks_[i].room = memory.subspan(i * kBlockBytes, kBlockBytes);
    blocks_[i].on_done = done;
  }
}

Result<std::span<const std::byte>> ColdCache::view(PartitionLog& log, const Segment& segment, uint64_t position) {
  CHECK(position < segment.bytes);
  const uint64_t number = position / kBlockBytes;
  const uint64_t start = number * kBlockBytes;
  const Key key{log.id, segment.id(), number};
  const auto found = by_key_.find(key);
  if (found != by_key_.end()) {
    Block& block = *found->second;
    if (block.state == State::kFailed) {
      const Errc error = block.error;
      drop(block);
      return fail(error);
    }
    if (block.state != State::kReady) {
      if (std::exchange(block.ahead, false)) {
        --ahead_;
        block.wanted = true;
        if (std::erase(waiting_, &block) > 0) put_in_line(block);
      }
      return fail(Errc::kWouldBlock);
    }
    const uint64_t first = (position - start) / kIntervalBytes;
    if (start + block.bytes > position && !block.good[first]) {
      const Errc error = block.error;
      drop(block);
      return fail(error);
    }
    // What was noted since it was read (the scrubber) is looked at again.
    if (start + block.bytes > position && !segment.bad.contains(position / kIntervalBytes)) {
      block.wanted = false;
      block.used_at = shard_.clock.monotonic();
      block.seen_in = turn_;
      if (std::exchange(block.ahead, false)) --ahead_;
      read_ahead(log, segment, position);
      uint64_t last = first;
      while (last + 1 < kIntervals && block.good[last + 1]) ++last;
      const uint64_t end = std::min({start + (last + 1) * kIntervalBytes, start + block.bytes, segment.bytes});
      return std::span<const std::byte>(block.room.subspan(position - start, end - position));
    }
    drop(block);  // or the segment has grown since
  }
  Block* block = take_block();
  if (block == nullptr) {
    shard_.readable.push_back(log.id);  // no memory now: again next turn
    return fail(Errc::kWouldBlock);
  }
  block->key = key;
  block->wanted = true;
  by_key_[key] = block;
  begin(*block);
  return fail(Errc::kWouldBlock);
}

// position is being read. Whoever has read the block before goes on in order.
void ColdCache::read_ahead(const PartitionLog& log, const Segment& segment, uint64_t position) {
  const uint64_t number = position / kBlockBytes;
  const auto is_there = [&](uint64_t n) { return by_key_.contains(Key{log.id, segment.id(), n}); };
  const bool in_order = number > 0 && is_there(number - 1);
  if (!in_order && number > 0 && position % kBlockBytes < kBlockBytes / 2) return;
  // What many readers have not come to yet must not take the memory of what they are at.
  const uint64_t most = in_order && ahead_ + kAheadMost <= blocks_.size() / 4 ? kAheadMost : 1;
  const uint64_t end = std::min(number + 1 + most, align_up(segment.bytes, kBlockBytes) / kBlockBytes);
  uint64_t next = number + 1;
  while (next < end && is_there(next)) ++next;
  if (most > 1 && next > number + kAheadLeast) return;
  for (; next < end; ++next) {
    if (is_there(next)) continue;
    Block* block = take_block();
    if (block == nullptr) return;
    block->key = {log.id, segment.id(), next};
    block->wanted = false;
    block->ahead = true;
    ++ahead_;
    by_key_[block->key] = block;
    begin(*block);
  }
}

// A free block, or the longest unused that nobody waits for; nullptr if there is none.
ColdCache::Block* ColdCache::take_block() {
  Block* best = nullptr;
  const Nanos now = shard_.clock.monotonic();
  for (Block& block : blocks_) {
    if (block.pins > 0 || block.seen_in == turn_) continue;
    if (block.state == State::kFree) return &block;
    const bool settled = block.state == State::kReady || block.state == State::kFailed;
    if (!settled || (block.wanted && now - block.used_at < kKeptForReader)) continue;
    if (best == nullptr || block.used_at < best->used_at) best = &block;
  }
  if (best != nullptr) drop(*best);
  return best;
}

void ColdCache::drop(Block& block) {
  by_key_.erase(block.key);
  if (std::exchange(block.ahead, false)) --ahead_;
  block.state = State::kFree;
}

void ColdCache::begin(Block& block) {
  block.orphan = block.again = block.by_piece = false;
  block.state = State::kWaiting;
  block.used_at = shard_.clock.monotonic();
  put_in_line(block);
  run();
}

void ColdCache::put_in_line(Block& block) {
  const auto behind_wanted = std::ranges::find_if(waiting_, &Block::ahead);
  waiting_.insert(block.ahead ? waiting_.end() : behind_wanted, &block);
}

// Frames of the ring are what producers wait for. A ring that failed has none.
void ColdCache::note_writes(Nanos now) {
  const RingWriter& ring = *shard_.ring;
  if (ring.in_flight() || ring.durable() != written_) pace_.note_write(now);
  written_ = ring.durable();
}

Nanos ColdCache::next_deadline() const {
  // What run() passed over waits for a file or an index, whose coming is an event.
  if (!held_back_ || waiting_.empty() || reading_ > 0) return std::numeric_limits<Nanos>::max();
  return pace_.next();
}

void ColdCache::run() {
  const Nanos now = shard_.clock.monotonic();
  note_writes(now);
  size_t i = 0;
  while (i < waiting_.size() && pace_.may_begin(reading_, now)) {
    Block& block = *waiting_[i];
    const auto& [id, file, number] = block.key;
    PartitionLog* log = shard_.find(id);
    const Segment* segment = log == nullptr ? nullptr : log->find_file(file);
    if (segment == nullptr || number * kBlockBytes >= segment->bytes) {
      fail_block(block, Errc::kNotFound);
      continue;
    }
    const auto begun = try_begin(block, *log, *segment);
    if (begun) continue;
    if (begun.error().code == Errc::kWouldBlock)
      ++i;
    else
      fail_block(block, begun.error().code);
  }
  held_back_ = i < waiting_.size();
}

// What was waiting is not going to begin.
void ColdCache::fail_block(Block& block, Errc error) {
  std::erase(waiting_, &block);
  block.state = State::kFailed;
  block.error = error;
  if (block.orphan) return drop(block);
  shard_.readable.push_back(std::get<0>(block.key));
}

Result<void> ColdCache::try_begin(Block& block, PartitionLog& log, const Segment& segment) {
  const uint64_t start = std::get<2>(block.key) * kBlockBytes;
  if (!block.by_piece) {
    const SegmentIndex* index = TRY(indexes_.get(log, segment));
    uint64_t end = segment.bytes;
    block.sums = index->sums<kIntervals>(start);
    if (log.is_open(segment)) {
      // While a write is under way the last interval's CRC is not known for what has completed.
      const bool still = log.open->staged == log.open->written;
      const uint64_t known = still ? log.open->written : align_down(log.open->written, kIntervalBytes);
      end = std::min(end, known);
      if (end <= start) return fail(Errc::kWouldBlock);
    }
    block.bytes = std::min(end - start, kBlockBytes);
  }
  block.file = TRY(acquire_named(shard_, files_, log.id, segment.id()));
  block.kind = DiskOp::Kind::kRead;
  // Whole intervals, or to the known end: what is checked.
  const uint64_t checked = std::min(intervals_of(block.bytes) * kIntervalBytes, block.sums.as_of.bytes - start);
  const uint64_t skip = block.by_piece ? block.piece * kIntervalBytes : 0;
  const uint64_t most = block.by_piece ? kIntervalBytes : kBlockBytes;
  block.at = start + skip;
  block.memory = block.room.subspan(skip, align_up(std::min(checked - skip, most), shard_.disk.block_bytes()));
  block.state = State::kReading;
  std::erase(waiting_, &block);
  reading_ += 1;
  block.begun_at = shard_.clock.monotonic();
  shard_.submit(block);
  return {};
}

void ColdCache::done(DiskOp& op) {
  auto& block = static_cast<Block&>(op);
  block.owner->settle(block);
}

void ColdCache::settle(Block& block) {
  reading_ -= 1;
  const Nanos now = shard_.clock.monotonic();
  pace_.note_read(block.begun_at, now);
  const auto& [id, file, number] = block.key;
  files_.release(id, file);
  PartitionLog* log = shard_.find(id);
  Segment* segment = log == nullptr ? nullptr : log->find_file(file);
  shard_.readable.push_back(id);
  if (block.orphan || segment == nullptr) return drop(block);
  shard_.counters.add(Metric::cold_bytes_read, block.memory.size());
  block.used_at = now;
  check(block);
  if (try_again(block)) {
    block.state = State::kWaiting;
    put_in_line(block);
    return;
  }
  block.state = State::kReady;
  note(block, *log, *segment);
}

// Which of the intervals that were read are as they were written.
void ColdCache::check(Block& block) {
  const uint64_t start = std::get<2>(block.key) * kBlockBytes;
  const uint64_t got = block.at + static_cast<uint64_t>(std::max<int64_t>(block.result, 0));
  const uint64_t first = (block.at - start) / kIntervalBytes;
  const uint64_t count = block.by_piece ? 1 : intervals_of(block.bytes);
  if (!block.by_piece) block.good.reset();
  for (uint64_t i = first; i < first + count; ++i) {
    const uint64_t from = start + i * kIntervalBytes;
    const uint64_t to = std::min(from + kIntervalBytes, block.sums.as_of.bytes);
    if (to <= got && block.sums.hold(i, from, block.room.subspan(from - start, to - from))) block.good.set(i);
  }
}

// Whether there is something to read again before what does not hold is called bad. Once more all of it: a transfer may
// have failed where the drive holds the right bytes. Then, if the drive refuses it, each interval by itself.
bool ColdCache::try_again(Block& block) {
  const uint64_t count = intervals_of(block.bytes);
  block.error = block.result < 0 || block.by_piece ? Errc::kIo : Errc::kCorrupt;
  if (block.by_piece) return ++block.piece < count;
  if (block.good.count() == count) return false;
  if (!std::exchange(block.again, true)) return true;
  if (block.result >= 0 || count == 1) return false;
  block.by_piece = true;
  block.piece = 0;
  return true;
}

void ColdCache::note(const Block& block, PartitionLog& log, Segment& segment) {
  const uint64_t start = std::get<2>(block.key) * kBlockBytes;
  const uint64_t count = intervals_of(block.bytes);
  for (uint64_t i = 0; i < count; ++i) segment.bad.set(start / kIntervalBytes + i, !block.good[i]);
  if (block.good.count() == count) return;
  shard_.counters.add(Metric::cold_reads_damaged);
  uint64_t first = 0;
  while (block.good[first]) ++first;
  uint64_t last = count - 1;
  while (block.good[last]) --last;
  tell_damage(shard_, log.id, segment, start + first * kIntervalBytes,
              std::min(start + (last + 1) * kIntervalBytes, start + block.bytes),
              block.error == Errc::kIo ? "cannot be read" : "fail their checksum");
}

void ColdCache::forget(LogId log, SegmentId segment) {
  for (Block& block : blocks_) {
    if (block.state == State::kFree || std::get<0>(block.key) != log || std::get<1>(block.key) != segment) continue;
    if (block.state == State::kReading) {
      block.orphan = true;
      continue;
    }
    if (block.state == State::kWaiting) {
      std::erase(waiting_, &block);
      shard_.readable.push_back(log);  // whoever waits for it has to ask again
    }
    drop(block);
  }
}

void ColdCache::forget(LogId log) {
  for (const Block& block : blocks_)
    if (block.state != State::kFree && std::get<0>(block.key) == log) forget(log, std::get<1>(block.key));
}

}  // namespace penstock::storage
