#include "storage/ring/entries.h"

#include "base/assert.h"

namespace penstock::storage {
namespace {

// A number that is an offset or a position: anything above is negative in the eyes of a reader.
std::optional<int64_t> natural(const std::byte* at) {
  const auto value = load_le<int64_t>(at);
  if (value < 0) return {};
  return value;
}

}  // namespace

std::array<std::byte, RelogLayout::end> encode(const RelogEntry& entry) {
  using L = RelogLayout;
  CHECK(L::end + entry.bytes.size() <= kSmallPayloadMax);
  std::array<std::byte, L::end> head;
  store_le(head.data() + L::segment, entry.segment.value());
  store_le(head.data() + L::position, entry.position);
  store_le(head.data() + L::bytes, static_cast<uint32_t>(entry.bytes.size()));
  return head;
}

std::array<std::byte, TruncateLayout::end> encode(const TruncateEntry& entry) {
  using L = TruncateLayout;
  std::array<std::byte, L::end> payload;
  store_le(payload.data() + L::offset, entry.offset.value());
  store_le(payload.data() + L::segment, entry.segment.value());
  store_le(payload.data() + L::position, entry.position);
  store_le(payload.data() + L::epoch, entry.epoch.value());
  return payload;
}

std::array<std::byte, StartOffsetLayout::end> encode(const StartOffsetEntry& entry) {
  std::array<std::byte, StartOffsetLayout::end> payload;
  store_le(payload.data() + StartOffsetLayout::offset, entry.offset.value());
  return payload;
}

std::optional<RelogEntry> decode_relog(std::span<const std::byte> payload) {
  using L = RelogLayout;
  if (payload.size() < L::end || load_le<uint32_t>(payload.data() + L::bytes) != payload.size() - L::end) return {};
  const auto segment = natural(payload.data() + L::segment);
  const auto position = natural(payload.data() + L::position);
  if (!segment || !position) return {};
  return RelogEntry{Offset{*segment}, static_cast<uint64_t>(*position), payload.subspan(L::end)};
}

std::optional<TruncateEntry> decode_truncate(std::span<const std::byte> payload) {
  using L = TruncateLayout;
  if (payload.size() != L::end) return {};
  const auto offset = natural(payload.data() + L::offset);
  const auto segment = natural(payload.data() + L::segment);
  const auto position = natural(payload.data() + L::position);
  if (!offset || !segment || !position) return {};
  return TruncateEntry{Offset{*offset}, Offset{*segment}, static_cast<uint64_t>(*position),
                       LeaderEpoch{load_le<int32_t>(payload.data() + L::epoch)}};
}

std::optional<StartOffsetEntry> decode_start_offset(std::span<const std::byte> payload) {
  if (payload.size() != StartOffsetLayout::end) return {};
  const auto offset = natural(payload.data() + StartOffsetLayout::offset);
  if (!offset) return {};
  return StartOffsetEntry{Offset{*offset}};
}

}  // namespace penstock::storage
