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
  if (per_second_ == 0 || read_.in_flight || shard_.poisoned) return;
  const Nanos now = shard_.clock.monotonic();
  if (now < next_at_) return;
  if (!segment_ && !next_segment()) {
    next_at_ = now + (round_.empty() ? kRest : kAskAgain);
    return;
  }
  if (!begin_read()) next_at_ = now + kAskAgain;
}

// The next sealed segment; false if there is none this moment.
bool Scrubber::next_segment() {
  if (round_.empty()) {
    for (const auto& [id, log] : shard_.logs)
      if (log->segments.size() > 1) round_.push_back(id);
    std::ranges::sort(round_, std::greater<>());
    behind_ = Offset{-1};
    if (round_.empty()) return false;
  }
  constexpr size_t kLogsATurn = 64;
  for (size_t i = 0; i < kLogsATurn && !round_.empty(); ++i) {
    if (const PartitionLog* log = shard_.find(round_.back())) {
      for (const Segment& segment : log->segments) {
        if (segment.base <= behind_ || segment.bytes == 0 || &segment == &log->segments.back()) continue;
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

bool Scrubber::begin_read() {
  PartitionLog* log = shard_.find(round_.back());
  const Segment* segment = log == nullptr ? nullptr : log->find_segment(segment_->base);
  // A compaction may have put another file in its place.
  if (segment == nullptr || segment->id() != *segment_ || position_ >= segment->bytes || log->is_open(*segment)) {
    behind_ = segment_->base;
    segment_.reset();
    return true;
  }
  const auto index = indexes_.get(*log, *segment);
  const auto file = index ? acquire_named(shard_, files_, log->id, segment->id())
                          : Result<FileHandle>(std::unexpected(index.error()));
  if (!file) {
    if (file.error().code == Errc::kWouldBlock) return false;
    behind_ = segment_->base;  // whoever found out has told the operator
    segment_.reset();
    return true;
  }
  read_.log = log->id;
  read_.segment = segment->id();
  read_.bytes = std::min(kReadBytes, segment->bytes - position_);
  read_.DiskOp::file = *file;
  read_.at = position_;
  read_.memory = memory_.first(align_up(read_.bytes, shard_.disk.block_bytes()));
  next_at_ = shard_.clock.monotonic() + static_cast<Nanos>(read_.bytes * kSecond / per_second_);
  shard_.submit(static_cast<DiskOp&>(read_));
  return true;
}

void Scrubber::check() {
  files_.release(read_.log, read_.segment);
  PartitionLog* log = shard_.find(read_.log);
  Segment* segment = log == nullptr ? nullptr : log->find_file(read_.segment);
  if (segment == nullptr || segment != log->find_segment(read_.segment.base) || log->is_open(*segment) || !segment_)
    return;
  const auto index = indexes_.get(*log, *segment);
  if (!index) return;  // forgotten meanwhile: this piece is read again
  constexpr uint64_t kIntervalBytes = SegmentIndex::kIntervalBytes;
  const uint64_t got = read_.at + static_cast<uint64_t>(std::max<int64_t>(read_.result, 0));
  const uint64_t end = read_.at + read_.bytes;
  std::bitset<kReadBytes / kIntervalBytes> bad;
  for (uint64_t i = 0, from = read_.at; from < end; ++i, from += kIntervalBytes) {
    const uint64_t to = std::min(from + kIntervalBytes, end);
    bad[i] = to > got || !(*index)->verify(from, memory_.subspan(from - read_.at, to - from));
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
}

}  // namespace penstock::storage
