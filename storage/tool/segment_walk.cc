#include "storage/tool/segment_walk.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "base/crc32c.h"
#include "storage/tool/batch_items.h"

namespace penstock::storage {

// Bytes from at on, a block's beginning; known ones over what the drive has.
Result<size_t> SegmentWalk::read(const FileReader& file, const WalkRequest& request, uint64_t at,
                                 std::span<std::byte> into) {
  const size_t got = TRY(file.read(at, into));
  if (request.head.empty() || request.head.size() > request.head_end) return got;
  const uint64_t head_at = request.head_end - request.head.size();
  const uint64_t from = std::max(head_at, at);
  const uint64_t to = std::min<uint64_t>(request.head_end, at + got);
  if (from < to) std::memcpy(into.data() + (from - at), request.head.data() + (from - head_at), to - from);
  return got;
}

// Feeds scan until it stops, or the drive does.
SegmentWalk::Stop SegmentWalk::scan(const FileReader& file, const WalkRequest& request, SegmentScan& scan) {
  const uint32_t block = disk_.block_bytes();
  std::span<std::byte> piece = buffer_.span();
  uint64_t told = scan.fed_to() / kGiB;
  while (scan.stop() == ScanStop::kRunning && !enough_) {
    const uint64_t at = align_down(scan.fed_to(), block);
    const auto got = read(file, request, at, piece);
    if (!got) {
      // Block by block: what can be read before the bad place counts.
      if (piece.size() > block) {
        piece = piece.first(block);
        continue;
      }
      scan.finish();
      return {scan.position(), got.error(), at + block};
    }
    const uint64_t skip = scan.fed_to() - at;
    if (*got <= skip) {
      scan.finish();
      break;
    }
    scan.feed(std::span<const std::byte>(piece.first(*got)).subspan(skip));
    if (request.on_progress && scan.fed_to() / kGiB > told) {
      told = scan.fed_to() / kGiB;
      request.on_progress(scan.fed_to());
    }
  }
  return {scan.position(), {}};
}

// Where the next batch begins if the bad one's own header is right.
std::optional<SegmentIndex::Place> SegmentWalk::behind_header(const FileReader& file, const WalkRequest& request,
                                                              const SegmentScan& scan, uint64_t limit) {
  const uint64_t at = align_down(scan.position(), disk_.block_bytes());
  const uint64_t skip = scan.position() - at;
  const auto got = read(file, request, at, buffer_.span().first(2 * AlignedMemory::kAlignment));
  if (!got || *got < skip + protocol::kBatchHeaderBytes) return {};
  const auto batch = protocol::view_of(buffer_.span().subspan(skip));
  const int64_t bytes = batch.total_bytes();
  const auto last = last_offset_of(batch);
  const bool follows =
      batch.base_offset() == scan.next() || (request.may_have_gaps && batch.base_offset() > scan.next());
  if (!follows || !last || bytes <= 0) return {};
  const uint64_t position = scan.position() + static_cast<uint64_t>(bytes);
  if (position >= limit) return {};
  return SegmentIndex::Place{position, *last + 1};
}

// Where the next batch begins by the sidecar.
std::optional<SegmentIndex::Place> SegmentWalk::behind_stop(const WalkRequest& request, const Stop& stop,
                                                            uint64_t limit) const {
  // A base of a damaged state must not overflow.
  constexpr int64_t kBaseMax = std::numeric_limits<int64_t>::max() / 2;
  if (request.places == nullptr || request.base.value() > kBaseMax) return {};
  const uint64_t behind = std::max(stop.position + 1, stop.unreadable_to);
  for (size_t i = behind / SegmentIndex::kIntervalBytes; i < request.places->interval_count(); ++i) {
    const SegmentIndex::Interval interval = request.places->interval(i);
    if (interval.batch_at == SegmentIndex::kNone) continue;
    const uint64_t position = i * SegmentIndex::kIntervalBytes + interval.batch_at;
    if (position < behind) continue;
    if (position >= limit) return {};
    return SegmentIndex::Place{position, request.base + interval.relative_offset};
  }
  return {};
}

Result<WalkResult> SegmentWalk::run(const WalkRequest& request) {
  const FileReader file = TRY(FileReader::open(disk_, request.path));
  const uint64_t limit = std::min(request.bytes, file.size());
  WalkResult result{
      .file_bytes = file.size(), .next = request.next, .bad = {}, .index = SegmentIndex(request.base), .epochs = {}};
  SegmentIndex::Place begin{std::min(request.position, limit), request.next};
  enough_ = false;
  bool by_header = false;
  for (bool first = true;; first = false) {
    SegmentScan scan({.base = request.base,
                      .position = begin.position,
                      .next = begin.offset,
                      .limit = limit,
                      .may_have_gaps = request.may_have_gaps,
                      .on_batch = [&](const BatchPlace& place, const protocol::RecordBatchView& batch) {
                        if (!enough_ && request.on_batch) enough_ = !request.on_batch(place, batch);
                      }});
    const Stop stop = this->scan(file, request, scan);
    result.batches += scan.batches();
    if (scan.batches() > 0 || first) result.next = scan.next();
    for (const EpochEntry& epoch : scan.epochs())
      if (result.epochs.empty() || epoch.epoch > result.epochs.back().epoch) result.epochs.push_back(epoch);
    if (enough_) break;
    if (first) result.index = scan.take_index();
    if (scan.position() == request.bytes) break;
    // A header that was believed, and nothing good behind it: that is part of the damage before it.
    const bool same = by_header && scan.batches() == 0 && !result.bad.empty();
    if (!same && result.bad.size() == kBadRangesMax) break;
    if (!same)
      result.bad.push_back({.from = stop.position, .lost_from = scan.next(), .why = scan.stop(), .error = stop.error});
    BadRange& bad = result.bad.back();
    bad.to = request.bytes;
    bad.lost_to.reset();
    bad.beyond_file = !same && limit < request.bytes && !stop.error &&
                      (scan.stop() == ScanStop::kEnd || scan.stop() == ScanStop::kTorn);
    by_header = !same && !stop.error && scan.stop() == ScanStop::kBadCrc;
    std::optional<SegmentIndex::Place> place;
    if (by_header) place = behind_header(file, request, scan, limit);
    by_header = by_header && place;
    if (!place && !bad.beyond_file) place = behind_stop(request, stop, limit);
    if (!place) break;
    bad.to = place->position;
    bad.lost_to = place->offset;
    begin = *place;
  }
  return result;
}

Result<uint32_t> SegmentWalk::crc_of(const WalkRequest& request, uint64_t from, uint64_t to) {
  const FileReader file = TRY(FileReader::open(disk_, request.path));
  uint32_t crc = 0;
  while (from < to) {
    const size_t got = TRY(read(file, request, from, buffer_.span()));
    if (got == 0) return fail(Errc::kTruncated);
    const uint64_t n = std::min<uint64_t>(got, to - from);
    crc = crc32c(crc, buffer_.span().first(n));
    from += n;
    if (from < to && from % disk_.block_bytes() != 0) return fail(Errc::kTruncated);
  }
  return crc;
}

}  // namespace penstock::storage
