#include "storage/log/cold_cache.h"

#include <algorithm>

#include "storage/segment/segment_path.h"

namespace penstock::storage {
namespace {

// So long a block that nobody has looked at since it was read is kept for whoever asked for it.
constexpr Nanos kKeptForReader = kSecond;
// At the drive at once, however many blocks there are (Disk::kOpsInFlightMax).
constexpr size_t kReadsMax = 64;

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
      drop(block);  // told once: who asks again has it read again
      return fail(error);
    }
    if (block.state != State::kReady) return fail(Errc::kWouldBlock);
    if (start + block.bytes > position) {
      block.wanted = false;
      block.used_at = shard_.clock.monotonic();
      block.seen_in = turn_;
      if (position - start >= kBlockBytes / 2) read_ahead(log, segment, number + 1);
      const uint64_t end = std::min(start + block.bytes, segment.bytes);
      return std::span<const std::byte>(block.room.subspan(position - start, end - position));
    }
    drop(block);  // the segment has grown since
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

void ColdCache::read_ahead(PartitionLog& log, const Segment& segment, uint64_t number) {
  const Key key{log.id, segment.id(), number};
  if (number * kBlockBytes >= segment.bytes || by_key_.contains(key)) return;
  Block* block = take_block();
  if (block == nullptr) return;
  block->key = key;
  block->wanted = false;
  by_key_[key] = block;
  begin(*block);
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
  block.state = State::kFree;
}

void ColdCache::begin(Block& block) {
  block.orphan = block.again = false;
  block.state = State::kWaiting;
  block.used_at = shard_.clock.monotonic();
  waiting_ += 1;
  run();
}

void ColdCache::run() {
  if (waiting_ == 0) return;
  for (Block& block : blocks_) {
    if (block.state != State::kWaiting) continue;
    const auto& [id, file, number] = block.key;
    PartitionLog* log = shard_.find(id);
    const Segment* segment = log == nullptr ? nullptr : log->find_file(file);
    if (segment == nullptr || number * kBlockBytes >= segment->bytes) {
      fail_block(block, Errc::kNotFound);
      continue;
    }
    const auto begun = try_begin(block, *log, *segment);
    if (!begun && begun.error().code != Errc::kWouldBlock) fail_block(block, begun.error().code);
  }
}

void ColdCache::fail_block(Block& block, Errc error) {
  waiting_ -= 1;
  block.state = State::kFailed;
  block.error = error;
  if (block.orphan) return drop(block);
  shard_.readable.push_back(std::get<0>(block.key));
}

Result<void> ColdCache::try_begin(Block& block, PartitionLog& log, const Segment& segment) {
  if (reading_ >= kReadsMax) return fail(Errc::kWouldBlock);
  const uint64_t start = std::get<2>(block.key) * kBlockBytes;
  const SegmentIndex* index = TRY(indexes_.get(log, segment));
  uint64_t end = segment.bytes;
  block.sums = index->sums<kBlockBytes / SegmentIndex::kIntervalBytes>(start);
  if (log.is_open(segment)) {
    // While a write is under way the last interval's CRC is not known for what has completed.
    const bool still = log.open->staged == log.open->written;
    const uint64_t known = still ? log.open->written : align_down(log.open->written, SegmentIndex::kIntervalBytes);
    end = std::min(end, known);
    if (end <= start) return fail(Errc::kWouldBlock);
  }
  const FileHandle file = TRY(files_.acquire(log.id, segment.id(), SegmentFiles::Want::kRead));
  block.bytes = std::min(end - start, kBlockBytes);
  block.kind = DiskOp::Kind::kRead;
  block.file = file;
  block.at = start;
  // Whole intervals, or to the known end: what is checked.
  const uint64_t checked =
      std::min(align_up(block.bytes, SegmentIndex::kIntervalBytes), block.sums.as_of.bytes - start);
  block.memory = block.room.first(align_up(std::min(checked, kBlockBytes), shard_.disk.block_bytes()));
  block.state = State::kReading;
  waiting_ -= 1;
  reading_ += 1;
  shard_.submit(block);
  return {};
}

void ColdCache::done(DiskOp& op) {
  auto& block = static_cast<Block&>(op);
  block.owner->settle(block);
}

void ColdCache::settle(Block& block) {
  reading_ -= 1;
  const auto& [id, file, number] = block.key;
  files_.release(id, file);
  PartitionLog* log = shard_.find(id);
  const Segment* segment = log == nullptr ? nullptr : log->find_file(file);
  shard_.readable.push_back(id);
  if (block.orphan || segment == nullptr) return drop(block);
  shard_.counters.add(Metric::cold_bytes_read, block.memory.size());
  block.used_at = shard_.clock.monotonic();
  if (block.result >= static_cast<int64_t>(block.bytes) && holds(block)) {
    block.state = State::kReady;
    return;
  }
  if (!block.again) {  // once more: a transfer may have failed where the drive holds the right bytes
    block.again = true;
    block.state = State::kWaiting;
    waiting_ += 1;
    return;
  }
  block.state = State::kFailed;
  block.error = block.result < 0 ? Errc::kIo : Errc::kCorrupt;
  shard_.counters.add(Metric::cold_reads_damaged);
  Segment* told = log->find_file(file);
  if (std::exchange(told->damaged, true)) return;
  shard_.counters.add(Metric::segments_damaged);
  LOG_ERROR("segment %s: bytes %llu to %llu %s: they are not served; see penstock log verify",
            segment_path(shard_.folder, id, file).c_str(), static_cast<unsigned long long>(block.at),
            static_cast<unsigned long long>(block.at + block.bytes),
            block.result < 0 ? "cannot be read" : "fail their checksum");
}

bool ColdCache::holds(const Block& block) {
  const uint64_t end = std::min<uint64_t>(block.at + static_cast<uint64_t>(block.result), block.at + kBlockBytes);
  uint64_t n = end - block.at;
  if (end < block.sums.as_of.bytes) n = align_down(n, SegmentIndex::kIntervalBytes);
  return n >= block.bytes && block.sums.hold(block.at, block.room.first(n));
}

void ColdCache::forget(LogId log, SegmentId segment) {
  for (Block& block : blocks_) {
    if (block.state == State::kFree || std::get<0>(block.key) != log || std::get<1>(block.key) != segment) continue;
    if (block.state == State::kReading) {
      block.orphan = true;
      continue;
    }
    if (block.state == State::kWaiting) {
      waiting_ -= 1;
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
