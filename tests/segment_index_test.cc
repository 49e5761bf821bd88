// The index of a segment against a linear scan of what was put in.
#include "storage/segment/segment_index.h"

#include <gtest/gtest.h>

#include "base/crc32c.h"
#include "tests/segment_maker.h"

namespace penstock::storage {
namespace {

constexpr uint64_t kInterval = SegmentIndex::kIntervalBytes;
constexpr int64_t kNever = std::numeric_limits<int64_t>::min();

uint64_t interval_start(uint64_t position) { return align_down(position, kInterval); }

// The first batch of those that start in the same interval, among those that start at or behind from.
const MadeBatch& first_in_interval(const MadeSegment& segment, const MadeBatch& batch, uint64_t from = 0) {
  return *std::ranges::find_if(segment.batches, [&](const MadeBatch& other) {
    return other.place.position >= from && interval_start(other.place.position) == interval_start(batch.place.position);
  });
}

SegmentIndex::Place floor_by_scan(const MadeSegment& segment, Offset wanted, uint64_t from, uint64_t end) {
  SegmentIndex::Place found{0, segment.base};
  for (const MadeBatch& batch : segment.batches) {
    if (batch.place.position < from || batch.place.position >= end) continue;
    const MadeBatch& first = first_in_interval(segment, batch, from);
    if (first.place.base <= wanted) found = {first.place.position, first.place.base};
  }
  return found;
}

std::optional<uint64_t> time_by_scan(const MadeSegment& segment, int64_t t, uint64_t from, uint64_t end) {
  for (const MadeBatch& batch : segment.batches) {
    if (batch.place.position < from || batch.place.position >= end) continue;
    if (batch.max_timestamp >= t) return first_in_interval(segment, batch, from).place.position;
  }
  return {};
}

void expect_lookups_equal_a_scan(const SegmentIndex& index, const MadeSegment& segment, Prng& prng, uint64_t from,
                                 uint64_t end) {
  for (int i = 0; i < 40; ++i) {
    const Offset wanted =
        segment.base +
        static_cast<int64_t>(prng.below(static_cast<uint64_t>(segment.end_offset() - segment.base) + 10));
    EXPECT_EQ(index.floor(wanted), floor_by_scan(segment, wanted, from, end)) << wanted.value();
    const MadeBatch& some = segment.batches[prng.below(segment.batches.size())];
    const int64_t t = some.max_timestamp - 1 + static_cast<int64_t>(prng.below(3));
    EXPECT_EQ(index.first_interval_with_time(t), time_by_scan(segment, t, from, end)) << t;
  }
  for (const int64_t t : {kNever, int64_t{-1}, int64_t{0}, std::numeric_limits<int64_t>::max()})
    EXPECT_EQ(index.first_interval_with_time(t), time_by_scan(segment, t, from, end)) << t;
  for (const int64_t offset : {kNever, int64_t{-1}, int64_t{0}, std::numeric_limits<int64_t>::max()})
    EXPECT_EQ(index.floor(Offset{offset}), floor_by_scan(segment, Offset{offset}, from, end)) << offset;
}

// Bytes in pieces of any size, batches announced before, with, or well after their bytes.
SegmentIndex build_in_pieces(const MadeSegment& segment, Prng& prng) {
  SegmentIndex index(segment.base);
  std::vector<std::byte> copy(segment.bytes.size());
  size_t announced = 0;
  const auto announce_to = [&](uint64_t end) {
    for (; announced < segment.batches.size() && segment.batches[announced].place.position < end; ++announced) {
      const MadeBatch& batch = segment.batches[announced];
      index.add_batch(batch.place.position, batch.place.base, batch.max_timestamp);
    }
  };
  while (index.bytes() < segment.bytes.size()) {
    const uint64_t at = index.bytes();
    const uint64_t n = std::min<uint64_t>(prng.between(1, prng.one_in(5) ? 200'000 : 5000), segment.bytes.size() - at);
    if (prng.one_in(3)) announce_to(at + n);
    if (prng.one_in(2)) {
      index.copy_into(std::span(copy).subspan(at), segment.span(at, at + n));
    } else {
      std::ranges::copy(segment.span(at, at + n), copy.begin() + static_cast<ptrdiff_t>(at));
      index.add_bytes(segment.span(at, at + n));
    }
    if (prng.one_in(3)) announce_to(at + n);
  }
  announce_to(segment.bytes.size());
  EXPECT_EQ(copy, segment.bytes);
  return index;
}

TEST(SegmentIndex, LookupsEqualAScan) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(seed);
    Prng prng(seed);
    const MadeSegment segment =
        make_segment(prng, Offset{static_cast<int64_t>(prng.below(1'000'000))}, prng.between(1, 600'000));
    const SegmentIndex index = build_in_pieces(segment, prng);
    EXPECT_EQ(index.bytes(), segment.bytes.size());
    EXPECT_EQ(index.max_timestamp(), std::ranges::max(segment.batches, {}, &MadeBatch::max_timestamp).max_timestamp);
    EXPECT_EQ(intervals_of(index), intervals_of(index_of(segment, segment.bytes.size())));
    expect_lookups_equal_a_scan(index, segment, prng, 0, segment.bytes.size());
  }
}

TEST(SegmentIndex, AnEmptyOneKnowsWhereTheSegmentBegins) {
  const SegmentIndex index(Offset{70});
  EXPECT_EQ(index.floor(Offset{90}), (SegmentIndex::Place{0, Offset{70}}));
  EXPECT_EQ(index.first_interval_with_time(0), std::nullopt);
  EXPECT_EQ(index.max_timestamp(), -1);
  EXPECT_EQ(index.bytes(), 0u);
  EXPECT_EQ(index.running_crc(), 0u);
  EXPECT_EQ(index.interval_count(), 0u);
}

TEST(SegmentIndex, ABatchOfManyIntervalsIsFoundFromAllOfThem) {
  SegmentIndex index(Offset{0});
  index.add_batch(0, Offset{0}, 5);
  index.add_batch(100, Offset{10}, 9);
  index.add_batch(100 * kInterval + 7, Offset{20}, 7);
  EXPECT_EQ(index.floor(Offset{9}), (SegmentIndex::Place{0, Offset{0}}));
  EXPECT_EQ(index.floor(Offset{19}), (SegmentIndex::Place{0, Offset{0}}));
  EXPECT_EQ(index.floor(Offset{20}), (SegmentIndex::Place{100 * kInterval + 7, Offset{20}}));
  EXPECT_EQ(index.first_interval_with_time(9), 0u);
  EXPECT_EQ(index.first_interval_with_time(10), std::nullopt);
}

TEST(SegmentIndex, TheCrcOfEachIntervalIsItsBytes) {
  Prng prng(5);
  const MadeSegment segment = make_segment(prng, Offset{0}, 3 * kInterval + 100);
  const SegmentIndex index = build_in_pieces(segment, prng);
  for (size_t i = 0; i < index.interval_count(); ++i) {
    const uint64_t end = std::min<uint64_t>((i + 1) * kInterval, segment.bytes.size());
    EXPECT_EQ(index.interval(i).crc, crc32c(0, segment.span(i * kInterval, end)));
  }
  EXPECT_EQ(index.running_crc(), index.interval(index.interval_count() - 1).crc);
}

TEST(SegmentIndex, BegunInTheMiddleItKnowsTheRest) {
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(seed);
    Prng prng(seed);
    const MadeSegment segment = make_segment(prng, Offset{1000}, prng.between(100, 400'000));
    const uint64_t from = prng.one_in(4) ? interval_start(prng.below(segment.bytes.size()))
                                         : prng.below(segment.bytes.size());  // inside a batch, as often as not
    const uint32_t crc = crc32c(0, segment.span(interval_start(from), from));
    const SegmentIndex index = index_of(segment, segment.bytes.size(), from, crc);
    EXPECT_EQ(index.known_from(), from);
    expect_lookups_equal_a_scan(index, segment, prng, from, segment.bytes.size());
    EXPECT_TRUE(index.verify(interval_start(from), segment.from(interval_start(from))));
  }
}

TEST(SegmentIndex, TwoPartsJoinToTheWhole) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(seed);
    Prng prng(seed);
    const MadeSegment segment = make_segment(prng, Offset{1000}, prng.between(100, 400'000));
    const uint64_t end = segment.bytes.size();
    const uint64_t at = prng.one_in(4) ? interval_start(prng.below(end)) : prng.below(end + 1);
    const SegmentIndex earlier = index_of(segment, at);
    SegmentIndex later = index_of(segment, end, at, earlier.running_crc());
    ASSERT_TRUE(later.prepend(earlier));
    EXPECT_EQ(later.known_from(), 0u);
    EXPECT_EQ(later.bytes(), end);
    EXPECT_EQ(intervals_of(later), intervals_of(index_of(segment, end)));
    expect_lookups_equal_a_scan(later, segment, prng, 0, end);
    EXPECT_TRUE(later.verify(0, segment.bytes));
  }
}

TEST(SegmentIndex, WhatDoesNotFitIsNotPrepended) {
  Prng prng(3);
  const MadeSegment segment = make_segment(prng, Offset{1000}, 100'000);
  const auto middle =
      std::ranges::find_if(segment.batches, [](const MadeBatch& b) { return b.place.position > kInterval + 1; });
  ASSERT_NE(middle, segment.batches.end());
  const uint64_t at = middle->place.position;
  ASSERT_NE(at % kInterval, 0u);
  const SegmentIndex earlier = index_of(segment, at);
  SegmentIndex later = index_of(segment, segment.bytes.size(), at, earlier.running_crc());
  const auto before = intervals_of(later);

  MadeSegment other = segment;
  other.base = Offset{999};
  EXPECT_FALSE(later.prepend(index_of(other, at)));
  EXPECT_FALSE(later.prepend(index_of(segment, at - 1)));
  EXPECT_FALSE(later.prepend(index_of(segment, at + 1)));
  EXPECT_FALSE(later.prepend(index_of(segment, at, kInterval)));  // does not begin at 0
  MadeSegment rotten = segment;
  rotten.bytes[at - 1] ^= std::byte{1};
  EXPECT_FALSE(later.prepend(index_of(rotten, at)));
  SegmentIndex offsets_ahead = index_of(segment, at);
  offsets_ahead.add_batch(at - 1, segment.end_offset(), 0);
  EXPECT_FALSE(later.prepend(offsets_ahead));

  EXPECT_EQ(intervals_of(later), before);
  EXPECT_EQ(later.known_from(), at);
  EXPECT_TRUE(later.prepend(earlier));
}

TEST(SegmentIndex, ACutLeavesWhatWasThereBefore) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(seed);
    Prng prng(seed);
    const MadeSegment segment = make_segment(prng, Offset{1000}, prng.between(100, 300'000));
    const uint64_t from = prng.one_in(3) ? prng.below(segment.bytes.size()) : 0;
    const uint32_t crc = crc32c(0, segment.span(interval_start(from), from));
    const uint64_t at = segment.batches[prng.below(segment.batches.size())].place.position;
    const auto interval = segment.span(interval_start(at), at);

    SegmentIndex index = index_of(segment, segment.bytes.size(), from, crc);
    ASSERT_TRUE(index.cut_exactly(at, interval));
    EXPECT_EQ(index.bytes(), at);
    EXPECT_EQ(index.running_crc(), crc32c(0, interval));
    const SegmentIndex expected =
        at < from ? SegmentIndex(segment.base, at, crc32c(0, interval)) : index_of(segment, at, from, crc);
    EXPECT_EQ(intervals_of(index), intervals_of(expected));
    EXPECT_EQ(index.known_from(), expected.known_from());
    EXPECT_EQ(index.max_timestamp(), expected.max_timestamp());

    // Without the bytes: all but the times of one interval, which stay a bound.
    SegmentIndex bounded = index_of(segment, segment.bytes.size(), from, crc);
    bounded.cut(at, crc32c(0, interval));
    EXPECT_EQ(bounded.bytes(), at);
    EXPECT_GE(bounded.max_timestamp(), expected.max_timestamp());
    for (int i = 0; i < 20; ++i) {
      const Offset wanted = segment.base + static_cast<int64_t>(prng.below(2000));
      EXPECT_EQ(bounded.floor(wanted), expected.floor(wanted));
    }

    // It grows on as if nothing had been.
    index.add_bytes(segment.from(at));
    for (const MadeBatch& batch : segment.batches)
      if (batch.place.position >= at) index.add_batch(batch.place.position, batch.place.base, batch.max_timestamp);
    if (at >= from) {
      EXPECT_EQ(intervals_of(index), intervals_of(index_of(segment, segment.bytes.size(), from, crc)));
    }
  }
}

TEST(SegmentIndex, ACutWithOtherBytesIsRefused) {
  Prng prng(2);
  const MadeSegment segment = make_segment(prng, Offset{0}, 20'000);
  const uint64_t at = segment.batches[3].place.position;
  SegmentIndex index = index_of(segment, segment.bytes.size());
  std::vector<std::byte> bytes(segment.bytes.begin(), segment.bytes.begin() + static_cast<ptrdiff_t>(at));
  bytes[protocol::BatchLayout::kMagic] = std::byte{1};
  EXPECT_FALSE(index.cut_exactly(at, bytes));
  EXPECT_EQ(index.bytes(), segment.bytes.size());
  EXPECT_EQ(intervals_of(index), intervals_of(index_of(segment, segment.bytes.size())));
}

TEST(SegmentIndex, EachFlippedBitIsSeen) {
  Prng prng(9);
  MadeSegment segment = make_segment(prng, Offset{0}, 2 * kInterval + 500);
  const SegmentIndex index = index_of(segment, segment.bytes.size());
  ASSERT_TRUE(index.verify(0, segment.bytes));
  const auto flip = [&](uint64_t byte, unsigned bit) { segment.bytes[byte] ^= static_cast<std::byte>(1u << bit); };
  const auto expect_seen = [&](uint64_t byte, unsigned bit) {
    flip(byte, bit);
    const uint64_t begin = interval_start(byte);
    const uint64_t end = std::min<uint64_t>(begin + kInterval, segment.bytes.size());
    EXPECT_FALSE(index.verify(begin, segment.span(begin, end))) << byte << " " << bit;
    flip(byte, bit);
  };
  // Of the unfinished interval each bit, of the others those of a batch header and some.
  for (uint64_t byte = index.bytes() - std::min<uint64_t>(index.bytes() % kInterval, 600); byte < index.bytes(); ++byte)
    for (unsigned bit = 0; bit < 8; ++bit) expect_seen(byte, bit);
  for (uint64_t byte = 0; byte < 61; ++byte)
    for (unsigned bit = 0; bit < 8; ++bit) expect_seen(byte, bit);
  for (int i = 0; i < 500; ++i) expect_seen(prng.below(index.bytes()), static_cast<unsigned>(prng.below(8)));
  EXPECT_TRUE(index.verify(0, segment.bytes));
}

TEST(SegmentIndex, VerifyLooksAtNothingBehindTheEnd) {
  Prng prng(4);
  MadeSegment segment = make_segment(prng, Offset{0}, kInterval + 300);
  const SegmentIndex index = index_of(segment, segment.bytes.size());
  segment.bytes.resize(segment.bytes.size() + 500, std::byte{0xee});
  EXPECT_TRUE(index.verify(0, segment.bytes));
  EXPECT_TRUE(index.verify(kInterval, segment.from(kInterval)));
  EXPECT_TRUE(index.verify(3 * kInterval, segment.from(kInterval)));
}

TEST(SegmentIndex, AReadIsCheckedAsOfWhenItBegan) {
  Prng prng(6);
  const MadeSegment segment = make_segment(prng, Offset{0}, kInterval + 5000);
  SegmentIndex index = index_of(segment, kInterval + 1000);
  const SegmentIndex::Tail tail = index.tail();
  std::vector<std::byte> read(segment.bytes.begin(), segment.bytes.begin() + kInterval + 1000);
  index.add_bytes(segment.span(kInterval + 1000, kInterval + 4000));
  EXPECT_TRUE(index.verify(0, read, tail));
  EXPECT_TRUE(index.verify(kInterval, std::span(read).subspan(kInterval), tail));
  read.back() ^= std::byte{4};
  EXPECT_FALSE(index.verify(0, read, tail));
}

TEST(SegmentIndex, AnIntervalTakesAtMost24Bytes) {
  Prng prng(7);
  std::vector<std::byte> chunk(kMiB);
  SegmentIndex index(Offset{0});
  for (int64_t offset = 0; index.bytes() < 256 * kMiB;) {
    for (uint64_t at = 0; at < kMiB; at += 4096) index.add_batch(index.bytes() + at, Offset{offset++}, 0);
    index.add_bytes(chunk);
  }
  ASSERT_EQ(index.interval_count(), 256 * kMiB / kInterval);
  EXPECT_LE(index.memory_bytes(), sizeof index + 24 * index.interval_count());
}

}  // namespace
}  // namespace penstock::storage
