#include "storage/log/scrubber.h"

#include <algorithm>
#include <bitset>
#include <utility>

#include "storage/log/damage.h"

namespace penstock::storage {
namespace {

// Between two rounds, and when there is nothing to check yet.
constexpr Nanos kRest = 10 * kSecond;
constexpr Nanos kAskAgain = 10 * kMillisecond;

}  // namespace

Scrubber::Scrubber(Shard& shard, SegmentFiles& files, IndexLoader& indexes, std::span<std::byte> memory)
    : shard_(shard),
      files_(files),
      indexes_(indexes),
      per_second_(static_cast<uint64_t>(shard.options.scrub_bytes_per_second)),
      memory_(memory) {
  read_.owner = this;
  read_.kind = DiskOp::Kind::kRead;
  read_.on_done = [](DiskOp& op) { static_cast<Read&>(op).owner->check(); };
  next_at_ = shard.clock.monotonic() + kRest;
}

void Scrubber::run() {
  if (per_second_ == 0 || reading_ || shard_.poisoned) return;
  const Nanos now = shard_.clock.monotonic();
  if (now < next_at_) return;
  if (!segment_ && !next_segment()) {
    next_at_ = now + (round_.empty() ? kRest : kAskAgain);
    return;
  }
  if (!begin_read()) next_at_ = std::max(next_at_, now + kAskAgain);
}

// The next segment; false if there is none this moment.
bool Scrubber::next_segment() {
  if (round_.empty()) {
    for (const auto& [id, log] : shard_.logs)
      if (!log->segments.empty()) round_.push_back(id);
    std::ranges::sort(round_, std::greater<>());
    behind_ = Offset{-1};
    if (round_.empty()) return false;
  }
  constexpr size_t kLogsATurn = 64;
  for (size_t i = 0; i < kLogsATurn && !round_.empty(); ++i) {
    if (const PartitionLog* log = shard_.find(round_.back())) {
      for (const Segment& segment : log->segments) {
        if (segment.base <= behind_ || end_of(*log, segment) == 0) continue;
        segment_ = segment.id();
        position_ = 0;
        return true;
      }
    }
    round_.pop_back();
    behind_ = Offset{-1};
  }
  return false;
}

// How far it can be checked: while it grows not into the interval that is written to at this moment.
uint64_t Scrubber::end_of(const PartitionLog& log, const Segment& segment) {
  if (!log.is_open(segment)) return segment.bytes;
  const bool still = log.open->staged == log.open->written;
  return still ? log.open->written : align_down(log.open->written, SegmentIndex::kIntervalBytes);
}

void Scrubber::leave_segment() {
  behind_ = segment_->base;
  segment_.reset();
  rebuilds_.reset();
}

// If it had to be made, all of the segment was read for it: that counts.
Result<const SegmentIndex*> Scrubber::index_of(PartitionLog& log, const Segment& segment) {
  const uint64_t rebuilds = shard_.counters.get(Metric::index_rebuilds);
  if (!rebuilds_) rebuilds_ = rebuilds;
  const SegmentIndex* index = TRY(indexes_.get(log, segment));
  if (std::exchange(rebuilds_, rebuilds) == rebuilds) return index;
  shard_.counters.add(Metric::scrubbed_bytes, segment.bytes);
  next_at_ = shard_.clock.monotonic() + static_cast<Nanos>(segment.bytes * kSecond / per_second_);
  return fail(Errc::kWouldBlock);
}

bool Scrubber::begin_read() {
  PartitionLog* log = shard_.find(round_.back());
  const Segment* segment = log == nullptr ? nullptr : log->find_segment(segment_->base);
  // A compaction may have put another file in its place.
  if (segment == nullptr || segment->id() != *segment_ || position_ >= end_of(*log, *segment)) {
    leave_segment();
    return true;
  }
  const auto index = index_of(*log, *segment);
  const auto file = index ? acquire_named(shard_, files_, log->id, segment->id())
                          : Result<FileHandle>(std::unexpected(index.error()));
  if (!file) {
    if (file.error().code == Errc::kWouldBlock) return false;
    leave_segment();  // whoever found out has told the operator
    return true;
  }
  read_.log = log->id;
  read_.segment = segment->id();
  read_.truncated_at = log->truncated_at;
  read_.sums = (*index)->sums<kReadBytes / SegmentIndex::kIntervalBytes>(position_);
  read_.bytes = std::min(kReadBytes, end_of(*log, *segment) - position_);
  read_.DiskOp::file = *file;
  read_.at = position_;
  read_.memory = memory_.first(align_up(read_.bytes, shard_.disk.block_bytes()));
  // A small one costs an open file: it counts as an interval at least.
  const uint64_t cost = std::max(read_.bytes, SegmentIndex::kIntervalBytes);
  next_at_ = shard_.clock.monotonic() + static_cast<Nanos>(cost * kSecond / per_second_);
  reading_ = true;
  shard_.submit(static_cast<DiskOp&>(read_));
  return true;
}

void Scrubber::check() {
  reading_ = false;
  files_.release(read_.log, read_.segment);
  PartitionLog* log = shard_.find(read_.log);
  Segment* segment = log == nullptr ? nullptr : log->find_file(read_.segment);
  if (segment == nullptr || segment != log->find_segment(read_.segment.base) || !segment_) return;
  if (log->truncated_at != read_.truncated_at) return;  // what is there now is read again
  constexpr uint64_t kIntervalBytes = SegmentIndex::kIntervalBytes;
  const uint64_t got = read_.at + static_cast<uint64_t>(std::max<int64_t>(read_.result, 0));
  const uint64_t end = read_.at + read_.bytes;
  std::bitset<kReadBytes / kIntervalBytes> bad;
  for (uint64_t i = 0, from = read_.at; from < end; ++i, from += kIntervalBytes) {
    const uint64_t to = std::min(from + kIntervalBytes, end);
    bad[i] = to > got || !read_.sums.hold(i, from, memory_.subspan(from - read_.at, to - from));
  }
  if (bad.any() && !std::exchange(again_, true)) return;
  again_ = false;
  shard_.counters.add(Metric::scrubbed_bytes, read_.bytes);
  position_ = end;  // whatever it found: the rest of the segment, and the other ones, are looked at too
  for (uint64_t i = 0, from = read_.at; from < end; ++i, from += kIntervalBytes) {
    segment->bad.set(from / kIntervalBytes, bad[i]);
    if (bad[i])
      tell_damage(shard_, log->id, *segment, from, std::min(from + kIntervalBytes, end),
                  read_.result < 0 ? "cannot be read" : "fail their checksum");
  }
  // The segment ended there. What has come since is left for the next round: a read begins on an interval.
  if (end % kIntervalBytes != 0) leave_segment();
}

}  // namespace penstock::storage
