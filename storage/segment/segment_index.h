// SegmentIndex: where in a segment an offset or a time is, and whether bytes read from it are those that were written.
// One record for each 32 KiB of the file (an interval), 18 to 21 bytes of memory. docs/internals/log_format.md,
// "Segments".
//
// It is built while bytes are staged for the segment: add_bytes() or copy_into() for each run of bytes, add_batch() for
// each batch that starts in them, in file order. It may begin in the middle of the file, when what lies before was
// written in an earlier life; prepend() then joins the part that a scan of the file rebuilt.
//
//   known_from()                     bytes()
//       |----- intervals known --------|        the last interval's CRC is running_crc(), of its bytes so far
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/units.h"
#include "protocol/types.h"

namespace penstock::storage {

class SegmentIndex {
 public:
  // A cold read reads whole intervals, since it checks them: smaller ones cost memory, larger ones each small read.
  static constexpr uint64_t kIntervalBytes = 32 * kKiB;
  static constexpr uint32_t kNone = 0xffffffff;
  // A batch's base offset may lie so far behind the segment's, as in Kafka: roll before it does.
  static constexpr int64_t kMostRelativeOffset = 0x7fffffff;

  // base: offset of the segment's first batch. from: the place where the bytes added first belong; inside an interval
  // running_crc is the CRC of what the interval holds before it, else 0.
  explicit SegmentIndex(Offset base, uint64_t from = 0, uint32_t running_crc = 0);

  // The next bytes of the file: their CRC.
  void add_bytes(std::span<const std::byte> bytes);
  // The same, while they are copied to to (to.size() >= from.size(), no overlap): one pass over the bytes.
  void copy_into(std::span<std::byte> to, std::span<const std::byte> from);
  // A batch starts at position (not below known_from()): before or after its bytes were added. In order of position and
  // of offset; base at most kMostRelativeOffset behind the segment's.
  void add_batch(uint64_t position, Offset base, int64_t max_timestamp);

  // The file was cut to position (at most bytes(), the end of a batch): what lies behind is forgotten. running_crc: of
  // the bytes of position's interval that are left, 0 if none. Times stay exact if no batch that started in that
  // interval went; else an upper bound stays, which lookups by time bear but max_timestamp() tells.
  void cut(uint64_t position, uint32_t running_crc);
  // The same, exact: interval holds the bytes of position's interval from its start to position. False: they are not
  // what was added (no batches where batches were), and nothing was changed.
  bool cut_exactly(uint64_t position, std::span<const std::byte> interval);

  // earlier covers [0, known_from()): from now on this does too. False, and nothing changed: it is of another segment,
  // ends elsewhere, or its last bytes have another CRC than those that this was begun with. bad_end: that they may, it
  // is known what they should have.
  bool prepend(const SegmentIndex& earlier, bool bad_end = false);

  Offset base() const { return base_; }
  uint64_t known_from() const { return from_; }
  uint64_t bytes() const { return bytes_; }  // place in the file behind the last byte added
  // CRC of the last interval's bytes so far; 0 where an interval begins.
  uint32_t running_crc() const { return bytes_ % kIntervalBytes == 0 ? 0 : tail_crc(); }
  // The greatest of the batches known; kNoTimestamp (-1) if there is none.
  int64_t max_timestamp() const;
  // Memory held, in bytes.
  size_t memory_bytes() const;

  struct Place {
    uint64_t position;
    Offset offset;
    friend bool operator==(const Place&, const Place&) = default;
  };
  // A batch start at or before the batch that holds wanted: at most an interval, and the batch that reaches into it,
  // before. Where that is not known it is the segment's start, {0, base}.
  Place floor(Offset wanted) const;
  // A batch start at or before the first batch whose greatest timestamp is at least t: in the interval where that one
  // starts. Nothing if no batch known is so late. Says nothing of what lies before known_from().
  std::optional<uint64_t> first_interval_with_time(int64_t t) const;

