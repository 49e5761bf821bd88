// Reading a segment that may be damaged, and finding a batch in one that is not.
#include "storage/segment/segment_scan.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/crc32c.h"
#include "tests/segment_maker.h"

namespace penstock::storage {
namespace {

constexpr uint64_t kInterval = SegmentIndex::kIntervalBytes;
using Bytes = std::vector<std::byte>;

ScanStop feed_in_pieces(SegmentScan& scan, std::span<const std::byte> bytes, Prng& prng) {
  while (!bytes.empty()) {
    const auto piece = bytes.first(std::min<size_t>(bytes.size(), prng.between(1, prng.one_in(3) ? 70'000 : 90)));
    scan.feed(piece);
    bytes = bytes.subspan(piece.size());
  }
  return scan.finish();
}

std::vector<EpochEntry> epochs_of(const MadeSegment& segment) {
  std::vector<EpochEntry> epochs;
  for (const MadeBatch& batch : segment.batches)
    if (epochs.empty() || epochs.back().epoch != batch.epoch) epochs.push_back({batch.epoch, batch.place.base});
  return epochs;
}

// A segment of a few batches, the third of them small enough to try each of its bits.
MadeSegment small_segment() {
  Prng prng(1);
  MadeSegment segment{.base = Offset{50}};
  for (int i = 0; i < 6; ++i) append_batch(segment, prng, 2, 30, 1000 * i, LeaderEpoch{3});
  return segment;
}

SegmentScan scan_of(const MadeSegment& segment, std::span<const std::byte> bytes) {
  SegmentScan scan({.base = segment.base, .next = segment.base});
  scan.feed(bytes);
  scan.finish();
  return scan;
}

TEST(SegmentScan, AWholeSegmentIsWalkedToItsEnd) {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    SCOPED_TRACE(seed);
    Prng prng(seed);
    const MadeSegment segment = make_segment(prng, Offset{777}, prng.between(1, 400'000));
    std::vector<BatchPlace> places;
    SegmentScan scan({.base = segment.base,
                      .next = segment.base,
                      .on_batch = [&](const BatchPlace& place, const protocol::RecordBatchView& batch) {
                        EXPECT_EQ(batch.base_offset(), place.base);
                        EXPECT_EQ(batch.max_timestamp(), segment.batches[places.size()].max_timestamp);
                        places.push_back(place);
                      }});
    EXPECT_EQ(feed_in_pieces(scan, segment.bytes, prng), ScanStop::kEnd);
    EXPECT_EQ(scan.position(), segment.bytes.size());
    EXPECT_EQ(scan.next(), segment.end_offset());
    EXPECT_EQ(scan.batches(), segment.batches.size());
    EXPECT_EQ(scan.epochs(), epochs_of(segment));
    EXPECT_EQ(intervals_of(scan.index()), intervals_of(index_of(segment, segment.bytes.size())));
    EXPECT_EQ(scan.index().max_timestamp(), index_of(segment, segment.bytes.size()).max_timestamp());
    ASSERT_EQ(places.size(), segment.batches.size());
    for (size_t i = 0; i < places.size(); ++i) EXPECT_EQ(places[i], segment.batches[i].place);
  }
}

TEST(SegmentScan, ItGoesOnWhereAnotherStopped) {
  Prng prng(8);
  const MadeSegment segment = make_segment(prng, Offset{10}, 200'000);
  const MadeBatch& middle = segment.batches[segment.batches.size() / 2];
  const uint64_t at = middle.place.position;
  SegmentScan first({.base = segment.base, .next = segment.base, .limit = at});
  EXPECT_EQ(first.feed(segment.bytes), ScanStop::kEnd);
  EXPECT_EQ(first.next(), middle.place.base);
  EXPECT_EQ(first.index().bytes(), at);
  SegmentScan second(
      {.base = segment.base, .position = at, .next = first.next(), .running_crc = first.index().running_crc()});
  EXPECT_EQ(feed_in_pieces(second, segment.from(at), prng), ScanStop::kEnd);
  SegmentIndex index = second.take_index();
  EXPECT_TRUE(index.prepend(first.index()));
  EXPECT_EQ(intervals_of(index), intervals_of(index_of(segment, segment.bytes.size())));
}

TEST(SegmentScan, NothingToReadIsAnEnd) {
  SegmentScan scan({.base = Offset{4}, .next = Offset{4}, .limit = 0});
  EXPECT_EQ(scan.feed({}), ScanStop::kEnd);
  EXPECT_EQ(scan.position(), 0u);
  EXPECT_EQ(scan.index().interval_count(), 0u);
}

TEST(SegmentScan, ALimitOrAnEndInsideABatchIsTorn) {
  const MadeSegment segment = small_segment();
  for (uint64_t end = 0; end <= segment.bytes.size(); ++end) {
    SCOPED_TRACE(end);
    const auto whole = std::ranges::find_if(segment.batches, [&](const MadeBatch& b) { return b.end() > end; });
    const uint64_t good = whole == segment.batches.begin() ? 0 : std::prev(whole)->end();
    // A few bytes of a batch whose offset is small are zeros like any others.
    const bool zeros = std::ranges::all_of(segment.span(good, end), [](std::byte b) { return b == std::byte{0}; });
    const ScanStop expected = good == end ? ScanStop::kEnd : zeros ? ScanStop::kZeros : ScanStop::kTorn;
    SegmentScan limited({.base = segment.base, .next = segment.base, .limit = end});
    EXPECT_EQ(limited.feed(segment.bytes), expected);
    const SegmentScan ended = scan_of(segment, segment.span(0, end));
    EXPECT_EQ(ended.stop(), expected);
    for (const SegmentScan* scan : {static_cast<const SegmentScan*>(&limited), &ended}) {
      EXPECT_EQ(scan->position(), good);
      EXPECT_EQ(scan->index().bytes(), good);
      EXPECT_EQ(intervals_of(scan->index()), intervals_of(index_of(segment, good)));
    }
  }
}

// The leader epoch alone is not covered by Kafka's checksum and says nothing about what must come: intervals' CRCs do.
TEST(SegmentScan, EachFlippedBitStopsItAtItsBatch) {
  MadeSegment segment = small_segment();
  const BatchPlace& third = segment.batches[2].place;
  for (uint64_t byte = 0; byte < third.bytes; ++byte) {
    for (unsigned bit = 0; bit < 8; ++bit) {
      segment.bytes[third.position + byte] ^= static_cast<std::byte>(1u << bit);
      const SegmentScan scan = scan_of(segment, segment.bytes);
      segment.bytes[third.position + byte] ^= static_cast<std::byte>(1u << bit);
      SCOPED_TRACE(byte);
      if (byte >= protocol::BatchLayout::kPartitionLeaderEpoch && byte < protocol::BatchLayout::kMagic) {
        EXPECT_EQ(scan.stop(), ScanStop::kEnd);
        continue;
      }
      EXPECT_EQ(scan.position(), third.position);
      EXPECT_EQ(scan.next(), third.base);
      EXPECT_EQ(intervals_of(scan.index()), intervals_of(index_of(segment, third.position)));
      if (byte < protocol::BatchLayout::kLength) {
        EXPECT_TRUE(scan.stop() == ScanStop::kGap || scan.stop() == ScanStop::kNotABatch);
      } else if (byte >= protocol::BatchLayout::kMagic && byte < protocol::BatchLayout::kCrc) {
        EXPECT_EQ(scan.stop(), ScanStop::kNotABatch);
      } else if (byte >= protocol::BatchLayout::kBaseTimestamp) {
        EXPECT_EQ(scan.stop(), ScanStop::kBadCrc);
      } else {
        EXPECT_NE(scan.stop(), ScanStop::kEnd);
      }
    }
  }
}

TEST(SegmentScan, DamageInALargeBatchIsCutFromTheIndex) {
  Prng prng(12);
  MadeSegment segment{.base = Offset{0}};
  append_batch(segment, prng, 1, 5000, 10, LeaderEpoch{0});
  append_batch(segment, prng, 1, 5 * kInterval, 99, LeaderEpoch{1});
  append_batch(segment, prng, 1, 5000, 11, LeaderEpoch{2});
  segment.bytes[segment.batches[1].end() - 1] ^= std::byte{1};
  SegmentScan scan({.base = Offset{0}, .next = Offset{0}});
  EXPECT_EQ(feed_in_pieces(scan, segment.bytes, prng), ScanStop::kBadCrc);
  EXPECT_EQ(scan.position(), segment.batches[0].end());
  EXPECT_EQ(intervals_of(scan.index()), intervals_of(index_of(segment, segment.batches[0].end())));
  EXPECT_EQ(scan.index().max_timestamp(), segment.batches[0].max_timestamp);
  EXPECT_EQ(scan.epochs(), (std::vector<EpochEntry>{{LeaderEpoch{0}, Offset{0}}}));
}

TEST(SegmentScan, ZerosBehindTheEndAreNamed) {
  const MadeSegment segment = small_segment();
  for (const size_t padding : {1u, 11u, 60u, 61u, 62u, 5000u}) {
    SCOPED_TRACE(padding);
    Bytes bytes = segment.bytes;
    bytes.resize(bytes.size() + padding);
    const SegmentScan scan = scan_of(segment, bytes);
    EXPECT_EQ(scan.stop(), ScanStop::kZeros);
    EXPECT_EQ(scan.position(), segment.bytes.size());
    EXPECT_EQ(scan.index().bytes(), segment.bytes.size());
  }
}

TEST(SegmentScan, AMissingBatchIsAGap) {
  const MadeSegment segment = small_segment();
  const BatchPlace& third = segment.batches[2].place;
  Bytes bytes = segment.bytes;
  const auto at = bytes.begin() + static_cast<ptrdiff_t>(third.position);
  bytes.erase(at, at + third.bytes);
  const SegmentScan scan = scan_of(segment, bytes);
  EXPECT_EQ(scan.stop(), ScanStop::kGap);
  EXPECT_EQ(scan.position(), third.position);
}

TEST(SegmentScan, AnOffsetTooFarFromTheBaseIsNoBatchOfThisSegment) {
  MadeSegment segment{.base = Offset{0}};
  Prng prng(1);
  append_batch(segment, prng, 1, 10, 0, LeaderEpoch{0});
  Bytes first = segment.bytes;
  store_be(first.data() + protocol::BatchLayout::kLastOffsetDelta, std::numeric_limits<int32_t>::max());
  protocol::seal_batch(first);
  Bytes second = segment.bytes;
  store_be(second.data(), int64_t{1} << 31);
  Bytes both = first;
  both.insert(both.end(), second.begin(), second.end());
  const SegmentScan scan = scan_of(segment, both);
  EXPECT_EQ(scan.stop(), ScanStop::kNotABatch);
  EXPECT_EQ(scan.position(), first.size());
  EXPECT_EQ(scan.next(), Offset{int64_t{1} << 31});
}

TEST(SegmentScan, OffsetsDoNotOverflow) {
  const Offset last{std::numeric_limits<int64_t>::max() - 1};
  protocol::BatchBuilder builder({.base_offset = last});
  for (int i = 0; i < 3; ++i) builder.add(0, std::nullopt, std::nullopt);
  const Bytes bytes = builder.finish();
  SegmentScan scan({.base = last, .next = last});
  EXPECT_EQ(scan.feed(bytes), ScanStop::kNotABatch);
  EXPECT_EQ(walk(bytes, 0, last), Walked(Damaged{0}));
}

TEST(SegmentScan, AnEpochThatFallsStartsNothing) {
  MadeSegment segment{.base = Offset{0}};
  Prng prng(1);
  for (const int32_t epoch : {-1, 4, 4, 2, 5, 5}) append_batch(segment, prng, 1, 10, 0, LeaderEpoch{epoch});
  const SegmentScan scan = scan_of(segment, segment.bytes);
  EXPECT_EQ(scan.epochs(), (std::vector<EpochEntry>{{LeaderEpoch{4}, Offset{1}}, {LeaderEpoch{5}, Offset{4}}}));
}

TEST(SegmentScan, EachStopHasItsWords) {
  std::vector<std::string_view> words;
  for (int i = 0; i <= static_cast<int>(ScanStop::kBadCrc); ++i) words.push_back(to_string(static_cast<ScanStop>(i)));
  std::ranges::sort(words);
  EXPECT_EQ(std::ranges::adjacent_find(words), words.end());
}

// Loads pieces of any size, as a reader would, until the batch is found.
template <class Step>
std::optional<BatchPlace> walk_pieces(const MadeSegment& segment, uint64_t position, Prng& prng, Step step) {
  while (position < segment.bytes.size()) {
    const uint64_t n = prng.between(protocol::kBatchHeaderBytes, prng.one_in(2) ? 300 : 40'000);
    const uint64_t end = std::min<uint64_t>(position + n, segment.bytes.size());
    const Walked walked = step(segment.span(position, end), position);
    if (const auto* found = std::get_if<BatchPlace>(&walked)) return *found;
    EXPECT_TRUE(std::holds_alternative<NeedMore>(walked));
    if (!std::holds_alternative<NeedMore>(walked)) return {};
    EXPECT_GT(std::get<NeedMore>(walked).position, position);
    position = std::get<NeedMore>(walked).position;
  }
  EXPECT_EQ(position, segment.bytes.size());
  return {};
}

TEST(SegmentWalk, FromTheIndexToTheBatchOfAnOffset) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    Prng prng(seed);
    const MadeSegment segment = make_segment(prng, Offset{300}, prng.between(1, 300'000));
    const SegmentIndex index = index_of(segment, segment.bytes.size());
    for (const MadeBatch& batch : segment.batches) {
      const Offset wanted =
          batch.place.base +
          static_cast<int64_t>(prng.below(static_cast<uint64_t>(batch.place.next - batch.place.base)));
      const auto found = walk_pieces(segment, index.floor(wanted).position, prng,
                                     [&](auto bytes, uint64_t position) { return walk(bytes, position, wanted); });
      ASSERT_EQ(found, batch.place);
    }
    EXPECT_EQ(walk_pieces(segment, index.floor(segment.end_offset()).position, prng,
                          [&](auto bytes, uint64_t at) { return walk(bytes, at, segment.end_offset()); }),
              std::nullopt);
  }
}

TEST(SegmentWalk, FromTheIndexToTheBatchOfATime) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    Prng prng(seed);
    const MadeSegment segment = make_segment(prng, Offset{300}, prng.between(1, 300'000));
    const SegmentIndex index = index_of(segment, segment.bytes.size());
    for (int i = 0; i < 60; ++i) {
      const MadeBatch& some = segment.batches[prng.below(segment.batches.size())];
      const int64_t t = some.max_timestamp - 1 + static_cast<int64_t>(prng.below(3));
      const auto expected = std::ranges::find_if(segment.batches, [&](const auto& b) { return b.max_timestamp >= t; });
      const auto position = index.first_interval_with_time(t);
      ASSERT_EQ(position.has_value(), expected != segment.batches.end());
      if (!position) continue;
      const auto found =
          walk_pieces(segment, *position, prng, [&](auto bytes, uint64_t at) { return walk_to_time(bytes, at, t); });
      ASSERT_EQ(found, expected->place);
    }
  }
}

TEST(SegmentWalk, WhatIsNoBatchIsDamage) {
  const MadeSegment segment = small_segment();
  const BatchPlace& third = segment.batches[2].place;
  const auto walked_with = [&](size_t at, std::byte value) {
    Bytes bytes = segment.bytes;
    bytes[third.position + at] = value;
    return walk(bytes, 0, segment.batches[4].place.base);
  };
  using L = protocol::BatchLayout;
  EXPECT_EQ(walked_with(L::kMagic, std::byte{1}), Walked(Damaged{third.position}));
  EXPECT_EQ(walked_with(L::kLength, std::byte{0xff}), Walked(Damaged{third.position}));
  EXPECT_EQ(walked_with(L::kLength + 3, std::byte{20}), Walked(Damaged{third.position}));
  EXPECT_EQ(walked_with(L::kLastOffsetDelta, std::byte{0x80}), Walked(Damaged{third.position}));
  EXPECT_EQ(walked_with(L::kBaseOffset + 7, std::byte{1}), Walked(Damaged{third.position}));
  Bytes zeros = segment.bytes;
  zeros.resize(zeros.size() + 100);
  EXPECT_EQ(walk(zeros, 0, segment.end_offset()), Walked(Damaged{segment.bytes.size()}));
}

TEST(SegmentWalk, ABatchThatReachesBeyondTheBytesIsFoundByItsHeader) {
  const MadeSegment segment = small_segment();
  const BatchPlace& third = segment.batches[2].place;
  const auto header = segment.span(third.position, third.position + protocol::kBatchHeaderBytes);
  EXPECT_EQ(walk(header, third.position, third.base), Walked(third));
  EXPECT_EQ(walk(header.first(60), third.position, third.base), Walked(NeedMore{third.position}));
  EXPECT_EQ(walk(header, third.position, third.next), Walked(NeedMore{third.position + third.bytes}));
}

}  // namespace
}  // namespace penstock::storage
