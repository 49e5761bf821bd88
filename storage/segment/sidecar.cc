#include "storage/segment/sidecar.h"

#include <cstring>
#include <optional>
#include <utility>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/crc32c.h"

namespace penstock::storage {
namespace {

// docs/internals/log_format.md, "Sidecar". Little-endian.
struct HeaderLayout {
  static constexpr size_t magic = 0, version = 4, flags = 6, bytes = 8, base = 16, segment_bytes = 24, known_from = 32,
                          crc_at_known_from = 40, intervals = 44, epochs = 48, producers = 52, aborted = 56,
                          end = 64;  // 4 bytes before it are zero
};
struct IntervalLayout {
  static constexpr size_t crc = 0, batch_at = 4, relative_offset = 8, max_so_far = 12, end = 20;
};
struct EpochLayout {
  static constexpr size_t epoch = 0, start = 4, end = 12;
};
struct ProducerLayout {
  static constexpr size_t id = 0, held = 8, last_timestamp = 16, epoch = 24, count = 26,  // 5 bytes behind it are zero
      batches = 32, end = 112;
};
struct ProducerBatchLayout {
  static constexpr size_t first_sequence = 0, last_sequence = 4, base_offset = 8, end = 16;
};
static_assert(ProducerLayout::batches + ProducerState::kMostBatches * ProducerBatchLayout::end == ProducerLayout::end);
struct AbortedLayout {
  static constexpr size_t producer = 0, first_offset = 8, last_offset = 16, last_stable_offset = 24, end = 32;
};
constexpr size_t kCrcBytes = 4;  // behind everything
constexpr uint16_t kFlagSealed = 1;

struct Counts {
  uint32_t intervals, epochs, producers, aborted;
  // Each is below 2^32, so the sum is far below 2^64.
  uint64_t record_bytes() const {
    return HeaderLayout::end + uint64_t{intervals} * IntervalLayout::end + uint64_t{epochs} * EpochLayout::end +
           uint64_t{producers} * ProducerLayout::end + uint64_t{aborted} * AbortedLayout::end + kCrcBytes;
  }
};

Counts counts_of(const Sidecar& sidecar) {
  return {.intervals = static_cast<uint32_t>(sidecar.index.interval_count()),
          .epochs = static_cast<uint32_t>(sidecar.epochs.size()),
          .producers = static_cast<uint32_t>(sidecar.producers.size()),
          .aborted = static_cast<uint32_t>(sidecar.aborted.size())};
}

void encode_header(const Sidecar& sidecar, const Counts& counts, std::byte* at) {
  using L = HeaderLayout;
  const SegmentIndex& index = sidecar.index;
  store_le(at + L::magic, kSidecarMagic);
  store_le(at + L::version, kSidecarVersion);
  store_le(at + L::flags, sidecar.sealed ? kFlagSealed : uint16_t{0});
  store_le(at + L::bytes, counts.record_bytes());
  store_le(at + L::base, index.base().value());
  store_le(at + L::segment_bytes, index.bytes());
  store_le(at + L::known_from, index.known_from());
  store_le(at + L::crc_at_known_from, index.crc_at_known_from());
  store_le(at + L::intervals, counts.intervals);
  store_le(at + L::epochs, counts.epochs);
  store_le(at + L::producers, counts.producers);
  store_le(at + L::aborted, counts.aborted);
}

void encode(const SegmentIndex::Interval& interval, std::byte* at) {
  using L = IntervalLayout;
  store_le(at + L::crc, interval.crc);
  store_le(at + L::batch_at, interval.batch_at);
  store_le(at + L::relative_offset, interval.relative_offset);
  store_le(at + L::max_so_far, interval.max_so_far);
}

SegmentIndex::Interval decode_interval(const std::byte* at) {
  using L = IntervalLayout;
  return {.crc = load_le<uint32_t>(at + L::crc),
          .batch_at = load_le<uint32_t>(at + L::batch_at),
          .relative_offset = load_le<uint32_t>(at + L::relative_offset),
          .max_so_far = load_le<int64_t>(at + L::max_so_far)};
}

void encode(const EpochEntry& entry, std::byte* at) {
  store_le(at + EpochLayout::epoch, entry.epoch.value());
  store_le(at + EpochLayout::start, entry.start.value());
}

EpochEntry decode_epoch(const std::byte* at) {
  return {LeaderEpoch{load_le<int32_t>(at + EpochLayout::epoch)}, Offset{load_le<int64_t>(at + EpochLayout::start)}};
}

void encode(const ProducerState& producer, std::byte* at) {
  using L = ProducerLayout;
  using B = ProducerBatchLayout;
  CHECK(producer.count >= 1 && producer.count <= ProducerState::kMostBatches);
  store_le(at + L::id, producer.id.value());
  store_le(at + L::held, producer.held);
  store_le(at + L::last_timestamp, producer.last_timestamp);
  store_le(at + L::epoch, producer.epoch);
  store_le(at + L::count, producer.count);
  for (size_t i = 0; i < producer.count; ++i) {
    std::byte* batch = at + L::batches + i * B::end;
    store_le(batch + B::first_sequence, producer.batches[i].first_sequence);
    store_le(batch + B::last_sequence, producer.batches[i].last_sequence);
    store_le(batch + B::base_offset, producer.batches[i].base_offset.value());
  }
}

// Nothing if it remembers no batch, or more than there is room for.
std::optional<ProducerState> decode_producer(const std::byte* at) {
  using L = ProducerLayout;
  using B = ProducerBatchLayout;
  ProducerState producer{.id = ProducerId{load_le<int64_t>(at + L::id)},
                         .epoch = load_le<int16_t>(at + L::epoch),
                         .held = load_le<int64_t>(at + L::held),
                         .last_timestamp = load_le<int64_t>(at + L::last_timestamp),
                         .count = load_le<uint8_t>(at + L::count)};
  if (producer.count < 1 || producer.count > ProducerState::kMostBatches) return {};
  for (size_t i = 0; i < producer.count; ++i) {
    const std::byte* batch = at + L::batches + i * B::end;
    producer.batches[i] = {.first_sequence = load_le<int32_t>(batch + B::first_sequence),
                           .last_sequence = load_le<int32_t>(batch + B::last_sequence),
                           .base_offset = Offset{load_le<int64_t>(batch + B::base_offset)}};
  }
  return producer;
}

void encode(const AbortedTransaction& aborted, std::byte* at) {
  using L = AbortedLayout;
  store_le(at + L::producer, aborted.producer.value());
  store_le(at + L::first_offset, aborted.first_offset.value());
  store_le(at + L::last_offset, aborted.last_offset.value());
  store_le(at + L::last_stable_offset, aborted.last_stable_offset.value());
}

AbortedTransaction decode_aborted(const std::byte* at) {
  using L = AbortedLayout;
  return {.producer = ProducerId{load_le<int64_t>(at + L::producer)},
          .first_offset = Offset{load_le<int64_t>(at + L::first_offset)},
          .last_offset = Offset{load_le<int64_t>(at + L::last_offset)},
          .last_stable_offset = Offset{load_le<int64_t>(at + L::last_stable_offset)}};
}

// at: the first interval, of a record whose checksum and length are good.
Result<SegmentIndex> decode_index(const std::byte* header, const std::byte* at, uint32_t intervals) {
  using L = HeaderLayout;
  const auto base = load_le<int64_t>(header + L::base);
  const auto end = load_le<uint64_t>(header + L::segment_bytes);
  const auto known_from = load_le<uint64_t>(header + L::known_from);
  const auto crc = load_le<uint32_t>(header + L::crc_at_known_from);
  if (base < 0 || known_from > end) return fail(Errc::kCorrupt);
  if (known_from % SegmentIndex::kIntervalBytes == 0 && crc != 0) return fail(Errc::kCorrupt);
  SegmentIndex index(Offset{base}, known_from, crc);
  for (uint32_t i = 0; i < intervals; ++i, at += IntervalLayout::end)
    if (!index.add_interval(decode_interval(at), end)) return fail(Errc::kCorrupt);
  if (index.bytes() != end) return fail(Errc::kCorrupt);
  return index;
}

}  // namespace

uint64_t sidecar_bytes(const Sidecar& sidecar, uint64_t block_bytes) {
  return align_up(counts_of(sidecar).record_bytes(), block_bytes);
}

void encode(const Sidecar& sidecar, std::span<std::byte> out) {
  const Counts counts = counts_of(sidecar);
  const uint64_t used = counts.record_bytes();
  CHECK(out.size() >= used);
  std::memset(out.data(), 0, out.size());
  encode_header(sidecar, counts, out.data());
  std::byte* at = out.data() + HeaderLayout::end;
  for (size_t i = 0; i < counts.intervals; ++i, at += IntervalLayout::end) encode(sidecar.index.interval(i), at);
  for (const EpochEntry& entry : sidecar.epochs) encode(entry, std::exchange(at, at + EpochLayout::end));
  for (const ProducerState& producer : sidecar.producers) encode(producer, std::exchange(at, at + ProducerLayout::end));
  for (const AbortedTransaction& aborted : sidecar.aborted) encode(aborted, std::exchange(at, at + AbortedLayout::end));
  CHECK(at + kCrcBytes == out.data() + used);
  store_le(at, crc32c(0, out.first(used - kCrcBytes)));
}

Result<Sidecar> decode_sidecar(std::span<const std::byte> bytes) {
  using L = HeaderLayout;
  const std::byte* header = bytes.data();
  if (bytes.size() < L::end) return fail(Errc::kTruncated);
  if (load_le<uint32_t>(header + L::magic) != kSidecarMagic) return fail(Errc::kCorrupt);
  if (load_le<uint16_t>(header + L::version) != kSidecarVersion) return fail(Errc::kUnsupported);
  const Counts counts{.intervals = load_le<uint32_t>(header + L::intervals),
                      .epochs = load_le<uint32_t>(header + L::epochs),
                      .producers = load_le<uint32_t>(header + L::producers),
                      .aborted = load_le<uint32_t>(header + L::aborted)};
  const uint64_t used = counts.record_bytes();
  if (load_le<uint64_t>(header + L::bytes) != used) return fail(Errc::kCorrupt);
  if (used > bytes.size()) return fail(Errc::kTruncated);
  if (load_le<uint32_t>(header + used - kCrcBytes) != crc32c(0, bytes.first(used - kCrcBytes)))
    return fail(Errc::kCorrupt);

  const std::byte* at = header + L::end;
  Sidecar sidecar{.index = TRY(decode_index(header, at, counts.intervals)),
                  .sealed = (load_le<uint16_t>(header + L::flags) & kFlagSealed) != 0};
  at += uint64_t{counts.intervals} * IntervalLayout::end;
  sidecar.epochs.reserve(counts.epochs);
  for (uint32_t i = 0; i < counts.epochs; ++i, at += EpochLayout::end) {
    const EpochEntry entry = decode_epoch(at);
    if (!sidecar.epochs.empty() && entry.epoch <= sidecar.epochs.back().epoch) return fail(Errc::kCorrupt);
    if (!sidecar.epochs.empty() && entry.start < sidecar.epochs.back().start) return fail(Errc::kCorrupt);
    sidecar.epochs.push_back(entry);
  }
  sidecar.producers.reserve(counts.producers);
  for (uint32_t i = 0; i < counts.producers; ++i, at += ProducerLayout::end) {
    const auto producer = decode_producer(at);
    if (!producer) return fail(Errc::kCorrupt);
    sidecar.producers.push_back(*producer);
  }
  sidecar.aborted.reserve(counts.aborted);
  for (uint32_t i = 0; i < counts.aborted; ++i, at += AbortedLayout::end) sidecar.aborted.push_back(decode_aborted(at));
  return sidecar;
}

}  // namespace penstock::storage
