#include "storage/segment/segment_scan.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/assert.h"
#include "base/crc32c.h"

namespace penstock::storage {
namespace {

using protocol::kBatchHeaderBytes;
using protocol::RecordBatchView;

// Bytes checksummed at a time: twice, and the second time from the L1 cache.
constexpr size_t kStepBytes = 16 * kKiB;

bool all_zero(std::span<const std::byte> bytes) {
  return std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte{0}; });
}

// Whether a header can be that of a batch at all; then its length and its offsets can be reckoned with.
bool is_batch(const RecordBatchView& batch) {
  return batch.magic() == protocol::kMagic2 && batch.total_bytes() >= static_cast<int64_t>(kBatchHeaderBytes) &&
         batch.last_offset_delta() >= 0 && batch.base_offset() >= Offset{0} &&
         batch.base_offset().value() < std::numeric_limits<int64_t>::max() - batch.last_offset_delta();
}

Offset next_of(const RecordBatchView& batch) { return batch.last_offset() + 1; }

// The first batch, in order, for which wanted(batch) holds.
template <class Wanted>
Walked walk_until(std::span<const std::byte> bytes, uint64_t position, Wanted wanted) {
  Offset next{0};
  while (bytes.size() >= kBatchHeaderBytes) {
    const RecordBatchView batch = protocol::view_of(bytes);
    if (!is_batch(batch) || batch.base_offset() < next) return Damaged{position};
    const auto total = static_cast<uint32_t>(batch.total_bytes());
    next = next_of(batch);
    if (wanted(batch)) return BatchPlace{position, total, batch.base_offset(), next};
    position += total;
    if (total > bytes.size()) break;
    bytes = bytes.subspan(total);
  }
  return NeedMore{position};
}

}  // namespace

std::string_view to_string(ScanStop stop) {
  switch (stop) {
    case ScanStop::kRunning: return "not at an end yet";
    case ScanStop::kEnd: return "end";
    case ScanStop::kTorn: return "ends inside a batch";
    case ScanStop::kZeros: return "zeros where a batch should begin";
    case ScanStop::kNotABatch: return "no batch header";
    case ScanStop::kGap: return "offset does not follow";
    case ScanStop::kBadCrc: return "checksum does not hold";
  }
  std::unreachable();
}

SegmentScan::SegmentScan(Options options)
    : options_(std::move(options)),
      index_(options_.base, options_.position, options_.running_crc),
      position_(options_.position),
      fed_to_(options_.position),
      next_(options_.next),
      crc_at_position_(options_.running_crc) {
  CHECK(options_.limit >= options_.position);
  CHECK(options_.next >= options_.base);
}

ScanStop SegmentScan::feed(std::span<const std::byte> bytes) {
  if (stop_ != ScanStop::kRunning) return stop_;
  bytes = bytes.first(std::min<uint64_t>(bytes.size(), options_.limit - fed_to_));
  while (!bytes.empty() && stop_ == ScanStop::kRunning) {
    if (header_bytes_ < kBatchHeaderBytes) {
      take_header(bytes);
    } else {
      take_body(bytes);
    }
  }
  return fed_to_ == options_.limit ? finish() : stop_;
}

ScanStop SegmentScan::finish() {
  if (stop_ != ScanStop::kRunning) return stop_;
  if (header_bytes_ == 0) return halt(ScanStop::kEnd);
  const bool zeros = header_bytes_ < kBatchHeaderBytes && all_zero(std::span(header_).first(header_bytes_));
  return halt(zeros ? ScanStop::kZeros : ScanStop::kTorn);
}

std::span<const std::byte> SegmentScan::take(std::span<const std::byte>& bytes, size_t most) {
  const auto taken = bytes.first(std::min(bytes.size(), most));
  bytes = bytes.subspan(taken.size());
  fed_to_ += taken.size();
  index_.add_bytes(taken);
  return taken;
}

