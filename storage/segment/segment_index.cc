#include "storage/segment/segment_index.h"

#include <algorithm>
#include <limits>

#include "base/assert.h"
#include "base/crc32c.h"
#include "protocol/record_batch.h"

namespace penstock::storage {
namespace {

constexpr int64_t kNoTimeYet = std::numeric_limits<int64_t>::min();
// Arrays grow by an eighth: doubling would hold up to twice what is needed, for the whole life of the segment.
constexpr size_t kGrowthShare = 8;
constexpr size_t kGrowthLeast = 4;

template <class T>
void push(std::vector<T>& elements, T value) {
  const size_t size = elements.size();
  if (size == elements.capacity()) elements.reserve(size + size / kGrowthShare + kGrowthLeast);
  elements.push_back(value);
}

// How many elements of a rising run are at most value. Without branches that depend on the elements: each would be
// guessed wrongly half of the time.
size_t count_up_to(std::span<const uint32_t> rising, uint32_t value) {
  const uint32_t* first = rising.data();
  size_t left = rising.size();
  while (left > 1) {
    const size_t half = left / 2;
    first += first[half - 1] <= value ? half : 0;
    left -= half;
  }
  const auto before = static_cast<size_t>(first - rising.data());
  return before + (left == 1 && *first <= value ? 1 : 0);
}

// The greatest timestamp of the batches in bytes, which begin and end with them; nothing if no batches are there.
std::optional<int64_t> max_timestamp_of(std::span<const std::byte> bytes) {
  int64_t max = kNoTimeYet;
  while (!bytes.empty()) {
    const auto batch = protocol::first_batch(bytes);
    if (!batch) return {};
    max = std::max(max, protocol::view_of(*batch).max_timestamp());
    bytes = bytes.subspan(batch->size());
  }
  return max;
}

}  // namespace

SegmentIndex::SegmentIndex(Offset base, uint64_t from, uint32_t running_crc)
    : base_(base), from_(from), bytes_(from), from_crc_(running_crc) {
  CHECK(base >= Offset{0});
  CHECK(from % kIntervalBytes != 0 || running_crc == 0);
}

template <class Step>
void SegmentIndex::add(size_t n, Step step) {
  for (size_t at = 0; at < n;) {
    const uint64_t in_interval = bytes_ % kIntervalBytes;
    if (in_interval == 0) {
      push(crcs_, uint32_t{0});
    } else if (crcs_.empty()) {
      push(crcs_, from_crc_);
    }
    const size_t take = std::min<uint64_t>(n - at, kIntervalBytes - in_interval);
    crcs_.back() = step(crcs_.back(), at, take);
    at += take;
    bytes_ += take;
  }
}

void SegmentIndex::add_bytes(std::span<const std::byte> bytes) {
  add(bytes.size(), [&](uint32_t crc, size_t at, size_t n) { return crc32c(crc, bytes.subspan(at, n)); });
}

void SegmentIndex::copy_into(std::span<std::byte> to, std::span<const std::byte> from) {
  CHECK(to.size() >= from.size());
  add(from.size(),
      [&](uint32_t crc, size_t at, size_t n) { return copy_with_crc32c(crc, to.subspan(at, n), from.subspan(at, n)); });
}

void SegmentIndex::add_batch(uint64_t position, Offset base, int64_t max_timestamp) {
  CHECK(position >= from_);
  CHECK(base >= base_ && base - base_ <= kMostRelativeOffset);
  const auto relative = static_cast<uint32_t>(base - base_);
  const uint64_t i = position / kIntervalBytes - first_interval();
  CHECK(i + 1 >= starts_.size());
  CHECK(starts_.empty() || relative > offsets_.back());
  if (i < starts_.size()) {
    times_.back() = std::max(times_.back(), max_timestamp);
    return;
  }
  while (starts_.size() < i) push_interval(kNoStart, last_offset(), last_time());
  push_interval(static_cast<uint16_t>(position % kIntervalBytes), relative, std::max(last_time(), max_timestamp));
}

void SegmentIndex::push_interval(uint16_t start, uint32_t relative_offset, int64_t time) {
  push(starts_, start);
  push(offsets_, relative_offset);
  push(times_, time);
}

int64_t SegmentIndex::last_time() const { return times_.empty() ? kNoTimeYet : times_.back(); }

int64_t SegmentIndex::max_timestamp() const { return times_.empty() ? protocol::kNoTimestamp : times_.back(); }

void SegmentIndex::cut(uint64_t position, uint32_t running_crc) {
  CHECK(position <= bytes_);
  CHECK(position % kIntervalBytes != 0 || running_crc == 0);
  if (position <= from_) {
    *this = SegmentIndex(base_, position, running_crc);
    return;
  }
  const uint64_t left = position - first_interval() * kIntervalBytes;
  crcs_.resize((left + kIntervalBytes - 1) / kIntervalBytes);
  if (left % kIntervalBytes != 0) crcs_.back() = running_crc;
  bytes_ = position;
  while (!starts_.empty() && (starts_.back() == kNoStart || last_start() >= position)) {
    starts_.pop_back();
    offsets_.pop_back();
    times_.pop_back();
  }
}

bool SegmentIndex::cut_exactly(uint64_t position, std::span<const std::byte> interval) {
  CHECK(interval.size() == position % kIntervalBytes);
  const uint64_t begin = position - interval.size();
  std::optional<int64_t> max;
  const uint64_t i = begin / kIntervalBytes - first_interval();
  if (position > from_ && i < starts_.size() && starts_[i] < interval.size()) {
    max = max_timestamp_of(interval.subspan(starts_[i]));
    if (!max) return false;
  }
  cut(position, crc32c(0, interval));
  if (max) times_.back() = std::max(*max, times_.size() > 1 ? times_[times_.size() - 2] : kNoTimeYet);
  return true;
}

bool SegmentIndex::prepend(const SegmentIndex& earlier, bool bad_end) {
  if (earlier.base_ != base_ || earlier.from_ != 0 || earlier.bytes_ != from_) return false;
  if (!bad_end && earlier.running_crc() != from_crc_) return false;
  const auto own_start = std::ranges::find_if(starts_, [](uint16_t start) { return start != kNoStart; });
  if (!earlier.starts_.empty()) {
    if (earlier.last_start() >= from_) return false;
    if (own_start != starts_.end() &&
        offsets_[static_cast<size_t>(own_start - starts_.begin())] <= earlier.last_offset())
      return false;
  }
  SegmentIndex joined = earlier;
  joined.bytes_ = bytes_;
  const uint64_t first = first_interval();
  // An interval that both have part of: the later CRC went on from what it should be.
  if (!crcs_.empty()) {
    joined.crcs_.resize(first);
  } else if (from_ % kIntervalBytes != 0) {
    joined.crcs_.back() = from_crc_;
  }
  joined.crcs_.insert(joined.crcs_.end(), crcs_.begin(), crcs_.end());
  for (size_t i = 0; i < starts_.size(); ++i) {
    if (starts_[i] == kNoStart) continue;
    const int64_t time = std::max(joined.last_time(), times_[i]);
    if (first + i < joined.starts_.size()) {
      joined.times_.back() = time;
      continue;
    }
    while (joined.starts_.size() < first + i) joined.push_interval(kNoStart, joined.last_offset(), joined.last_time());
    joined.push_interval(starts_[i], offsets_[i], time);
  }
  *this = std::move(joined);
  return true;
}

size_t SegmentIndex::memory_bytes() const {
  return sizeof *this + crcs_.capacity() * sizeof crcs_[0] + offsets_.capacity() * sizeof offsets_[0] +
         starts_.capacity() * sizeof starts_[0] + times_.capacity() * sizeof times_[0];
}

SegmentIndex::Place SegmentIndex::floor(Offset wanted) const {
  const Place segment_start{0, base_};
  if (wanted <= base_) return segment_start;
  const auto relative = static_cast<uint32_t>(std::min(wanted - base_, kMostRelativeOffset));
  size_t i = count_up_to(offsets_, relative);
  if (i-- == 0) return segment_start;
  if (starts_[i] == kNoStart) {
    // The batch that covers these intervals starts where its offset was first noted.
    const uint32_t found = offsets_[i];
    i = found == 0 ? 0 : count_up_to({offsets_.data(), i}, found - 1);
    if (starts_[i] == kNoStart) return segment_start;  // before the first batch known
  }
  return {start_of(i), base_ + int64_t{offsets_[i]}};
}

std::optional<uint64_t> SegmentIndex::first_interval_with_time(int64_t t) const {
  auto i = static_cast<size_t>(std::ranges::lower_bound(times_, t) - times_.begin());
  if (i == times_.size()) return {};
  while (starts_[i] == kNoStart) ++i;  // before the first batch known; the last element has one
  return start_of(i);
}

bool SegmentIndex::verify(uint64_t position, std::span<const std::byte> bytes, Tail as_of) const {
  CHECK(position % kIntervalBytes == 0 && position / kIntervalBytes >= first_interval());
  CHECK(as_of.bytes <= bytes_);
  if (position >= as_of.bytes) return true;
  return bytes_hold(position, bytes, std::span(crcs_).subspan(position / kIntervalBytes - first_interval()), as_of);
}

bool SegmentIndex::bytes_hold(uint64_t position, std::span<const std::byte> bytes, std::span<const uint32_t> crcs,
                              Tail as_of) {
  if (position >= as_of.bytes) return true;
  bytes = bytes.first(std::min<uint64_t>(bytes.size(), as_of.bytes - position));
  for (size_t i = 0; !bytes.empty(); ++i) {
    const auto here = bytes.first(std::min<uint64_t>(bytes.size(), kIntervalBytes));
    bytes = bytes.subspan(here.size());
    position += here.size();
    CHECK(here.size() == kIntervalBytes || position == as_of.bytes);
    const uint32_t expected = here.size() == kIntervalBytes ? crcs[i] : as_of.crc;
    if (crc32c(0, here) != expected) return false;
  }
  return true;
}

SegmentIndex::Interval SegmentIndex::interval(size_t i) const {
  CHECK(i < crcs_.size());
  CHECK(starts_.empty() || last_start() < bytes_);
  if (i >= starts_.size()) return {crcs_[i], kNone, last_offset(), last_time()};
  return {crcs_[i], starts_[i] == kNoStart ? kNone : starts_[i], offsets_[i], times_[i]};
}

bool SegmentIndex::add_interval(const Interval& interval, uint64_t end) {
  if (bytes_ >= end || (bytes_ != from_ && bytes_ % kIntervalBytes != 0)) return false;
  const uint64_t begin = align_down(bytes_, kIntervalBytes);
  const uint64_t interval_end = std::min(begin + kIntervalBytes, end);
  if (interval.batch_at == kNone) {
    if (interval.relative_offset != last_offset() || interval.max_so_far != last_time()) return false;
    if (bytes_ == 0) return false;  // a segment begins with a batch
  } else {
    if (interval.batch_at >= kIntervalBytes || begin + interval.batch_at >= interval_end) return false;
    if (begin + interval.batch_at < from_ || (bytes_ == 0 && interval.batch_at != 0)) return false;
    if (interval.relative_offset > kMostRelativeOffset) return false;
    if (!starts_.empty() && interval.relative_offset <= last_offset()) return false;
    if (interval.max_so_far < last_time()) return false;
    while (starts_.size() < crcs_.size()) push_interval(kNoStart, last_offset(), last_time());
    push_interval(static_cast<uint16_t>(interval.batch_at), interval.relative_offset, interval.max_so_far);
  }
  push(crcs_, interval.crc);
  bytes_ = interval_end;
  return true;
}

}  // namespace penstock::storage
