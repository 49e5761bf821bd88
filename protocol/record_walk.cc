// The walk over a produced batch's records while they are hot: the only look that the broker takes inside an
// uncompressed batch. Runs on the lcore for every such record, hence a cursor of its own, with a fast path for heads
// that lie whole in one piece.
#include <algorithm>

#include "protocol/record_batch.h"

namespace penstock::protocol {
namespace {

// A byte position in the pieces. Knows how many bytes are left in all, so that lengths are checked against the batch,
// not the piece.
class PieceCursor {
 public:
  explicit PieceCursor(std::span<const std::span<const std::byte>> pieces) : pieces_(pieces) {
    for (const auto& piece : pieces) left_ += piece.size();
    next_piece();
  }

  size_t left() const { return left_; }
  bool failed() const { return failed_; }

  uint8_t byte() {
    if (left_ == 0) [[unlikely]] {
      failed_ = true;
      return 0;
    }
    if (at_ == end_) [[unlikely]]
      next_piece();
    --left_;
    return std::to_integer<uint8_t>(*at_++);
  }

  void skip(size_t n) {
    if (n > left_) [[unlikely]] {
      failed_ = true;
      return;
    }
    left_ -= n;
    while (n > static_cast<size_t>(end_ - at_)) [[unlikely]] {
      n -= static_cast<size_t>(end_ - at_);
      next_piece();
    }
    at_ += n;
  }

  // Has the line n bytes on brought near, if it lies in this piece.
  void expect(size_t n) const {
    if (n < static_cast<size_t>(end_ - at_)) __builtin_prefetch(at_ + n);
  }

  uint64_t uvarlong(size_t most) {
    uint64_t value = 0;
    for (size_t i = 0; i < most; ++i) {
      const uint8_t b = byte();
      value |= static_cast<uint64_t>(b & 0x7f) << (7 * i);
      if (b < 0x80) {
        if (most == kVarintMost ? value <= UINT32_MAX : i < kVarlongMost - 1 || b <= 1) return value;
        break;
      }
    }
    failed_ = true;
    return 0;
  }
  int32_t varint() { return unzigzag(static_cast<uint32_t>(uvarlong(kVarintMost))); }
  int64_t varlong() { return unzigzag(uvarlong(kVarlongMost)); }

  // A varint length and that many bytes; -1 is null where allowed. Returns whether it was null.
  bool skip_part(bool nullable) {
    const int32_t length = varint();
    if (length >= 0) [[likely]] {
      skip(static_cast<size_t>(length));
      return false;
    }
    if (length != -1 || !nullable) failed_ = true;
    return true;
  }

 private:
  static constexpr size_t kVarintMost = 5;
  static constexpr size_t kVarlongMost = 10;

  void next_piece() {
    do {
      if (index_ == pieces_.size()) {
        at_ = end_ = nullptr;
        return;
      }
      at_ = pieces_[index_].data();
      end_ = at_ + pieces_[index_].size();
      ++index_;
    } while (at_ == end_);
  }

  std::span<const std::span<const std::byte>> pieces_;
  size_t index_ = 0;
  const std::byte* at_ = nullptr;
  const std::byte* end_ = nullptr;
  size_t left_ = 0;
  bool failed_ = false;
};

constexpr int32_t kFarBytes = 256;

// One record, from its length to its last header. False: invalid.
bool walk_record(PieceCursor& in, int32_t index, RecordsSummary& summary) {
  const int32_t length = in.varint();
  if (in.failed() || length < 0 || static_cast<size_t>(length) > in.left()) return false;
  const size_t left_after = in.left() - static_cast<size_t>(length);
  // Most batches are larger than the nearest caches, and their records much alike: the one after the next is probably
  // there. What lies nearer than a few lines comes by itself.
  if (length >= kFarBytes) in.expect(2 * static_cast<size_t>(length));
  in.byte();  // attributes, unused
  const int64_t timestamp_delta = in.varlong();
  if (in.varint() != index) return false;
  if (in.skip_part(/*nullable=*/true)) summary.any_null_key = true;
  in.skip_part(/*nullable=*/true);
  const int32_t headers = in.varint();
  // Each header takes two bytes at least, so this also bounds the loop.
  if (in.failed() || headers < 0 || static_cast<size_t>(headers) > in.left()) return false;
  for (int32_t i = 0; i < headers && !in.failed(); ++i) {
    in.skip_part(/*nullable=*/false);
    in.skip_part(/*nullable=*/true);
  }
  if (in.failed() || in.left() != left_after) return false;
  if (index == 0 || timestamp_delta < summary.min_timestamp_delta) summary.min_timestamp_delta = timestamp_delta;
  if (index == 0 || timestamp_delta > summary.max_timestamp_delta) {
    summary.max_timestamp_delta = timestamp_delta;
    summary.max_timestamp_record = index;
  }
  return true;
}

}  // namespace

RecordsSummary walk_records(std::span<const std::span<const std::byte>> pieces, int32_t count) {
  PieceCursor in(pieces);
  RecordsSummary summary;
  for (int32_t i = 0; i < count; ++i) {
    if (!walk_record(in, i, summary)) {
      summary.error = ErrorCode::kInvalidRecord;
      summary.bad_record = i;
      return summary;
    }
  }
  if (in.left() != 0) summary.error = ErrorCode::kInvalidRecord;
  return summary;
}

std::vector<int32_t> records_without_key(std::span<const std::span<const std::byte>> pieces, int32_t count,
                                         size_t most) {
  PieceCursor in(pieces);
  std::vector<int32_t> found;
  for (int32_t i = 0; i < count && found.size() < most; ++i) {
    RecordsSummary one;
    if (!walk_record(in, i, one)) break;
    if (one.any_null_key) found.push_back(i);
  }
  return found;
}

}  // namespace penstock::protocol