  // How far the bytes of a segment could be checked at some moment. A read that began then and ends in the last,
  // unfinished interval is checked against this, however far the index has grown since.
  struct Tail {
    uint64_t bytes;
    uint32_t crc;
  };
  Tail tail() const { return {bytes_, running_crc()}; }
  // Whether bytes, read from position on, are those that were added. position: a multiple of kIntervalBytes, not below
  // known_from()'s interval. They end where an interval does, or at or behind as_of.bytes; what lies behind that
  // (padding) is not looked at. Nothing was cut since as_of. False: rot.
  bool verify(uint64_t position, std::span<const std::byte> bytes, Tail as_of) const;
  bool verify(uint64_t position, std::span<const std::byte> bytes) const { return verify(position, bytes, tail()); }

  // The CRCs of the whole intervals below tail() among those from position (a multiple of kIntervalBytes, not below
  // known_from()'s) on, and whether bytes read from there fit them: for whoever checks them when this may be gone.
  template <size_t kMost>
  struct Sums {
    std::array<uint32_t, kMost> crcs{};
    Tail as_of{};
    // position: where the i-th of them begins.
    bool hold(size_t i, uint64_t position, std::span<const std::byte> bytes) const {
      return bytes_hold(position, bytes, std::span(crcs).subspan(i), as_of);
    }
  };
  template <size_t kMost>
  Sums<kMost> sums(uint64_t position) const {
    Sums<kMost> sums{.as_of = tail()};
    const auto from =
        std::span(crcs_).subspan(std::min<size_t>(position / kIntervalBytes - first_interval(), crcs_.size()));
    std::ranges::copy(from.first(std::min(from.size(), kMost)), sums.crcs.begin());
    return sums;
  }

  // One interval as the sidecar holds it.
  struct Interval {
    uint32_t crc;              // of its bytes, of those so far if it is the last
    uint32_t batch_at;         // place in it of the first batch known that starts there; kNone: none does
    uint32_t relative_offset;  // of that batch to base(), else as in the interval before, 0 in the first
    int64_t max_so_far;        // of all batches known that start in this and earlier intervals, INT64_MIN: none
    friend bool operator==(const Interval&, const Interval&) = default;
  };
  // From known_from()'s interval to that of the last byte.
  size_t interval_count() const { return crcs_.size(); }
  Interval interval(size_t i) const;  // no batch known may start at or behind bytes()
  // The way back: the next interval, of a file that ends at end. False: no index looks so, and nothing was changed.
  bool add_interval(const Interval& interval, uint64_t end);
  uint32_t crc_at_known_from() const { return from_crc_; }

 private:
  static constexpr uint16_t kNoStart = 0xffff;

  // crcs: of the intervals from position on.
  static bool bytes_hold(uint64_t position, std::span<const std::byte> bytes, std::span<const uint32_t> crcs,
                         Tail as_of);

  uint64_t first_interval() const { return from_ / kIntervalBytes; }
  uint32_t tail_crc() const { return crcs_.empty() ? from_crc_ : crcs_.back(); }
  template <class Step>
  void add(size_t n, Step step);
  void push_interval(uint16_t start, uint32_t relative_offset, int64_t time);
  uint32_t last_offset() const { return offsets_.empty() ? 0 : offsets_.back(); }
  int64_t last_time() const;
  // Position of the batch that starts in the i-th interval.
  uint64_t start_of(size_t i) const { return (first_interval() + i) * kIntervalBytes + starts_[i]; }
  uint64_t last_start() const { return start_of(starts_.size() - 1); }

  Offset base_;
  uint64_t from_;
  uint64_t bytes_;
  uint32_t from_crc_;
  // One element an interval, from first_interval() on. crcs_ reaches as far as the bytes do, the others as far as the
  // batches: a batch of many intervals has 4 bytes in each but the first.
  std::vector<uint32_t> crcs_;
  std::vector<uint32_t> offsets_;  // as Interval has them
  std::vector<uint16_t> starts_;   // kNoStart: no batch starts there; the last element always has one
  std::vector<int64_t> times_;
};

}  // namespace penstock::storage