void SegmentScan::take_header(std::span<const std::byte>& bytes) {
  const auto taken = take(bytes, kBatchHeaderBytes - header_bytes_);
  std::memcpy(header_.data() + header_bytes_, taken.data(), taken.size());
  header_bytes_ += taken.size();
  if (header_bytes_ < kBatchHeaderBytes) return;
  const ScanStop checked = check_header();
  if (checked != ScanStop::kRunning && !skips(checked)) {
    halt(checked);
    return;
  }
  body_left_ = static_cast<uint64_t>(header().total_bytes()) - kBatchHeaderBytes;
  crc_ = crc32c(0, std::span(header_).subspan(protocol::BatchLayout::kAttributes));
  if (body_left_ == 0) finish_batch();
}

// Whether to go on behind a batch whose header cannot be: if its length can.
bool SegmentScan::skips(ScanStop why) {
  const int64_t bytes = header().total_bytes();
  if (why != ScanStop::kGap && why != ScanStop::kNotABatch) return false;
  if (bytes < static_cast<int64_t>(kBatchHeaderBytes)) return false;
  if (static_cast<uint64_t>(bytes) > options_.limit - position_) return false;
  skipping_ = options_.on_bad && options_.on_bad(position_, static_cast<uint64_t>(bytes));
  return skipping_;
}

ScanStop SegmentScan::check_header() const {
  if (all_zero(header_)) return ScanStop::kZeros;
  const RecordBatchView batch = header();
  if (!is_batch(batch)) return ScanStop::kNotABatch;
  if (batch.base_offset() < next_ || (batch.base_offset() > next_ && !options_.may_have_gaps)) return ScanStop::kGap;
  if (batch.base_offset() - options_.base > SegmentIndex::kMostRelativeOffset) return ScanStop::kNotABatch;
  if (static_cast<uint64_t>(batch.total_bytes()) > options_.limit - position_) return ScanStop::kTorn;
  return ScanStop::kRunning;
}

void SegmentScan::take_body(std::span<const std::byte>& bytes) {
  const auto taken = take(bytes, std::min<uint64_t>(body_left_, kStepBytes));
  crc_ = crc32c(crc_, taken);
  body_left_ -= taken.size();
  if (body_left_ == 0) finish_batch();
}

void SegmentScan::finish_batch() {
  const RecordBatchView batch = header();
  if (std::exchange(skipping_, false)) {
    // Its offset is not to be believed; where batches follow each other it is known, and how many records it has is
    // shown by the next one.
    const int32_t delta = batch.last_offset_delta();
    return step_over(options_.may_have_gaps || delta < 0 ? next_ : next_ + (int64_t{delta} + 1));
  }
  if (crc_ != batch.crc()) {
    if (options_.on_bad && options_.on_bad(position_, static_cast<uint64_t>(batch.total_bytes())))
      return step_over(next_of(batch));
    halt(ScanStop::kBadCrc);
    return;
  }
  const BatchPlace place{position_, static_cast<uint32_t>(batch.total_bytes()), batch.base_offset(), next_of(batch)};
  index_.add_batch(place.position, place.base, batch.max_timestamp());
  const LeaderEpoch epoch = batch.partition_leader_epoch();
  // As Kafka rebuilds its epoch cache: an epoch that is not above the last one starts nothing.
  if (epoch > kNoLeaderEpoch && (epochs_.empty() || epoch > epochs_.back().epoch))
    epochs_.push_back({epoch, place.base});
  batches_ += 1;
  step_over(place.next);
  if (options_.on_batch) options_.on_batch(place, batch);
}

// To the batch behind this one, which begins at next.
void SegmentScan::step_over(Offset next) {
  position_ = fed_to_;
  next_ = next;
  crc_at_position_ = index_.running_crc();
  header_bytes_ = 0;
}

ScanStop SegmentScan::halt(ScanStop stop) {
  index_.cut(position_, crc_at_position_);
  stop_ = stop;
  return stop;
}

Walked walk(std::span<const std::byte> bytes, uint64_t position, Offset wanted) {
  return walk_until(bytes, position, [&](const RecordBatchView& batch) { return batch.last_offset() >= wanted; });
}

Walked walk_to_time(std::span<const std::byte> bytes, uint64_t position, int64_t t) {
  return walk_until(bytes, position, [&](const RecordBatchView& batch) { return batch.max_timestamp() >= t; });
}

}  // namespace penstock::storage
