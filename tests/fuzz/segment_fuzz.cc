// Any bytes as a segment, as they are and with lengths, offsets and checksums made right: a scan in pieces and a scan
// of the whole stop at the same place for the same reason, what they found good is what an index of those bytes says
// and what a walk finds, and nothing behind it is believed.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/assert.h"
#include "base/bytes.h"
#include "protocol/record_batch.h"
#include "storage/segment/segment_scan.h"

namespace {

using namespace penstock;
using namespace penstock::storage;
using Bytes = std::vector<std::byte>;

constexpr Offset kBase{1000};

struct Scanned {
  std::vector<BatchPlace> places;
  ScanStop stop;
  uint64_t position;
};

Scanned scan(std::span<const std::byte> bytes, size_t step, uint64_t limit) {
  Scanned scanned;
  SegmentScan segment({.base = kBase,
                       .next = kBase,
                       .limit = limit,
                       .on_batch = [&](const BatchPlace& place, const protocol::RecordBatchView&) {
                         scanned.places.push_back(place);
                       }});
  for (size_t at = 0; at < bytes.size(); at += step) segment.feed(bytes.subspan(at, std::min(step, bytes.size() - at)));
  scanned.stop = segment.finish();
  scanned.position = segment.position();
  CHECK(scanned.position <= std::min<uint64_t>(bytes.size(), limit));
  CHECK(scanned.stop != ScanStop::kRunning);
  SegmentIndex expected(kBase);
  expected.add_bytes(bytes.first(scanned.position));
  CHECK(segment.index().bytes() == scanned.position);
  CHECK(segment.index().running_crc() == expected.running_crc());
  CHECK(segment.index().verify(0, bytes.first(scanned.position)));
  return scanned;
}

void check_segment(std::span<const std::byte> bytes, size_t step, uint64_t limit) {
  const Scanned whole = scan(bytes, bytes.size() + 1, limit);
  const Scanned pieces = scan(bytes, step, limit);
  CHECK(whole.places == pieces.places);
  CHECK(whole.stop == pieces.stop && whole.position == pieces.position);
  const auto good = bytes.first(whole.position);
  for (const BatchPlace& place : whole.places) {
    CHECK(walk(good, 0, place.base) == Walked(place));
    CHECK(walk(good, 0, place.next + -1) == Walked(place));
  }
  // Hostile bytes may say anything, but no place before those that were given.
  const Walked walked = walk_to_time(bytes, 0, 0);
  if (const auto* found = std::get_if<BatchPlace>(&walked)) CHECK(found->position < bytes.size());
  if (const auto* damaged = std::get_if<Damaged>(&walked)) CHECK(damaged->position < bytes.size());
}

// Makes batches of what stands there, one behind the other, of the length that the input asks for.
void repair(Bytes& bytes) {
  Offset next = kBase;
  for (size_t at = 0; bytes.size() - at >= protocol::kBatchHeaderBytes;) {
    using L = protocol::BatchLayout;
    const size_t asked = load_be<uint16_t>(bytes.data() + at + L::kLength + 2) % 512;
    const size_t n = std::min(protocol::kBatchHeaderBytes + asked, bytes.size() - at);
    std::byte* batch = bytes.data() + at;
    store_be(batch + L::kBaseOffset, next.value());
    store_be(batch + L::kMagic, protocol::kMagic2);
    const int32_t delta = load_be<int32_t>(batch + L::kLastOffsetDelta) & 0x7fffffff;
    store_be(batch + L::kLastOffsetDelta, delta);
    protocol::seal_batch({batch, n});
    next += int64_t{delta} + 1;
    at += n;
  }
}

}  // namespace

// The first byte is the size of the pieces, the second says where the limit is, counted from the end.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const size_t step = 1 + data[0];
  const auto input = std::as_bytes(std::span(data + 2, size - 2));
  const uint64_t limit = input.size() - std::min<size_t>(data[1], input.size());
  check_segment(input, step, input.size());
  check_segment(input, step, limit);
  Bytes repaired(input.begin(), input.end());
  repair(repaired);
  check_segment(repaired, step, input.size());
  check_segment(repaired, step, limit);
  return 0;
}
