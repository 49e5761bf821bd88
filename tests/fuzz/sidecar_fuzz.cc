// Any bytes as a sidecar, as they are and with their length and checksum made right: an error, or a value that
// round-trips and answers lookups.
#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "storage/segment/sidecar.h"

namespace {

using namespace penstock;
using namespace penstock::storage;
using Bytes = std::vector<std::byte>;

constexpr size_t kBytesAt = 8, kHeaderBytes = 64, kCrcBytes = 4;

void check_lookups(const SegmentIndex& index) {
  for (const int64_t ahead : {int64_t{0}, int64_t{1}, int64_t{1000}, SegmentIndex::kMostRelativeOffset}) {
    if (index.base().value() > std::numeric_limits<int64_t>::max() - ahead) continue;
    const Offset wanted = index.base() + ahead;
    const SegmentIndex::Place place = index.floor(wanted);
    CHECK(place.offset <= wanted && place.position <= index.bytes());
  }
  const auto none_later = index.first_interval_with_time(std::numeric_limits<int64_t>::max());
  CHECK(!none_later || index.max_timestamp() == std::numeric_limits<int64_t>::max());
  for (size_t i = 0; i < index.interval_count(); ++i) {
    const SegmentIndex::Interval interval = index.interval(i);
    const auto position = index.first_interval_with_time(interval.max_so_far);
    if (position) CHECK(*position < index.bytes());
  }
}

void check_sidecar(const Bytes& bytes) {
  auto decoded = decode_sidecar(bytes);
  if (!decoded) return;
  Bytes again(sidecar_bytes(*decoded, 4096));
  encode(*decoded, again);
  const auto twice = decode_sidecar(again);
  CHECK(twice.has_value());
  CHECK(twice->sealed == decoded->sealed && twice->epochs == decoded->epochs);
  CHECK(twice->producers == decoded->producers && twice->aborted == decoded->aborted);
  CHECK(twice->index.bytes() == decoded->index.bytes() && twice->index.known_from() == decoded->index.known_from());
  CHECK(twice->index.interval_count() == decoded->index.interval_count());
  for (size_t i = 0; i < twice->index.interval_count(); ++i)
    CHECK(twice->index.interval(i) == decoded->index.interval(i));
  check_lookups(decoded->index);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto input = std::as_bytes(std::span(data, size));
  Bytes bytes(input.begin(), input.end());
  check_sidecar(bytes);
  if (bytes.size() < kHeaderBytes + kCrcBytes) return 0;
  const uint64_t used = std::min<uint64_t>(load_le<uint64_t>(bytes.data() + kBytesAt), bytes.size());
  if (used < kHeaderBytes + kCrcBytes) return 0;
  store_le(bytes.data() + kBytesAt, used);
  store_le(bytes.data() + used - kCrcBytes, crc32c(0, std::span(bytes).first(used - kCrcBytes)));
  check_sidecar(bytes);
  return 0;
}
